package evaluator

import "slices"

// Edit collects many writes into one new Index and copies each touched page and sheet once. It belongs to one goroutine
// and ends with Done.
type Edit[T any] struct {
	next  Index[T]
	owner *Owner // of the pages that this edit may change
	mine  []bool // sheets of next that no other index shares; nil: the directory too is shared
	alone Owner
}

// Owner is what edits have in common that follow each other and of which only the last result is kept: what one of them
// copied, the next one changes in place. The results in between must not be read any more once the next edit began.
type Owner struct{ _ byte }

// Edit starts an edit. The receiver does not change.
func (x *Index[T]) Edit() *Edit[T] { return x.EditAs(nil) }

// EditAs starts an edit of an owner; nil: it has none but itself. The receiver changes if the owner made it.
func (x *Index[T]) EditAs(owner *Owner) *Edit[T] {
	e := &Edit[T]{next: *x, owner: owner}
	if owner == nil {
		e.owner = &e.alone
	}
	if len(x.directory) == 0 {
		e.next.directory, e.mine = []sheet[T]{{newPage[T](0, 1, e.owner)}}, []bool{true}
	}
	return e
}

// Done returns the edited index; the edit must not be used again.
func (e *Edit[T]) Done() *Index[T] {
	x := e.next
	e.next.directory = nil // a page left behind by its owner must not be changed by it
	return &x
}

// Get returns the value stored under key, as edited so far.
func (e *Edit[T]) Get(key string) (value T, ok bool) { return e.next.Get(key) }

// Put stores value under key with the revision of this change.
func (e *Edit[T]) Put(key string, value T, revision uint64) {
	hash := hashText(key)
	p := e.own(hash)
	p.highest = max(p.highest, revision)
	if old := p.find(key, hash); old != nil {
		old.value, old.revision = value, revision
		return
	}
	for len(p.entries) >= pageSize && p.depth < maxDirectory {
		e.split(p, hash)
		p = e.own(hash)
		p.highest = max(p.highest, revision)
	}
	p.insert(entry[T]{key: key, value: value, revision: revision}, hash)
	e.next.len++
}

// Delete removes key and reports whether it was there.
func (e *Edit[T]) Delete(key string) bool {
	hash := hashText(key)
	if e.next.find(key, hash) == nil {
		return false
	}
	p := e.own(hash)
	i := slices.IndexFunc(p.entries, func(one entry[T]) bool { return one.key == key })
	p.entries = slices.Delete(p.entries, i, i+1)
	p.layout(len(p.slots))
	e.next.len--
	return true
}

// own returns the page of hash, copied unless this edit made it.
func (e *Edit[T]) own(hash uint64) *page[T] {
	p := e.next.page(hash)
	if p.owner == e.owner {
		return p
	}
	mine := &page[T]{slots: slices.Clone(p.slots), highest: p.highest, depth: p.depth, owner: e.owner}
	mine.entries = append(make([]entry[T], 0, len(p.entries)+1), p.entries...)
	e.replace(hash, mine)
	return mine
}

// replace puts p at every place of the directory that p's own bits cover.
func (e *Edit[T]) replace(hash uint64, p *page[T]) {
	if e.mine == nil {
		e.next.directory, e.mine = slices.Clone(e.next.directory), make([]bool, len(e.next.directory))
	}
	span := 1 << (e.next.depth - p.depth)
	first := int(hash>>(64-e.next.depth)) &^ (span - 1)
	for i := first; i < first+span; i++ {
		n := i >> sheetBits
		if !e.mine[n] {
			e.next.directory[n], e.mine[n] = slices.Clone(e.next.directory[n]), true
		}
		e.next.directory[n][i&(1<<sheetBits-1)] = p
	}
}

// split replaces the page p, which hash belongs to, by two pages of one more bit.
func (e *Edit[T]) split(p *page[T], hash uint64) {
	if p.depth == e.next.depth {
		e.double()
	}
	halves := [2]*page[T]{newPage[T](p.depth+1, pageSize/2, e.owner), newPage[T](p.depth+1, pageSize/2, e.owner)}
	for _, one := range p.entries {
		h := hashText(one.key)
		half := halves[h>>(63-p.depth)&1]
		half.insert(one, h)
		half.highest = max(half.highest, one.revision)
	}
	bit := uint64(1) << (63 - p.depth)
	e.replace(hash&^bit, halves[0])
	e.replace(hash|bit, halves[1])
}

// double gives the directory one bit more: every page stands in twice as many places.
func (e *Edit[T]) double() {
	places := make([]*page[T], 0, 2<<e.next.depth)
	for _, sheet := range e.next.directory {
		for _, p := range sheet {
			places = append(places, p, p)
		}
	}
	e.next.directory = nil
	for one := range slices.Chunk(places, 1<<sheetBits) {
		e.next.directory = append(e.next.directory, one)
	}
	e.next.depth++
	e.mine = slices.Repeat([]bool{true}, len(e.next.directory))
}

func newPage[T any](depth uint8, room int, owner *Owner) *page[T] {
	p := &page[T]{depth: depth, owner: owner, entries: make([]entry[T], 0, room)}
	p.slots = make([]uint16, slotsFor(room))
	return p
}

// slotsFor keeps at least half of the slots free, so that a search ends soon.
func slotsFor(entries int) int {
	n := 4
	for n < 2*entries {
		n *= 2
	}
	return n
}

func (p *page[T]) insert(one entry[T], hash uint64) {
	p.entries = append(p.entries, one)
	if 2*len(p.entries) > len(p.slots) {
		p.layout(2 * len(p.slots))
		return
	}
	p.occupy(hash, len(p.entries))
}

// layout fills the slots anew.
func (p *page[T]) layout(slots int) {
	p.slots = make([]uint16, slots)
	for i := range p.entries {
		p.occupy(hashText(p.entries[i].key), i+1)
	}
}

func (p *page[T]) occupy(hash uint64, place int) {
	mask := uint64(len(p.slots) - 1)
	i := hash & mask
	for p.slots[i] != 0 {
		i = (i + 1) & mask
	}
	p.slots[i] = uint16(place)
}
