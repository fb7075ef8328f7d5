package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// ledgerEnvironment is where the demo writes what it later looks for; the shop's own flags stay readable.
const ledgerEnvironment = "ledger"

// ledger writes numbered configs through all nodes, remembers which were acknowledged, and looks for each of them on
// every node in the end.
type ledger struct {
	children []*child

	next     atomic.Int64
	backward atomic.Int64 // a read demanding the revision of a write did not have it

	mu           sync.Mutex
	acknowledged map[string]uint64 // key → revision the receipt named
	unknown      int               // writes whose outcome stayed unknown until the deadline
	last         uint64            // highest acknowledged revision
	lastAt       time.Time
}

func newLedger(children []*child) *ledger {
	return &ledger{children: children, acknowledged: map[string]uint64{}}
}

// run writes from several clients at once, each at its own pace, until ctx ends.
func (l *ledger) run(ctx context.Context, writers int, pause time.Duration) {
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for turn := w; sleepUntil(ctx, time.Now().Add(pause)); turn++ {
				l.write(ctx, turn, 10*time.Second)
			}
		})
	}
	all.Wait()
}

// write creates one numbered config, trying every node in turn with the same request id until one acknowledges it, and
// then reads it back from the next node. It reports whether the write was acknowledged.
func (l *ledger) write(ctx context.Context, turn int, patience time.Duration) bool {
	number := l.next.Add(1)
	key := fmt.Sprintf("write-%06d", number)
	id := fsm.NewRequestID(time.Now().UnixMilli(), uuid.New())
	none := uint64(0)
	request := &hoistv1.PutFlagRequest{Environment: ledgerEnvironment,
		Flag:  &hoistv1.Flag{Key: key, Kind: "config", Type: "number", Value: structpb.NewNumberValue(float64(number))},
		Write: &hoistv1.WriteOptions{RequestId: id, ExpectedRevision: &none}}
	// A write that was begun is finished even when the demo is over, so that no outcome stays unknown for that reason.
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for attempt := 0; limited.Err() == nil; attempt++ {
		c := l.children[(turn+attempt)%len(l.children)]
		one, done := context.WithTimeout(limited, 3*time.Second)
		receipt, err := c.node.flags.Put(one, request)
		done()
		if err == nil {
			l.acknowledge(key, receipt.GetReceipt())
			l.readBack(limited, l.children[(turn+attempt+1)%len(l.children)], key, receipt.GetReceipt())
			return true
		}
		if !sleepUntil(limited, time.Now().Add(10*time.Millisecond)) {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unknown++
	return false
}

func (l *ledger) acknowledge(key string, r *hoistv1.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[key] = r.GetRevision()
	if r.GetRevision() > l.last {
		l.last, l.lastAt = r.GetRevision(), time.Now()
	}
}

// readBack demands the write from another node. A node that is down or still behind says so, which is fine; one that
// answers must have it.
func (l *ledger) readBack(ctx context.Context, c *child, key string, r *hoistv1.Receipt) {
	got, err := c.node.flags.Get(ctx, &hoistv1.GetFlagRequest{Environment: ledgerEnvironment, Key: key,
		Read: &hoistv1.ReadOptions{MinRevision: r.GetRevision(), Epoch: r.GetEpoch()}})
	missing := err != nil && asFailure(err).code == exitNotFound
	if missing || err == nil && got.GetPosition().GetRevision() < r.GetRevision() {
		l.backward.Add(1)
	}
}

// lost looks for every acknowledged write on every node and returns how many are missing somewhere.
func (l *ledger) lost(ctx context.Context) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := map[string]bool{}
	for _, c := range l.children {
		found, err := c.ledgerFlags(ctx)
		if err != nil {
			return 0, fmt.Errorf("reading the ledger of %s: %w", c.name, err)
		}
		for key := range l.acknowledged {
			if !found[key] {
				missing[key] = true
			}
		}
	}
	return len(missing), nil
}

// ledgerFlags lists the keys in the ledger of one node.
func (c *child) ledgerFlags(ctx context.Context) (map[string]bool, error) {
	found := map[string]bool{}
	request := &hoistv1.ListFlagsRequest{Environment: ledgerEnvironment, PageSize: 1000}
	for {
		page, err := c.node.flags.List(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, s := range page.GetFlags() {
			found[s.GetFlag().GetKey()] = true
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return found, nil
		}
	}
}
