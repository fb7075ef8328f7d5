package fsm

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// Exposure is what something puts beside a declared flag without touching the declaration.
type Exposure struct {
	Flag     string  `json:"flag"`
	Owner    string  `json:"owner"`           // "kill", "rollout/ID", "schedule/ID", "schedule/SEAT" of one that a file states
	Seat     string  `json:"seat,omitempty"`  // what of the flag it drives: default, rule:ID or enabled; empty for the kill switch
	Effect   *Effect `json:"effect,omitzero"` // what the seat serves meanwhile; immutable; nil for the kill switch and while a schedule waits
	Revision uint64  `json:"revision"`
	At       int64   `json:"at"` // leader time, unix ms
	By       Actor   `json:"by"`
	Reason   string  `json:"reason,omitempty"`

	Schedule *Schedule `json:"schedule,omitzero"` // of a schedule's exposure; immutable
	Progress *Progress `json:"progress,omitzero"` // how far the schedule is; immutable. Without Effect it waits
}

// Effect is what a seat serves instead of what is declared there.
type Effect struct {
	Serve   evaluator.Serve  `json:"serve"`            // to everybody who is in no audience
	Rings   []Ring           `json:"rings,omitempty"`  // asked first, in order
	Enabled *bool            `json:"enabled,omitzero"` // of the seat enabled: instead of a Serve
	Value   *evaluator.Value `json:"value,omitzero"`   // of a config: instead of a Serve
}

// Ring is an audience with something of its own: the members of any of the segments.
type Ring struct {
	Name     string          `json:"name"`
	Segments []string        `json:"segments"`
	Serve    evaluator.Serve `json:"serve"`
}

// OwnerKill is the owner of the kill switch's exposure; it is also the label of what a killed flag serves.
const OwnerKill = "kill"

// effective is what a flag serves: its declaration with its exposures applied. The declaration is not changed.
//
// A killed flag serves its off variant to everyone. The evaluator takes the label to mean "not enabled" where another
// flag has this one as prerequisite. Without an off variant there is nothing to serve: the flag is disabled.
func effective(declared *evaluator.Flag, exposures []Exposure) *evaluator.Flag {
	if len(exposures) == 0 {
		return declared
	}
	if declared = switched(declared, exposures); !declared.Enabled {
		return declared
	}
	if !killed(exposures) {
		return exposed(declared, exposures)
	}
	f := *declared
	f.Rules, f.Prerequisites = nil, nil
	if f.Off == "" {
		f.Enabled = false
		return &f
	}
	f.Default = &evaluator.Serve{Variant: f.Off, Label: OwnerKill}
	return &f
}

// switched applies what is about the whole flag: whether it is enabled and, for a config, its value.
func switched(f *evaluator.Flag, exposures []Exposure) *evaluator.Flag {
	for _, x := range exposures {
		if x.Effect == nil || x.Effect.Enabled == nil && x.Effect.Value == nil {
			continue
		}
		changed := *f
		if x.Effect.Value != nil {
			changed.Value = x.Effect.Value
		} else {
			changed.Enabled = *x.Effect.Enabled
		}
		f = &changed
	}
	return f
}

// exposed puts effects onto their seats. An audience becomes a rule before its seat's: the seat's own clauses and
// membership.
func exposed(f *evaluator.Flag, exposures []Exposure) *evaluator.Flag {
	for _, x := range exposures {
		if x.Effect == nil || x.Effect.Enabled != nil || serveAt(f, x.Seat) == nil {
			continue
		}
		f = withServe(f, x.Seat, x.Effect.Serve)
		f.Rules = x.Effect.before(f.Rules, x.Seat)
	}
	return f
}

