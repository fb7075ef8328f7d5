package fsm

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Frozen says who stopped what, why and until when. Immutable.
type Frozen struct {
	Of     FreezeOf   `json:"of,omitempty"`   // empty: the environment
	Flag   string     `json:"flag,omitempty"` // with OfFlag
	Kind   FreezeKind `json:"kind,omitempty"` // empty: an incident
	Reason string     `json:"reason"`
	By     Actor      `json:"by"`
	Since  int64      `json:"since"`
	Until  int64      `json:"until,omitzero"` // leader time; 0: until somebody unfreezes
}

// FreezeOf is how far a freeze reaches. What covers a tenant or the cluster stands in each environment.
type FreezeOf string

// The reaches of a freeze.
const (
	OfEnvironment FreezeOf = ""
	OfFlag        FreezeOf = "flag"
	OfTenant      FreezeOf = "tenant"
	OfCluster     FreezeOf = "cluster"
)

// FreezeKind is what a freeze is for.
type FreezeKind string

// The kinds of freezes. Only a budget makes one of the last kind, and ends it; see Budget.
const (
	FreezeIncident FreezeKind = ""
	FreezeWindow   FreezeKind = "window"
	FreezeBudget   FreezeKind = "budget"
)

// Frozen returns the freeze of the whole environment, of several the one that ends last; nil when there is none.
func (e *Environment) Frozen() *Frozen { return e.FrozenFor("") }

// FrozenFor returns the freeze that covers a flag, of several the one that ends last; nil when there is none.
func (e *Environment) FrozenFor(flag string) *Frozen {
	for _, f := range e.freezes {
		if f.covers(flag) {
			return f
		}
	}
	return nil
}

// Freezes lists all that stand here, the one that ends last first. The slice is shared: do not change it.
func (e *Environment) Freezes() []*Frozen { return e.freezes }

func (f *Frozen) covers(flag string) bool { return f.Of != OfFlag || flag != "" && f.Flag == flag }

// same tells whether two freezes take the same place: a newer one replaces an older one there.
func (f *Frozen) same(o *Frozen) bool {
	return f.Of == o.Of && f.Flag == o.Flag && (f.Kind == FreezeBudget) == (o.Kind == FreezeBudget)
}

func orderFreezes(a, b *Frozen) int {
	open := func(f *Frozen) int64 { return f.Until - 1 } // 0, no end, comes last in time
	return cmp.Or(cmp.Compare(uint64(open(b)), uint64(open(a))), cmp.Compare(a.Of, b.Of), cmp.Compare(a.Flag, b.Flag), cmp.Compare(a.Kind, b.Kind))
}

func frozenError(c Command, f *Frozen) *Error {
	until := "until somebody unfreezes it"
	switch {
	case f.Kind == FreezeBudget:
		until = "until its error budget recovers"
	case f.Until > 0:
		until = "until " + time.UnixMilli(f.Until).UTC().Format(time.RFC3339)
	}
	return &Error{Kind: KindFrozen, Op: c.Verb(), Target: c.target().String(),
		Detail: fmt.Sprintf("the %s is frozen %s by %s: %s; aborts and kills are free", f.what(), until, cmp.Or(f.By.ID, f.By.Kind), f.Reason)}
}

func (f *Frozen) what() string {
	if f.Of == OfFlag {
		return fmt.Sprintf("flag %q", f.Flag)
	}
	return cmp.Or(string(f.Of), "environment")
}

func (d *draft) freeze(c Freeze) error {
	if c.Of == OfFlag {
		if _, ok := d.env.Flag(c.Flag); !ok {
			return notFound(c, fmt.Sprintf("there is no flag %q to freeze; check the key and the environment", c.Flag))
		}
	}
	d.stirred = d.state.freeze(d.env, d.frozen(c), d.proposal, c.Verb())
	return nil
}

func (d *draft) unfreeze(c Unfreeze) error {
	if !c.Expired {
		d.stirred = d.state.unfreeze(d.env, &Frozen{Of: c.Of, Flag: c.Flag}, d.proposal, c.Verb())
	}
	return nil
}

