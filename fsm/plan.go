package fsm

import "regexp"

// Plan is how one change reaches its audience: the steps it takes and the gates it must pass. It is what people write;
// a rollout keeps the plan it was started with, and nothing changes it afterwards.
type Plan struct {
	Kind             string          `json:"kind,omitempty"` // RolloutPlan
	Name             string          `json:"name"`
	Environment      string          `json:"environment,omitempty"`
	Flag             string          `json:"flag"`
	Seat             string          `json:"seat,omitempty"` // "default" or "rule:ID"; empty means default
	Target           PlanTarget      `json:"target"`
	Strategy         string          `json:"strategy,omitempty"` // canary, rings, blueGreen; empty means canary
	Rings            []PlanRing      `json:"rings,omitempty"`
	Steps            []Step          `json:"steps,omitempty"`
	Generate         *Generator      `json:"generate,omitzero"` // writes the steps; instead of Steps
	BlueGreen        *BlueGreen      `json:"blueGreen,omitzero"`
	Analysis         Analysis        `json:"analysis,omitzero"`
	ProgressDeadline Duration        `json:"progressDeadline,omitzero"` // 0: 10 minutes
	OnFailure        string          `json:"onFailure,omitempty"`       // rollback, pause; empty means rollback
	OnDeadline       string          `json:"onDeadline,omitempty"`      // none, pause, rollback; empty means none
	EarlyPromote     bool            `json:"earlyPromote,omitzero"`     // a hold ends when its evidence is complete
	RollbackWindow   *RollbackWindow `json:"rollbackWindow,omitzero"`
	Resalt           bool            `json:"resalt,omitzero"`  // a retry draws other units first
	Notify           []string        `json:"notify,omitempty"` // who is told of every event: webhook:NAME
}

// PlanKind is what the field kind of a plan says.
const PlanKind = "RolloutPlan"

// The strategies.
const (
	StrategyCanary    = "canary"
	StrategyRings     = "rings"
	StrategyBlueGreen = "blueGreen"
)

// What a plan does when a run fails, or when its deadline passes.
const (
	OnNone     = "none"
	OnPause    = "pause"
	OnRollback = "rollback"
)

// PlanTarget is what the seat shall serve in the end.
type PlanTarget struct {
	Variant string `json:"variant"`
	By      string `json:"by,omitempty"` // attribute that is bucketed; empty means targetingKey
}

// PlanRing is an audience that a setRing step adds: the members of the segments, of which Weight get the candidate.
type PlanRing struct {
	Name     string   `json:"name"`
	Segments []string `json:"segments"`
	Weight   *Percent `json:"weight,omitzero"` // nil: 100
}

// Step is one rung of the ladder; exactly one of its fields is set.
type Step struct {
	SetWeight *Percent      `json:"setWeight,omitzero"`
	SetRing   string        `json:"setRing,omitempty"`
	Hold      *Hold         `json:"hold,omitzero"`
	Approval  *Approval     `json:"approval,omitzero"`
	Analysis  *StepAnalysis `json:"analysis,omitzero"`
}

// Approval waits for Count people, none of whom started the rollout.
type Approval struct {
	Count int `json:"count,omitzero"` // 0: 1
}

// StepAnalysis is measured while the step lasts; success ends the step.
type StepAnalysis struct {
	Metrics []Metric `json:"metrics"`
}

// Generator writes setWeight steps, each followed by a hold. Exactly one of the four rules is set.
type Generator struct {
	Linear      *Linear      `json:"linear,omitzero"`
	Exponential *Exponential `json:"exponential,omitzero"`
	Fibonacci   bool         `json:"fibonacci,omitzero"` // 5, 8, 13, … capped at 100
	List        []Percent    `json:"list,omitempty"`
	Hold        Hold         `json:"hold"`
}

// Linear rises by Step up to Max.
type Linear struct {
	Step Percent `json:"step"`
	Max  Percent `json:"max,omitzero"` // 0: 100
}

// Exponential begins at Start and multiplies by Factor up to 100.
type Exponential struct {
	Start  Percent `json:"start"`
	Factor int     `json:"factor,omitzero"` // 0: 2
}

// BlueGreen shows the candidate to a preview audience, then moves everybody in one entry.
type BlueGreen struct {
	Preview        Preview       `json:"preview,omitzero"`
	PreAnalysis    *StepAnalysis `json:"preAnalysis,omitzero"`
	AutoPromote    Duration      `json:"autoPromote,omitzero"` // 0: a person promotes; counted from the success of PreAnalysis
	PostAnalysis   *StepAnalysis `json:"postAnalysis,omitzero"`
	WayBack        Duration      `json:"wayBack,omitzero"`         // how long after the switch an abort is the way back
	PreviewOnAbort string        `json:"previewOnAbort,omitempty"` // remove, keep; empty means remove
}

// Preview is who sees the candidate before the switch.
type Preview struct {
	Segments []string `json:"segments,omitempty"`
}

// What happens to a preview when its rollout is aborted.
const (
	PreviewRemove = "remove"
	PreviewKeep   = "keep"
)

// RollbackWindow lets a rollout to a variant that landed recently skip its steps.
type RollbackWindow struct {
	Landings int `json:"landings"`
}

// Analysis is what is watched in the background, which of all metrics only report, and what their texts may name.
type Analysis struct {
	None       bool              `json:"-"` // the plan says `analysis: none`
	Background *Background       `json:"background,omitzero"`
	DryRun     []string          `json:"dryRun,omitempty"` // RE2 patterns that match the whole name
	Args       map[string]string `json:"args,omitempty"`
}

