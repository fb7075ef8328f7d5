package chaos

import (
	"cmp"
	"slices"
	"time"
)

// checkReads compares every read with the state it says it was read from, and with what was known when it began.
func checkReads(e Evidence, r *replayed) (out []Violation) {
	ops := e.History.Ops()
	newest := newestKnown(ops)
	crashes := crashesOf(e.History.Marks())
	seen := map[view]Op{}
	for _, op := range byCall(ops) {
		if !op.Input.Kind.Reads() {
			continue
		}
		if op.Outcome != OK {
			if op.Input.Kind == Stale && op.Outcome == Fail && op.Result.Code != codeDown {
				out = append(out, found(NeverFails, op.Return, "a local read of %q on %s failed: %s", op.Input.Key, op.Node, op.Result.Detail))
			}
			continue
		}
		out = append(out, r.checkRead(op)...)
		switch {
		case op.Input.Kind == Read && op.Revision < newest(op.Call, op.Epoch):
			out = append(out, found(Linearizable, op.Return, "a linearizable read on %s that began after revision %d was acknowledged shows revision %d",
				op.Node, newest(op.Call, op.Epoch), op.Revision))
		case op.Input.Kind == Bounded && op.Epoch == op.Input.Epoch && op.Revision < op.Input.Min:
			out = append(out, found(ReadYourWrite, op.Return, "a read on %s asked for revision %d and shows %d", op.Node, op.Input.Min, op.Revision))
		}
		v := view{op.Client, op.Node, op.Epoch}
		last, before := seen[v]
		if before && op.Revision < last.Revision && !crashes.explain(last, op) {
			out = append(out, found(Monotonic, op.Return, "client %d read revision %d on %s and later %d", op.Client, last.Revision, op.Node, op.Revision))
		}
		if !before || op.Revision >= last.Revision {
			seen[v] = op
		}
	}
	return out
}

// view is what a client sees of one node in one epoch.
type view struct {
	client int
	node   string
	epoch  string
}

func byCall(ops []Op) []Op {
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
	return ops
}

// checkRead compares what was read with the model at that revision.
func (r *replayed) checkRead(op Op) []Violation {
	if op.Input.Key == "" || op.Revision > r.last() {
		return nil
	}
	want := r.model.place(op.Input.Environment).at(op.Input.Key, op.Revision)
	got := op.Result
	if got.Found == want.exists && got.Killed == (want.killed && want.exists && want.enabled) && (!want.exists || got.Object == want.revision && got.Value == want.served()) {
		return nil
	}
	return []Violation{found(readInvariant(op.Input.Kind), op.Return, "a %s read of %q on %s at revision %d shows (found %v, revision %d, %q, killed %v), the log says (%v, %d, %q, %v)",
		op.Input.Kind, op.Input.Key, op.Node, op.Revision, got.Found, got.Object, got.Value, got.Killed, want.exists, want.revision, want.served(), want.killed)}
}

func readInvariant(k Kind) int {
	if k == Read {
		return Linearizable
	}
	return Monotonic
}

// newestKnown gives the highest revision that some client had been told of before a moment, whether by a write or by a
// linearizable read.
func newestKnown(ops []Op) func(before int64, epoch string) uint64 {
	type told struct {
		at       int64
		revision uint64
	}
	byEpoch := map[string][]told{}
	for _, op := range ops { // in the order of return
		if op.Outcome == OK && (op.Input.Kind == Read || !op.Input.Kind.Reads()) {
			list := byEpoch[op.Epoch]
			high := op.Revision
			if len(list) > 0 {
				high = max(high, list[len(list)-1].revision)
			}
			byEpoch[op.Epoch] = append(list, told{op.Return, high})
		}
	}
	return func(before int64, epoch string) uint64 {
		list := byEpoch[epoch]
		at, _ := slices.BinarySearchFunc(list, before, func(t told, before int64) int { return cmp.Compare(t.at, before) })
		if at == 0 {
			return 0
		}
		return list[at-1].revision
	}
}

// crashes are the times at which processes died without a word, by node.
type crashes map[string][]int64

func crashesOf(marks []Mark) crashes {
	out := crashes{}
	for _, m := range marks {
		if m.What == MarkCrash {
			out[m.Node] = append(out[m.Node], m.At)
		}
	}
	return out
}

// rememberedAfter is how long after it was served a revision is certain to be served again after a crash: the applied
// index is written down once a second, and a disk that hangs ends the process after two.
const rememberedAfter = 4 * time.Second

// explain tells whether a crash of the node is the reason why a read went back: what was served only just before the
// crash may be gone until a leader is heard, what was served earlier may not.
func (c crashes) explain(before, op Op) bool {
	for _, at := range c[op.Node] {
		if at >= before.Call && at <= op.Return && before.Return >= at-int64(rememberedAfter) {
			return true
		}
	}
	return false
}

// checkFrames: followers hold exactly the state of the revision they are at, and never go back in an epoch.
func checkFrames(e Evidence, r *replayed) (out []Violation) {
	type place struct {
		client int
		epoch  string
	}
	last := map[place]uint64{}
	for _, f := range e.History.Frames() {
		at := place{f.Client, f.Epoch}
		if f.Revision < last[at] {
			out = append(out, found(Streams, f.At, "follower %d goes back from revision %d to %d", f.Client, last[at], f.Revision))
		}
		last[at] = max(last[at], f.Revision)
		if s := r.at(f.Revision); s == nil || s.epoch != f.Epoch {
			continue
		}
		if want := r.wanted[spot{f.Environment, f.Revision}]; want != "" && want != f.Digest {
			out = append(out, found(Streams, f.At, "follower %d of %s holds something else than the state at revision %d", f.Client, f.Environment, f.Revision))
		}
	}
	return out
}
