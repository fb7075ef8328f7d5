package argo

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
)

// Input is what is converted, and what Argo's form does not name.
type Input struct {
	File      string
	Data      []byte
	Rollout   string // metadata.name; needed when the file has several
	Flag      string
	Seat      string
	Variant   string            // the target
	Preview   []string          // segments that see a blue-green candidate first
	Lenient   bool              // leave out what is about pods, with a note
	Args      map[string]string // for arguments that come from fields
	Providers map[string][]byte // per metric, YAML or JSON: {prometheus | web, successCondition, failureCondition}
}

// Convert gives the plan and what is worth knowing about it. Errors are Refusals, or the plan's own problems.
func Convert(in Input) (*fsm.Plan, []string, error) {
	c := &converter{in: in, templates: map[string]field{}}
	nodes, err := documents(in.Data)
	if err != nil {
		return nil, nil, Refusals{{in.File, 1, "", "it is no YAML: " + err.Error()}}
	}
	root, ok := c.find(nodes)
	if !ok {
		return nil, c.notes, c.refusals
	}
	plan := c.plan(root)
	if len(c.refusals) > 0 {
		return nil, c.notes, c.refusals
	}
	if problems := rollout.Check(plan); len(problems) > 0 {
		return nil, c.notes, problems
	}
	return plan, c.notes, nil
}

type converter struct {
	in        Input
	templates map[string]field
	notes     []string
	refusals  Refusals
}

func (c *converter) note(text string, args ...any) {
	if line := fmt.Sprintf(text, args...); !slices.Contains(c.notes, line) {
		c.notes = append(c.notes, line)
	}
}

// find sorts the documents: templates by name, the rollout, and the rest with a note.
func (c *converter) find(nodes []*yaml.Node) (root field, ok bool) {
	var names []string
	for _, n := range nodes {
		doc := field{c: c, node: n}
		name := doc.get("metadata").get("name").text()
		switch kind := doc.get("kind").text(); kind {
		case "Rollout":
			names = append(names, name)
			if c.in.Rollout == "" || c.in.Rollout == name {
				root, ok = doc, true
			}
		case "AnalysisTemplate", "ClusterAnalysisTemplate":
			c.templates[name] = doc
		default:
			c.note("%s %s has no meaning for flags and was skipped", kind, name)
		}
	}
	switch {
	case len(names) == 0:
		c.refusals = append(c.refusals, Refusal{c.in.File, 1, "kind", "the file has no Rollout"})
	case len(names) > 1 && c.in.Rollout == "":
		c.refusals = append(c.refusals, Refusal{c.in.File, 1, "metadata.name", "the file has several Rollouts; choose one with --rollout: " + strings.Join(names, ", ")})
	case !ok:
		c.refusals = append(c.refusals, Refusal{c.in.File, 1, "metadata.name", "no Rollout is called " + c.in.Rollout})
	}
	return root, ok && len(c.refusals) == 0
}

func (c *converter) plan(root field) *fsm.Plan {
	p := &fsm.Plan{Kind: fsm.PlanKind, Name: root.get("metadata").get("name").text(), Flag: c.in.Flag, Seat: c.in.Seat,
		Target: fsm.PlanTarget{Variant: c.in.Variant}}
	spec := root.get("spec")
	spec.only([]string{"strategy", "rollbackWindow", "progressDeadlineSeconds", "progressDeadlineAbort"},
		[]string{"replicas", "selector", "template", "revisionHistoryLimit", "minReadySeconds", "paused", "restartAt", "analysis"})
	if window := spec.get("rollbackWindow"); window.exists() {
		window.only([]string{"revisions"}, nil)
		p.RollbackWindow = &fsm.RollbackWindow{Landings: c.number(window.get("revisions"), nil)}
	}
	if deadline := spec.get("progressDeadlineSeconds"); deadline.exists() {
		p.ProgressDeadline = fsm.Duration(int64(c.number(deadline, nil)) * 1000)
	}
	if spec.get("progressDeadlineAbort").text() == "true" {
		p.OnDeadline = fsm.OnRollback
	}
	strategy := spec.get("strategy")
	strategy.only([]string{"canary", "blueGreen"}, nil)
	switch {
	case strategy.get("canary").exists():
		c.canary(p, strategy.get("canary"))
	case strategy.get("blueGreen").exists():
		c.blueGreen(p, strategy.get("blueGreen"))
	default:
		strategy.refuse("a Rollout needs the strategy canary or blueGreen")
	}
	if len(p.Gates()) == 0 {
		p.Analysis.None = true
		c.note("the Rollout has no analysis: the plan says `analysis: none` and goes on by time alone")
	}
	for i, s := range p.Steps { // nothing is behind a last raise but the landing
		if i == len(p.Steps)-1 && s.SetWeight != nil {
			field{c: c, node: strategy.get("canary").get("steps").node, path: "spec.strategy.canary.steps"}.refuse(
				"the last step raises and nothing follows it; put a pause or an analysis behind it")
		}
	}
	return p
}

