package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
)

func TestPartKeepsTheBeginningAndPutsTheRestAside(t *testing.T) {
	for name, at := range map[string]uint64{"in the last file": 33_000, "in a full file": 20_000, "between files": 16_384, "at the beginning": 0} {
		t.Run(name, func(t *testing.T) {
			a, all, dir := filled(t, 33_500)
			aside, err := a.Part(at)
			require.NoError(t, err)
			require.NotEmpty(t, aside)
			seq, hash := a.Head()
			require.Equal(t, at, seq)
			if at > 0 {
				require.Equal(t, all[at-1].Hash, hash)
			}

			other := rows(t, int(at)+1) // another way to go on
			other[at].Reason = "after the restore"
			other = fsm.ChainAudit(other)
			require.NoError(t, a.Append(other[at:]))
			report, err := archive.Verify(dir)
			require.NoError(t, err)
			require.Empty(t, report.Findings)
			require.Equal(t, at+1, report.Rows)
			page, err := open(t, dir).Rows(at, 10, 1<<20)
			require.NoError(t, err)
			require.Equal(t, "after the restore", page[0].Reason)

			kept := t.TempDir() // what was put aside can still be read, as a folder of its own
			for _, path := range aside {
				require.NoError(t, os.Rename(path, filepath.Join(kept, filepath.Base(path)[:len("00000000000000000001.rows")])))
			}
			report, err = archive.Verify(kept)
			require.NoError(t, err)
			require.Empty(t, report.Findings)
			require.Equal(t, uint64(33_500), report.Last)
		})
	}
}

func TestPartTwiceOverwritesNothing(t *testing.T) {
	a, all, _ := filled(t, 10)
	first, err := a.Part(5)
	require.NoError(t, err)
	require.NoError(t, a.Append(all[5:]))
	second, err := a.Part(5)
	require.NoError(t, err)
	require.NotEqual(t, first, second)
	none, err := a.Part(5)
	require.NoError(t, err)
	require.Empty(t, none, "there is nothing after row 5")
}
