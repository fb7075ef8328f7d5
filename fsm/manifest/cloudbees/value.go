package cloudbees

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// value is what a branch gives: nothing, one value, shares of people, or levels in time.
type value struct {
	kind   valueKind
	one    scalar
	shares []share // with the option of each once; their sum is the whole for strings and numbers only when rest is 0
	rest   int     // what the shares leave, in thousandths of a percent
	levels []level
	option scalar // of the levels
	faulty bool   // an entry has an error: the sum says nothing
	at     place
}

type valueKind uint8

const (
	noValue valueKind = iota
	oneValue
	shareValue
	levelValue
)

type share struct {
	percentage int // thousandths of a percent
	option     scalar
	at         place
}

type level struct {
	from       time.Time
	percentage int
}

const whole = 100_000

func (d *document) value(n node) value {
	v := value{at: n.at}
	switch {
	case n.missing():
	case n.kind == scalarNode:
		v.kind, v.one = oneValue, n.scalar
	case n.kind == mappingNode:
		d.refuse(n.at, "shape", "value is a mapping (write one value, or a list of shares)")
	case len(n.items) == 0:
		d.warn(n.at, "value-empty", "value is an empty list and is read as absent")
	default:
		errors := d.errors
		d.list(&v, n)
		v.faulty = d.errors > errors
	}
	return v
}

// list reads shares or levels; the first entry decides which.
func (d *document) list(v *value, n node) {
	timed := n.items[0].get("from").kind != absent
	for i, item := range n.items {
		if !d.mapping(item, "a share") {
			return
		}
		d.keys(item, manifest.SeverityError, "percentage", "option", "from")
		from := item.get("from")
		if (from.kind != absent) != timed {
			d.refuse(item.at, "schedule-mixed", "a list is either shares or levels in time (give every entry a from, or none)")
			return
		}
		percentage, option := d.percentage(item.get("percentage")), item.get("option")
		if option.missing() || option.kind != scalarNode {
			d.refuse(option.at, "option-missing", "a share without the value it is for (add option)")
			continue
		}
		if timed {
			d.level(v, n, from, percentage, option, i)
		} else {
			d.share(v, percentage, option)
		}
	}
	v.kind = shareValue
	if timed {
		v.kind = levelValue
	}
}

func (d *document) percentage(n node) int {
	if n.kind == absent {
		return whole
	}
	s := n.scalar
	if n.kind != scalarNode || s.kind != numberScalar || math.IsInf(s.number, 0) || math.IsNaN(s.number) {
		d.refuse(n.at, "percentage", "%q is not a number (write 0 to 100)", s.text)
		return 0
	}
	if s.number < 0 || s.number > 100 {
		d.refuse(n.at, "percentage", "%s is not between 0 and 100", s.text)
		return 0
	}
	return int(math.Round(s.number * 1000))
}

func (d *document) share(v *value, percentage int, option node) {
	for i, have := range v.shares {
		if same(have.option, option.scalar) {
			d.warn(option.at, "option-repeated", "%q has a share already: the shares are added", option.scalar.text)
			v.shares[i].percentage += percentage
			return
		}
	}
	v.shares = append(v.shares, share{percentage: percentage, option: option.scalar, at: option.at})
}

func same(a, b scalar) bool {
	if a.kind == boolScalar && b.kind == boolScalar {
		return a.isTrue() == b.isTrue()
	}
	return a.kind == b.kind && a.text == b.text
}

func (d *document) level(v *value, n, from node, percentage int, option node, i int) {
	if i > 0 && !same(option.scalar, v.option) {
		d.refuse(option.at, "schedule-mixed", "the levels of one schedule are for one value")
	}
	v.option = option.scalar
	at, ok := instant(from.scalar)
	if from.kind != scalarNode || !ok {
		d.refuse(from.at, "schedule-date", "%q is not a date (write 2026-12-31T00:00:00Z)", from.scalar.text)
		return
	}
	if len(v.levels) > 0 && !at.After(v.levels[len(v.levels)-1].from) {
		d.refuse(n.at, "schedule-order", "the dates of a schedule do not rise")
	}
	v.levels = append(v.levels, level{from: at, percentage: percentage})
}