func (d *draft) frozen(c Freeze) *Frozen {
	f := &Frozen{Of: c.Of, Flag: c.Flag, Kind: c.Kind, Reason: c.Reason, By: d.proposal.Actor, Since: d.state.now}
	if c.For > 0 {
		f.Until = d.state.now + int64(c.For)
	}
	return f
}

// everywhere changes each environment of the tenant, or of all tenants, that alter says it changed.
func (d *draft) everywhere(tenant string, alter func(e *Environment) bool) {
	for _, t := range d.state.tenants {
		for i := 0; i < len(t.environments) && (tenant == "" || t.key == tenant); i++ {
			if e := t.environments[i].clone(); alter(e) {
				d.state.replaceEnvironment(e)
				d.changed = true
			}
		}
	}
}

func (d *draft) freezeWide(c Freeze) error {
	f := d.frozen(c)
	tenant, err := d.wide(c, c.Of, c.Tenant)
	if err == nil {
		d.everywhere(tenant, func(e *Environment) bool { return d.state.freeze(e, f, d.proposal, c.Verb()) })
	}
	return err
}

func (d *draft) unfreezeWide(c Unfreeze) error {
	tenant, err := d.wide(c, c.Of, c.Tenant)
	if err == nil {
		d.everywhere(tenant, func(e *Environment) bool { return d.state.unfreeze(e, &Frozen{Of: c.Of}, d.proposal, c.Verb()) })
	}
	return err
}

// wide names the tenant whose environments are meant; empty for all.
func (d *draft) wide(c Command, of FreezeOf, tenant string) (string, error) {
	if of == OfCluster {
		return "", nil
	}
	if _, ok := d.state.tenantAt(tenant); !ok {
		return "", notFound(c, fmt.Sprintf("there is no tenant %q", tenant))
	}
	return tenant, nil
}

// freeze puts a freeze into an environment that is still private. It reports whether that changed anything.
func (s *State) freeze(e *Environment, f *Frozen, p *Proposal, verb string) bool {
	at := slices.IndexFunc(e.freezes, f.same)
	list := slices.Clone(e.freezes)
	if at < 0 {
		s.tellFrozen(e, f)
	} else {
		old, next := list[at], *f
		next.Since = old.Since
		if next == *old {
			return false
		}
		f = &next
		s.domain.remove(frozenLeaf(e, old))
		list = slices.Delete(list, at, at+1)
	}
	list = append(list, f)
	slices.SortFunc(list, orderFreezes)
	e.freezes = list
	s.thawBy(f)
	s.domain.add(frozenLeaf(e, f))
	s.auditEnvironment(e, p, verb, f.Reason)
	return true
}

// unfreeze ends the freeze that takes the place of like.
func (s *State) unfreeze(e *Environment, like *Frozen, p *Proposal, verb string) bool {
	at := slices.IndexFunc(e.freezes, like.same)
	if at < 0 {
		return false
	}
	s.thaw(e, e.freezes[at], s.now, p)
	s.auditEnvironment(e, p, verb, p.Comment)
	return true
}

// inherit gives a new environment the freezes that cover it because they cover its tenant or the cluster.
func (s *State) inherit(e *Environment, from []*Environment, of ...FreezeOf) {
	if len(from) == 0 {
		return
	}
	for _, f := range from[0].freezes {
		if slices.Contains(of, f.Of) {
			e.freezes = append(slices.Clip(e.freezes), f)
			s.domain.add(frozenLeaf(e, f))
		}
	}
}

func (s *State) auditEnvironment(e *Environment, p *Proposal, verb, reason string) {
	s.audit.append(Audit{Index: s.index, At: s.now, Actor: p.Actor, RequestID: p.RequestID, Correlation: p.Correlation, Tenant: e.tenant, Environment: e.key,
		Verb: verb, Target: nodeName(ObjectEnvironment, e.key), Reason: cmp.Or(reason, p.Comment)})
}

func frozenLeaf(e *Environment, f *Frozen) sum {
	return newLeaf(leafFreeze, e.tenant, e.key, f.Reason, string(f.Of), f.Flag, string(f.Kind)).numbers(uint64(f.Until)).actor(f.By).sum()
}
