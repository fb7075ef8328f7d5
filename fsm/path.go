package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// How far references may reach. The evaluator stops at the same numbers, so what is committed never meets them there.
const (
	maxFlagDepth    = 8      // references from flag to flag on one path
	maxSegmentDepth = 4      // references from segment to segment on one path
	maxVisits       = 10_000 // flags and segments one evaluation may look at: each is looked at once per path to it
)

// edge is a reference to a node, and how often the definition makes it.
type edge struct {
	to    string
	times int
}

// depth is the longest path through a node, counted per kind, and how many nodes an evaluation of it may look at.
type depth struct{ flags, segments, visits int }

// join takes another edge of the same node in.
func (a depth) join(b depth) depth {
	return depth{max(a.flags, b.flags), max(a.segments, b.segments), min(a.visits+b.visits, maxVisits+1)}
}

// step is what an edge adds.
func step(from, to string) depth {
	switch {
	case strings.HasPrefix(to, "flag/"):
		return depth{flags: 1}
	case strings.HasPrefix(from, "segment/"):
		return depth{segments: 1}
	}
	return depth{}
}

func (a depth) plus(b depth) depth {
	return depth{a.flags + b.flags, a.segments + b.segments, a.visits}
}

// judgePaths refuses cycles and paths that are too long. What lies above a node is walked only when the node itself
// became deeper: otherwise nothing above it did.
func (d *draft) judgePaths(t *touch) error {
	name := nodeName(t.kind, t.key)
	down := walk{env: d.env, seen: map[string]depth{}}
	below, cycle := down.below(name)
	if cycle != nil {
		return &Error{Kind: KindInvalid, Target: d.name(t), Detail: "references go round in a circle: " + strings.Join(cycle, " -> "),
			Problems: problem("", "reference.cycle", strings.Join(cycle, " -> "))}
	}
	total := below
	if t.before != nil {
		before := walk{env: d.before, seen: map[string]depth{}}
		was, _ := before.below(name)
		if below.flags > was.flags || below.segments > was.segments {
			above := walk{env: d.env, seen: map[string]depth{}}
			total = below.plus(above.above(name))
		}
		if below.visits > was.visits {
			if err := d.judgeVisits(t, name, down); err != nil {
				return err
			}
		}
	}
	if below.visits > maxVisits {
		return d.tooManyVisits(t, name)
	}
	if total.flags > maxFlagDepth || total.segments > maxSegmentDepth {
		message := fmt.Sprintf("references are nested %d flags and %d segments deep, %d and %d are allowed",
			total.flags, total.segments, maxFlagDepth, maxSegmentDepth)
		return &Error{Kind: KindInvalid, Target: d.name(t), Detail: message + "; name fewer", Problems: problem("", "reference.depth", message)}
	}
	return nil
}

// judgeVisits asks whether everything above a node can still be evaluated in the visits allowed, now that the node
// itself takes more of them.
func (d *draft) judgeVisits(t *touch, name string, down walk) error {
	seen := map[string]bool{name: true}
	for queue := []string{name}; len(queue) > 0; queue = queue[1:] {
		set, ok := d.env.referrers.Get(queue[0])
		if !ok {
			continue
		}
		over := ""
		set.All(func(from string, _ struct{}, _ uint64) bool {
			if !seen[from] {
				seen[from] = true
				queue = append(queue, from)
				if under, _ := down.below(from); under.visits > maxVisits && (over == "" || from < over) {
					over = from
				}
			}
			return true
		})
		if over != "" {
			return d.tooManyVisits(t, over)
		}
	}
	return nil
}

func (d *draft) tooManyVisits(t *touch, name string) error {
	message := fmt.Sprintf("an evaluation of %s would look at more than %d flags and segments: each counts once per path to it", name, maxVisits)
	return &Error{Kind: KindInvalid, Target: d.name(t), Detail: message + "; name fewer", Problems: problem("", "reference.visits", message)}
}

// walk measures the graph, each node once.
type walk struct {
	env  *Environment
	seen map[string]depth
	path []string
}

// below follows references; a cycle is returned as the names along it, first and last the same.
func (w *walk) below(name string) (depth, []string) {
	if known, ok := w.seen[name]; ok {
		return known, nil
	}
	if at := slices.Index(w.path, name); at >= 0 {
		return depth{}, append(slices.Clone(w.path[at:]), name)
	}
	it, ok := w.env.node(name)
	if !ok {
		return depth{}, nil
	}
	w.path = append(w.path, name)
	var deepest depth
	for _, e := range it.links() {
		under, cycle := w.below(e.to)
		if cycle != nil {
			return depth{}, cycle
		}
		under.visits = min((under.visits+1)*e.times, maxVisits+1)
		deepest = deepest.join(under.plus(step(name, e.to)))
	}
	w.path = w.path[:len(w.path)-1]
	w.seen[name] = deepest
	return deepest, nil
}

// above follows referrers; there is no cycle any more when it is asked.
func (w *walk) above(name string) depth {
	if known, ok := w.seen[name]; ok {
		return known
	}
	var deepest depth
	if set, ok := w.env.referrers.Get(name); ok {
		set.All(func(from string, _ struct{}, _ uint64) bool {
			deepest = deepest.join(w.above(from).plus(step(from, name)))
			return true
		})
	}
	w.seen[name] = deepest
	return deepest
}
