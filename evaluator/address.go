package evaluator

import (
	"net/netip"
	"strings"
)

// parseAddress reads an address without zone, with coerce also addr:port, and unmaps IPv4 inside IPv6. It exists
// beside netip.ParseAddr, which allocates an error for every text that is no address; a property test holds the two
// together.
func parseAddress(s string, coerce bool) (netip.Addr, bool) {
	if a, ok := parseIP(s); ok || !coerce {
		return a.Unmap(), ok
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 || !isPort(s[colon+1:]) {
		return netip.Addr{}, false
	}
	host := s[:colon]
	bracketed := len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']'
	if bracketed {
		host = host[1 : len(host)-1]
	}
	a, ok := parseIP(host)
	return a.Unmap(), ok && a.Is4() != bracketed // only IPv6 stands in brackets, and it must
}

func isPort(s string) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		if n = n*10 + int(s[i]-'0'); n > 65535 {
			return false
		}
	}
	return s != ""
}

func parseIP(s string) (netip.Addr, bool) {
	if strings.IndexByte(s, ':') < 0 {
		four, ok := parseIPv4(s)
		return netip.AddrFrom4(four), ok
	}
	return parseIPv6(s)
}

// parseIPv4 reads four decimal numbers without leading zeros.
func parseIPv4(s string) (four [4]byte, ok bool) {
	for i := range four {
		n, digits := 0, 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			n = n*10 + int(s[digits]-'0')
			if digits++; n > 255 {
				return four, false
			}
		}
		if digits == 0 || (digits > 1 && s[0] == '0') {
			return four, false
		}
		four[i] = byte(n)
		s = s[digits:]
		if i < 3 {
			if s == "" || s[0] != '.' {
				return four, false
			}
			s = s[1:]
		}
	}
	return four, s == ""
}

// parseIPv6 reads groups of up to four hex digits, at most one gap written as ::, and IPv4 in place of the last two.
func parseIPv6(s string) (netip.Addr, bool) {
	var all [16]byte
	n, gap := 0, -1 // bytes read; where the gap is
	if strings.HasPrefix(s, "::") {
		gap, s = 0, s[2:]
	}
	for s != "" {
		if n == 16 {
			return netip.Addr{}, false
		}
		end := strings.IndexByte(s, ':')
		group := s
		if end >= 0 {
			group = s[:end]
		}
		if end < 0 && strings.IndexByte(group, '.') >= 0 {
			four, ok := parseIPv4(group)
			if !ok || n > 12 {
				return netip.Addr{}, false
			}
			n += copy(all[n:], four[:])
			break
		}
		value, ok := parseHexGroup(group)
		if !ok {
			return netip.Addr{}, false
		}
		all[n], all[n+1] = byte(value>>8), byte(value)
		n += 2
		if end < 0 {
			break
		}
		if s = s[end+1:]; s == "" {
			return netip.Addr{}, false // a single colon at the end
		}
		if s[0] == ':' {
			if gap >= 0 {
				return netip.Addr{}, false
			}
			gap, s = n, s[1:]
		}
	}
	if (gap < 0) != (n == 16) {
		return netip.Addr{}, false
	}
	if gap >= 0 {
		moved := copy(all[16-(n-gap):], all[gap:n])
		clear(all[gap : 16-moved])
	}
	return netip.AddrFrom16(all), true
}

func parseHexGroup(s string) (n uint16, ok bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | uint16(c)
	}
	return n, s != "" && len(s) <= 4
}
