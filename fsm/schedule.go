package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// InstantForm is how a Level names its time: UTC with milliseconds, so that the order of texts is the order of times.
const InstantForm = "2006-01-02T15:04:05.000Z"

// OwnerSchedule begins the owner of a schedule's exposure; the seat follows. It is also the label of what it serves.
const OwnerSchedule = "schedule"

// maxLevels bounds one schedule.
const maxLevels = 256

// Schedule moves a share of people from Base to Variant at given times, beside the flag: the declaration keeps its
// place and is what is served when the schedule is taken away.
type Schedule struct {
	Flag    string  `json:"flag"`
	Rule    string  `json:"rule,omitempty"` // whose then it replaces; empty: the default
	Variant string  `json:"variant"`
	Base    string  `json:"base"` // of everybody else; what the flag declares there
	By      string  `json:"by,omitempty"`
	Salt    string  `json:"salt"`
	Hash    string  `json:"hash,omitempty"`
	Levels  []Level `json:"levels"` // rising in time; before the first nobody gets Variant
}

// Level says that from At on Weight thousandths of a percent get the schedule's variant.
type Level struct {
	At     string `json:"at"` // InstantForm
	Weight int    `json:"weight"`
}

// Equal tells whether two schedules say the same.
func (s *Schedule) Equal(o *Schedule) bool {
	return s.Flag == o.Flag && s.Rule == o.Rule && s.Variant == o.Variant && s.Base == o.Base &&
		s.By == o.By && s.Salt == o.Salt && s.Hash == o.Hash && slices.Equal(s.Levels, o.Levels)
}

// Record is the canonical JSON of the schedule.
func (s *Schedule) Record() []byte { return mustEncode(s) }

// Check returns what can be judged about a schedule without its flag.
func (s *Schedule) Check() evaluator.Problems {
	var problems evaluator.Problems
	for _, p := range checkSchedule(s) {
		p.Field = strings.TrimPrefix(p.Field, "/schedule")
		problems = append(problems, p)
	}
	return problems
}

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
	if s.Rule == "" {
		return SeatDefault
	}
	return SeatRule + s.Rule
}

func (s *Schedule) owner() string { return OwnerSchedule + "/" + s.Seat() }

// reached counts the levels whose time has come: all that passed while nobody looked fold into the last of them.
func (s *Schedule) reached(now int64) int {
	text := time.UnixMilli(now).UTC().Format(InstantForm)
	n, _ := slices.BinarySearchFunc(s.Levels, text, func(l Level, now string) int {
		if l.At <= now {
			return -1
		}
		return 1
	})
	return n
}

