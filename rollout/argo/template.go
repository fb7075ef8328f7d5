package argo

import (
	"encoding/json"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/fsm"
)

// template reads an AnalysisTemplate with the arguments it is given.
func (c *converter) template(p *fsm.Plan, spec, given field) (out []fsm.Metric) {
	spec.only([]string{"args", "metrics", "dryRun", "measurementRetention"}, nil)
	c.dry(p, spec.get("dryRun"))
	args := c.arguments(spec.get("args"), given)
	whole := mustText(spec.get("metrics").node)
	for name := range args {
		if !regexp.MustCompile(`\{\{\s*args\.` + regexp.QuoteMeta(name) + `\s*\}\}`).MatchString(whole) {
			c.note("no metric uses the argument %s", name)
		}
	}
	for _, m := range spec.get("metrics").items() {
		out = append(out, c.metric(m, args))
	}
	return out
}

// mustText is a piece of the file as text; what was read can be written.
func mustText(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	text, err := yaml.Dump(n)
	if err != nil {
		return ""
	}
	return string(text)
}

// arguments are those of the template, overridden by those of the Rollout, overridden by those of the caller.
func (c *converter) arguments(own, given field) map[string]string {
	args, from := map[string]string{}, map[string]field{}
	for _, list := range []field{own, given} {
		for _, a := range list.items() {
			a.only([]string{"name", "value", "valueFrom"}, nil)
			name := a.get("name").text()
			if value := a.get("value"); value.exists() {
				args[name] = value.text()
				delete(from, name)
				continue
			}
			if source := a.get("valueFrom"); source.exists() {
				from[name] = source
			} else if _, known := args[name]; !known {
				from[name] = a
			}
		}
	}
	for name, value := range c.in.Args {
		args[name] = value
		delete(from, name)
	}
	for name, source := range from {
		switch source.get("podTemplateHashValue").text() {
		case "Latest":
			args[name] = "{{args.candidate}}"
		case "Stable":
			args[name] = "{{args.stable}}"
		default:
			source.refuse("the argument %s has no value here; give one with --arg %s=VALUE", name, name)
		}
	}
	return args
}

func (c *converter) metric(f field, args map[string]string) fsm.Metric {
	f.only([]string{"name", "interval", "initialDelay", "count", "successCondition", "failureCondition", "failureLimit",
		"inconclusiveLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit", "provider"}, nil)
	m := fsm.Metric{Name: f.get("name").text(), Interval: c.span(f.get("interval"), args), InitialDelay: c.span(f.get("initialDelay"), args),
		Count: c.number(f.get("count"), args), SuccessCondition: fill(f.get("successCondition").text(), args),
		FailureCondition: fill(f.get("failureCondition").text(), args), FailureLimit: c.number(f.get("failureLimit"), args),
		InconclusiveLimit:       c.number(f.get("inconclusiveLimit"), args),
		ConsecutiveSuccessLimit: c.number(f.get("consecutiveSuccessLimit"), args)}
	if limit := f.get("consecutiveErrorLimit"); limit.exists() {
		n := c.number(limit, args)
		m.ConsecutiveErrorLimit = &n
	}
	if ours, ok := c.in.Providers[m.Name]; ok {
		c.replace(f, &m, ours)
	} else {
		c.provider(f.get("provider"), &m, args)
	}
	if m.SuccessCondition+m.FailureCondition == "" {
		f.refuse("metric %s has no condition, so its answers mean nothing; --provider %s=FILE can give it one", m.Name, m.Name)
	}
	if regexp.MustCompile(`isNaN|isNil|default|len\(result\)`).MatchString(m.SuccessCondition + m.FailureCondition) {
		m.NoData = fsm.NoDataEvaluate
	}
	c.scope(&m)
	return m
}

// scope says that a metric covers everybody when its query does not select the cohort.
func (c *converter) scope(m *fsm.Metric) {
	text := ""
	if m.Prometheus != nil {
		text = m.Prometheus.Query
	}
	if m.Web != nil {
		text = m.Web.URL
	}
	if !strings.Contains(text, "{{args.cohort}}") && !strings.Contains(text, "{{args.candidate}}") {
		m.Scope = fsm.ScopeGlobal
		c.note("metric %s is not scoped: its query covers everybody, so a bad candidate is diluted; select {{args.cohort}} in it", m.Name)
	}
}

// replace takes the provider, and conditions where it has some, from the caller.
func (c *converter) replace(f field, m *fsm.Metric, document []byte) {
	var value map[string]any
	if err := yaml.Load(document, &value); err != nil {
		f.refuse("--provider %s: %v", m.Name, err)
		return
	}
	data, err := json.Marshal(value)
	ours := fsm.Metric{}
	if err == nil {
		err = json.Unmarshal(data, &ours)
	}
	if err != nil {
		f.refuse("--provider %s: %v", m.Name, err)
		return
	}
	m.Prometheus, m.Web = ours.Prometheus, ours.Web
	if ours.SuccessCondition+ours.FailureCondition != "" {
		m.SuccessCondition, m.FailureCondition = ours.SuccessCondition, ours.FailureCondition
	}
}

func (c *converter) provider(f field, m *fsm.Metric, args map[string]string) {
	for _, name := range f.members() {
		if name != "prometheus" && name != "web" {
			f.get(name).refuse("hoist has no provider %s; give metric %s one of ours with --provider %s=FILE", name, m.Name, m.Name)
			return
		}
	}
	if prom := f.get("prometheus"); prom.exists() {
		prom.only([]string{"address", "query", "timeout"}, nil)
		m.Prometheus = &fsm.Prometheus{Address: fill(prom.get("address").text(), args), Query: fill(prom.get("query").text(), args),
			Timeout: c.span(prom.get("timeout"), args)}
	}
	if web := f.get("web"); web.exists() {
		web.only([]string{"url", "jsonPath", "timeoutSeconds"}, nil)
		m.Web = &fsm.Web{URL: fill(web.get("url").text(), args), JSONPath: strings.TrimSuffix(strings.TrimPrefix(web.get("jsonPath").text(), "{"), "}"),
			Timeout: c.span(web.get("timeoutSeconds"), args)}
	}
	if m.Prometheus == nil && m.Web == nil {
		f.refuse("metric %s has no provider", m.Name)
	}
}
