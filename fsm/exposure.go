package fsm

import "github.com/hoistflags/hoist/evaluator"

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
	it, ok := d.env.item(ObjectFlag, c.Key)
	if !ok {
		return missingItem(c)
	}
	exposures := d.env.Exposures(c.Key)
	if killed(exposures) {
		d.object = it.Revision
		return nil
	}
	f := it.Flag()
	if f.Kind == evaluator.KindConfig {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
			Detail: "a config has no off variant and cannot be killed; change its value instead"}
	}
	d.setExposures(c.Key, append(exposures[:len(exposures):len(exposures)], Exposure{
		Flag: c.Key, Owner: OwnerKill, Revision: d.state.index, At: d.state.now, By: d.proposal.Actor, Reason: c.Reason}))
	d.expose(c, it, f)
	return nil
}

func (d *draft) unkill(c Unkill) error {
	it, ok := d.env.item(ObjectFlag, c.Key)
	if !ok {
		return missingItem(c)
	}
	var kept []Exposure
	exposures := d.env.Exposures(c.Key)
	for _, x := range exposures {
		if x.Owner != OwnerKill {
			kept = append(kept, x)
		}
	}
	if len(kept) == len(exposures) {
		d.object = it.Revision
		return nil
	}
	d.setExposures(c.Key, kept)
	d.expose(c, it, nil)
	return nil
}

// expose finishes a change beside a flag: the declaration and its revision stay, what it serves does not.
func (d *draft) expose(c Command, it *item, f *evaluator.Flag) {
	same := it.digest()
	d.audit(c, ObjectFlag, it.Key, &same, &same)
	if t := d.touch(ObjectFlag, it.Key); t.flag == nil {
		t.flag = f
	}
	d.object = it.Revision
}

func (d *draft) setExposures(flag string, list []Exposure) {
	for _, x := range d.env.Exposures(flag) {
		d.state.domain.remove(exposureLeaf(d.env, x))
		d.state.rest.remove(exposedLeaf(d.env, x))
	}
	for _, x := range list {
		d.state.domain.add(exposureLeaf(d.env, x))
		d.state.rest.add(exposedLeaf(d.env, x))
	}
	if len(list) == 0 {
		d.env.exposures = d.env.exposures.Without(flag)
		return
	}
	d.env.exposures = d.env.exposures.With(flag, list, d.state.index)
}

func exposureLeaf(e *Environment, x Exposure) sum {
	return newLeaf(leafExposure, e.tenant, e.key, x.Flag, x.Owner, x.Reason).sum()
}

func exposedLeaf(e *Environment, x Exposure) sum {
	return newLeaf(leafExposed, e.tenant, e.key, x.Flag, x.Owner).numbers(x.Revision, uint64(x.At)).actor(x.By).sum()
}
