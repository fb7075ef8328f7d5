package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
)

// Policy is what an environment asks of those who change it. A field that is left out has its default, which may depend
// on the place of the environment in its tenant's order; State.Governance fills them in.
type Policy struct {
	RequiredApprovals *int      `json:"requiredApprovals,omitzero"` // distinct people, none of them the author; default 0 in the first environment, 1 in the others
	Approvers         *[]string `json:"approvers,omitzero"`         // groups of those who may approve; default, and empty: everybody with the right
	AllowFrom         *[]string `json:"allowFrom,omitzero"`         // environments that may be promoted here; default: the one before
	Protected         *bool     `json:"protected,omitzero"`         // declarations change through a Change only; default: production is
	MaxStep           *int      `json:"maxStep,omitzero"`           // most that the share of a variant may rise in one move, in thousandths of a percent; default 100000
	TemporaryOwner    *bool     `json:"temporaryOwner,omitzero"`    // temporary flags need an owner; that they need an expiry holds everywhere
}

// Governance is the policy in force: a Policy with its defaults.
type Governance struct {
	RequiredApprovals int
	Approvers         []string
	AllowFrom         []string
	Protected         bool
	MaxStep           int
	TemporaryOwner    bool
}

// protectedByDefault is the environment whose declarations nobody edits directly unless its policy says otherwise.
const protectedByDefault = "production"

// Limits of a policy.
const (
	maxApprovals = 16
	maxApprovers = 100
)

// The commands that say how an environment is governed.
type (
	// SetPolicy changes the fields that Policy names and leaves the rest. With Reset everything else goes back to its
	// default.
	SetPolicy struct {
		Scope
		Policy Policy `json:"policy"`
		Reset  bool   `json:"reset,omitzero"`
	}
	// OrderEnvironments puts the environments of a tenant into the order in which changes move through them. It names
	// each of them once.
	OrderEnvironments struct {
		Tenant       string   `json:"tenant"`
		Environments []string `json:"environments"`
	}
)

const (
	verbSetPolicy = "environment.policy"
	verbOrder     = "environment.order"
)

// Verb names the change for audit rows and rights.
func (SetPolicy) Verb() string { return verbSetPolicy }

// Verb names the change for audit rows and rights.
func (OrderEnvironments) Verb() string { return verbOrder }

func (c SetPolicy) target() Target { return c.object(ObjectEnvironment, c.Environment) }
func (c OrderEnvironments) target() Target {
	return Target{Tenant: c.Tenant, Object: ObjectTenant, Key: c.Tenant}
}

// Policy returns what was set for the environment; its zero value when nothing was.
func (e *Environment) Policy() Policy {
	if e.policy == nil {
		return Policy{}
	}
	return *e.policy
}

// Governance returns the policy of an environment with its defaults.
func (s *State) Governance(tenant, env string) (Governance, bool) {
	t, i, ok := s.find(tenant, env)
	if !ok {
		return Governance{}, false
	}
	return governance(s.tenants[t].environments, i), true
}

func (d *draft) governance() Governance {
	g, _ := d.state.Governance(d.env.tenant, d.env.key)
	return g
}

func governance(order []*Environment, i int) Governance {
	e := order[i]
	p := e.Policy()
	g := Governance{RequiredApprovals: min(i, 1), Protected: e.protected(), MaxStep: int(All)}
	if i > 0 {
		g.AllowFrom = []string{order[i-1].key}
	}
	if p.RequiredApprovals != nil {
		g.RequiredApprovals = *p.RequiredApprovals
	}
	if p.Approvers != nil {
		g.Approvers = *p.Approvers
	}
	if p.AllowFrom != nil {
		g.AllowFrom = *p.AllowFrom
	}
	if p.MaxStep != nil {
		g.MaxStep = *p.MaxStep
	}
	if p.TemporaryOwner != nil {
		g.TemporaryOwner = *p.TemporaryOwner
	}
	return g
}

func (e *Environment) protected() bool {
	if p := e.Policy().Protected; p != nil {
		return *p
	}
	return e.key == protectedByDefault
}

// merged is the policy with what change names.
func (p Policy) merged(change Policy) Policy {
	return Policy{
		RequiredApprovals: cmp.Or(change.RequiredApprovals, p.RequiredApprovals),
		Approvers:         cmp.Or(change.Approvers, p.Approvers),
		AllowFrom:         cmp.Or(change.AllowFrom, p.AllowFrom),
		Protected:         cmp.Or(change.Protected, p.Protected),
		MaxStep:           cmp.Or(change.MaxStep, p.MaxStep),
		TemporaryOwner:    cmp.Or(change.TemporaryOwner, p.TemporaryOwner),
	}
}

