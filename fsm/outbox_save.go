package fsm

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// saveOutbox writes each receiver with what waits for it.
func (s *State) saveOutbox(w *writer) {
	if s.outbox.seq == 0 {
		return
	}
	w.numbers(s.outbox.seq).end(recordOutbox)
	for _, r := range s.outbox.receivers {
		w.bytes(mustEncode(r)).end(recordReceiver)
		for _, n := range r.waiting {
			w.bytes(mustEncode(n)).end(recordNotice)
		}
	}
}

func (l *loader) receiver(r *reader) error {
	x := &Receiver{}
	if err := json.Unmarshal(r.bytes(), x, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a receiver of notices: %w", err)
	}
	o := &l.state.outbox
	if n := len(o.receivers); n > 0 && o.receivers[n-1].Name >= x.Name {
		return fmt.Errorf("receiver %q is out of order", x.Name)
	}
	o.receivers = append(o.receivers, x)
	l.state.rest.add(receiverLeaf(x))
	return nil
}

func (l *loader) notice(r *reader) error {
	x := &Notice{}
	if err := json.Unmarshal(r.bytes(), x, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("a notice: %w", err)
	}
	o := &l.state.outbox
	if n := len(o.receivers); n == 0 || o.receivers[n-1].Name != x.To {
		return fmt.Errorf("a notice for %q does not follow its receiver", x.To)
	}
	to := o.receivers[len(o.receivers)-1]
	to.waiting = append(to.waiting, x)
	l.state.rest.add(noticeLeaf(x))
	return nil
}