// instant reads a date as the form writes it: RFC 3339, a day, or milliseconds since 1970.
func instant(s scalar) (time.Time, bool) {
	if s.kind == numberScalar {
		if s.number != math.Trunc(s.number) || math.Abs(s.number) > 1<<53-1 {
			return time.Time{}, false
		}
		return time.UnixMilli(int64(s.number)).UTC(), true
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(form, strings.TrimSpace(s.text)); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// settle decides the type of the flag and judges its values by it.
func (d *document) settle(x *experiment) {
	x.kind = typeOf(d, x)
	x.values(func(v *value) {
		switch v.kind {
		case oneValue:
			d.fits(x, &v.one, v.at)
		case shareValue:
			for i := range v.shares {
				d.fits(x, &v.shares[i].option, v.shares[i].at)
			}
			if !v.faulty {
				d.sum(x, v)
			}
		case levelValue:
			if x.kind != evaluator.TypeBoolean {
				d.refuse(v.at, "schedule-type", "only a boolean flag takes a schedule")
				return
			}
			d.fits(x, &v.option, v.at)
		}
	})
}

// typeOf follows the available values; a flag that lists none, but says so, follows the values it uses, and without
// any serves the value in code.
func typeOf(d *document, x *experiment) evaluator.Type {
	list := x.available
	if x.listedNone {
		x.values(func(v *value) { list = append(list, v.options()...) })
	}
	switch {
	case len(list) == 0 && x.listedNone:
		return evaluator.TypeString
	case len(list) == 0:
		return evaluator.TypeBoolean
	}
	kinds := map[scalarKind]bool{}
	for _, s := range list {
		kinds[s.kind] = true
	}
	switch {
	case len(kinds) == 1 && kinds[boolScalar]:
		return evaluator.TypeBoolean
	case len(kinds) == 1 && kinds[numberScalar]:
		return evaluator.TypeNumber
	}
	if len(kinds) > 1 {
		d.report(x.flagAt, manifest.SeverityInfo, "mixed-types", "the available values have several types: all are read as text")
	}
	return evaluator.TypeString
}

func (v *value) options() []scalar {
	switch v.kind {
	case oneValue:
		return []scalar{v.one}
	case shareValue:
		var out []scalar
		for _, s := range v.shares {
			out = append(out, s.option)
		}
		return out
	case levelValue:
		return []scalar{v.option}
	}
	return nil
}

// fits judges one value by the type and the list of the flag.
func (d *document) fits(x *experiment, s *scalar, at place) {
	switch {
	case x.kind == evaluator.TypeBoolean && s.kind != boolScalar,
		x.kind == evaluator.TypeNumber && (s.kind != numberScalar || math.IsInf(s.number, 0) || math.IsNaN(s.number)):
		d.refuse(at, "value-type", "%q is not a %s, as the other values of the flag are (correct it, or list it in availableValues)", s.text, x.kind)
		return
	case x.kind == evaluator.TypeString && s.kind != textScalar:
		s.kind = textScalar
	}
	if len(x.available) == 0 {
		return
	}
	for _, listed := range x.available {
		if listed.text == s.text || x.kind == evaluator.TypeBoolean && same(listed, *s) {
			return
		}
	}
	d.warn(at, "value-unlisted", "%q is not among the available values (add it there)", s.text)
}

// tolerance is how far shares may miss the whole and still mean it: 33.33 three times.
const tolerance = 100

func (d *document) sum(x *experiment, v *value) {
	sum := 0
	for _, s := range v.shares {
		sum += s.percentage
	}
	if x.kind == evaluator.TypeBoolean && len(v.shares) == 1 {
		v.rest = whole - sum
		return
	}
	last := &v.shares[len(v.shares)-1]
	switch {
	case sum == whole:
	case sum > whole+tolerance:
		d.refuse(v.at, "split-sum", "the shares add up to %s %%, more than everybody", percent(sum))
	case sum < whole-tolerance:
		v.rest = whole - sum
		to := "the value in code"
		if x.kind == evaluator.TypeBoolean {
			to = "false"
		}
		d.warn(v.at, "split-sum", "the shares add up to %s %%; the rest gets %s", percent(sum), to)
	case last.percentage+whole-sum < 0:
		d.refuse(v.at, "split-sum", "the shares add up to %s %%, more than everybody", percent(sum))
	default:
		d.report(v.at, manifest.SeverityInfo, "split-rounded", "the shares add up to %s %%; the last one takes the difference", percent(sum))
		last.percentage += whole - sum
	}
}

// percent writes thousandths of a percent as people do: 12500 is 12.5.
func percent(thousandths int) string {
	return strconv.FormatFloat(float64(thousandths)/1000, 'f', -1, 64)
}
