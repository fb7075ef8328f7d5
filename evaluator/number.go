package evaluator

import (
	"math"
	"strconv"
)

// numberLiteral returns the JSON number at the start of data.
func numberLiteral[T ~string | ~[]byte](data T) (raw T, integer, ok bool) {
	i := 0
	digits := func() bool {
		start := i
		for i < len(data) && data[i] >= '0' && data[i] <= '9' {
			i++
		}
		return i > start
	}
	if i < len(data) && data[i] == '-' {
		i++
	}
	if i < len(data) && data[i] == '0' {
		i++
	} else if !digits() {
		return raw, false, false
	}
	integer = true
	if i < len(data) && data[i] == '.' {
		i++
		integer = false
		if !digits() {
			return raw, false, false
		}
	}
	if i < len(data) && (data[i] == 'e' || data[i] == 'E') {
		i++
		integer = false
		if i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		if !digits() {
			return raw, false, false
		}
	}
	return data[:i], integer, true
}

// parseNumber converts a well-formed JSON number; false when float64 cannot hold it without loss.
func parseNumber(raw string, integer bool) (float64, bool) {
	if !integer {
		f, err := strconv.ParseFloat(raw, 64)
		if f == 0 {
			f = 0 // -0.0 has one spelling too
		}
		return f, err == nil && !math.IsInf(f, 0)
	}
	digits, negative := raw, raw[0] == '-'
	if negative {
		digits = raw[1:]
	}
	if len(digits) > 16 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(digits); i++ {
		n = n*10 + int64(digits[i]-'0')
	}
	if n > maxSafeInteger {
		return 0, false
	}
	if negative {
		n = -n
	}
	return float64(n), true
}