func (c *converter) canary(p *fsm.Plan, f field) {
	f.only([]string{"steps", "analysis"}, []string{"maxSurge", "maxUnavailable", "canaryService", "stableService", "canaryMetadata",
		"stableMetadata", "antiAffinity", "scaleDownDelaySeconds", "abortScaleDownDelaySeconds", "dynamicStableScale",
		"minPodsPerReplicaSet", "scaleDownDelayRevisionLimit"})
	for _, s := range f.get("steps").items() {
		p.Steps = append(p.Steps, c.step(p, s))
	}
	if a := f.get("analysis"); a.exists() {
		metrics := c.analysis(p, a, "startingStep")
		p.Analysis.Background = &fsm.Background{StartingStep: c.number(a.get("startingStep"), nil), Metrics: metrics}
		for _, m := range metrics {
			if m.Count > 0 {
				c.note("metric %s has a count: its run starts again at each raise (repeat: perWeight)", m.Name)
			}
		}
	}
}

func (c *converter) step(p *fsm.Plan, s field) (out fsm.Step) {
	s.only([]string{"setWeight", "pause", "analysis"}, nil)
	switch {
	case s.get("setWeight").exists():
		weight := fsm.Percent(c.number(s.get("setWeight"), nil) * 1000)
		out.SetWeight = &weight
	case s.get("pause").exists():
		s.get("pause").only([]string{"duration"}, nil)
		out.Hold = &fsm.Hold{For: c.span(s.get("pause").get("duration"), nil)}
	case s.get("analysis").exists():
		out.Analysis = &fsm.StepAnalysis{Metrics: c.analysis(p, s.get("analysis"))}
	}
	return out
}

func (c *converter) blueGreen(p *fsm.Plan, f field) {
	f.only([]string{"autoPromotionEnabled", "autoPromotionSeconds", "prePromotionAnalysis", "postPromotionAnalysis", "activeService", "previewService"},
		[]string{"previewReplicaCount", "scaleDownDelaySeconds", "scaleDownDelayRevisionLimit", "abortScaleDownDelaySeconds", "antiAffinity",
			"activeMetadata", "previewMetadata", "maxUnavailable"})
	if f.get("activeService").exists() || f.get("previewService").exists() {
		c.note("activeService and previewService name Kubernetes services and were left out; the seat of the flag takes their place")
	}
	p.Strategy = fsm.StrategyBlueGreen
	b := &fsm.BlueGreen{Preview: fsm.Preview{Segments: c.in.Preview}}
	if len(c.in.Preview) > 0 {
		b.PreviewOnAbort = fsm.PreviewKeep
	} else {
		c.note("nobody sees the candidate before the switch; --preview SEGMENT names who does")
	}
	if f.get("autoPromotionEnabled").text() != "false" {
		b.AutoPromote = max(1000, fsm.Duration(int64(c.number(f.get("autoPromotionSeconds"), nil))*1000))
	}
	if a := f.get("prePromotionAnalysis"); a.exists() {
		b.PreAnalysis = &fsm.StepAnalysis{Metrics: c.analysis(p, a)}
	}
	if a := f.get("postPromotionAnalysis"); a.exists() {
		b.PostAnalysis = &fsm.StepAnalysis{Metrics: c.analysis(p, a)}
	}
	p.BlueGreen = b
}

// analysis merges the metrics of the templates that are named.
func (c *converter) analysis(p *fsm.Plan, f field, more ...string) (out []fsm.Metric) {
	f.only(append([]string{"templates", "args", "dryRun", "measurementRetention"}, more...), nil)
	if f.get("measurementRetention").exists() {
		c.note("measurementRetention was left out: the last 10 are kept")
	}
	c.dry(p, f.get("dryRun"))
	for _, t := range f.get("templates").items() {
		t.only([]string{"templateName", "clusterScope"}, nil)
		template, ok := c.templates[t.get("templateName").text()]
		if !ok {
			t.refuse("the file has no AnalysisTemplate %q", t.get("templateName").text())
			continue
		}
		for _, m := range c.template(p, template.get("spec"), f.get("args")) {
			if slices.ContainsFunc(out, func(other fsm.Metric) bool { return other.Name == m.Name }) {
				t.refuse("two metrics are called %q", m.Name)
			}
			out = append(out, m)
		}
	}
	return out
}

func (c *converter) dry(p *fsm.Plan, f field) {
	for _, d := range f.items() {
		d.only([]string{"metricName"}, nil)
		if name := d.get("metricName").text(); !slices.Contains(p.Analysis.DryRun, name) {
			p.Analysis.DryRun = append(p.Analysis.DryRun, name)
		}
	}
}

// number reads a whole number, written as one or as text; 0 when there is none.
func (c *converter) number(f field, args map[string]string) int {
	text := fill(f.text(), args)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		f.refuse("%q is no whole number", text)
	}
	return n
}

// span reads 40s, 1h or a number of seconds.
func (c *converter) span(f field, args map[string]string) fsm.Duration {
	text := fill(f.text(), args)
	if seconds, err := strconv.Atoi(text); err == nil {
		return fsm.Duration(int64(seconds) * 1000)
	}
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		f.refuse("%q is no span of time", text)
	}
	return fsm.Duration(d.Milliseconds())
}

// fill puts arguments into a text.
func fill(text string, args map[string]string) string {
	return regexp.MustCompile(`\{\{\s*args\.([A-Za-z0-9_-]+)\s*\}\}`).ReplaceAllStringFunc(text, func(match string) string {
		name := strings.TrimSpace(strings.Trim(match, "{} "))[len("args."):]
		if value, ok := args[name]; ok {
			return value
		}
		return match
	})
}
