package fsm

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hoistflags/hoist/evaluator"
)

// Environment is one environment of a tenant, immutable.
type Environment struct {
	tenant, key, name string
	created           uint64
	revision          uint64                  // of the last declared or exposure change
	declaredAt        uint64                  // of the last declared change
	flags             *evaluator.Index[*item] // by folded key: keys that differ only in case meet here
	segments          *evaluator.Index[*item]
	exposures         *evaluator.Index[[]Exposure]   // by flag key
	used              *evaluator.Index[int64]        // by flag key: the unix day of its last evaluation by name, see use.go
	past              *evaluator.Index[[]*standing]  // by flag key, see past.go
	referrers         *evaluator.Index[*referrerSet] // by node name, see reference.go
	graves            *evaluator.Index[[]*version]   // histories of deleted items, by node name
	graveOrder        []string                       // oldest first
	snapshot          *evaluator.Snapshot
	rollouts          *evaluator.Index[*Rollout] // by id
	rolloutOrder      []string                   // ids in the order of their starts
	liveRollouts      []string                   // those that own a seat, in the same order
	policy            *Policy                    // nil: nothing was set
	changes           *evaluator.Index[*Change]  // by id
	changeOrder       []string                   // ids in the order in which they were opened
	openChanges       []string                   // those that may still happen, in the same order
	budget            *budgeted
	freezes           []*Frozen // the one that ends last first
	declared          sum
	sorted            *sortedRecords
}

// sortedRecords keeps the lists in key order once somebody asked for them.
type sortedRecords struct {
	flags    atomic.Pointer[[]*FlagRecord]
	segments atomic.Pointer[[]*SegmentRecord]
}

func newEnvironment(tenant, key, name, epoch string, created uint64) *Environment {
	return &Environment{
		tenant: tenant, key: key, name: name, created: created, revision: created, declaredAt: created,
		changes:   &evaluator.Index[*Change]{},
		flags:     &evaluator.Index[*item]{},
		segments:  &evaluator.Index[*item]{},
		exposures: &evaluator.Index[[]Exposure]{},
		used:      &evaluator.Index[int64]{},
		past:      &evaluator.Index[[]*standing]{},
		referrers: &evaluator.Index[*referrerSet]{},
		graves:    &evaluator.Index[[]*version]{},
		rollouts:  &evaluator.Index[*Rollout]{},
		snapshot:  evaluator.EmptySnapshot(epoch),
		sorted:    &sortedRecords{},
	}
}

// Tenant is the key of the tenant that owns the environment.
func (e *Environment) Tenant() string { return e.tenant }

// Key is unique within the tenant and never changes.
func (e *Environment) Key() string { return e.key }

// Name is what people call it; the key when none was given.
func (e *Environment) Name() string { return cmp.Or(e.name, e.key) }

// Revision is that of the last change of a declaration or an exposure here.
func (e *Environment) Revision() uint64 { return e.revision }

// DeclaredHash covers the declared flags and segments and nothing else: two environments with the same content have
// the same hash.
func (e *Environment) DeclaredHash() string { return e.declared.hex() }

// Snapshot is what is served: declarations with their exposures.
func (e *Environment) Snapshot() *evaluator.Snapshot { return e.snapshot }

// Len is how many flags, archived ones included, and segments there are.
func (e *Environment) Len() (flags, segments int) { return e.flags.Len(), e.segments.Len() }

// Flag returns a declared flag, archived or not.
func (e *Environment) Flag(key string) (*FlagRecord, bool) {
	it, ok := e.item(ObjectFlag, key)
	if !ok {
		return nil, false
	}
	return &it.FlagRecord, true
}

// Segment returns a segment.
func (e *Environment) Segment(key string) (*SegmentRecord, bool) {
	it, ok := e.item(ObjectSegment, key)
	if !ok {
		return nil, false
	}
	return (*SegmentRecord)(&it.FlagRecord), true
}

// Flags returns every declared flag sorted by key, archived ones included. The slice is shared: do not change it.
func (e *Environment) Flags() []*FlagRecord {
	if p := e.sorted.flags.Load(); p != nil {
		return *p
	}
	list := make([]*FlagRecord, 0, e.flags.Len())
	e.flags.All(func(_ string, it *item, _ uint64) bool {
		list = append(list, &it.FlagRecord)
		return true
	})
	slices.SortFunc(list, func(a, b *FlagRecord) int { return strings.Compare(a.Key, b.Key) })
	e.sorted.flags.Store(&list)
	return list
}

// Segments returns every segment sorted by key. The slice is shared: do not change it.
func (e *Environment) Segments() []*SegmentRecord {
	if p := e.sorted.segments.Load(); p != nil {
		return *p
	}
	list := make([]*SegmentRecord, 0, e.segments.Len())
	e.segments.All(func(_ string, it *item, _ uint64) bool {
		list = append(list, (*SegmentRecord)(&it.FlagRecord))
		return true
	})
	slices.SortFunc(list, func(a, b *SegmentRecord) int { return strings.Compare(a.Key, b.Key) })
	e.sorted.segments.Store(&list)
	return list
}

// Content decodes everything that is declared here, sorted by key.
func (e *Environment) Content() Content {
	var c Content
	for _, r := range e.Flags() {
		c.Flags = append(c.Flags, r.Flag())
	}
	for _, r := range e.Segments() {
		c.Segments = append(c.Segments, r.Segment())
	}
	c.Schedules, c.StatesSchedules = e.Schedules(), true
	return c
}

// Exposures returns what stands beside a flag, by owner.
func (e *Environment) Exposures(flag string) []Exposure {
	list, _ := e.exposures.Get(flag)
	return list
}

// History returns the versions still held, newest first, also those of a deleted item.
func (e *Environment) History(kind ObjectKind, key string) []Version {
	versions := e.versions(kind, key)
	out := make([]Version, 0, len(versions))
	for _, v := range slices.Backward(versions) {
		out = append(out, v.Version)
	}
	return out
}

func (e *Environment) versions(kind ObjectKind, key string) []*version {
	if it, ok := e.item(kind, key); ok {
		return it.versions
	}
	versions, _ := e.graves.Get(nodeName(kind, key))
	return versions
}

// Content is one environment's declared content: the unit of Diff, export and apply.
type Content struct {
	Flags    []*evaluator.Flag
	Segments []*evaluator.Segment
	// Schedules stand beside the flags. With StatesSchedules set they are all that the named flags have.
	Schedules       []*Schedule
	StatesSchedules bool
}

func (e *Environment) item(kind ObjectKind, key string) (*item, bool) {
	it, ok := e.table(kind).Get(indexKey(kind, key))
	if !ok || it.Key != key {
		return nil, false
	}
	return it, true
}

func (e *Environment) table(kind ObjectKind) *evaluator.Index[*item] {
	if kind == ObjectSegment {
		return e.segments
	}
	return e.flags
}

// indexKey folds the case of flag keys, so that two which differ only in case find each other. Keys are ASCII.
func indexKey(kind ObjectKind, key string) string {
	if kind == ObjectFlag {
		return strings.ToLower(key)
	}
	return key
}

// clone is a copy to change; whoever makes it publishes it at most once.
func (e *Environment) clone() *Environment {
	c := *e
	c.sorted = &sortedRecords{}
	return &c
}
