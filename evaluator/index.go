package evaluator

// pageSize is how many entries a page holds before it splits, and a sheet of the directory names 2^sheetBits pages. What
// a write copies is one page, one sheet and the list of sheets: about 3 KiB together at 10,000 as at 250,000 entries.
const (
	pageSize  = 64
	sheetBits = 7
)

// maxDirectory bounds the directory (2^22 pages). Only keys chosen to collide get there; their page then grows.
const maxDirectory = 22

// Index is a persistent hash table from string keys: a write copies one page and the way to it, so a reader holds a
// version of the whole table by one pointer and never locks. Every entry carries the revision of its last change and
// every page the highest one, so Since skips what did not change. The zero Index is empty.
//
// It is extendible hashing: the upper bits of a key's hash choose the page in the directory, a full page splits in
// two by one more bit, and the directory doubles when a page needs more bits than it has. The directory is cut into
// sheets, because a write would otherwise copy all of it.
type Index[T any] struct {
	directory []sheet[T] // one of 2^depth places, or many of 2^sheetBits
	depth     uint8
	len       int
}

// sheet is a stretch of the directory; a page of fewer bits than depth stands in several neighbouring places.
type sheet[T any] []*page[T]

type page[T any] struct {
	slots   []uint16 // open addressing: place of an entry plus 1, 0 for free; a power of two
	entries []entry[T]
	highest uint64 // revision
	depth   uint8
	owner   *Owner // who made the page and may still change it
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
	return x.page(hash).find(key, hash)
}

// page is the one that hash belongs to; the index must not be empty.
func (x *Index[T]) page(hash uint64) *page[T] {
	place := hash >> (64 - x.depth)
	return x.directory[place>>sheetBits][place&(1<<sheetBits-1)]
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
	for _, sheet := range x.directory {
		for _, p := range sheet {
			if p == last || (!all && p.highest <= revision) {
				continue
			}
			last = p
			if !p.walk(revision, all, yield) {
				return
			}
		}
	}
}

func (p *page[T]) walk(revision uint64, all bool, yield func(string, T, uint64) bool) bool {
	for i := range p.entries {
		e := &p.entries[i]
		if (all || e.revision > revision) && !yield(e.key, e.value, e.revision) {
			return false
		}
	}
	return true
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
