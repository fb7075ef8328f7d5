package fsm

import (
	"cmp"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// LawOldest is the oldest cluster version this binary still reads; LawVersion is the newest it knows.
const LawOldest = 1

// DefaultTenant exists in every fresh state.
const DefaultTenant = "default"

// DefaultEnvironments are the environments of a fresh tenant, in order.
func DefaultEnvironments() []string { return []string{"dev", "staging", "production"} }

// State is everything, immutable: a snapshot is this pointer.
type State struct {
	epoch, clusterID string
	index            uint64
	term             uint64 // of the newest LeaderEstablished
	now              int64
	version          int
	tenants          []*tenant // sorted by key
	requests         requestTable
	audit            auditTail
	records          auditTail // of rollouts; see RolloutLog
	tokens           tokenTable
	staged           []*stagedChange // in the order of their first part
	domain           sum             // what people declared and switched
	rest             sum             // stamps, versions, requests, stages
	checkpoints      []checkpoint    // oldest first
	outbox           outbox
	thawAt           int64            // when the first freeze that has an end may end; 0: none has. Derived, not saved
	recent           *recentFlags     // a memory of work done, no part of what is known
	batch            *evaluator.Owner // of the states between two entries of one Apply, which nobody else sees
}

// tenant is a tenant with its environments in the order of their creation. It is immutable.
type tenant struct {
	key, name    string
	created      uint64
	environments []*Environment
}

// freshState is the same on every node: what differs between clusters comes with the first LeaderEstablished.
func freshState() *State {
	s := &State{version: LawOldest, records: newRecords(), requests: newRequestTable(), recent: &recentFlags{}}
	s.addTenant(DefaultTenant, "", 0)
	return s
}

func (s *State) tenantAt(key string) (int, bool) {
	return slices.BinarySearchFunc(s.tenants, key, func(t *tenant, key string) int { return cmp.Compare(t.key, key) })
}

// Epoch names the run of revisions; it changes only with an operator's restore. Empty before the first leader.
func (s *State) Epoch() string { return s.epoch }

// ClusterID names the cluster for ever. Empty before the first leader.
func (s *State) ClusterID() string { return s.clusterID }

// Index is the newest applied log index: the revision of the node.
func (s *State) Index() uint64 { return s.index }

// EstablishedTerm is the term of the newest LeaderEstablished.
func (s *State) EstablishedTerm() uint64 { return s.term }

// Now is the leader's time, unix ms; it never goes back.
func (s *State) Now() int64 { return s.now }

// ClusterVersion is the law in force.
func (s *State) ClusterVersion() int { return s.version }

// Environment finds an environment.
func (s *State) Environment(tenant, env string) (*Environment, bool) {
	t, i, ok := s.find(tenant, env)
	if !ok {
		return nil, false
	}
	return s.tenants[t].environments[i], true
}

func (s *State) find(tenant, env string) (t, i int, ok bool) {
	t, ok = s.tenantAt(tenant)
	if !ok {
		return t, 0, false
	}
	i = slices.IndexFunc(s.tenants[t].environments, func(e *Environment) bool { return e.key == env })
	return t, i, i >= 0
}

// Environments lists a tenant's environments in the order of their creation.
func (s *State) Environments(tenant string) []*Environment {
	t, ok := s.tenantAt(tenant)
	if !ok {
		return nil
	}
	return slices.Clone(s.tenants[t].environments)
}

// Tenants lists the tenants' keys, sorted.
func (s *State) Tenants() []string {
	keys := make([]string, 0, len(s.tenants))
	for _, t := range s.tenants {
		keys = append(keys, t.key)
	}
	return keys
}

// DomainHash covers what was declared and switched: not time, requests, audit or revisions. A rollback gives the same
// hash again, and a refused write leaves it alone.
func (s *State) DomainHash() string { return s.domain.hex() }

// FullHash covers everything but the index.
func (s *State) FullHash() string { return s.full().hex() }

func (s *State) full() sum {
	f := s.domain
	f.add(s.rest)
	f.add(newLeaf(leafMeta, s.epoch, s.clusterID).
		numbers(s.term, uint64(s.now), uint64(s.version), s.audit.seq, uint64(s.requests.floor), s.outbox.seq, s.records.seq).digest(s.audit.head).digest(s.records.head).sum())
	return f
}

// Request is the receipt that the actor's request was answered with, if its row is still held; of one that failed, the
// revision at which it did.
func (s *State) Request(actor Actor, id string) (Receipt, bool) {
	row, ok := s.requests.get(requestKey(actor, id))
	if !ok {
		return Receipt{}, false
	}
	return Receipt{Epoch: s.epoch, Revision: row.revision, Object: row.object, Changed: row.code == codeChanged, Replayed: true}, true
}

// replaceEnvironment puts a changed environment in its place without touching what older states share.
func (s *State) replaceEnvironment(e *Environment) {
	t, i, _ := s.find(e.tenant, e.key)
	owner := *s.tenants[t]
	owner.environments = slices.Clone(owner.environments)
	owner.environments[i] = e
	s.tenants = slices.Clone(s.tenants)
	s.tenants[t] = &owner
}

// setEpoch names the cluster. Snapshots carry the epoch, so each is made again.
func (s *State) setEpoch(epoch, clusterID string) {
	s.epoch, s.clusterID = epoch, clusterID
	for _, t := range s.tenants {
		for _, old := range t.environments {
			e := old.clone()
			parts := old.snapshot.Parts()
			parts.Epoch = epoch
			e.snapshot = evaluator.RestoreSnapshot(parts)
			s.replaceEnvironment(e)
		}
	}
}
