package evaluator_test

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/murmur3"
	"pgregory.net/rapid"

	"github.com/hoistflags/hoist/evaluator"
)

// S0-10, S2-13: the frozen vectors. A change here moves the users of every installation.
func TestBucketKeepsItsFrozenVectors(t *testing.T) {
	for _, v := range []struct {
		salt, key string
		hash      uint32
		unit      int
	}{
		{"", "", 1669671676, 38875},
		{"", "a", 1543131306, 35928},
		{"a", "", 1359196436, 31646},
		{"ab", "c", 1206584791, 28092},
		{"a", "bc", 1143632225, 26627},
		{"checkout/default", "user-1", 592640269, 13798},
		{"checkout/default", "user-2", 4194063212, 97650},
		{"checkout/default", "user-3", 2438133305, 56767},
		{"checkout/default", "user-42", 4200805156, 97807},
		{"checkout/beta", "user-1", 505793656, 11776},
		{"checkout/beta", "user-2", 844855410, 19670},
		{"split/default", "user-1", 2120573508, 49373},
		{"split/default", "user-2", 2409186063, 56093},
		{"new-search/default", "user-1", 788931374, 18368},
		{"new-search/default", "a1b2c3d4-0000-4000-8000-000000000000", 181639084, 4229},
		{"s", "日本", 3718256759, 86572},
		{"s", "\u00e9", 2836543439, 66043},
		{"s", "e\u0301", 3740109704, 87081},
		{"s", "0", 2061757701, 48004},
		{"s", "9007199254740991", 1098328828, 25572},
		{"s", "User-1", 4117165160, 95860},
		{"salt with spaces/and:colon", "user@example.com", 1078726543, 25116},
	} {
		require.Equal(t, v.hash, evaluator.Bucket(v.salt, v.key), "%q %q", v.salt, v.key)
		require.Equal(t, v.unit, evaluator.Unit(v.hash), "%q %q", v.salt, v.key)
	}
}

func TestBucketIsMurmur3OfLengthPrefixedParts(t *testing.T) {
	reference := func(salt, key string) uint32 {
		b := binary.LittleEndian.AppendUint32(nil, uint32(len(salt)))
		b = append(b, salt...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
		return murmur3.Sum32(append(b, key...))
	}
	for salt := range 9 { // every alignment of the salt against every length of the key
		for key := range 40 {
			s, k := strings.Repeat("s", salt), strings.Repeat("\xf0k", 20)[:key]
			require.Equal(t, reference(s, k), evaluator.Bucket(s, k))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		salt, key := rapid.String().Draw(t, "salt"), rapid.String().Draw(t, "key")
		require.Equal(t, reference(salt, key), evaluator.Bucket(salt, key))
	})
}
