package evaluator

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// maxVersion is the longest version text, as in Masterminds/semver, which judges versions at admission.
const maxVersion = 256

// version is a semantic version; build data is dropped because it never counts in a comparison.
type version struct {
	major, minor, patch uint64
	pre                 string
}

func (v version) compare(o version) int {
	switch {
	case v.major != o.major:
		return cmp.Compare(v.major, o.major)
	case v.minor != o.minor:
		return cmp.Compare(v.minor, o.minor)
	case v.patch != o.patch:
		return cmp.Compare(v.patch, o.patch)
	case v.pre == o.pre:
		return 0
	case v.pre == "": // a release comes after its pre-releases
		return 1
	case o.pre == "":
		return -1
	}
	return comparePre(v.pre, o.pre)
}

// comparePre compares pre-releases part by part; the one that ends first comes first.
func comparePre(a, b string) int {
	for {
		partA, restA, moreA := strings.Cut(a, ".")
		partB, restB, moreB := strings.Cut(b, ".")
		if c := comparePart(partA, partB); c != 0 {
			return c
		}
		if !moreA || !moreB {
			switch {
			case moreA:
				return 1
			case moreB:
				return -1
			}
			return 0
		}
		a, b = restA, restB
	}
}

// comparePart compares numbers as numbers, texts as texts, and puts numbers first. A number beyond 64 bits counts
// as text, as Masterminds has it.
func comparePart(a, b string) int {
	if a == b {
		return 0
	}
	x, numericA := parseUint(a)
	y, numericB := parseUint(b)
	switch {
	case numericA && numericB:
		return cmp.Compare(x, y)
	case numericA:
		return -1
	case numericB:
		return 1
	}
	return strings.Compare(a, b)
}

func parseUint(s string) (uint64, bool) {
	var n uint64
	for i := 0; i < len(s); i++ {
		d := uint64(s[i] - '0')
		if s[i] < '0' || d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, s != ""
}

// parseVersion reads a version without allocating. Strict: one to three numbers without leading zeros. Loose: also
// surrounding spaces, one leading v or V, and leading zeros.
func parseVersion(s string, loose bool) (v version, ok bool) {
	if loose {
		s = trimLoose(s)
	}
	if s == "" || len(s) > maxVersion {
		return v, false
	}
	length := len(s)
	s, build, hasBuild := strings.Cut(s, "+")
	if hasBuild && !validParts(build, false) {
		return v, false
	}
	core, pre, hasPre := strings.Cut(s, "-")
	if hasPre && !validParts(pre, true) {
		return v, false
	}
	v.pre = pre
	for i, number := range [...]*uint64{&v.major, &v.minor, &v.patch} {
		part, rest, more := strings.Cut(core, ".")
		if *number, ok = parseUint(part); !ok || (!loose && len(part) > 1 && part[0] == '0') {
			return v, false
		}
		if !more {
			return v, loose || length+2*(2-i) <= maxVersion // the strict form is judged padded
		}
		if core = rest; i == 2 {
			return v, false
		}
	}
	return v, true
}

func trimLoose(s string) string {
	s = strings.Trim(s, " \t\n\v\f\r")
	if s != "" && (s[0] == 'v' || s[0] == 'V') {
		s = s[1:]
	}
	return s
}

// validParts checks the dot-separated identifiers of a pre-release or build; numbers in a pre-release have no
// leading zeros.
func validParts(s string, pre bool) bool {
	for more := true; more; {
		var part string
		part, s, more = strings.Cut(s, ".")
		digits := true
		for i := 0; i < len(part); i++ {
			c := part[i]
			isDigit := c >= '0' && c <= '9'
			if !isDigit && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
			digits = digits && isDigit
		}
		if part == "" || (pre && digits && len(part) > 1 && part[0] == '0') {
			return false
		}
	}
	return true
}

// versionMatcher is the semver operators. Like numbers, an order needs one bound; equality looks into a sorted list.
type versionMatcher struct {
	values []version // sorted; of lt, lte, gt, gte the one that decides
	order  int       // -1 lt, 0 eq, +1 gt
	equal  bool
	coerce bool
}

func newVersionMatcher(from *Clause) matcher {
	m := &versionMatcher{coerce: from.Coerce}
	switch from.Operator {
	case OpSemverLess, OpSemverLTE:
		m.order = -1
	case OpSemverMore, OpSemverGTE:
		m.order = 1
	}
	m.equal = from.Operator == OpSemverEqual || from.Operator == OpSemverLTE || from.Operator == OpSemverGTE
	for _, v := range from.Values {
		parsed, _ := parseVersion(v.text, m.coerce)
		m.values = append(m.values, parsed)
	}
	slices.SortFunc(m.values, version.compare)
	if n := len(m.values); n > 0 && m.order < 0 {
		m.values = m.values[n-1:]
	} else if n > 0 && m.order > 0 {
		m.values = m.values[:1]
	}
	m.values = slices.Clip(m.values)
	return m
}

func (m *versionMatcher) test(kind ValueKind, num float64, text string) state {
	seen, ok := m.read(kind, num, text)
	if !ok {
		return stateUnusable
	}
	if len(m.values) == 0 {
		return stateMiss
	}
	if m.order == 0 {
		_, found := slices.BinarySearchFunc(m.values, seen, version.compare)
		return hitIf(found)
	}
	c := seen.compare(m.values[0])
	return hitIf(c == m.order || (m.equal && c == 0))
}

// read takes version texts, and with coerce whole numbers: 2 is 2.0.0.
func (m *versionMatcher) read(kind ValueKind, num float64, text string) (version, bool) {
	if kind == KindString {
		return parseVersion(text, m.coerce)
	}
	if kind == KindNumber && m.coerce && num >= 0 && num <= maxSafeInteger && num == math.Trunc(num) {
		return version{major: uint64(num)}, true
	}
	return version{}, false
}
