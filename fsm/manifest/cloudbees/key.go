package cloudbees

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/hoistflags/hoist/evaluator"
)

const maxKey = 128

// keyed turns a name into a key: runs of other characters become one hyphen.
func keyed(name string) string {
	var b strings.Builder
	dash := false
	for _, r := range name {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			b.WriteRune(r)
			dash = false
			continue
		}
		if !dash {
			b.WriteByte('-')
		}
		dash = true
	}
	key := b.String()
	key = strings.TrimLeft(key[:min(len(key), maxKey)], "._-")
	return cmp.Or(strings.TrimRight(key, "-"), "x")
}

// naming gives every name of one kind its key. Names that are keys keep theirs; the others come in bytewise order, and
// the second that comes to a key gets -2.
type naming struct {
	keys  map[string]string // by name
	taken map[string]bool
}

func newNaming(names []string) *naming {
	n := &naming{keys: map[string]string{}, taken: map[string]bool{}}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for _, name := range names {
		if evaluator.ValidKey(name) {
			n.keys[name], n.taken[name] = name, true
		}
	}
	for _, name := range names {
		if !evaluator.ValidKey(name) {
			n.keys[name] = n.free(keyed(name))
		}
	}
	return n
}

// free takes the key, or the next one that is not taken.
func (n *naming) free(key string) string {
	out := key
	for i := 2; n.taken[out]; i++ {
		suffix := "-" + strconv.Itoa(i)
		out = key[:min(len(key), maxKey-len(suffix))] + suffix
	}
	n.taken[out] = true
	return out
}

// nearest is the known word within two letters of word, or "".
func nearest(word string, known []string) string {
	best, least := "", 3
	for _, k := range known {
		if n := distance(word, k); n < least && n < len(k) {
			best, least = k, n
		}
	}
	return best
}

// distance is the number of letters to add, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