// Background is one run at a time, from StartingStep to the end.
type Background struct {
	StartingStep int      `json:"startingStep,omitzero"`
	Repeat       string   `json:"repeat,omitempty"` // perWeight, once; empty means perWeight
	Metrics      []Metric `json:"metrics"`
}

// When a background run that has ended starts again.
const (
	RepeatPerWeight = "perWeight"
	RepeatOnce      = "once"
)

// Metric is one question asked again and again, and what its answers mean.
type Metric struct {
	Name                    string      `json:"name"`
	Interval                Duration    `json:"interval,omitzero"`
	InitialDelay            Duration    `json:"initialDelay,omitzero"`
	Count                   int         `json:"count,omitzero"` // 0: 1 without an interval, endless with one
	SuccessCondition        string      `json:"successCondition,omitempty"`
	FailureCondition        string      `json:"failureCondition,omitempty"`
	FailureLimit            int         `json:"failureLimit,omitzero"`          // tolerated; -1: any number
	InconclusiveLimit       int         `json:"inconclusiveLimit,omitzero"`     // likewise
	ConsecutiveErrorLimit   *int        `json:"consecutiveErrorLimit,omitzero"` // nil: 4
	ConsecutiveSuccessLimit int         `json:"consecutiveSuccessLimit,omitzero"`
	NoData                  string      `json:"noData,omitempty"`         // wait, inconclusive, fail, pass, evaluate; empty means wait
	NoDataTimeout           Duration    `json:"noDataTimeout,omitzero"`   // 0: 1 hour
	MinMeasurements         *int        `json:"minMeasurements,omitzero"` // nil: 1
	Scope                   string      `json:"scope,omitempty"`          // global: not scoped to a cohort, on purpose
	GuardStable             bool        `json:"guardStable,omitzero"`     // measure the stable cohort too
	Prometheus              *Prometheus `json:"prometheus,omitzero"`
	Web                     *Web        `json:"web,omitzero"`
	BurnRate                *BurnRate   `json:"burnRate,omitzero"`
}

// What a measurement without data counts as.
const (
	NoDataWait         = "wait"
	NoDataInconclusive = "inconclusive"
	NoDataFail         = "fail"
	NoDataPass         = "pass"
	NoDataEvaluate     = "evaluate"
)

// ScopeGlobal says that a metric is meant to cover everybody.
const ScopeGlobal = "global"

// Prometheus is an instant query.
type Prometheus struct {
	Address string   `json:"address"`
	Query   string   `json:"query"`
	Timeout Duration `json:"timeout,omitzero"` // 0: 30 s
}

// Web is a JSON endpoint.
type Web struct {
	URL             string   `json:"url"`
	JSONPath        string   `json:"jsonPath,omitempty"`        // for example $.data.ok; empty means the whole answer
	BearerTokenFile string   `json:"bearerTokenFile,omitempty"` // read on the leader at each request
	Timeout         Duration `json:"timeout,omitzero"`          // 0: 10 s
}

// BurnRate is the multi-window gate on an error budget: it fails when the budget of Objective burns faster than 14.4
// times over 1 h and 5 m, or 6 times over 6 h and 30 m; slower burns (3 over 1 d and 2 h, 1 over 3 d and 6 h) are
// inconclusive. Bad and Total are queries for counts; each must hold {{window}}.
type BurnRate struct {
	Address   string   `json:"address"`
	Objective float64  `json:"objective"` // for example 0.999
	Bad       string   `json:"bad"`
	Total     string   `json:"total"`
	Timeout   Duration `json:"timeout,omitzero"` // 0: 30 s
}

// Gates lists every metric of the plan in order.
func (p *Plan) Gates() []*Metric {
	var out []*Metric
	add := func(list []Metric) {
		for i := range list {
			out = append(out, &list[i])
		}
	}
	for i := range p.Steps {
		if a := p.Steps[i].Analysis; a != nil {
			add(a.Metrics)
		}
	}
	if b := p.BlueGreen; b != nil && b.PreAnalysis != nil {
		add(b.PreAnalysis.Metrics)
	}
	if b := p.BlueGreen; b != nil && b.PostAnalysis != nil {
		add(b.PostAnalysis.Metrics)
	}
	if b := p.Analysis.Background; b != nil {
		add(b.Metrics)
	}
	return out
}

// DryRun tells whether a metric only reports.
func (p *Plan) DryRun(metric string) bool {
	for _, pattern := range p.Analysis.DryRun {
		if ok, err := regexp.MatchString("^(?:"+pattern+")$", metric); err == nil && ok {
			return true
		}
	}
	return false
}

func (p *Plan) repeats() bool {
	return p.Analysis.Background != nil && p.Analysis.Background.Repeat != RepeatOnce
}

func (p *Plan) keepsPreview() bool {
	return p.BlueGreen != nil && p.BlueGreen.PreviewOnAbort == PreviewKeep
}

func (p *Plan) ring(name string) (PlanRing, bool) {
	if p.BlueGreen != nil && name == ringPreview {
		return PlanRing{Name: ringPreview, Segments: p.BlueGreen.Preview.Segments}, true
	}
	for _, r := range p.Rings {
		if r.Name == name {
			return r, true
		}
	}
	return PlanRing{}, false
}

// ringPreview is the ring of a blue-green preview.
const ringPreview = "preview"

func (r PlanRing) share() Percent {
	if r.Weight == nil {
		return All
	}
	return *r.Weight
}
