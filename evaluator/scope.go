package evaluator

import (
	"cmp"
	"slices"
)

// maxReferrers bounds the search for client-visible flags above a changed one. Beyond it the answer is "yes": a
// client that is woken for nothing asks once more, one that is not woken would keep an old answer.
const maxReferrers = 256

// referrers are the flags and segments that refer to a flag: flags by key, segments by segmentReferrer. It is a
// persistent set of its own because half an environment may hang on one flag.
type referrers = Index[struct{}]

// segmentReferrer cannot be the key of a flag, which never contains a slash.
func segmentReferrer(key string) string { return "/" + key }

func (c *Compiled) flagReferences() []FlagReference {
	if c == nil || c.references == nil {
		return nil
	}
	return c.references.Flags
}

func (c *CompiledSegment) flagReferences() []FlagReference {
	if c == nil || c.references == nil {
		return nil
	}
	return c.references.Flags
}

// touch notes a flag that changed from old to new; either may be nil.
func (st *step) touch(old, new *Compiled) {
	one := cmp.Or(new, old)
	st.refer(one.key, old.flagReferences(), new.flagReferences())
	if (old == nil || old.archived) && (new == nil || new.archived) {
		return // neither was nor is served
	}
	st.touched = append(st.touched, one)
	if old != nil && new != nil && old.clientVisible {
		st.touched = append(st.touched, old)
	}
}

// refer keeps the reverse index: to whom the flag or segment called who refers, and no longer refers.
func (st *step) refer(who string, old, new []FlagReference) {
	same := func(a, b FlagReference) bool { return a.Flag == b.Flag }
	if slices.EqualFunc(old, new, same) {
		return
	}
	if st.refs == nil {
		st.refs = st.old.referrers.Edit()
	}
	for _, r := range old {
		if set, ok := st.refs.next.Get(r.Flag); ok {
			st.refs.Put(r.Flag, set.Without(who), 0)
		}
	}
	for _, r := range new {
		set, ok := st.refs.next.Get(r.Flag)
		if !ok {
			set = &referrers{}
		}
		st.refs.Put(r.Flag, set.With(who, struct{}{}, 0), 0)
	}
}

// moveScopes decides which scopes the step changed. It runs on the publish path, so it looks only at what changed
// and, for a flag that clients do not see, at who refers to it.
func (st *step) moveScopes() {
	n := st.next
	if n.segmentRevision == st.changes.Revision && n.segmentRevision > st.old.segmentRevision {
		n.scopeRevision, n.clientRevision = st.changes.Revision, st.changes.Revision
		return
	}
	if len(st.touched) == 0 {
		return
	}
	n.scopeRevision = st.changes.Revision
	budget := maxReferrers
	for _, f := range st.touched {
		if f.clientVisible || n.concernsClients(f.key, &budget) {
			n.clientRevision = st.changes.Revision
			return
		}
	}
}

// concernsClients reports whether a client-visible flag refers to the flag called key, at any distance. Segments
// count as visible: what uses them is not followed.
func (s *Snapshot) concernsClients(key string, budget *int) bool {
	set, ok := s.referrers.Get(key)
	if !ok {
		return false
	}
	if *budget -= set.Len(); *budget < 0 {
		return true
	}
	concerned := false
	set.All(func(who string, _ struct{}, _ uint64) bool {
		f, _, isFlag := s.Flag(who)
		concerned = !isFlag || f.clientVisible || s.concernsClients(who, budget)
		return !concerned
	})
	return concerned
}

// ScopeRevision is the newest revision that changed anything served: all flags, or the client-visible ones with what
// they refer to. A change of any segment moves both; a change of an archived flag moves neither.
func (s *Snapshot) ScopeRevision(clientOnly bool) uint64 {
	if clientOnly {
		return s.clientRevision
	}
	return s.scopeRevision
}

// ClosureRevision is the newest revision at which the flag called key, or anything it refers to (flags transitively,
// and any segment of the environment if it uses segments), changed. It is what Watch and the OFREP scope wait on.
// For a flag that is not there it is the revision of the snapshot: any change might bring it.
func (s *Snapshot) ClosureRevision(key string) uint64 {
	f, revision, ok := s.Flag(key)
	if !ok {
		return s.revision
	}
	if f.references == nil {
		return revision
	}
	c := closure{snapshot: s, seen: make(map[string]bool)}
	c.flag(key)
	return c.newest
}

// closure walks what a flag refers to.
type closure struct {
	snapshot *Snapshot
	seen     map[string]bool // flags by key, segments by key behind a slash, which no key contains
	newest   uint64
}

func (c *closure) flag(key string) {
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	f, revision, ok := c.snapshot.Flag(key)
	if !ok {
		c.newest = c.snapshot.revision
		return
	}
	c.newest = max(c.newest, revision)
	c.follow(f.references)
}

func (c *closure) follow(refs *References) {
	if refs == nil {
		return
	}
	for _, r := range refs.Flags {
		c.flag(r.Flag)
	}
	for _, r := range refs.Segments {
		key := r.Segment
		c.newest = max(c.newest, c.snapshot.segmentRevision)
		if segment, _, ok := c.snapshot.Segment(key); ok && !c.seen["/"+key] {
			c.seen["/"+key] = true
			c.follow(segment.references)
		}
	}
}
