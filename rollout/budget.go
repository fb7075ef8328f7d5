package rollout

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// MeasureBudget says how the error budget of an environment does now.
func (s Sources) MeasureBudget(ctx context.Context, environment string, b *fsm.Budget) fsm.Burn {
	args := strings.NewReplacer("{{args.environment}}", environment, "{{ args.environment }}", environment)
	r := &rates{sources: s, args: args, known: map[string]float64{},
		gate: fsm.BurnRate{Address: b.Address, Objective: b.Objective, Bad: b.Bad, Total: b.Total, Timeout: b.Timeout}}
	spent, err := r.over(ctx, fmt.Sprintf("%ds", int64(b.Span().Of().Seconds())))
	if err != nil {
		return fsm.Burn{Failing: clip(err.Error())}
	}
	tier, told, err := r.burning(ctx, burnTiers(b.Span().Of()))
	if err != nil {
		return fsm.Burn{Failing: clip(err.Error())}
	}
	out := fsm.Burn{Numbers: fmt.Sprintf("%.1f%% of the budget of %s for %g%% spent; burn rates %s", spent*100, days(b.Span().Of()), b.Objective*100, told)}
	switch {
	case spent >= 1:
		out.Tier = fsm.BurnExhausted
	case tier == nil:
	case tier.page:
		out.Tier = fsm.BurnPage
	default:
		out.Tier = fsm.BurnTicket
	}
	if tier != nil {
		out.Long = fsm.Duration(tier.span.Milliseconds())
	}
	return out
}

func days(d time.Duration) string { return fmt.Sprintf("%g days", d.Hours()/24) }

// budgetKept remembers when a budget was last measured; it only saves work.
type budgetKept struct {
	of     uint64 // revision of the budget
	next   time.Time
	asking bool
	burn   *fsm.Burn // measured, not yet compared with the state
}

// budget measures the environment's budget when that is due, and proposes what changed. It returns when to look again.
func (s *survey) budget(now time.Time, env *fsm.Environment) time.Time {
	b, burn, revision := env.Budget()
	if b == nil {
		return now.Add(idle)
	}
	at := place{tenant: env.Tenant(), environment: env.Key()}
	s.budgets.mu.Lock()
	defer s.budgets.mu.Unlock()
	kept := s.budgets.kept[at]
	if kept == nil || kept.of != revision {
		kept = &budgetKept{of: revision}
		s.budgets.kept[at] = kept
	}
	switch {
	case kept.burn != nil:
		if burn.At > 0 && kept.burn.Tier == burn.Tier && kept.burn.Failing == burn.Failing || kept.burn.Failing != "" && burn.Failing != "" {
			kept.burn = nil
			break
		}
		err := s.pilot.propose(s.ctx, s.term, nil, fsm.BudgetMeasured{Scope: fsm.Scope{Tenant: at.tenant, Environment: at.environment}, Of: revision, Burn: *kept.burn})
		if err != nil {
			return now.Add(retryAfter)
		}
		kept.burn = nil
	case kept.asking:
		return now.Add(idle) // the answer wakes
	case !now.Before(kept.next):
		kept.asking, kept.next = true, now.Add(b.Every().Of())
		s.working.Go(func() { s.askBudget(at, kept, b) })
	}
	return kept.next
}

func (s *survey) askBudget(at place, kept *budgetKept, b *fsm.Budget) {
	burn := s.pilot.Sources.MeasureBudget(s.ctx, at.environment, b)
	s.budgets.mu.Lock()
	kept.asking = false
	if s.ctx.Err() == nil {
		kept.burn = &burn
	}
	s.budgets.mu.Unlock()
	s.outbox.wake()
}
