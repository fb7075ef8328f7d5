package main

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// A check that cannot fail proves nothing: each of the demo's checks is shown a breach here.

// reachable is a child of the demo that is really the node of the test.
func reachable(t *testing.T, url string) *child {
	t.Helper()
	n, err := dial(where{addr: url, tenant: defaultTenant, environment: defaultEnvironment, token: os.Getenv("HOIST_TOKEN")})
	require.NoError(t, err)
	return &child{name: "node", http: url, node: n, evaluates: os.Getenv("TEST_SERVER_TOKEN")}
}

func TestTheLedgerFindsALostWriteAndABackwardRead(t *testing.T) {
	c := reachable(t, dev(t))
	does(t, "env", "create", ledgerEnvironment)
	l := newLedger([]*child{c})
	require.True(t, l.write(t.Context(), 0, 10*time.Second))
	lost, err := l.lost(t.Context())
	require.NoError(t, err)
	require.Zero(t, lost)
	require.Zero(t, l.backward.Load())

	never := &hoistv1.Receipt{Revision: l.last}
	l.acknowledge("never-written", never)
	lost, err = l.lost(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, lost)
	l.readBack(t.Context(), c, "never-written", never)
	require.EqualValues(t, 1, l.backward.Load())
}

func TestAWriteNobodyAcknowledgesIsUnknown(t *testing.T) {
	l := newLedger([]*child{reachable(t, "127.0.0.1:1")})
	require.False(t, l.write(t.Context(), 0, 50*time.Millisecond))
	require.Equal(t, 1, l.unknown)
	require.Empty(t, l.acknowledged)
}

func TestTrafficCountsFailuresAndBackwardAnswers(t *testing.T) {
	c := reachable(t, dev(t, shop))
	ask := question{key: "payments-v2", body: []byte(`{"context":{}}`)}

	alive := newTraffic([]*child{reachable(t, "127.0.0.1:1"), c}, 100)
	alive.patience = time.Minute // an answer ends it
	alive.ask(t.Context(), ask, 0)
	require.EqualValues(t, 1, alive.done.Load(), "the next node answers")
	require.Zero(t, alive.failed.Load())

	c.highest.Store(1 << 40) // as if this process had answered from a far newer state before
	alive.ask(t.Context(), ask, 0)
	require.EqualValues(t, 1, alive.backward.Load())

	unknown := newTraffic([]*child{c}, 100)
	unknown.ask(t.Context(), question{key: "nobody-knows", body: ask.body}, 0)
	require.EqualValues(t, 1, unknown.failed.Load())
	require.Contains(t, unknown.first, "404")
}

func TestTheFlipperFindsALostFlip(t *testing.T) {
	c := reachable(t, dev(t, shop))
	f := &flipper{children: []*child{c}, acknowledged: 1, certain: true, enabled: true}
	lost, err := f.lost(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, lost, "gift-cards is dark")
	does(t, "flag", "enable", flippedFlag)
	lost, err = f.lost(t.Context())
	require.NoError(t, err)
	require.Zero(t, lost)
}