// serve is what the seat serves when n levels are reached. Nobody and everybody need no split, so that they do not
// depend on a bucketing key.
func (s *Schedule) serve(n int) evaluator.Serve {
	weight := 0
	if n > 0 {
		weight = s.Levels[n-1].Weight
	}
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

// DueSchedule names a schedule whose next level's time has come.
type DueSchedule struct {
	Flag, Rule string
	At         time.Time // of the level
}

// NextSchedule is the schedule of the environment whose next level comes first; ok is false when none has one. The
// caller compares At with the leader's time and proposes MoveSchedule.
func (e *Environment) NextSchedule() (next DueSchedule, ok bool) {
	e.exposures.All(func(_ string, list []Exposure, _ uint64) bool {
		for _, x := range list {
			if x.Schedule == nil || x.Reached >= len(x.Schedule.Levels) {
				continue
			}
			at, err := time.Parse(InstantForm, x.Schedule.Levels[x.Reached].At)
			if err != nil {
				panic("fsm: a stored schedule has a level without a time: " + err.Error()) // checkSchedule read it
			}
			found := DueSchedule{Flag: x.Flag, Rule: x.Schedule.Rule, At: at}
			if !ok || cmp.Or(found.At.Compare(next.At), cmp.Compare(found.Flag, next.Flag), cmp.Compare(found.Rule, next.Rule)) < 0 {
				next, ok = found, true
			}
		}
		return true
	})
	return next, ok
}

// Schedules lists the schedules of the environment by flag, those of rules first.
func (e *Environment) Schedules() []*Schedule {
	var out []*Schedule
	e.exposures.All(func(_ string, list []Exposure, _ uint64) bool {
		for _, x := range list {
			if x.Schedule != nil {
				out = append(out, x.Schedule)
			}
		}
		return true
	})
	slices.SortFunc(out, func(a, b *Schedule) int {
		return cmp.Or(cmp.Compare(a.Flag, b.Flag), -cmp.Compare(a.Seat(), b.Seat()))
	})
	return out
}

func (l *loader) schedule(r *reader) error {
	flag, s := r.string(), &Schedule{}
	if err := json.Unmarshal(r.bytes(), s, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a schedule of flag %q: %w", flag, err)
	}
	n := r.uvarint()
	if s.Flag != flag || len(checkSchedule(s)) > 0 || n > uint64(len(s.Levels)) {
		return fmt.Errorf("a schedule of flag %q is not sound", flag)
	}
	return l.exposure(r, Exposure{Flag: flag, Owner: s.owner(), Seat: s.Seat(), Schedule: s, Reached: int(n), Effect: &Effect{Serve: s.serve(int(n))}})
}

func (d *draft) putSchedule(c PutSchedule) error {
	s := c.Schedule
	t := d.at(ObjectFlag, s.Flag)
	if t.now == nil {
		return missingItem(c)
	}
	at := slices.IndexFunc(t.exposures, func(x Exposure) bool { return x.Owner == s.owner() })
	if at >= 0 && t.exposures[at].Schedule.Equal(s) {
		return nil
	}
	if d.env.frozen != nil {
		return frozenError(c, d.env.frozen)
	}
	if err := d.seatFreeBut(c, s.Flag, s.Seat(), s.owner()); err != nil {
		return err
	}
	t.expose(c, "", append(slices.DeleteFunc(slices.Clone(t.exposures), func(x Exposure) bool { return x.Owner == s.owner() }),
		d.scheduled(s, s.reached(d.state.now))))
	return nil
}

// scheduled is the exposure of a schedule of which n levels are reached.
func (d *draft) scheduled(s *Schedule, n int) Exposure {
	return Exposure{Flag: s.Flag, Owner: s.owner(), Seat: s.Seat(), Effect: &Effect{Serve: s.serve(n)}, Schedule: s, Reached: n,
		Revision: d.state.index, At: d.state.now, By: d.proposal.Actor}
}

func (d *draft) dropSchedule(c DropSchedule) error {
	t := d.at(ObjectFlag, c.Flag)
	if t.now == nil {
		return missingItem(c)
	}
	owner := (&Schedule{Rule: c.Rule}).owner()
	if slices.ContainsFunc(t.exposures, func(x Exposure) bool { return x.Owner == owner }) {
		t.expose(c, "", slices.DeleteFunc(slices.Clone(t.exposures), func(x Exposure) bool { return x.Owner == owner }))
	}
	return nil
}

// moveSchedule goes to the level whose time has come. Doing it twice is doing it once. A frozen environment holds.
func (d *draft) moveSchedule(c MoveSchedule) error {
	t := d.at(ObjectFlag, c.Flag)
	owner := (&Schedule{Rule: c.Rule}).owner()
	at := slices.IndexFunc(t.exposures, func(x Exposure) bool { return x.Owner == owner })
	if t.now == nil || at < 0 {
		return notFound(c, fmt.Sprintf("flag %q has no schedule there any more", c.Flag))
	}
	if d.env.frozen != nil {
		return frozenError(c, d.env.frozen)
	}
	s := t.exposures[at].Schedule
	if n := s.reached(d.state.now); n > t.exposures[at].Reached {
		list := slices.Clone(t.exposures)
		list[at] = d.scheduled(s, n)
		t.expose(c, "", list)
	}
	return nil
}

// guardSchedules refuses a flag on which one of its schedules does not fit.
func (d *draft) guardSchedules(t *touch) error {
	for i := range t.exposures {
		s := t.exposures[i].Schedule
		if s == nil {
			continue
		}
		f := t.declared()
		serve := serveAt(f, s.Seat())
		detail := ""
		switch {
		case serve == nil:
			detail = fmt.Sprintf("the flag has no rule %q for its schedule", s.Rule)
		case serve.Variant != s.Base:
			detail = fmt.Sprintf("its schedule starts from variant %q, but the flag declares something else there", s.Base)
		case !hasVariant(f, s.Variant):
			detail = fmt.Sprintf("its schedule brings variant %q, which the flag does not have", s.Variant)
		default:
			continue
		}
		return &Error{Kind: KindConflict, Target: d.name(t), Detail: detail + "; change the schedule in the same write, or drop it first"}
	}
	return nil
}

func checkSchedule(s *Schedule) evaluator.Problems {
	if s == nil {
		return problem("/schedule", "command.required", "a schedule is required")
	}
	problems := append(checkKey("/schedule/flag", s.Flag), checkKey("/schedule/variant", s.Variant)...)
	problems = append(problems, checkKey("/schedule/base", s.Base)...)
	problems = append(problems, checkText("/schedule/salt", s.Salt, maxName)...)
	problems = append(problems, checkText("/schedule/by", s.By, maxName)...)
	if s.Rule != "" {
		problems = append(problems, checkKey("/schedule/rule", s.Rule)...)
	}
	if s.Variant == s.Base {
		problems = append(problems, problem("/schedule/base", "schedule.base", "a schedule moves people from one variant to another")...)
	}
	if s.Hash != "" && s.Hash != evaluator.HashMurmur3 && s.Hash != evaluator.HashRoxMD5 {
		problems = append(problems, problem("/schedule/hash", "split.hash", fmt.Sprintf("hash %q is unknown", s.Hash))...)
	}
	if len(s.Levels) == 0 || len(s.Levels) > maxLevels {
		problems = append(problems, problem("/schedule/levels", "schedule.levels", fmt.Sprintf("a schedule has 1 to %d levels", maxLevels))...)
	}
	for i, l := range s.Levels {
		field := fmt.Sprintf("/schedule/levels/%d", i)
		if t, err := time.Parse(InstantForm, l.At); err != nil || t.Format(InstantForm) != l.At {
			problems = append(problems, problem(field+"/at", "schedule.at", fmt.Sprintf("%q is not a time like 2026-12-31T00:00:00.000Z", l.At))...)
		}
		if i > 0 && l.At <= s.Levels[i-1].At {
			problems = append(problems, problem(field+"/at", "schedule.order", "the times of the levels rise")...)
		}
		if l.Weight < 0 || l.Weight > int(All) {
			problems = append(problems, problem(field+"/weight", "weights.range", "a weight is 0 to 100000 (thousandths of a percent)")...)
		}
	}
	return problems
}
