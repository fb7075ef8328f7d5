package cluster

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

func TestAnAttemptSurvivesTheWire(t *testing.T) {
	conflict := &fsm.Error{Kind: fsm.KindConflict, Op: "flag.put", Target: "a", Detail: "moved", Revision: 7,
		Problems: evaluator.Problems{{Field: "rules[0]", Code: "x", Message: "y"}}}
	for name, a := range map[string]attempt{
		"a receipt":      {receipt: fsm.Receipt{Epoch: "e", Revision: 5, Object: 4, Changed: true}},
		"a replay":       {receipt: fsm.Receipt{Epoch: "e", Revision: 5, Replayed: true}},
		"a conflict":     {err: conflict},
		"not logged":     {verdict: notLogged},
		"unknown":        {verdict: unknown, err: errors.New("leadership lost")},
		"behind by an e": {receipt: fsm.Receipt{Revision: 1 << 40}, err: errors.New("x")},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := decodeAttempt(a.encode())
			require.NoError(t, err)
			require.Equal(t, a, got)
		})
	}
}

func FuzzAttempt(f *testing.F) {
	f.Add(attempt{receipt: fsm.Receipt{Epoch: "e", Revision: 5}}.encode())
	f.Add(attempt{verdict: unknown, err: errors.New("x")}.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := decodeAttempt(data)
		if err != nil {
			require.ErrorIs(t, err, errMalformed)
			return
		}
		again, err := decodeAttempt(a.encode())
		require.NoError(t, err)
		require.Equal(t, a.receipt, again.receipt)
		require.Equal(t, a.verdict, again.verdict)
	})
}

func TestFramesFollowEachOther(t *testing.T) {
	frames := []frame{{kind: kindForward, call: 1, body: []byte("x")}, {kind: kindPeers, call: 1 << 60, body: []byte{}}}
	var wire []byte
	for _, f := range frames {
		wire = f.append(wire)
	}
	r := bytes.NewReader(wire)
	for _, want := range frames {
		got, err := readFrame(r)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(frame{kind: kindJoin, call: 3, body: []byte("{}")}.append(nil))
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readFrame(bytes.NewReader(data))
		if err == nil {
			require.Equal(t, data[:frameHeader+len(got.body)], got.append(nil))
		}
	})
}

func TestTimeTravelsAsWhatIsLeft(t *testing.T) {
	left, rest, err := takeTime(append(appendTime(nil, 1500*time.Millisecond), 'x'))
	require.NoError(t, err)
	require.InDelta(t, 1500, left.Milliseconds(), 1)
	require.Equal(t, []byte("x"), rest)
	left, _, err = takeTime(appendTime(nil, -time.Second))
	require.NoError(t, err)
	require.Positive(t, left, "a call that is late still says so")
	_, _, err = takeTime(nil)
	require.ErrorIs(t, err, errMalformed)
}
