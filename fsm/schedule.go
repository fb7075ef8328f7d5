package fsm

import (
	"bytes"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// InstantForm is how schedules name their times: UTC with milliseconds, so that the order of texts is the order of times.
const InstantForm = "2006-01-02T15:04:05.000Z"

// Instant is a time in unix ms as InstantForm writes it.
func Instant(ms int64) string { return time.UnixMilli(ms).UTC().Format(InstantForm) }

// OwnerSchedule begins the owner of a schedule's exposure; its id follows, or the seat of one that a file states. It is
// also the label of what it serves.
const OwnerSchedule = "schedule"

// SeatEnabled is the seat of whether the flag is on at all.
const SeatEnabled = "enabled"

// Action is what a schedule does when its time comes.
type Action string

// The actions. A schedule without one moves a share of people as its Levels say.
const (
	ActionEnable     Action = "ENABLE"
	ActionDisable    Action = "DISABLE"
	ActionValue      Action = "SET_VALUE"
	ActionPercentage Action = "SET_PERCENTAGE"
)

// Schedule changes what a flag serves at given times, beside the flag: the declaration keeps its place and is what is
// served when the schedule is taken away. There are two sorts. A file states Levels, one schedule per seat, without an id;
// that one owns its seat from the beginning. People make the others, which have an id, an action and times: Start alone is
// one-time, with End it is a window, with Cron it recurs. Those own their seat while their effect stands.
type Schedule struct {
	ID       string            `json:"id,omitempty"` // given by the law; empty: stated by a file
	Name     string            `json:"name,omitempty"`
	Flag     string            `json:"flag"`
	Rule     string            `json:"rule,omitempty"` // whose then it replaces; empty: the default
	Action   Action            `json:"action,omitempty"`
	Variant  string            `json:"variant,omitempty"` // what its share of people gets, or everybody
	Base     string            `json:"base,omitempty"`    // of everybody else
	By       string            `json:"by,omitempty"`
	Salt     string            `json:"salt,omitempty"`
	Hash     string            `json:"hash,omitempty"`
	Levels   []Level           `json:"levels,omitempty"` // rising in time; before the first nobody gets Variant
	Value    *evaluator.Value  `json:"value,omitzero"`   // SET_VALUE of a config
	Weight   int               `json:"weight,omitzero"`  // SET_PERCENTAGE, thousandths of a percent
	Start    string            `json:"start,omitempty"`  // InstantForm; of a recurring one: nothing before
	End      string            `json:"end,omitempty"`    // InstantForm; of a recurring one: nothing after
	Cron     string            `json:"cron,omitempty"`   // five fields, read in Zone; the leader says which instants they mean
	Zone     string            `json:"zone,omitempty"`   // IANA name; how people gave the times
	Land     bool              `json:"land,omitzero"`    // one-time: write the declaration instead
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Level says that from At on Weight thousandths of a percent get the schedule's variant.
type Level struct {
	At     string `json:"at"` // InstantForm
	Weight int    `json:"weight"`
}

// Equal tells whether two schedules say the same.
func (s *Schedule) Equal(o *Schedule) bool { return bytes.Equal(s.Record(), o.Record()) }

// Record is the canonical JSON of the schedule.
func (s *Schedule) Record() []byte { return mustEncode(s) }

// DecodeSchedule reads one schedule, strictly: unknown members are an error.
func DecodeSchedule(record []byte) (*Schedule, error) {
	s := &Schedule{}
	if err := json.Unmarshal(record, s, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("a schedule: %w", err)
	}
	return s, nil
}

// Seat is the place of the flag that the schedule drives.
func (s *Schedule) Seat() string {
	switch {
	case s.Action == ActionEnable, s.Action == ActionDisable:
		return SeatEnabled
	case s.Rule == "":
		return SeatDefault
	}
	return SeatRule + s.Rule
}

// stated tells the schedules of files from those of people.
func (s *Schedule) stated() bool { return s.Action == "" }

func (s *Schedule) owner() string {
	if s.stated() {
		return OwnerSchedule + "/" + s.Seat()
	}
	return OwnerSchedule + "/" + s.ID
}

// instants are the times that are known beforehand: all but those of a recurring schedule.
func (s *Schedule) instants() []string {
	switch {
	case s.stated():
		out := make([]string, len(s.Levels))
		for i, l := range s.Levels {
			out[i] = l.At
		}
		return out
	case s.Cron != "":
		return nil
	case s.End != "":
		return []string{s.Start, s.End}
	}
	return []string{s.Start}
}

// reached counts the instants whose time has come: all that passed while nobody looked fold into the last of them.
func (s *Schedule) reached(now int64) int {
	text, n := Instant(now), 0
	for _, at := range s.instants() {
		if at <= text {
			n++
		}
	}
	return n
}

// effect is what the seat serves when the schedule is that far; nil: what is declared.
func (s *Schedule) effect(p *Progress) *Effect {
	if !p.On || p.State == ScheduleSuspended {
		return nil
	}
	switch s.Action {
	case ActionEnable, ActionDisable:
		on := s.Action == ActionEnable
		return &Effect{Enabled: &on}
	case ActionValue:
		if s.Value != nil {
			return &Effect{Value: s.Value}
		}
		return &Effect{Serve: evaluator.Serve{Variant: s.Variant, Label: OwnerSchedule}}
	case ActionPercentage:
		return &Effect{Serve: s.share(s.Weight)}
	}
	if p.Reached == 0 {
		return &Effect{Serve: s.share(0)}
	}
	return &Effect{Serve: s.share(s.Levels[p.Reached-1].Weight)}
}

// share gives a weight of people the schedule's variant. Nobody and everybody need no split, so that they do not depend on
// a bucketing key.
func (s *Schedule) share(weight int) evaluator.Serve {
	switch weight {
	case 0:
		return evaluator.Serve{Variant: s.Base, Label: OwnerSchedule}
	case int(All):
		return evaluator.Serve{Variant: s.Variant, Label: OwnerSchedule}
	}
	weights := []evaluator.Weight{{Variant: s.Variant, Weight: weight}, {Variant: s.Base, Weight: int(All) - weight}}
	return evaluator.Serve{Label: OwnerSchedule, Split: &evaluator.Split{By: s.By, Salt: s.Salt, Hash: s.Hash, Missing: s.Base,
		Weights: weights, Ranges: evaluator.Reallocate(nil, weights)}}
}

func (l *loader) schedule(r *reader) error {
	flag := r.string()
	s, err := DecodeSchedule(r.bytes())
	if err != nil {
		return fmt.Errorf("flag %q: %w", flag, err)
	}
	p := &Progress{}
	if err := json.Unmarshal(r.bytes(), p, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("how far a schedule of flag %q is: %w", flag, err)
	}
	if s.Flag != flag || len(checkSchedule(s)) > 0 || s.Cron == "" && (p.Reached < 0 || p.Reached > len(s.instants())) {
		return fmt.Errorf("a schedule of flag %q is not sound", flag)
	}
	return l.exposure(r, Exposure{Flag: flag, Owner: s.owner(), Seat: s.Seat(), Schedule: s, Progress: p, Effect: s.effect(p)})
}