func (d *draft) setPolicy(c SetPolicy) error {
	base := d.env.Policy()
	if c.Reset {
		base = Policy{}
	}
	next := base.merged(c.Policy)
	if c.Policy.AllowFrom != nil {
		for i, key := range *c.Policy.AllowFrom {
			if _, ok := d.state.Environment(c.Tenant, key); !ok || key == c.Environment {
				return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Detail: "the policy cannot be kept; correct the named fields",
					Problems: problem(fmt.Sprintf("/policy/allowFrom/%d", i), "policy.source",
						fmt.Sprintf("%q is no other environment of tenant %s", key, c.Tenant))}
			}
		}
	}
	before, after := digest{}, policyDigest(&next)
	if d.env.policy != nil {
		before = policyDigest(d.env.policy)
	}
	if before == after || d.env.policy == nil && after == policyDigest(&Policy{}) {
		return nil
	}
	if d.env.policy != nil {
		d.state.domain.remove(policyLeaf(d.env))
	}
	d.env.policy, d.stirred = &next, true
	d.state.domain.add(policyLeaf(d.env))
	d.state.auditEnvironment(d.env, d.proposal, c.Verb(), "")
	return nil
}

func policyDigest(p *Policy) digest { return digestOf(mustEncode(p)) }

func policyLeaf(e *Environment) sum {
	return newLeaf(leafPolicy, e.tenant, e.key).digest(policyDigest(e.policy)).sum()
}

// orderEnvironments needs no environment of its own: it moves all of a tenant's.
func (d *draft) orderEnvironments(c OrderEnvironments) error {
	s := d.state
	at, ok := s.tenantAt(c.Tenant)
	if !ok {
		return notFound(c, fmt.Sprintf("there is no tenant %q", c.Tenant))
	}
	old := s.tenants[at]
	order := make([]*Environment, 0, len(old.environments))
	for _, key := range c.Environments {
		e, ok := s.Environment(c.Tenant, key)
		if !ok || slices.Contains(order, e) {
			return refusedOrder(c, fmt.Sprintf("%q is no environment of tenant %s, or it is named twice", key, c.Tenant))
		}
		order = append(order, e)
	}
	if len(order) != len(old.environments) {
		return refusedOrder(c, fmt.Sprintf("the tenant has %d environments; name each of them once", len(old.environments)))
	}
	if slices.Equal(order, old.environments) {
		return nil
	}
	s.domain.remove(orderLeaf(old))
	owner := *old
	owner.environments = order
	s.tenants = slices.Clone(s.tenants)
	s.tenants[at] = &owner
	s.domain.add(orderLeaf(&owner))
	d.created(c, c.Tenant, "", "tenant/"+c.Tenant)
	return nil
}

func refusedOrder(c OrderEnvironments, detail string) *Error {
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Detail: "the order cannot be kept; correct the named field",
		Problems: problem("/environments", "environment.order", detail)}
}

// orderLeaf covers the order alone: each environment has a leaf of its own.
func orderLeaf(t *tenant) sum {
	l := newLeaf(leafOrder, t.key)
	for _, e := range t.environments {
		l.b = appendString(l.b, e.key)
	}
	return l.sum()
}

func checkPolicy(c SetPolicy) evaluator.Problems {
	p := c.Policy
	var problems evaluator.Problems
	if n := p.RequiredApprovals; n != nil && (*n < 0 || *n > maxApprovals) {
		problems = append(problems, problem("/policy/requiredApprovals", "policy.approvals", fmt.Sprintf("0 to %d approvals", maxApprovals))...)
	}
	if n := p.MaxStep; n != nil && (*n < 1 || *n > int(All)) {
		problems = append(problems, problem("/policy/maxStep", "policy.max-step", "1 to 100000 (thousandths of a percent)")...)
	}
	if p.Approvers != nil {
		if len(*p.Approvers) > maxApprovers {
			problems = append(problems, problem("/policy/approvers", "policy.approvers", fmt.Sprintf("at most %d", maxApprovers))...)
		}
		for i, who := range *p.Approvers {
			problems = append(problems, checkText(fmt.Sprintf("/policy/approvers/%d", i), who, maxActor)...)
		}
	}
	if p.AllowFrom != nil {
		for i, key := range *p.AllowFrom {
			problems = append(problems, checkKey(fmt.Sprintf("/policy/allowFrom/%d", i), key)...)
		}
	}
	return problems
}

func (l *loader) policy(r *reader) error {
	p := &Policy{}
	if err := json.Unmarshal(r.bytes(), p, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a policy: %w", err)
	}
	l.env.policy = p
	l.state.domain.add(policyLeaf(l.env))
	return nil
}
