package cloudbees

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hoistflags/hoist/fsm/manifest"
)

// cycles refuses flags that depend on themselves and groups that contain themselves.
func (im *importer) cycles() {
	flags := graph{edges: map[string][]edge{}}
	for _, x := range im.experiments {
		if x.archived || x.broken || x.flag == "" {
			continue
		}
		x.conditions(func(c *condition) {
			if c.dependency != nil {
				flags.edges[x.flag] = append(flags.edges[x.flag], edge{to: c.dependency.flag, at: c.dependency.at})
			}
		})
	}
	flags.search(func(path []string, at place) {
		first := im.flags[path[0]]
		im.report(first.file, at, manifest.SeverityError, "dependency-cycle", "the flag depends on itself: "+strings.Join(path, " -> "))
		for _, name := range path {
			im.flags[name].broken = true
			im.failed[im.flags[name].file] = true
		}
	})
	groups, byName := graph{edges: map[string][]edge{}}, map[string]*targetGroup{}
	for _, g := range im.source.groups {
		if g.broken {
			continue
		}
		byName[g.name] = g
		for _, t := range g.tests {
			if t.nested != nil {
				for _, name := range t.nested.names {
					groups.edges[g.name] = append(groups.edges[g.name], edge{to: name, at: t.nested.at})
				}
			}
		}
	}
	groups.search(func(path []string, at place) {
		im.report(byName[path[0]].file, at, manifest.SeverityError, "group-cycle", "the group contains itself: "+strings.Join(path, " -> "))
		for _, name := range path {
			byName[name].broken = true
			im.failed[byName[name].file] = true
		}
	})
}

type edge struct {
	to string
	at place
}

type graph struct{ edges map[string][]edge }

// search reports each circle once, from the name at which it was entered; names are tried in order. The place is where
// the first name points on, without a path when the circle has other members.
func (g graph) search(report func(path []string, at place)) {
	const open, done = 1, 2
	state := map[string]int{}
	var path []string
	var visit func(name string)
	visit = func(name string) {
		state[name] = open
		path = append(path, name)
		for _, e := range g.edges[name] {
			switch _, exists := g.edges[e.to]; {
			case !exists || state[e.to] == done:
			case state[e.to] == open:
				circle := append(slices.Clone(path[slices.Index(path, e.to):]), e.to)
				at := e.at
				if len(circle) > 2 {
					at = g.first(circle)
				}
				report(circle, at)
			default:
				visit(e.to)
			}
		}
		path = path[:len(path)-1]
		state[name] = done
	}
	names := make([]string, 0, len(g.edges))
	for name := range g.edges {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if state[name] == 0 {
			visit(name)
		}
	}
}

func (g graph) first(circle []string) place {
	for _, e := range g.edges[circle[0]] {
		if e.to == circle[1] {
			return place{line: e.at.line, column: e.at.column}
		}
	}
	return place{}
}

// fallout leaves out what refers to a file that is left out: with the reference gone it would mean something else.
func (im *importer) fallout() {
	for again := true; again; {
		again = false
		broken := map[string]bool{}
		for _, g := range im.source.groups {
			broken[g.name] = broken[g.name] || g.broken
		}
		for _, g := range im.source.groups {
			for _, t := range g.tests {
				if t.nested != nil && !g.broken && im.stands(g.file, t.nested, broken) {
					g.broken, again = true, true
				}
			}
		}
		for _, x := range im.experiments {
			x.conditions(func(c *condition) {
				if !x.broken && im.falls(x, c, broken) {
					x.broken, again = true, true
				}
			})
		}
	}
}

func (im *importer) falls(x *experiment, c *condition, broken map[string]bool) bool {
	if c.dependency != nil {
		if to := im.flags[c.dependency.flag]; to != nil && to.broken {
			im.report(x.file, c.dependency.at, manifest.SeverityError, "reference-invalid",
				fmt.Sprintf("flag %q, on which this depends, has errors in %s (correct that file)", to.flag, to.file))
			return true
		}
	}
	return c.group != nil && im.stands(x.file, c.group, broken)
}

func (im *importer) stands(file string, m *membership, broken map[string]bool) bool {
	for _, name := range m.names {
		if broken[name] {
			im.report(file, m.at, manifest.SeverityError, "reference-invalid",
				fmt.Sprintf("target group %q has errors in its file (correct that file)", name))
			return true
		}
	}
	return false
}
