package evaluator

// pageSize is how many entries a page holds before it splits: small enough to copy in a microsecond, large enough
// that the directory of 100,000 entries stays at a few KiB.
const pageSize = 256

// maxDirectory bounds the directory (2^22 pages). Only keys chosen to collide get there; their page then grows.
const maxDirectory = 22

// Index is a persistent hash table from string keys: a write copies one page and the directory of pages, so a reader
// holds a version of the whole table by one pointer and never locks. Every entry carries the revision of its last
// change and every page the highest one, so Since skips what did not change. The zero Index is empty.
//
// It is extendible hashing: the upper bits of a key's hash choose the page in the directory, a full page splits in
// two by one more bit, and the directory doubles when a page needs more bits than it has.
type Index[T any] struct {
	directory []*page[T] // 2^depth; a page of fewer bits stands in several neighbouring places
	depth     uint8
	len       int
}

type page[T any] struct {
	slots   []uint16 // open addressing: place of an entry plus 1, 0 for free; a power of two
	entries []entry[T]
	highest uint64 // revision
	depth   uint8
	owner   *Edit[T] // the edit that made the page and may still change it
}

type entry[T any] struct {
	key      string
	value    T
	revision uint64
}

// Len returns the number of entries.
func (x *Index[T]) Len() int { return x.len }

// Get returns the value stored under key.
func (x *Index[T]) Get(key string) (value T, ok bool) {
	if e := x.find(key, hashText(key)); e != nil {
		return e.value, true
	}
	return value, false
}

// find returns the entry of key, whose hash is given, or nil.
func (x *Index[T]) find(key string, hash uint64) *entry[T] {
	if len(x.directory) == 0 {
		return nil
	}
	return x.directory[hash>>(64-x.depth)].find(key, hash)
}

func (p *page[T]) find(key string, hash uint64) *entry[T] {
	mask := uint64(len(p.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		place := p.slots[i]
		if place == 0 {
			return nil
		}
		if e := &p.entries[place-1]; e.key == key {
			return e
		}
	}
}

// All calls yield for every entry in no particular order until it returns false.
func (x *Index[T]) All(yield func(key string, value T, revision uint64) bool) {
	x.walk(0, true, yield)
}

// Since calls yield for every entry whose revision is higher than the given one, in no particular order, until it
// returns false. Its cost grows with the pages that changed, not with the entries.
func (x *Index[T]) Since(revision uint64, yield func(key string, value T, revision uint64) bool) {
	x.walk(revision, false, yield)
}

func (x *Index[T]) walk(revision uint64, all bool, yield func(string, T, uint64) bool) {
	var last *page[T]
	for _, p := range x.directory {
		if p == last || (!all && p.highest <= revision) {
			continue
		}
		last = p
		for i := range p.entries {
			e := &p.entries[i]
			if (all || e.revision > revision) && !yield(e.key, e.value, e.revision) {
				return
			}
		}
	}
}

// With returns an index that holds value under key and is otherwise the same. The receiver does not change.
func (x *Index[T]) With(key string, value T, revision uint64) *Index[T] {
	e := x.Edit()
	e.Put(key, value, revision)
	return e.Done()
}

// Without returns an index without key. It is the receiver itself when key is not there.
func (x *Index[T]) Without(key string) *Index[T] {
	if x.find(key, hashText(key)) == nil {
		return x
	}
	e := x.Edit()
	e.Delete(key)
	return e.Done()
}
