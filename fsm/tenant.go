package fsm

import (
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// How many tenants a cluster and environments a tenant may have.
const (
	maxTenants      = 10_000
	maxEnvironments = 64
)

// createTenant and createEnvironment change nothing when the same thing is there already.
func (d *draft) createTenant(c CreateTenant) error {
	s := d.state
	at, exists := s.tenantAt(c.Tenant)
	current := uint64(0)
	if exists {
		current = max(1, s.tenants[at].created) // what a fresh state holds was created before the first revision
	}
	if err := d.expectOwn(c, current); err != nil {
		return err
	}
	switch {
	case exists && s.tenants[at].name == c.Name:
		d.object = s.tenants[at].created
		return nil
	case exists:
		return &Error{Kind: KindExists, Op: c.Verb(), Target: c.target().String(), Revision: current,
			Detail: "it exists already under another name; choose another key"}
	case len(s.tenants) >= maxTenants:
		return tooMany(c, fmt.Sprintf("the cluster holds %d tenants already", maxTenants))
	}
	s.addTenant(c.Tenant, c.Name, s.index)
	d.created(c, c.Tenant, "", "tenant/"+c.Tenant)
	return nil
}

func (d *draft) createEnvironment(c CreateEnvironment) error {
	s := d.state
	at, exists := s.tenantAt(c.Tenant)
	if !exists {
		return notFound(c, fmt.Sprintf("there is no tenant %q; create it first", c.Tenant))
	}
	current := uint64(0)
	env, exists := s.Environment(c.Tenant, c.Environment)
	if exists {
		current = max(1, env.created)
	}
	if err := d.expectOwn(c, current); err != nil {
		return err
	}
	switch {
	case exists && env.name == c.Name:
		d.object = env.created
		return nil
	case exists:
		return &Error{Kind: KindExists, Op: c.Verb(), Target: c.target().String(), Revision: current,
			Detail: "it exists already under another name; choose another key"}
	case len(s.tenants[at].environments) >= maxEnvironments:
		return tooMany(c, fmt.Sprintf("the tenant holds %d environments already", maxEnvironments))
	}
	s.addEnvironment(at, newEnvironment(c.Tenant, c.Environment, c.Name, s.epoch, s.index))
	d.created(c, c.Tenant, c.Environment, "environment/"+c.Environment)
	return nil
}

func (s *State) addEnvironment(at int, e *Environment) {
	owner := *s.tenants[at]
	s.domain.remove(orderLeaf(&owner))
	s.inherit(e, owner.environments, OfTenant, OfCluster)
	if first, ok := s.tenantAt(DefaultTenant); ok && len(owner.environments) == 0 {
		s.inherit(e, s.tenants[first].environments, OfCluster)
	}
	owner.environments = append(slices.Clip(owner.environments), e)
	s.tenants = slices.Clone(s.tenants)
	s.tenants[at] = &owner
	s.domain.add(orderLeaf(&owner))
	s.domain.add(environmentLeaf(e))
}

func (s *State) addTenant(key, name string, revision uint64) {
	at, _ := s.tenantAt(key)
	t := &tenant{key: key, name: name, created: revision}
	s.tenants = slices.Insert(slices.Clone(s.tenants), at, t)
	s.domain.add(tenantLeaf(t))
	s.domain.add(orderLeaf(t))
	for _, env := range DefaultEnvironments() {
		s.addEnvironment(at, newEnvironment(key, env, "", s.epoch, revision))
	}
}

func tenantLeaf(t *tenant) sum { return newLeaf(leafTenant, t.key, t.name).sum() }

func environmentLeaf(e *Environment) sum {
	return newLeaf(leafEnvironment, e.tenant, e.key, e.name).sum()
}

func (d *draft) expectOwn(c Command, current uint64) error {
	if d.proposal.ExpectedRevision == nil {
		return nil
	}
	return compareRevision(c, *d.proposal.ExpectedRevision, current)
}

func (d *draft) created(c Command, tenant, env, target string) {
	d.state.audit.append(Audit{Index: d.state.index, At: d.state.now, Actor: d.proposal.Actor, RequestID: d.proposal.RequestID, Correlation: d.proposal.Correlation,
		Tenant: tenant, Environment: env, Verb: c.Verb(), Target: target, Reason: d.proposal.Comment})
	d.object, d.changed = d.state.index, true
}

func tooMany(c Command, detail string) *Error {
	return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(), Detail: detail,
		Problems: evaluator.Problems{{Code: "limit", Message: detail}}}
}
