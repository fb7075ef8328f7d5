package evaluator

// Tombstone remembers that a flag or segment was removed, so that Since can say so.
type Tombstone struct {
	Segment  bool
	Key      string
	Revision uint64
	At       int64 // leader time in unix ms
}

// Tombstones are kept for an hour, and at least the newest ten thousand of them.
const (
	tombstoneMillis = 60 * 60 * 1000
	tombstoneCount  = 10_000
	graveyardSize   = 256
)

// graves is a persistent list of tombstones in the order of their revisions, in chunks so that adding one copies at
// most one chunk and forgetting drops whole ones.
type graves struct {
	chunks [][]Tombstone
	len    int
	floor  uint64 // the highest revision of what was forgotten; Since cannot answer below it
}

// with returns the list with more at its end, without what is both old and beyond the count at time now.
func (g graves) with(more []Tombstone, now int64) graves {
	if len(more) == 0 {
		return g
	}
	chunks := make([][]Tombstone, len(g.chunks), len(g.chunks)+1+len(more)/graveyardSize)
	copy(chunks, g.chunks)
	g.chunks = chunks
	g.len += len(more)
	for len(more) > 0 {
		last := len(g.chunks) - 1
		if last < 0 || len(g.chunks[last]) >= graveyardSize {
			g.chunks = append(g.chunks, nil)
			last++
		}
		n := min(len(more), graveyardSize-len(g.chunks[last]))
		g.chunks[last] = append(append(make([]Tombstone, 0, len(g.chunks[last])+n), g.chunks[last]...), more[:n]...)
		more = more[n:]
	}
	for len(g.chunks) > 1 {
		first := g.chunks[0]
		newest := first[len(first)-1]
		if g.len-len(first) < tombstoneCount || now-newest.At < tombstoneMillis {
			break
		}
		g.floor = newest.Revision
		g.len -= len(first)
		g.chunks = g.chunks[1:]
	}
	return g
}

// since calls yield for every tombstone above revision, the oldest first.
func (g graves) since(revision uint64, yield func(*Tombstone)) {
	for _, chunk := range g.chunks {
		if chunk[len(chunk)-1].Revision <= revision {
			continue
		}
		for i := range chunk {
			if chunk[i].Revision > revision {
				yield(&chunk[i])
			}
		}
	}
}
