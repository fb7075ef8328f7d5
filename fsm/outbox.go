package fsm

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Notice is one thing that happened and that a receiver outside is to hear of. It stays in the state until the leader
// has delivered it, so it is sent at least once, by whoever leads; what is sent twice has the same ID.
type Notice struct {
	ID          string         `json:"id"`
	Seq         uint64         `json:"seq"` // rises through the whole cluster
	To          string         `json:"to"`
	Kind        string         `json:"kind"` // for example rollout.paused: what happened to which kind of thing
	At          int64          `json:"at"`   // leader time, unix ms
	Tenant      string         `json:"tenant"`
	Environment string         `json:"environment,omitempty"`
	Subject     string         `json:"subject"` // for example rollout/checkout-42
	Revision    uint64         `json:"revision"`
	Actor       Actor          `json:"actor"`
	Data        jsontext.Value `json:"data,omitempty"` // more, by kind; an object
}

// Receiver is what the cluster knows of one receiver, immutable. Where it is and what it is signed with is known only to
// the servers, by the receiver's name.
type Receiver struct {
	Name         string    `json:"name"`
	Delivered    uint64    `json:"delivered,omitzero"`
	Dropped      uint64    `json:"dropped,omitzero"` // given up, or pushed out by newer ones
	DroppedAt    int64     `json:"droppedAt,omitzero"`
	DroppedWhy   string    `json:"droppedWhy,omitempty"`
	Failing      string    `json:"failing,omitempty"` // why the newest try failed; empty: it did not
	FailingSince int64     `json:"failingSince,omitzero"`
	waiting      []*Notice // oldest first
}

// Limits of the outbox: a receiver that is away for days loses the oldest, which is recorded.
const (
	maxReceivers = 64
	maxWaiting   = 1000
	maxNotify    = 10
)

// outbox holds what is to be told, per receiver in the order of their names.
type outbox struct {
	seq       uint64
	receivers []*Receiver
}

// Waiting lists what was not delivered yet, oldest first. The slice is shared: do not change it.
func (r *Receiver) Waiting() []*Notice { return r.waiting }

// Receivers lists those that were ever told something, by name.
func (s *State) Receivers() []*Receiver { return slices.Clone(s.outbox.receivers) }

// Receiver finds one by its name.
func (s *State) Receiver(name string) (*Receiver, bool) {
	at, ok := s.outbox.find(name)
	if !ok {
		return nil, false
	}
	return s.outbox.receivers[at], true
}

func (o *outbox) find(name string) (int, bool) {
	return slices.BinarySearchFunc(o.receivers, name, func(r *Receiver, name string) int { return cmp.Compare(r.Name, name) })
}

// tell puts a notice for each receiver into the outbox. Kind, Tenant, Environment, Subject, Actor and Data are the
// caller's, the rest is filled in here. Receivers are names such as releases.
func (s *State) tell(n Notice, receivers []string) {
	for _, to := range receivers {
		one := n
		s.outbox.seq++
		one.ID, one.Seq, one.To = fmt.Sprintf("%s.%d", s.epoch, s.outbox.seq), s.outbox.seq, to
		one.At, one.Revision = s.now, s.index
		r, ok := s.Receiver(to)
		if !ok {
			if !s.roomForReceiver() {
				continue
			}
			r = &Receiver{Name: to}
		}
		next := *r
		next.waiting = append(slices.Clone(r.waiting), &one)
		if n := len(next.waiting) - maxWaiting; n > 0 {
			next.drop(n, s.now, fmt.Sprintf("more than %d were waiting", maxWaiting))
			next.waiting = slices.Clone(next.waiting[n:])
		}
		s.putReceiver(&next)
	}
}

// roomForReceiver forgets a receiver that waits for nothing when there are too many of them.
func (s *State) roomForReceiver() bool {
	if len(s.outbox.receivers) < maxReceivers {
		return true
	}
	at := slices.IndexFunc(s.outbox.receivers, func(r *Receiver) bool { return len(r.waiting) == 0 })
	if at < 0 {
		return false
	}
	s.rest.remove(receiverLeaf(s.outbox.receivers[at]))
	s.outbox.receivers = slices.Delete(slices.Clone(s.outbox.receivers), at, at+1)
	return true
}

func (r *Receiver) drop(n int, now int64, why string) {
	r.Dropped, r.DroppedAt, r.DroppedWhy = r.Dropped+uint64(n), now, why
}

// putReceiver replaces a receiver, with its hash.
func (s *State) putReceiver(r *Receiver) {
	at, ok := s.outbox.find(r.Name)
	list := slices.Clone(s.outbox.receivers)
	if ok {
		old := list[at]
		s.rest.remove(receiverLeaf(old))
		for _, n := range old.waiting {
			if len(r.waiting) == 0 || n.Seq < r.waiting[0].Seq {
				s.rest.remove(noticeLeaf(n))
			}
		}
		list[at] = r
	} else {
		list = slices.Insert(list, at, r)
	}
	if n := len(r.waiting); n > 0 && (!ok || r.waiting[n-1].Seq > s.outbox.receivers[at].newest()) {
		s.rest.add(noticeLeaf(r.waiting[n-1]))
	}
	s.rest.add(receiverLeaf(r))
	s.outbox.receivers = list
}

func (r *Receiver) newest() uint64 {
	if len(r.waiting) == 0 {
		return 0
	}
	return r.waiting[len(r.waiting)-1].Seq
}

// settle takes in what became of notices. Doing it twice is doing it once.
func (d *draft) settle(c SettleNotices) error {
	if d.proposal.ControllerTerm == 0 {
		return &Error{Kind: KindInvalid, Op: c.Verb(), Detail: "what became of notices names the term of the leader that sent them"}
	}
	s := d.state
	for _, x := range c.Settled {
		old, ok := s.Receiver(x.To)
		if !ok {
			continue
		}
		next := *old
		if next.take(x, s.now) {
			s.putReceiver(&next)
			d.changed = true
		}
	}
	return nil
}

// take reports whether anything changed.
func (r *Receiver) take(x Settled, now int64) bool {
	n, _ := slices.BinarySearchFunc(r.waiting, x.Through+1, func(n *Notice, seq uint64) int { return cmp.Compare(n.Seq, seq) })
	switch {
	case x.Through == 0: // nothing went out; that is what is said
		if x.Why == "" || r.Failing == x.Why {
			return false
		}
		if r.Failing == "" {
			r.FailingSince = now
		}
		r.Failing = x.Why
		return true
	case n == 0:
		return false
	case x.GaveUp:
		r.drop(n, now, x.Why)
	default:
		r.Delivered, r.Failing, r.FailingSince = r.Delivered+uint64(n), "", 0
	}
	r.waiting = append([]*Notice(nil), r.waiting[n:]...)
	return true
}

func receiverLeaf(r *Receiver) sum {
	return newLeaf(leafReceiver, r.Name, r.DroppedWhy, r.Failing).
		numbers(r.Delivered, r.Dropped, uint64(r.DroppedAt), uint64(r.FailingSince)).sum()
}

func noticeLeaf(n *Notice) sum {
	return newLeaf(leafNotice, n.To).digest(digestOf(mustEncode(n))).sum()
}
