package transport

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport/client"
)

// place is an environment of a tenant as the evaluating doors see it: its live snapshot, and its counters found once.
type place struct {
	use    *client.Use // nil: nobody is told
	scope  fsm.Scope
	live   *evaluator.Live
	counts [doors]reasonCounters
	cohort *cohorts
	bulk   [2]bulkPages // for those who see everything, and for cli tokens
}

// count notes one evaluation of a flag at a door.
func (p *place) count(d door, flag string, r *evaluator.Result) {
	p.counts[d].count(r.Reason, r.ErrorCode)
	p.cohort.count(p.scope, flag, r)
}

// The counters of a door, by reason.
const (
	countStatic = iota
	countDefault
	countMatch
	countSplit
	countDisabled
	countPrerequisite
	countFailed
	countReasons // their number
)

// reasonCounters are the counters of one door by reason.
type reasonCounters [countReasons]prometheus.Counter

// tally counts evaluations by reason before they are added to counters that all requests share.
type tally [countReasons]int

// counted is the counter that a result belongs to.
func counted(r evaluator.Reason, code evaluator.ErrorCode) int {
	if code != "" {
		return countFailed
	}
	switch r {
	case evaluator.ReasonStatic:
		return countStatic
	case evaluator.ReasonDefault:
		return countDefault
	case evaluator.ReasonTargetingMatch:
		return countMatch
	case evaluator.ReasonSplit:
		return countSplit
	case evaluator.ReasonDisabled:
		return countDisabled
	case evaluator.ReasonPrerequisiteFailed:
		return countPrerequisite
	}
	return countFailed
}

// count notes one evaluation.
func (c *reasonCounters) count(r evaluator.Reason, code evaluator.ErrorCode) {
	c[counted(r, code)].Inc()
}

// add notes many.
func (c *reasonCounters) add(t *tally) {
	for i, n := range t {
		if n > 0 {
			c[i].Add(float64(n))
		}
	}
}

// scopes finds places. Reading is one atomic load and one map lookup; a place found for the first time is added to a copy.
// The map only ever holds environments that exist, so nobody can make it grow by asking.
type scopes struct {
	source source
	meters *meters
	cohort *cohorts
	known  atomic.Pointer[map[fsm.Scope]*place]
	add    sync.Mutex
}

func newScopes(from source, m *meters, c *cohorts) *scopes {
	s := &scopes{source: from, meters: m, cohort: c}
	s.known.Store(&map[fsm.Scope]*place{})
	return s
}

// find returns the place, or nil when there is no such environment.
func (s *scopes) find(scope fsm.Scope) *place {
	if p := (*s.known.Load())[scope]; p != nil {
		return p
	}
	live, ok := s.source.Live(scope.Tenant, scope.Environment)
	if !ok {
		return nil
	}
	s.add.Lock()
	defer s.add.Unlock()
	old := *s.known.Load()
	if p := old[scope]; p != nil {
		return p
	}
	p := &place{use: s.source.Use(scope), scope: scope, live: live, cohort: s.cohort}
	for door := range doors {
		p.counts[door] = s.meters.reasons(scope.Environment, door)
	}
	next := make(map[fsm.Scope]*place, len(old)+1)
	for k, v := range old {
		next[k] = v
	}
	next[scope] = p
	s.known.Store(&next)
	return p
}
