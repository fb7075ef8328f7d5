package fsm

import (
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// Exposure is what something puts beside a declared flag without touching the declaration.
type Exposure struct {
	Flag     string `json:"flag"`
	Owner    string `json:"owner"` // "kill"
	Revision uint64 `json:"revision"`
	At       int64  `json:"at"` // leader time, unix ms
	By       Actor  `json:"by"`
	Reason   string `json:"reason,omitempty"`
}

// OwnerKill is the owner of the kill switch's exposure; it is also the label of what a killed flag serves.
const OwnerKill = "kill"

// effective is what a flag serves: its declaration with its exposures applied. The declaration is not changed.
//
// A killed flag serves its off variant to everyone. The evaluator takes the label to mean "not enabled" where another
// flag has this one as prerequisite. Without an off variant there is nothing to serve: the flag is disabled.
func effective(declared *evaluator.Flag, exposures []Exposure) *evaluator.Flag {
	if !declared.Enabled || !killed(exposures) {
		return declared
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
	return newLeaf(leafExposure, e.tenant, e.key, x.Flag, x.Owner, x.Reason).sum()
}

func exposedLeaf(e *Environment, x Exposure) sum {
	return newLeaf(leafExposed, e.tenant, e.key, x.Flag, x.Owner).numbers(x.Revision, uint64(x.At)).actor(x.By).sum()
}
