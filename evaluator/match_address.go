package evaluator

import (
	"net/netip"
	"strings"
)

// addressMatcher is the operator cidr.
type addressMatcher struct {
	few    []netip.Prefix
	many   map[netip.Prefix]struct{} // of long lists: one look-up per prefix length that occurs
	bits   [2][]int                  // the lengths that occur, of IPv4 and IPv6
	coerce bool
}

func newAddressMatcher(from *Clause) matcher {
	m := &addressMatcher{coerce: from.Coerce}
	for _, v := range from.Values {
		prefix, _ := parsePrefix(v.text)
		m.few = append(m.few, prefix)
	}
	if len(m.few) <= smallSet {
		return m
	}
	m.many = make(map[netip.Prefix]struct{}, len(m.few))
	var seen [2][129]bool
	for _, prefix := range m.few {
		m.many[prefix] = struct{}{}
		family := familyOf(prefix.Addr())
		if !seen[family][prefix.Bits()] {
			seen[family][prefix.Bits()] = true
			m.bits[family] = append(m.bits[family], prefix.Bits())
		}
	}
	m.few = nil
	return m
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// parsePrefix reads a prefix, or an address as the prefix that holds it alone, and masks it.
func parsePrefix(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

func (m *addressMatcher) test(kind ValueKind, _ float64, text string) state {
	if kind != KindString {
		return stateUnusable
	}
	a, ok := parseAddress(text, m.coerce)
	if !ok {
		return stateUnusable
	}
	for _, p := range m.few {
		if p.Contains(a) {
			return stateHit
		}
	}
	for _, bits := range m.bits[familyOf(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if _, found := m.many[p]; found {
			return stateHit
		}
	}
	return stateMiss
}
