package rollout

import (
	"log/slog"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// changes carries out the scheduled change of the environment whose time comes first, and returns when that is. The id of
// the request is the change's own, so that a second leader repeats it at most; the law takes it once, and only when it is
// due.
func (s *survey) changes(now time.Time, env *fsm.Environment) time.Time {
	due, ok := env.NextChange()
	switch {
	case !ok:
		return now.Add(idle)
	case now.Before(due.At):
		return due.At
	}
	id := "change/" + due.ID + "/apply"
	if due.Promotion {
		id = "promotion/" + due.ID + "/execute"
	}
	_, err := s.pilot.proposeAs(s.ctx, id, s.term, nil, fsm.MoveChange{
		Scope: fsm.Scope{Tenant: env.Tenant(), Environment: env.Key()}, ID: due.ID, Move: fsm.ChangeMoveDue})
	if err == nil {
		return now // the state changed; whatever else is due comes with the next pass
	}
	if !expectedRefusal(err) {
		s.pilot.Logger.Warn("a scheduled change could not be carried out", slog.String("change", due.ID), slog.String("environment", env.Key()), slog.Any("error", err))
	}
	return now.Add(retryAfter)
}
