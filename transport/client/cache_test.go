package client

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
)

// filled is a snapshot with flags, segments and a removal.
func filled(t testing.TB) *evaluator.Snapshot {
	t.Helper()
	f, err := decodeFlag([]byte(`{"key":"a","type":"string","enabled":true,"variants":[{"key":"v","value":"x"}],"rules":[{"id":"r","if":[{"operator":"segment","values":["s"]}],"then":{"variant":"v"}}],"default":{"variant":"v"}}`))
	require.NoError(t, err)
	b, err := decodeFlag([]byte(`{"key":"b","type":"string","enabled":true,"variants":[{"key":"v","value":"y"}],"default":{"variant":"v"}}`))
	require.NoError(t, err)
	g, err := decodeSegment([]byte(`{"key":"s","include":["u1","u2"]}`))
	require.NoError(t, err)
	return evaluator.EmptySnapshot("epoch").
		With(evaluator.Changes{Revision: 3, At: 30, Flags: []*evaluator.Compiled{f, b}}).
		With(evaluator.Changes{Revision: 5, At: 50, Segments: []*evaluator.CompiledSegment{g}}).
		With(evaluator.Changes{Revision: 8, At: 80, RemovedFlags: []string{"b"}})
}

func fileOf(t testing.TB, s *evaluator.Snapshot) (*cache, kept) {
	t.Helper()
	c := &cache{path: filepath.Join(t.TempDir(), "flags"), environment: "dev", logger: slog.New(slog.DiscardHandler)}
	k := kept{s, Position{Epoch: s.Epoch(), Revision: 12, KnownAt: time.UnixMilli(1_700_000_000_000).UTC()}}
	require.NoError(t, c.save(k))
	return c, k
}

func TestCacheFileGivesBackTheSameSnapshot(t *testing.T) {
	c, k := fileOf(t, filled(t))
	got, err := c.load()
	require.NoError(t, err)
	require.Equal(t, k.position, got.position)
	want, have := k.snapshot.Parts(), got.snapshot.Parts()
	require.Len(t, have.Flags, len(want.Flags))
	require.Equal(t, want.Flags[0].Record(), have.Flags[0].Record())
	require.Equal(t, want.Segments[0].Record(), have.Segments[0].Record())
	want.Flags, have.Flags, want.Segments, have.Segments = nil, nil, nil, nil
	require.Equal(t, want, have)
	d, ok := got.snapshot.Since(5)
	require.True(t, ok)
	require.Equal(t, []string{"b"}, d.RemovedFlags, "removals survive")
	names, err := filepath.Glob(c.path + "*")
	require.NoError(t, err)
	require.Equal(t, []string{c.path}, names, "nothing else is left in the folder")
}

// Whatever happens to the bytes, the file is used as it was written or not at all.
func TestDamagedCacheFileIsNotUsed(t *testing.T) {
	c, _ := fileOf(t, filled(t))
	data, err := os.ReadFile(c.path)
	require.NoError(t, err)
	for i := range data {
		_, err := c.decode(data[:i])
		require.Error(t, err, "cut at %d", i)
		flipped := bytes.Clone(data)
		flipped[i] ^= 1 << (i % 8)
		_, err = c.decode(flipped)
		require.Error(t, err, "flipped at %d", i)
	}
	_, err = c.decode(append(bytes.Clone(data), 0))
	require.Error(t, err)
}

func TestCacheFileBelongsToOneEnvironment(t *testing.T) {
	c, _ := fileOf(t, filled(t))
	c.environment = "production"
	_, err := c.load()
	require.ErrorContains(t, err, `environment "dev"`)
}

func TestSaveThatFailsLeavesTheOldFile(t *testing.T) {
	c, k := fileOf(t, filled(t))
	before, err := os.ReadFile(c.path)
	require.NoError(t, err)
	missing := *c
	missing.path = filepath.Join(filepath.Dir(c.path), "nowhere", "flags")
	require.Error(t, missing.save(k))
	after, err := os.ReadFile(c.path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func FuzzCacheFile(f *testing.F) {
	c, _ := fileOf(f, filled(f))
	data, err := os.ReadFile(c.path)
	require.NoError(f, err)
	f.Add(data)
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = c.decode(data) // must not panic
		_, _, _, _ = records(data, 3, decodeFlag)
	})
}
