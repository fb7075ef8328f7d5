package evaluator

import "math/bits"

// Odd 64-bit constants without structure (digits of pi and e), for hashText.
const (
	mixA = 0x243f6a8885a308d3
	mixB = 0x13198a2e03707345
	mixC = 0xadf85458a2bb4a9b
)

// hashText is the hash of the index and of value sets: a folded 64x64 multiplication per 16 bytes. It never leaves
// the process, is the same in every process (so that nothing depends on a seed) and is not meant to resist people
// who search for collisions: what is stored under it comes from those who may write flags, and a page or a set
// full of collisions is merely slow.
func hashText[T ~string | ~[]byte](s T) uint64 {
	var a, b uint64
	h := uint64(mixA)
	n := len(s)
	switch {
	case n > 16:
		i := 0
		for ; n-i > 16; i += 16 {
			h = fold(load64(s, i)^mixB, load64(s, i+8)^h)
		}
		a, b = load64(s, n-16), load64(s, n-8)
	case n >= 8:
		a, b = load64(s, 0), load64(s, n-8)
	case n >= 4:
		a, b = uint64(load32(s, 0)), uint64(load32(s, n-4))
	case n > 0:
		a = uint64(s[0])<<16 | uint64(s[n>>1])<<8 | uint64(s[n-1])
	}
	return fold(a^mixB^uint64(n), fold(b^h, mixC)^mixA)
}

func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func load32[T ~string | ~[]byte](s T, i int) uint32 {
	s = s[i : i+4]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

func load64[T ~string | ~[]byte](s T, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// sameText is a == b for the short strings that names and values are: two overlapping loads instead of a call
// into the runtime, which costs more than the comparison.
func sameText(a, b string) bool {
	n := len(a)
	if n != len(b) {
		return false
	}
	switch {
	case n > 16:
		return a == b
	case n >= 8:
		return load64(a, 0) == load64(b, 0) && load64(a, n-8) == load64(b, n-8)
	case n >= 4:
		return load32(a, 0) == load32(b, 0) && load32(a, n-4) == load32(b, n-4)
	}
	return n == 0 || (a[0] == b[0] && a[n>>1] == b[n>>1] && a[n-1] == b[n-1])
}
