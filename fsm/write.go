package fsm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hoistflags/hoist/evaluator"
)

// put stores a definition unless it is there already, with everything that follows from it: history, hashes, reverse
// references and the audit row. It reports the touch, nil when nothing changed.
func (d *draft) put(c Command, kind ObjectKind, key string, record []byte, refs evaluator.References) *touch {
	old, exists := d.env.item(kind, key)
	sum := digestOf(record)
	if exists && old.digest() == sum {
		d.object = old.Revision
		return nil
	}
	it := &item{FlagRecord: FlagRecord{Key: key, Revision: d.state.index, Created: d.state.index, UpdatedAt: d.state.now, Record: record}}
	var before *digest
	if exists {
		it.Created = old.Created
		before = new(digest)
		*before = old.digest()
		d.dropLeaves(kind, old)
	}
	if len(refs.Flags)+len(refs.Segments) > 0 {
		it.refs = &refs
	}
	it.versions = d.grow(kind, key, c.Verb(), record, sum)
	d.env.setTable(kind, d.env.table(kind).With(indexKey(kind, key), it, d.state.index))
	d.addLeaves(kind, it)
	d.relink(kind, key, old, it)
	d.audit(c, kind, key, before, &sum)
	d.object = d.state.index
	return d.touch(kind, key)
}

// remove deletes a flag with its exposures, or a segment. Its history stays.
func (d *draft) remove(c Command) error {
	t := c.target()
	old, exists := d.env.item(t.Object, t.Key)
	if !exists {
		return missingItem(c)
	}
	before := old.digest()
	d.dropLeaves(t.Object, old)
	versions := d.grow(t.Object, t.Key, c.Verb(), nil, digest{})
	d.env.setTable(t.Object, d.env.table(t.Object).Without(indexKey(t.Object, t.Key)))
	d.bury(nodeName(t.Object, t.Key), versions)
	d.relink(t.Object, t.Key, old, nil)
	if t.Object == ObjectFlag {
		d.setExposures(t.Key, nil)
	}
	d.audit(c, t.Object, t.Key, &before, nil)
	touched := d.touch(t.Object, t.Key)
	touched.flag, touched.seg = nil, nil
	d.object = d.state.index
	return nil
}

// grow returns the history with one version more. Two changes of one entry are one version.
func (d *draft) grow(kind ObjectKind, key, verb string, record []byte, sum digest) []version {
	old := d.env.versions(kind, key)
	node := nodeName(kind, key)
	if n := len(old); n > 0 && old[n-1].Revision == d.state.index {
		d.state.rest.remove(d.versionLeaf(node, old[n-1]))
		old = old[:n-1]
	}
	added := version{digest: sum, Version: Version{Revision: d.state.index, At: d.state.now, Actor: d.proposal.Actor, Verb: verb, Record: record}}
	d.state.rest.add(d.versionLeaf(node, added))
	grown := append(slices.Clip(old), added)
	drop := trimmed(grown)
	for _, v := range grown[:drop] {
		d.state.rest.remove(d.versionLeaf(node, v))
	}
	d.unbury(node)
	return slices.Clone(grown[drop:])
}

// maxGraves bounds the histories of deleted items per environment.
const maxGraves = 10_000

func (d *draft) bury(node string, versions []version) {
	d.env.graves = d.env.graves.With(node, versions, d.state.index)
	d.env.graveOrder = append(d.env.graveOrder, node)
	for d.env.graves.Len() > maxGraves {
		oldest := d.env.graveOrder[0]
		d.env.graveOrder = d.env.graveOrder[1:]
		versions, _ := d.env.graves.Get(oldest)
		for _, v := range versions {
			d.state.rest.remove(d.versionLeaf(oldest, v))
		}
		d.env.graves = d.env.graves.Without(oldest)
	}
}

// unbury takes a history out of its grave because its item exists again, or gets a new grave.
func (d *draft) unbury(node string) {
	if _, buried := d.env.graves.Get(node); !buried {
		return
	}
	d.env.graves = d.env.graves.Without(node)
	at := slices.Index(d.env.graveOrder, node)
	d.env.graveOrder = slices.Delete(slices.Clone(d.env.graveOrder), at, at+1)
}

func (d *draft) versionLeaf(node string, v version) sum { return versionLeaf(d.env, node, v) }

func versionLeaf(e *Environment, node string, v version) sum {
	return newLeaf(leafVersion, e.tenant, e.key, node, v.Verb).
		numbers(v.Revision, uint64(v.At)).actor(v.Actor).digest(v.digest).sum()
}

func (d *draft) dropLeaves(kind ObjectKind, it *item) {
	d.env.declared.remove(declaredLeaf(kind, it))
	d.state.domain.remove(objectLeaf(d.env, kind, it))
	d.state.rest.remove(stampLeaf(d.env, kind, it))
}

func (d *draft) addLeaves(kind ObjectKind, it *item) {
	d.env.declared.add(declaredLeaf(kind, it))
	d.state.domain.add(objectLeaf(d.env, kind, it))
	d.state.rest.add(stampLeaf(d.env, kind, it))
}

func declaredLeaf(kind ObjectKind, it *item) sum {
	return newLeaf(leafObject, string(kind), it.Key).digest(it.digest()).sum()
}

func objectLeaf(e *Environment, kind ObjectKind, it *item) sum {
	return newLeaf(leafObject, e.tenant, e.key, string(kind), it.Key).digest(it.digest()).sum()
}

func stampLeaf(e *Environment, kind ObjectKind, it *item) sum {
	return newLeaf(leafStamp, e.tenant, e.key, string(kind), it.Key).
		numbers(it.Revision, it.Created, uint64(it.UpdatedAt)).sum()
}

func (d *draft) audit(c Command, kind ObjectKind, key string, before, after *digest) {
	row := Audit{Index: d.state.index, At: d.state.now, Actor: d.proposal.Actor, RequestID: d.proposal.RequestID,
		Tenant: d.env.tenant, Environment: d.env.key, Verb: c.Verb(), Target: string(kind) + "/" + key,
		Reason: d.proposal.Comment}
	if before != nil {
		row.Before = before.hex()
	}
	if after != nil {
		row.After = after.hex()
	}
	if kill, ok := c.(Kill); ok && kill.Reason != "" {
		row.Reason = kill.Reason
	}
	d.state.audit.append(row)
}

// refused turns what the evaluator says about a definition into the answer of the write.
func refused(e *Environment, t *touch, err error) *Error {
	out := &Error{Kind: KindInvalid, Target: Scope{e.tenant, e.key}.object(t.kind, t.key).String(), Err: err,
		Detail: "the definition breaks rules; correct the named fields"}
	if !errors.As(err, &out.Problems) {
		out.Detail = fmt.Sprintf("the definition does not compile: %v", err)
	}
	return out
}
