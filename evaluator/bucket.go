package evaluator

import (
	"crypto/md5"
	"math/bits"
)

// The hash space and the grid that weights live on. The space is fixed and pieces of it are stored, so a change of
// weights never moves a key by changing a modulus.
const (
	hashSpace = 1 << 32
	gridUnits = 100_000
)

// The values of Split.Hash. A stored name never changes its meaning; a new algorithm is a new name.
const (
	HashMurmur3 = "murmur3-32" // the default
	HashRoxMD5  = "rox-md5"    // for flags imported with the places of their users
)

// Bucket is MurmurHash3 (x86, 32 bit, seed 0) of LE32(len(salt)) || salt || LE32(len(key)) || key.
// The length prefixes keep ("ab","c") and ("a","bc") apart.
func Bucket(salt, key string) uint32 {
	m := saltedMurmur(salt)
	return m.sum(key)
}

// Unit is the place of a hash on the grid of 100,000 units: unit k is [ceil(k·2^32/100000), ceil((k+1)·2^32/100000)).
func Unit(hash uint32) int { return int(uint64(hash) * gridUnits >> 32) }

// gridStart is the first hash of unit k.
func gridStart(k int) uint64 { return (uint64(k)*hashSpace + gridUnits - 1) / gridUnits }

// DefaultSalt is the salt a split gets at its first commit; ruleID is empty for the default serve. From then on the
// salt is stored and copied, so that renaming a rule moves nobody.
func DefaultSalt(flagKey, ruleID string) string {
	if ruleID == "" {
		return flagKey + "/default"
	}
	return flagKey + "/" + ruleID
}

// murmur is the state of the hash after length and bytes of the salt: the part of the work that is the same for
// every key of a split.
type murmur struct {
	state uint32
	tail  uint32 // bytes of the salt that do not fill a block yet
	bits  uint32 // how many, times 8
	total uint32 // bytes so far
}

const (
	murmurC1 = 0xcc9e2d51
	murmurC2 = 0x1b873593
)

func murmurScramble(k uint32) uint32 { return bits.RotateLeft32(k*murmurC1, 15) * murmurC2 }

func murmurMix(h, k uint32) uint32 {
	return bits.RotateLeft32(h^murmurScramble(k), 13)*5 + 0xe6546b64
}

func saltedMurmur(salt string) murmur {
	m := murmur{state: murmurMix(0, uint32(len(salt))), total: uint32(len(salt)) + 4}
	i := 0
	for ; i+4 <= len(salt); i += 4 {
		m.state = murmurMix(m.state, load32(salt, i))
	}
	for ; i < len(salt); i++ {
		m.tail |= uint32(salt[i]) << m.bits
		m.bits += 8
	}
	return m
}

// sum finishes the hash with length and bytes of key. Blocks of the key straddle the blocks of the hash whenever the
// salt left a tail, so each word is shifted behind what is pending.
func (m *murmur) sum(key string) uint32 {
	h, shift := m.state, m.bits
	pending := uint64(m.tail) | uint64(uint32(len(key)))<<shift
	h = murmurMix(h, uint32(pending))
	pending >>= 32
	i := 0
	for ; i+4 <= len(key); i += 4 {
		pending |= uint64(load32(key, i)) << shift
		h = murmurMix(h, uint32(pending))
		pending >>= 32
	}
	for ; i < len(key); i++ {
		pending |= uint64(key[i]) << shift
		shift += 8
	}
	if shift >= 32 {
		h = murmurMix(h, uint32(pending))
		pending >>= 32
		shift -= 32
	}
	if shift > 0 {
		h ^= murmurScramble(uint32(pending))
	}
	h ^= m.total + 4 + uint32(len(key))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// bucketRoxMD5 is the first four bytes, little endian, of MD5(salt + "." + key).
func bucketRoxMD5(salt, key string) uint32 {
	var room [256]byte // the usual lengths stay on the stack
	text := append(room[:0], salt...)
	text = append(text, '.')
	text = append(text, key...)
	sum := md5.Sum(text)
	return load32(sum[:], 0)
}
