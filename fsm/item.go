package fsm

import (
	"crypto/sha256"

	"github.com/hoistflags/hoist/evaluator"
)

// FlagRecord is one declared flag as stored. It is immutable.
type FlagRecord struct {
	Key       string
	Revision  uint64 // of the last change of the declaration
	Created   uint64 // revision of the creation
	UpdatedAt int64  // leader time of the last change, unix ms
	Record    []byte // canonical JSON of the declared flag
}

// SegmentRecord is one segment as stored; its fields are those of a FlagRecord.
type SegmentRecord FlagRecord

// Flag decodes the record anew at each call.
func (r *FlagRecord) Flag() *evaluator.Flag { return mustDecode(evaluator.FlagOf(r.Record)) }

// Segment decodes the record anew at each call.
func (r *SegmentRecord) Segment() *evaluator.Segment {
	return mustDecode(evaluator.SegmentOf(r.Record))
}

// mustDecode is for records the law itself wrote: one that does not decode cannot be (Load verifies each of them).
func mustDecode[T any](v *T, err error) *T {
	if err != nil {
		panic("fsm: a stored record does not decode: " + err.Error())
	}
	return v
}

// Version is one past form of an item.
type Version struct {
	Revision uint64
	At       int64 // leader time, unix ms
	Actor    Actor
	Verb     string
	Record   []byte // canonical JSON; nil for a deletion
}

// item is what is kept per flag or segment. It is immutable; a change makes a new one that shares the older versions.
type item struct {
	FlagRecord
	refs     *evaluator.References // nil when it refers to nothing
	versions []*version            // oldest first; the last is the record itself
}

// version is a Version with the digest of its record, so that dropping an old one never reads it again. It is immutable
// and shared by all histories it stands in.
type version struct {
	Version
	digest digest
}

// How much history stays in the state: the last 20 versions of an item, fewer when they are large together.
const (
	maxVersions     = 20
	maxVersionBytes = 4 << 20
)

func (it *item) digest() digest { return it.versions[len(it.versions)-1].digest }

func digestOf(record []byte) digest { return sha256.Sum256(record) }

// trimmed says how many of the oldest versions have to go.
func trimmed(versions []*version) int {
	bytes, keep := 0, 0
	for keep < len(versions) && keep < maxVersions {
		bytes += len(versions[len(versions)-1-keep].Record)
		if keep > 0 && bytes > maxVersionBytes {
			break
		}
		keep++
	}
	return len(versions) - keep
}