// before inserts the audiences' rules in front of the seat.
func (e *Effect) before(rules []evaluator.Rule, seat string) []evaluator.Rule {
	id, isRule := strings.CutPrefix(seat, SeatRule)
	at, own := len(rules), []evaluator.Clause(nil)
	if isRule {
		at = slices.IndexFunc(rules, func(r evaluator.Rule) bool { return r.ID == id })
		own = rules[at].If
	}
	var added []evaluator.Rule
	for _, ring := range e.Rings {
		member := evaluator.Clause{Operator: evaluator.OpSegment}
		for _, key := range ring.Segments {
			member.Values = append(member.Values, evaluator.String(key))
		}
		name := ring.Name
		for slices.ContainsFunc(rules, func(r evaluator.Rule) bool { return r.ID == name }) {
			name += ".ring"
		}
		added = append(added, evaluator.Rule{ID: name, If: append(slices.Clip(own), member), Then: ring.Serve})
	}
	return slices.Insert(slices.Clone(rules), at, added...)
}

// variants lists what the effect can serve.
func (e *Effect) variants() []string {
	out := servedBy(e.Serve)
	for _, r := range e.Rings {
		out = append(out, servedBy(r.Serve)...)
	}
	return out
}

func servedBy(s evaluator.Serve) []string {
	if s.Split == nil {
		return []string{s.Variant}
	}
	var out []string
	for _, w := range s.Split.Weights {
		out = append(out, w.Variant)
	}
	return out
}

func killed(exposures []Exposure) bool {
	for _, x := range exposures {
		if x.Owner == OwnerKill {
			return true
		}
	}
	return false
}

func (d *draft) kill(c Kill) error {
	t := d.at(ObjectFlag, c.Key)
	switch {
	case t.now == nil:
		return missingItem(c)
	case killed(t.exposures):
		return nil
	case t.declared().Kind == evaluator.KindConfig:
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
			Detail: "a config has no off variant and cannot be killed; change its value instead"}
	}
	d.endOwners(c.Key, "the flag was killed")
	d.suspendSchedules(t)
	t.expose(c, c.Reason, append(slices.Clip(t.exposures), Exposure{
		Flag: c.Key, Owner: OwnerKill, Revision: d.state.index, At: d.state.now, By: d.proposal.Actor, Reason: c.Reason}))
	return nil
}

func (d *draft) unkill(c Unkill) error {
	t := d.at(ObjectFlag, c.Key)
	if t.now == nil {
		return missingItem(c)
	}
	if killed(t.exposures) {
		t.expose(c, "", slices.DeleteFunc(slices.Clone(t.exposures), func(x Exposure) bool { return x.Owner == OwnerKill }))
	}
	return nil
}

// expose changes what stands beside a flag; the declaration and its revision stay.
func (t *touch) expose(c Command, reason string, list []Exposure) {
	t.exposures, t.switched, t.reason = list, c.Verb(), reason
}

func exposureLeaf(e *Environment, x Exposure) sum {
	if x.Schedule != nil {
		p := *x.Progress
		p.Runs = nil
		return newLeaf(leafSchedule, e.tenant, e.key, x.Flag, x.Owner).digest(digestOf(mustEncode(&p))).
			digest(digestOf(x.Schedule.Record())).sum()
	}
	if x.Effect != nil {
		return newLeaf(leafEffect, e.tenant, e.key, x.Flag, x.Owner, x.Reason, x.Seat).digest(digestOf(x.Effect.record())).sum()
	}
	return newLeaf(leafExposure, e.tenant, e.key, x.Flag, x.Owner, x.Reason).sum()
}

func exposedLeaf(e *Environment, x Exposure) sum {
	l := newLeaf(leafExposed, e.tenant, e.key, x.Flag, x.Owner).numbers(x.Revision, uint64(x.At)).actor(x.By)
	if x.Progress != nil {
		l = l.digest(digestOf(mustEncode(x.Progress)))
	}
	return l.sum()
}

// record is the canonical form of an effect; nothing for none.
func (e *Effect) record() []byte {
	if e == nil {
		return nil
	}
	return mustEncode(e)
}

// mustEncode is for values the law itself made.
func mustEncode(v any) []byte {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		panic("fsm: a record does not encode: " + err.Error())
	}
	return b
}
