package evaluator

import (
	"cmp"
	"math"
)

// instant is a moment as seconds since 1970 and nanoseconds within the second.
type instant struct {
	seconds int64
	nanos   int32
}

func (i instant) compare(o instant) int {
	return cmp.Or(cmp.Compare(i.seconds, o.seconds), cmp.Compare(i.nanos, o.nanos))
}

// instantMatcher is before and after, both strict.
type instantMatcher struct {
	bound  instant
	none   bool
	before bool
	coerce bool
}

func newInstantMatcher(from *Clause) matcher {
	m := &instantMatcher{none: len(from.Values) == 0, before: from.Operator == OpBefore, coerce: from.Coerce}
	for i, v := range from.Values {
		at, _ := instantOf(v.kind, v.num, v.text, false)
		if c := at.compare(m.bound); i == 0 || (m.before && c > 0) || (!m.before && c < 0) {
			m.bound = at
		}
	}
	return m
}

func (m *instantMatcher) test(kind ValueKind, num float64, text string) state {
	at, ok := instantOf(kind, num, text, m.coerce)
	switch {
	case !ok:
		return stateUnusable
	case m.none:
		return stateMiss
	case m.before:
		return hitIf(at.compare(m.bound) < 0)
	}
	return hitIf(at.compare(m.bound) > 0)
}

// instantOf reads RFC 3339 with zone or a number of milliseconds since 1970; with coerce also a date alone (midnight
// UTC) and digits (milliseconds).
func instantOf(kind ValueKind, num float64, text string, coerce bool) (instant, bool) {
	switch kind {
	case KindNumber:
		return instantOfMillis(num)
	case KindString:
		if at, ok := parseInstant(text); ok || !coerce {
			return at, ok
		}
		if days, ok := parseDate(text); ok {
			return instant{seconds: days * 86400}, true
		}
		if isDigits(text) {
			if ms, ok := parseNumber(text, true); ok {
				return instantOfMillis(ms)
			}
		}
	}
	return instant{}, false
}

func instantOfMillis(ms float64) (instant, bool) {
	if math.Abs(ms) > maxSafeInteger {
		return instant{}, false
	}
	seconds := math.Floor(ms / 1000)
	return instant{seconds: int64(seconds), nanos: int32((ms - seconds*1000) * 1e6)}, true
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// parseInstant reads the date-time of RFC 3339, upper-case T and Z, any number of fraction digits of which nine
// count. It exists beside time.Parse because that allocates for a zone and for an error.
func parseInstant(s string) (instant, bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return instant{}, false
	}
	days, ok := parseDate(s[:10])
	hour, ok1 := twoDigits(s[11:], 23)
	minute, ok2 := twoDigits(s[14:], 59)
	second, ok3 := twoDigits(s[17:], 59)
	if !ok || !ok1 || !ok2 || !ok3 {
		return instant{}, false
	}
	nanos, rest, ok := parseFraction(s[19:])
	if !ok {
		return instant{}, false
	}
	offset, ok := parseZone(rest)
	return instant{seconds: days*86400 + hour*3600 + minute*60 + second - offset, nanos: nanos}, ok
}

// parseFraction reads ".digits" if it is there.
func parseFraction(s string) (nanos int32, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	scale := int32(100_000_000)
	i := 1
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		nanos += int32(s[i]-'0') * scale
		scale /= 10
	}
	return nanos, s[i:], i > 1
}

// parseZone reads Z or ±hh:mm and returns seconds east of UTC.
func parseZone(s string) (int64, bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != len("+00:00") || (s[0] != '+' && s[0] != '-') || s[3] != ':' {
		return 0, false
	}
	hours, ok1 := twoDigits(s[1:], 23)
	minutes, ok2 := twoDigits(s[4:], 59)
	offset := hours*3600 + minutes*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, ok1 && ok2
}

// parseDate reads YYYY-MM-DD and returns days since 1970.
func parseDate(s string) (int64, bool) {
	if len(s) != len("2006-01-02") || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	century, ok1 := twoDigits(s, 99)
	year, ok2 := twoDigits(s[2:], 99)
	month, ok3 := twoDigits(s[5:], 12)
	day, ok4 := twoDigits(s[8:], 31)
	year += century * 100
	if !ok1 || !ok2 || !ok3 || !ok4 || month < 1 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	return daysSince1970(year, month, day), true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysSince1970 counts days of the proleptic Gregorian calendar, with years that begin in March so that the leap day
// is the last one.
func daysSince1970(year, month, day int64) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	year += 400 // keep divisions of the year 0 positive; an era of 400 years has 146097 days
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719468 - 146097
}

func twoDigits(s string, most int64) (int64, bool) {
	if len(s) < 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	n := int64(s[0]-'0')*10 + int64(s[1]-'0')
	return n, n <= most
}
