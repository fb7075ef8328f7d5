package cloudbees

import (
	"slices"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// experiment is one flag as its file says it, defaults filled in. Import turns it into an evaluator.Flag, Export makes
// one from a flag; both directions share this form, so that they cannot drift apart.
type experiment struct {
	file     string
	archived bool
	flag     string
	flagAt   place

	name, description, sticky, seed string
	labels                          []string
	enabled                         bool
	available                       []scalar
	listedNone                      bool // availableValues is there, but empty
	kind                            evaluator.Type
	platforms                       []platform
	root                            branch
	broken                          bool // has a finding of severity error
}

// platform replaces the root branch for callers of that platform.
type platform struct {
	name, flag string
	branch     branch
	at         place
}

// branch is conditions, tried in order, and the value when none holds.
type branch struct {
	conditions []condition
	value      value
}

// condition holds when all of its tests hold, or any of them with any set; without tests it always holds.
type condition struct {
	any        bool
	version    *predicate // of the app release
	dependency *dependency
	group      *membership
	property   *properties
	value      value
	at         place
}

func (c condition) tests() int {
	n := 0
	for _, there := range []bool{c.version != nil, c.dependency != nil, c.group != nil, c.property != nil} {
		if there {
			n++
		}
	}
	return n
}

// predicate compares one property with operands.
type predicate struct {
	property, operator string
	operands           []scalar
	list               bool // the operand was written as a list
	at                 place
}

// properties are several predicates, all or any of which must hold.
type properties struct {
	any  bool
	list []predicate
}

// dependency demands that another flag has a value, compared as text.
type dependency struct {
	flag, value string
	at          place
}

// membership is a test of target groups by name: gate is anyGroup, allGroups or noGroup.
type membership struct {
	gate  string
	names []string
	at    place
}

const (
	anyGroup  = "or"
	allGroups = "and"
	noGroup   = "not"
)

const (
	targetingKey  = "targetingKey"
	distinctID    = "rox.distinct_id"
	platformName  = "rox.platform"
	appRelease    = "rox.app_release"
	formatVersion = "1.0.0"
)

var experimentKeys = []string{"version", "type", "flag", "availableValues", "name", "description", "enabled", "labels",
	"stickinessProperty", "platforms", "conditions", "value", "seed", "deploymentConfiguration"}

// experiment reads the document of a flag.
func (d *document) experiment(n node, archived bool) *experiment {
	x := &experiment{file: d.file, archived: archived, enabled: true}
	d.keys(n, manifest.SeverityWarning, experimentKeys...)
	d.header(n)
	x.flag, x.flagAt = d.required(n, "flag", "name the flag"), n.get("flag").at
	x.name, x.description = d.text(n, "name"), d.text(n, "description")
	x.sticky, x.seed = d.text(n, "stickinessProperty"), d.text(n, "seed")
	x.labels = d.labels(n.get("labels"))
	if e := n.get("enabled"); !e.missing() {
		if e.kind != scalarNode || e.scalar.kind != boolScalar {
			d.refuse(e.at, "shape", "enabled is true or false")
		}
		x.enabled = e.scalar.isTrue()
	}
	if old := n.get("deploymentConfiguration"); old.kind != absent {
		d.warn(old.at, "key-unknown", "deploymentConfiguration belongs to an older form and is not read (write value and conditions)")
	}
	x.available, x.listedNone = d.available(n.get("availableValues"))
	d.platforms(x, n.get("platforms"))
	x.root = d.branch(n)
	d.settle(x)
	x.broken = d.errors > 0
	return x
}

// header checks type and version, which every document has.
func (d *document) header(n node) {
	v := n.get("version")
	if v.missing() {
		return
	}
	if v.kind != scalarNode || v.scalar.text != "1" && !strings.HasPrefix(v.scalar.text, "1.") {
		d.warn(v.at, "version", "version %q of the form is not known here (this reads %s)", v.scalar.text, formatVersion)
	}
}

// keys reports keys that the form does not have, with the nearest one that it has.
func (d *document) keys(n node, severity manifest.Severity, known ...string) {
	for _, e := range n.entries {
		if slices.Contains(known, e.key) {
			continue
		}
		hint := "remove it"
		if near := nearest(e.key, known); near != "" {
			hint = "did you mean " + near + "?"
		}
		d.report(e.at, severity, "key-unknown", "%q is not a key of this place (%s)", e.key, hint)
	}
}

// mapping reports a node that is no mapping.
func (d *document) mapping(n node, what string) bool {
	if n.kind == mappingNode {
		return true
	}
	d.refuse(n.at, "shape", "%s is not a mapping of keys to values", what)
	return false
}

// text reads an optional text; numbers and booleans count by their literal form.
func (d *document) text(n node, key string) string {
	v := n.get(key)
	if v.missing() {
		return ""
	}
	if v.kind != scalarNode {
		d.refuse(v.at, "shape", "%s is not a text", key)
		return ""
	}
	return v.scalar.text
}

func (d *document) required(n node, key, how string) string {
	v := n.get(key)
	if v.missing() || v.kind == scalarNode && v.scalar.text == "" {
		d.refuse(v.at, "key-missing", "%s is missing (%s)", key, how)
		return ""
	}
	return d.text(n, key)
}

func (d *document) labels(n node) []string {
	out := d.texts(n, "labels")
	slices.Sort(out)
	return slices.Compact(out)
}

// texts reads a text or a list of texts.
func (d *document) texts(n node, what string) []string {
	if n.missing() {
		return nil
	}
	list := n.items
	if n.kind == scalarNode {
		list = []node{n}
	}
	if n.kind == mappingNode {
		d.refuse(n.at, "shape", "%s is not a text or a list of texts", what)
	}
	var out []string
	for _, item := range list {
		if item.kind != scalarNode || item.scalar.kind == nullScalar {
			d.refuse(item.at, "shape", "%s holds something that is not a text", what)
			continue
		}
		out = append(out, item.scalar.text)
	}
	return out
}

func (d *document) available(n node) (list []scalar, none bool) {
	if n.kind == absent {
		return nil, false
	}
	if !n.missing() && n.kind != sequenceNode {
		d.refuse(n.at, "shape", "availableValues is not a list")
		return nil, false
	}
	if len(n.items) == 0 {
		d.warn(n.at, "available-empty", "availableValues is empty: the values that are used count (list them, or remove the key for a boolean flag)")
		return nil, true
	}
	for _, item := range n.items {
		if item.kind != scalarNode || item.scalar.kind == nullScalar {
			d.refuse(item.at, "shape", "availableValues holds something that is not a single value")
			continue
		}
		list = append(list, item.scalar)
	}
	return list, false
}

func (d *document) platforms(x *experiment, n node) {
	if n.missing() {
		return
	}
	if n.kind != sequenceNode {
		d.refuse(n.at, "shape", "platforms is not a list")
		return
	}
	for _, item := range n.items {
		if !d.mapping(item, "a platform") {
			continue
		}
		d.keys(item, manifest.SeverityError, "name", "flag", "conditions", "value")
		p := platform{at: item.at, name: d.text(item, "name"), flag: d.text(item, "flag")}
		if p.name == "" {
			d.refuse(item.get("name").at, "platform-name", "a platform without a name (name it, or remove the entry)")
		}
		if p.flag != "" {
			d.warn(item.get("flag").at, "key-unknown", "the flag name of a platform is kept as an annotation and has no effect")
		}
		p.branch = d.branch(item)
		x.platforms = append(x.platforms, p)
	}
}

// values visits every value of the flag, platforms first.
func (x *experiment) values(visit func(*value)) {
	walk := func(b *branch) {
		for i := range b.conditions {
			visit(&b.conditions[i].value)
		}
		visit(&b.value)
	}
	for i := range x.platforms {
		walk(&x.platforms[i].branch)
	}
	walk(&x.root)
}

// conditions visits every condition of the flag, platforms first.
func (x *experiment) conditions(visit func(*condition)) {
	walk := func(b *branch) {
		for i := range b.conditions {
			visit(&b.conditions[i])
		}
	}
	for i := range x.platforms {
		walk(&x.platforms[i].branch)
	}
	walk(&x.root)
}
