package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// ScheduleState is what keeps a schedule from going on by itself; empty: nothing.
type ScheduleState string

// A schedule is paused by a person and suspended by the kill of its flag. A suspended one has no effect either: taking the
// kill switch off gives the declaration back, and nothing else until somebody resumes the schedule.
const (
	SchedulePaused    ScheduleState = "paused"
	ScheduleSuspended ScheduleState = "suspended"
)

// Progress is how far a schedule is. It is immutable.
type Progress struct {
	State   ScheduleState `json:"state,omitempty"`
	On      bool          `json:"on,omitzero"`      // its effect stands, unless it is suspended
	Reached int           `json:"reached,omitzero"` // how many of its instants are behind it
	Next    string        `json:"next,omitempty"`   // of a recurring one, InstantForm; empty: the leader has yet to say, or Over
	Over    bool          `json:"over,omitzero"`    // a recurring one never comes again
	Runs    []Occurrence  `json:"runs,omitempty"`   // the last 20, oldest first
}

// Occurrence is one instant of a schedule that came.
type Occurrence struct {
	At       string `json:"at"`               // InstantForm: when it was due
	Revision uint64 `json:"revision"`         // of the change
	Time     int64  `json:"time"`             // leader time, unix ms
	Skipped  int    `json:"skipped,omitzero"` // how many instants from At on were missed and did nothing; 0: it happened
	Why      string `json:"why,omitempty"`
}

// maxOccurrences is how many runs a schedule remembers.
const maxOccurrences = 20

// note is the progress with one run more.
func (p Progress) note(r Occurrence) Progress {
	p.Runs = append(slices.Clone(p.Runs[max(0, len(p.Runs)-maxOccurrences+1):]), r)
	return p
}

// ScheduleID is the id of the schedule that a PutSchedule made at a revision; nth counts those of one batch from 1.
func ScheduleID(revision uint64, nth int) string {
	if nth > 1 {
		return fmt.Sprintf("s%d-%d", revision, nth)
	}
	return fmt.Sprintf("s%d", revision)
}

// next is when the schedule goes on; "" when it does not by itself. unknown: the leader has yet to say.
func (x *Exposure) next() (at string, unknown bool) {
	s, p := x.Schedule, x.Progress
	switch list := s.instants(); {
	case p.State != "" || p.Over:
	case s.Cron != "":
		return p.Next, p.Next == ""
	case p.Reached < len(list):
		return list[p.Reached], false
	}
	return "", false
}

// Next is when the schedule goes on by itself, InstantForm; empty when it does not, or nobody knows yet.
func (x *Exposure) Next() string {
	at, _ := x.next()
	return at
}

// DueSchedule names a schedule that goes on at a time.
type DueSchedule struct {
	Flag     string
	At       time.Time // zero: a recurring one whose first instant the leader has yet to say
	Schedule *Schedule // immutable
	Progress *Progress // immutable
}

// Command is the MoveSchedule that makes it go on. For a recurring one the caller adds the instants.
func (due DueSchedule) Command(scope Scope) MoveSchedule {
	return MoveSchedule{Scope: scope, Flag: due.Flag, Rule: due.Schedule.Rule, ID: due.Schedule.ID, Due: due.Progress.Next}
}

// NextSchedule is the schedule of the environment that goes on first; ok is false when none does. Those of frozen flags wait. The caller compares At
// with the leader's time and proposes MoveSchedule.
func (e *Environment) NextSchedule() (next DueSchedule, ok bool) {
	e.exposures.All(func(_ string, list []Exposure, _ uint64) bool {
		for _, x := range list {
			if x.Schedule == nil {
				continue
			}
			text, unknown := x.next()
			if text == "" && !unknown || text != "" && e.FrozenFor(x.Flag) != nil { // whoever unfreezes changes the state, and that wakes
				continue
			}
			found := DueSchedule{Flag: x.Flag, Schedule: x.Schedule, Progress: x.Progress}
			if text != "" {
				at, err := time.Parse(InstantForm, text)
				if err != nil {
					panic("fsm: a stored schedule has an instant that is no time: " + err.Error()) // checkSchedule read it
				}
				found.At = at
			}
			if !ok || cmp.Or(found.At.Compare(next.At), cmp.Compare(found.Flag, next.Flag), cmp.Compare(found.Schedule.owner(), next.Schedule.owner())) < 0 {
				next, ok = found, true
			}
		}
		return true
	})
	return next, ok
}

// Schedules lists the schedules that files state, by flag, those of rules first.
func (e *Environment) Schedules() []*Schedule {
	var out []*Schedule
	for _, x := range e.schedules(true) {
		out = append(out, x.Schedule)
	}
	slices.SortFunc(out, func(a, b *Schedule) int {
		return cmp.Or(cmp.Compare(a.Flag, b.Flag), -cmp.Compare(a.Seat(), b.Seat()))
	})
	return out
}

// Scheduled lists the schedules that people made, with how far they are: by revision of their last change, newest first.
func (e *Environment) Scheduled() []Exposure {
	out := e.schedules(false)
	slices.SortFunc(out, func(a, b Exposure) int {
		return cmp.Or(-cmp.Compare(a.Revision, b.Revision), cmp.Compare(a.Schedule.ID, b.Schedule.ID))
	})
	return out
}

func (e *Environment) schedules(stated bool) (out []Exposure) {
	e.exposures.All(func(_ string, list []Exposure, _ uint64) bool {
		for _, x := range list {
			if x.Schedule != nil && x.Schedule.stated() == stated {
				out = append(out, x)
			}
		}
		return true
	})
	return out
}

// ScheduleStatus is what people are told about a schedule.
func (x *Exposure) ScheduleStatus() string {
	at, unknown := x.next()
	switch {
	case x.Progress.State != "":
		return string(x.Progress.State)
	case x.Progress.On:
		return "active"
	case at != "" || unknown:
		return "waiting"
	}
	return "ended"
}
