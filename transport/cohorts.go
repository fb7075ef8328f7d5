package transport

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// cohorts counts evaluations of flags on a live rollout, by what was served: the numbers that an analysis of the canary
// needs to know whether it had any traffic. Flags that nothing drives are not counted, so flag keys never become labels
// on their own.
type cohorts struct {
	total *prometheus.CounterVec
	store *fsm.Store // nil at an edge
	mu    sync.RWMutex
	known map[cohort]prometheus.Counter
}

type cohort struct{ environment, flag, variant, rollout string }

// maxCohorts is how many counters stay before those of ended rollouts are dropped.
const maxCohorts = 4096

func newCohorts(registry prometheus.Registerer, store *fsm.Store) (*cohorts, error) {
	c := &cohorts{store: store, known: map[cohort]prometheus.Counter{}, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "hoist_cohort_evaluations_total", Help: "Evaluations of flags on an active rollout, by the variant served.",
	}, []string{"environment", "flag", "variant", "rollout"})}
	return c, registry.Register(c.total)
}

// count notes what was served. Most results carry no label, and cost one comparison.
func (c *cohorts) count(scope fsm.Scope, flag string, r *evaluator.Result) {
	if len(r.Label) <= len(fsm.OwnerRollout) || !strings.HasPrefix(r.Label, fsm.OwnerRollout) {
		return
	}
	key := cohort{scope.Environment, flag, r.Variant, r.Label[len(fsm.OwnerRollout):]}
	c.mu.RLock()
	counter, ok := c.known[key]
	c.mu.RUnlock()
	if !ok {
		counter = c.add(scope, key)
	}
	counter.Inc()
}

func (c *cohorts) add(scope fsm.Scope, key cohort) prometheus.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxCohorts {
		c.drop(scope)
	}
	counter := c.total.WithLabelValues(key.environment, key.flag, key.variant, key.rollout)
	c.known[key] = counter
	return counter
}

// drop forgets the cohorts of rollouts that have ended.
func (c *cohorts) drop(scope fsm.Scope) {
	for key := range c.known {
		if c.store == nil { // an edge knows no rollouts: the counters begin anew
			delete(c.known, key)
			c.total.DeleteLabelValues(key.environment, key.flag, key.variant, key.rollout)
			continue
		}
		if env, ok := c.store.State().Environment(scope.Tenant, key.environment); ok {
			if r, found := env.Rollout(key.rollout); found && r.Phase.Live() {
				continue
			}
		}
		delete(c.known, key)
		c.total.DeleteLabelValues(key.environment, key.flag, key.variant, key.rollout)
	}
}
