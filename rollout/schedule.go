package rollout

import (
	"errors"
	"log/slog"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// schedules moves every schedule of the environment whose time has come, and returns when the next one's does. The
// revision of an environment tells whether there is anything new, so that a quiet one costs a look-up.
func (s *survey) schedules(now time.Time, env *fsm.Environment) time.Time {
	at := place{tenant: env.Tenant(), environment: env.Key()}
	if was, ok := s.scheduled[at]; ok && was.revision == env.Revision() && was.frozen == env.Frozen() && now.Before(was.wake) {
		return was.wake
	}
	wake := now.Add(idle)
	due, ok := env.NextSchedule()
	switch {
	case !ok || env.Frozen() != nil: // whoever unfreezes changes the state, and that wakes
	case now.Before(due.At):
		wake = sooner(wake, due.At)
	default:
		wake = now // the state changes with the move; whatever else is due comes with the next pass
		if !s.moveSchedule(env, due) {
			wake = now.Add(retryAfter)
		}
	}
	s.scheduled[at] = remembered{env.Revision(), env.Frozen(), wake}
	return wake
}

func (s *survey) moveSchedule(env *fsm.Environment, due fsm.DueSchedule) bool {
	err := s.pilot.propose(s.ctx, s.term, nil, fsm.MoveSchedule{
		Scope: fsm.Scope{Tenant: env.Tenant(), Environment: env.Key()}, Flag: due.Flag, Rule: due.Rule})
	var e *fsm.Error
	switch {
	case err == nil:
		return true
	case errors.As(err, &e) && e.Kind == fsm.KindNotFound, expectedRefusal(err):
	default:
		s.pilot.Logger.Warn("a schedule could not be moved", slog.String("flag", due.Flag), slog.String("environment", env.Key()), slog.Any("error", err))
	}
	return false
}
