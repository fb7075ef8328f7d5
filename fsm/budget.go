package fsm

import (
	"fmt"

	"github.com/hoistflags/hoist/evaluator"
)

// Budget is the error budget of an environment: what share of requests may fail in a period. The leader measures it and
// freezes the environment while nothing is left of it. Immutable.
type Budget struct {
	Objective float64  `json:"objective"`         // for example 0.999
	Period    Duration `json:"period,omitzero"`   // 0: 30 days
	Interval  Duration `json:"interval,omitzero"` // between measurements; 0: 1 minute
	Address   string   `json:"address"`           // of a Prometheus server
	Bad       string   `json:"bad"`               // query for a count with {{window}} where its range stands
	Total     string   `json:"total"`             // likewise
	Timeout   Duration `json:"timeout,omitzero"`  // 0: 30 s
}

// Defaults of a budget.
const (
	budgetPeriod   Duration = 30 * 24 * 3_600_000
	budgetInterval Duration = 60_000
)

// Span is the period over which the budget is counted.
func (b *Budget) Span() Duration {
	if b.Period == 0 {
		return budgetPeriod
	}
	return b.Period
}

// Every is how often it is measured.
func (b *Budget) Every() Duration {
	if b.Interval == 0 {
		return budgetInterval
	}
	return b.Interval
}

// Burn is how a budget was doing when that last changed. Immutable.
type Burn struct {
	Tier    BurnTier `json:"tier,omitempty"`
	Numbers string   `json:"numbers,omitempty"` // in words
	Long    Duration `json:"long,omitzero"`     // the longer window of the tier that burns
	At      int64    `json:"at,omitzero"`
	Failing string   `json:"failing,omitempty"` // why it cannot be measured; the tier is then the last one known
}

// BurnTier is how fast a budget is spent.
type BurnTier string

// The tiers: nothing to say, slow (a ticket), fast (a page: nothing advances), and nothing left (frozen).
const (
	BurnNone      BurnTier = ""
	BurnTicket    BurnTier = "ticket"
	BurnPage      BurnTier = "page"
	BurnExhausted BurnTier = "exhausted"
)

// The commands of budgets.
type (
	// PutBudget sets the error budget of an environment; nil takes it away, and with it the freeze it made.
	PutBudget struct {
		Scope
		Budget *Budget `json:"budget,omitzero"`
	}
	// BudgetMeasured says how the budget does now. Only the cluster itself does. The freeze follows in the same entry.
	BudgetMeasured struct {
		Scope
		Of   uint64 `json:"of"` // revision of the budget that was measured
		Burn Burn   `json:"burn"`
	}
)

const (
	verbPutBudget      = "environment.budget"
	verbBudgetMeasured = "environment.budget-measured"
)

// Verb names the change for audit rows and rights.
func (PutBudget) Verb() string { return verbPutBudget }

// Verb names the change for audit rows and rights.
func (BudgetMeasured) Verb() string { return verbBudgetMeasured }

func (c PutBudget) target() Target      { return c.object(ObjectEnvironment, c.Environment) }
func (c BudgetMeasured) target() Target { return c.object(ObjectEnvironment, c.Environment) }

// budgeted is a budget with how it does.
type budgeted struct {
	Budget   *Budget `json:"budget"`
	Revision uint64  `json:"revision"` // of the budget, not of the burn
	Burn     Burn    `json:"burn,omitzero"`
}

// Budget returns the error budget of the environment, how it does, and the revision at which it was set; nil for none.
func (e *Environment) Budget() (b *Budget, burn Burn, revision uint64) {
	if e.budget == nil {
		return nil, Burn{}, 0
	}
	return e.budget.Budget, e.budget.Burn, e.budget.Revision
}

func (d *draft) putBudget(c PutBudget) error {
	switch old := d.env.budget; {
	case c.Budget == nil && old == nil, c.Budget != nil && old != nil && *c.Budget == *old.Budget:
		return nil
	case c.Budget == nil:
		d.setBudget(nil)
		d.state.unfreeze(d.env, &Frozen{Kind: FreezeBudget}, d.proposal, verbUnfreeze)
	default:
		d.setBudget(&budgeted{Budget: c.Budget, Revision: d.state.index})
		d.state.unfreeze(d.env, &Frozen{Kind: FreezeBudget}, d.proposal, verbUnfreeze) // it freezes again if it is spent too
	}
	d.state.auditEnvironment(d.env, d.proposal, c.Verb(), d.proposal.Comment)
	return nil
}

func (d *draft) setBudget(b *budgeted) {
	if old := d.env.budget; old != nil {
		d.state.rest.remove(budgetLeaf(d.env, old))
	}
	if b != nil {
		d.state.rest.add(budgetLeaf(d.env, b))
	}
	d.env.budget, d.stirred = b, true
}

// budgetMeasured takes the burn in. What was measured of a budget that is another by now is dropped.
func (d *draft) budgetMeasured(c BudgetMeasured) error {
	if d.proposal.ControllerTerm == 0 {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Target: c.target().String(),
			Detail: "a measurement names the term of the controller that took it"}
	}
	old := d.env.budget
	if old == nil || old.Revision != c.Of {
		return nil
	}
	next := *old
	next.Burn = c.Burn
	next.Burn.At = d.state.now
	if c.Burn.Failing != "" { // nobody knows, so nothing changes
		next.Burn = old.Burn
		next.Burn.Failing = c.Burn.Failing
	}
	d.setBudget(&next)
	switch spent := next.Burn.Tier == BurnExhausted; {
	case spent:
		d.state.freeze(d.env, &Frozen{Kind: FreezeBudget, Reason: "the error budget is spent: " + next.Burn.Numbers,
			By: d.proposal.Actor, Since: d.state.now}, d.proposal, verbFreeze)
	case c.Burn.Failing == "":
		d.state.unfreeze(d.env, &Frozen{Kind: FreezeBudget}, d.proposal, verbUnfreeze)
	}
	return nil
}

func budgetLeaf(e *Environment, b *budgeted) sum {
	return newLeaf(leafBudget, e.tenant, e.key).digest(digestOf(mustEncode(b))).sum()
}

// Check is what is wrong with a budget by itself.
func (b *Budget) Check() evaluator.Problems {
	c := &planCheck{}
	if b.Objective <= 0 || b.Objective >= 1 {
		c.add("/objective", "plan.objective", "a share between 0 and 1, such as 0.999")
	}
	if p := b.Span(); p < 24*3_600_000 || p > 90*24*3_600_000 {
		c.add("/period", "budget.period", "from 24h to 2160h (90 days)")
	}
	if b.Every() < 10_000 {
		c.add("/interval", "plan.interval", "at least 10s")
	}
	c.address("/address", b.Address)
	c.windowed("/bad", b.Bad)
	c.windowed("/total", b.Total)
	return c.problems
}

func checkBudgetMeasured(c BudgetMeasured) evaluator.Problems {
	switch c.Burn.Tier {
	case BurnNone, BurnTicket, BurnPage, BurnExhausted:
		return append(checkText("/burn/numbers", c.Burn.Numbers, maxReason/2), checkText("/burn/failing", c.Burn.Failing, maxReason)...)
	}
	return problem("/burn/tier", "budget.tier", fmt.Sprintf("%q is no tier", c.Burn.Tier))
}
