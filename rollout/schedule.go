package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// schedules moves every schedule of the environment whose time has come, and returns when the next one's does. The
// revision of an environment tells whether there is anything new, so that a quiet one costs a look-up.
func (s *survey) schedules(now time.Time, env *fsm.Environment) time.Time {
	at := place{tenant: env.Tenant(), environment: env.Key()}
	if was, ok := s.scheduled[at]; ok && was.revision == env.Revision() && slices.Equal(was.freezes, env.Freezes()) && now.Before(was.wake) {
		return was.wake
	}
	wake := now.Add(idle)
	due, ok := env.NextSchedule()
	switch {
	case !ok:
	case now.Before(due.At):
		wake = sooner(wake, due.At)
	default:
		wake = now // the state changes with the move; whatever else is due comes with the next pass
		if again := s.moveSchedule(now, env, due); again > 0 {
			wake = now.Add(again)
		}
	}
	s.scheduled[at] = remembered{revision: env.Revision(), freezes: env.Freezes(), wake: wake}
	return wake
}

// moveSchedule proposes the move, and says after what time to try again; 0: it is done. It goes under an id of the schedule and the instant, so that a second leader repeats it at most.
func (s *survey) moveSchedule(now time.Time, env *fsm.Environment, due fsm.DueSchedule) (again time.Duration) {
	c := due.Command(fsm.Scope{Tenant: env.Tenant(), Environment: env.Key()})
	if due.Schedule.Cron != "" {
		c = occurrence(c, now, due)
	}
	id := ""
	if c.ID != "" && !due.At.IsZero() {
		id = fmt.Sprintf("schedule/%s/%d", c.ID, due.At.Unix())
	}
	if s.refused[id] { // under a freeze, for example: its answer is remembered for a day, but the schedule is still due
		id = ""
	}
	receipt, err := s.pilot.proposeAs(s.ctx, id, s.term, nil, c)
	if err == nil && receipt.Changed && !receipt.Replayed {
		return 0
	}
	s.refused[id] = id != ""
	var e *fsm.Error
	switch {
	case err == nil:
	case errors.As(err, &e) && e.Kind == fsm.KindNotFound, expectedRefusal(err):
	case e != nil && (e.Kind == fsm.KindInvalid || e.Kind == fsm.KindDenied || e.Kind == fsm.KindInternal):
		s.pilot.Logger.Error("a schedule cannot be moved; it is tried again", slog.String("flag", due.Flag), slog.String("environment", env.Key()), slog.Any("error", err))
		return idle // an entry of the log each time
	default:
		s.pilot.Logger.Warn("a schedule could not be moved", slog.String("flag", due.Flag), slog.String("environment", env.Key()), slog.Any("error", err))
	}
	return retryAfter
}

// occurrence says which instants a recurring schedule means now: the newest that has come, and the next. Text that means
// none, which no door lets in, ends the schedule.
func occurrence(c fsm.MoveSchedule, now time.Time, due fsm.DueSchedule) fsm.MoveSchedule {
	calendar, err := NewCalendar(due.Schedule.Cron, due.Schedule.Zone)
	if err != nil {
		return c
	}
	newest := now
	if due.At.IsZero() { // its first
		if start, err := time.Parse(fsm.InstantForm, due.Schedule.Start); err == nil && start.After(now) {
			newest = start.Add(-time.Millisecond)
		}
	} else if newest, c.Skipped, err = calendar.Newest(due.At, now); err == nil {
		c.At = fsm.Instant(newest.UnixMilli())
	}
	if next, err := calendar.Next(newest); err == nil {
		c.Next = fsm.Instant(next.UnixMilli())
	}
	return c
}

// proposeAs is propose under a request id of the caller's.
func (p *Pilot) proposeAs(ctx context.Context, id string, term uint64, revision *uint64, c fsm.Command) (fsm.Receipt, error) {
	command, err := fsm.EncodeCommand(c)
	if err != nil {
		return fsm.Receipt{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, proposeFor)
	defer cancel()
	if id == "" {
		id = fmt.Sprintf("pilot-%d-%d", term, p.sent.Add(1)) // one node leads a term, so nobody else has it
	}
	return p.Cluster.Propose(ctx, &fsm.Proposal{RequestID: id, Actor: system(), ControllerTerm: term, ExpectedRevision: revision, Command: command})
}
