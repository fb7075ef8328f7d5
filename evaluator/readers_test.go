package evaluator

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The readers of this file exist because those of the standard library and of Masterminds allocate. Each is held to
// the answers of the one it stands for.

func drawFrom(alphabets ...string) *rapid.Generator[string] {
	generators := make([]*rapid.Generator[string], len(alphabets))
	for i, a := range alphabets {
		generators[i] = rapid.StringMatching(a)
	}
	return rapid.OneOf(generators...)
}

func TestAddressesAreReadAsNetipReadsThem(t *testing.T) {
	address := drawFrom(`[0-9]{1,3}(\.[0-9]{1,3}){3}`, `[0-9.]{0,16}`, `[0-9a-fA-F:]{0,40}`, `[0-9a-f]{0,4}(:[0-9a-f]{0,4}){1,8}`,
		`([0-9a-f]{1,4}:){6}[0-9]{1,3}(\.[0-9]{1,3}){3}`, `::(ffff:)?[0-9]{1,2}(\.[0-9]{1,2}){3}`, `[0-9a-f:.]{0,24}`)
	text := rapid.OneOf(address, rapid.Custom(func(t *rapid.T) string {
		a := address.Draw(t, "host")
		if rapid.Bool().Draw(t, "brackets") {
			a = "[" + a + "]"
		}
		return a + ":" + rapid.StringMatching(`[0-9]{0,6}`).Draw(t, "port")
	}))
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "text")
		want, err := netip.ParseAddr(s)
		got, ok := parseAddress(s, false)
		require.Equal(t, err == nil, ok, s)
		if err == nil {
			require.Equal(t, want.Unmap(), got)
			return
		}
		pair, err := netip.ParseAddrPort(s)
		got, ok = parseAddress(s, true)
		require.Equal(t, err == nil, ok, s)
		if ok {
			require.Equal(t, pair.Addr().Unmap(), got)
		}
	})
}

// S2-08
func TestVersionsAreReadAndComparedAsMastermindsDoes(t *testing.T) {
	text := drawFrom(`[vV ]{0,2}[0-9]{1,2}(\.[0-9]{1,2}){0,3}(-[0-9a-zA-Z.-]{0,8})?(\+[0-9a-z.-]{0,5})?`,
		`(0|[1-9]{1,2})(\.(0|[1-9][0-9]?)){0,2}(-[0-9ab]{1,3}(\.[0-9ab]{1,3}){0,3})?(\+b)?`, `[0-9]{1,22}\.0\.0(-[0-9]{18,22})?`, `.{0,6}`,
		`1(\.0)?-a{245,260}`)
	masterminds := func(s string, loose bool) *semver.Version {
		if !admitVersion(s, loose) {
			return nil
		}
		if !loose {
			s = padVersion(s)
		} else {
			s = trimLoose(s)
		}
		v, err := semver.NewVersion(s)
		require.NoError(t, err)
		return v
	}
	rapid.Check(t, func(t *rapid.T) {
		x, y, loose := text.Draw(t, "x"), text.Draw(t, "y"), rapid.Bool().Draw(t, "loose")
		wantX, wantY := masterminds(x, loose), masterminds(y, loose)
		gotX, okX := parseVersion(x, loose)
		gotY, okY := parseVersion(y, loose)
		require.Equal(t, wantX != nil, okX, x)
		require.Equal(t, wantY != nil, okY, y)
		if okX && okY {
			require.Equal(t, wantX.Compare(wantY), gotX.compare(gotY), "%s %s", x, y)
		}
	})
}

// strictInstant is the grammar of RFC 3339 in the spelling hoist takes; time.Parse alone is more liberal (a comma for
// the fraction, one digit for the hour).
var strictInstant = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

func TestInstantsAreReadAsTimeReadsThem(t *testing.T) {
	text := drawFrom(`[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,12})?(Z|[+-][0-2][0-9]:[0-6][0-9])`,
		`(2000|1900|2024|0000|9999)-(02|12|01)-(28|29|30|31)T23:59:59(Z|[+-]23:59)`, `20[0-9T:.,zZ+-]{15,25}`)
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "text")
		want, err := time.Parse(time.RFC3339, s)
		got, ok := parseInstant(s)
		require.Equal(t, err == nil && strictInstant.MatchString(s), ok, s)
		if ok {
			require.Equal(t, instant{want.Unix(), int32(want.Nanosecond())}, got, s)
		}
	})
}

func TestLowerCaseIsThatOfTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		if rapid.Bool().Draw(t, "broken") {
			s += string([]byte{0xff, 0xc3})
		}
		require.Equal(t, strings.ToLower(s), string(appendLower(nil, s)))
		if isLower(s) {
			require.Equal(t, strings.ToLower(s), s)
		}
	})
}

func TestNumbersInTextsAreJSONNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawFrom(`-?[0-9]{1,18}(\.[0-9]{0,5})?([eE][+-]?[0-9]{0,4})?`, `[-+0-9.eE ]{0,8}`).Draw(t, "text")
		raw, integer, ok := numberLiteral(s)
		var v Value
		err := v.UnmarshalJSON([]byte(s))
		whole := ok && len(raw) == len(s)
		require.Equal(t, err == nil, whole || strings.TrimSpace(s) != s && err == nil, s)
		if whole {
			f, exact := parseNumber(raw, integer)
			require.Equal(t, exact, v.Kind() == KindNumber)
			require.Equal(t, exact, v.Equal(Number(f)))
		}
	})
}
