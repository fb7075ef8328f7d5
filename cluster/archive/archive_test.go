package archive_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
)

// rows makes n rows that follow each other, over ten flags, three people and two tenants, one minute apart.
func rows(t testing.TB, n int) []fsm.Written {
	t.Helper()
	var out []fsm.Written
	for i := range n {
		record := fmt.Appendf(nil, `{"key":"flag-%d","n":%d}`, i%10, i)
		out = append(out, fsm.Written{Record: record, Audit: fsm.Audit{Index: uint64(10 + i), At: int64(i) * 60_000,
			Actor: fsm.Actor{Kind: fsm.ActorUser, ID: fmt.Sprintf("user-%d", i%3)}, RequestID: fmt.Sprintf("r%d", i), Correlation: fmt.Sprintf("c%d", i/2),
			Tenant: []string{"default", "default", "other"}[i%3], Environment: "dev", Verb: []string{"flag.put", "flag.enable"}[i%2],
			Target: fmt.Sprintf("flag/flag-%d", i%10), After: fsm.RecordHash(record)}})
	}
	return fsm.ChainAudit(out)
}

func open(t testing.TB, dir string) *archive.Archive {
	t.Helper()
	a, err := archive.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Close()) })
	return a
}

func filled(t testing.TB, n int) (*archive.Archive, []fsm.Written, string) {
	t.Helper()
	dir, all := t.TempDir(), rows(t, n)
	a := open(t, dir)
	require.NoError(t, a.Append(all))
	return a, all, dir
}

// S1-14: every filter, against a plain look at every row, across full files and the one that is written to
func TestFindAnswersWhatALookAtEveryRowWould(t *testing.T) {
	a, all, dir := filled(t, 33_000)
	again := open(t, dir)
	for name, want := range map[string]fsm.AuditFilter{
		"everything":         {Tenant: "default"},
		"flag":               {Tenant: "default", Target: "flag/flag-3"},
		"another tenant":     {Tenant: "nobody"},
		"user":               {Tenant: "default", User: "user-1"},
		"verb":               {Tenant: "other", Verb: "flag.enable"},
		"undertaking":        {Tenant: "default", Correlation: "c17000"},
		"pattern":            {Tenant: "default", KeyPattern: "flag-[3]"},
		"pattern with star":  {Tenant: "default", KeyPattern: "*-7"},
		"time":               {Tenant: "default", From: 16_000 * 60_000, Until: 17_000 * 60_000},
		"several together":   {Tenant: "default", KeyPattern: "flag-?", User: "user-0", Verb: "flag.put", From: 60_000},
		"other environment":  {Tenant: "default", Environment: "production"},
		"unknown flag":       {Tenant: "default", Target: "flag/none"},
		"only a part of one": {Tenant: "default", Target: "flag/flag"},
	} {
		t.Run(name, func(t *testing.T) {
			var expected []uint64
			for i := len(all) - 1; i >= 0; i-- {
				if want.Matches(&all[i].Audit) {
					expected = append(expected, all[i].Seq)
				}
			}
			for _, from := range []*archive.Archive{a, again} {
				var got []uint64
				for before := uint64(0); ; {
					page, err := from.Find(want, before, 777)
					require.NoError(t, err)
					for _, w := range page {
						got = append(got, w.Seq)
						require.Equal(t, all[w.Seq-1], w)
					}
					if len(page) < 777 {
						break
					}
					before = page[len(page)-1].Seq
				}
				require.Equal(t, expected, got)
			}
		})
	}
}

func TestRowsGoOnWhereTheyEnded(t *testing.T) {
	a, all, dir := filled(t, 20_000)
	require.NoError(t, a.Close())
	a = open(t, dir)
	seq, hash := a.Head()
	require.Equal(t, uint64(20_000), seq)
	require.Equal(t, all[19_999].Hash, hash)
	for after := uint64(0); after < 20_000; {
		page, err := a.Rows(after, 1000, 1<<20)
		require.NoError(t, err)
		require.Equal(t, all[after], page[0])
		after = page[len(page)-1].Seq
	}
	require.ErrorContains(t, a.Append(all[5:6]), "does not follow")
	report, err := archive.Verify(dir)
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.Equal(t, uint64(20_000), report.Rows)
}

// S0-21: whatever byte of a full file is flipped, and whatever row is dropped, verify names it.
// S1-14
func TestRowsBeforeOneThatDoesNotFollowAreKept(t *testing.T) {
	for name, spoil := range map[string]func(*fsm.Written){
		"a row is missing":    func(w *fsm.Written) { w.Seq++ },
		"a row was altered":   func(w *fsm.Written) { w.Target = "flag/other" },
		"the first of a file": func(w *fsm.Written) { w.Verb = "flag.delete" },
	} {
		t.Run(name, func(t *testing.T) {
			count, at := 100, 30
			if name == "the first of a file" {
				count, at = 16_400, 16_384
			}
			dir, all := t.TempDir(), rows(t, count)
			spoiled := slices.Clone(all)
			spoil(&spoiled[at])
			a := open(t, dir)
			require.Error(t, a.Append(spoiled))
			seq, hash := a.Head()
			require.Equal(t, all[at-1].Seq, seq)
			require.Equal(t, all[at-1].Hash, hash)
			require.NoError(t, a.Append(all[at:]), "it goes on with the right one")
			report, err := a.Verify()
			require.NoError(t, err)
			require.Empty(t, report.Findings)
			require.Equal(t, len(all), int(report.Rows))
		})
	}
}

func TestVerifyNamesWhatWasTamperedWith(t *testing.T) {
	_, all, dir := filled(t, 16_390)
	path := filepath.Join(dir, fmt.Sprintf("%020d.rows", 1))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	verify := func(content []byte) fsm.AuditFinding {
		t.Helper()
		require.NoError(t, os.WriteFile(path, content, 0o600))
		report, err := archive.Verify(dir)
		require.NoError(t, err)
		require.NotEmpty(t, report.Findings)
		return report.Findings[0]
	}
	at := bytes.Index(whole, []byte("r4711"))
	flipped := bytes.Clone(whole)
	flipped[at] ^= 1
	found := verify(flipped)
	require.Equal(t, uint64(4712), found.Seq)
	require.Equal(t, path, found.Where)

	begin, end := place(whole, 99), place(whole, 100)
	found = verify(append(bytes.Clone(whole[:begin]), whole[end:]...))
	require.Equal(t, uint64(100), found.Seq)

	forged := all[499]
	forged.Actor.ID = "somebody else"
	found = verify(append(append(bytes.Clone(whole[:place(whole, 499)]), archive.Frame(&forged)...), whole[place(whole, 500):]...))
	require.Equal(t, uint64(500), found.Seq, "a forged row with a right checksum")

	require.NoError(t, os.WriteFile(path, whole, 0o600))
	report, err := archive.Verify(dir)
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// place is where a row of a file begins.
func place(file []byte, row int) int {
	at := 48
	for range row {
		at += 8 + int(file[at])<<24 | int(file[at+1])<<16 | int(file[at+2])<<8 + int(file[at+3])
	}
	return at
}

func TestADamagedRowIsAnErrorThatNamesItsFile(t *testing.T) {
	a, _, dir := filled(t, 16_400)
	path := filepath.Join(dir, fmt.Sprintf("%020d.rows", 1))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	whole[bytes.Index(whole, []byte("r4711"))] ^= 1
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	_, err = a.Find(fsm.AuditFilter{Tenant: "default", Correlation: "c2355"}, 0, 10)
	require.ErrorContains(t, err, "row 4712 in "+path)
	_, err = a.Find(fsm.AuditFilter{Tenant: "default", Correlation: "c1"}, 0, 10)
	require.NoError(t, err, "others are not concerned")
}

func TestWhatACrashLeftOfTheLastRowIsCutOff(t *testing.T) {
	for cutAt := 1; cutAt < 200; cutAt += 7 {
		dir, all := t.TempDir(), rows(t, 20)
		a, err := archive.Open(dir)
		require.NoError(t, err)
		require.NoError(t, a.Append(all))
		require.NoError(t, a.Close())
		path := filepath.Join(dir, fmt.Sprintf("%020d.rows", 1))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, info.Size()-int64(cutAt)))
		a = open(t, dir)
		require.Empty(t, a.Damaged)
		seq, _ := a.Head()
		require.Less(t, seq, uint64(20))
		require.NoError(t, a.Append(all[seq:]))
		report, err := archive.Verify(dir)
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		require.Equal(t, uint64(20), report.Rows)
	}
}

func TestABrokenLastFileIsPutAside(t *testing.T) {
	dir, all := t.TempDir(), rows(t, 50)
	a, err := archive.Open(dir)
	require.NoError(t, err)
	require.NoError(t, a.Append(all))
	require.NoError(t, a.Close())
	path := filepath.Join(dir, fmt.Sprintf("%020d.rows", 1))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	whole[bytes.Index(whole, []byte("r20"))] ^= 1
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	a = open(t, dir)
	require.Len(t, a.Damaged, 1)
	require.Contains(t, a.Damaged[0], "row 21 in "+path)
	require.NoError(t, a.Append(all), "they come again from elsewhere")
	require.FileExists(t, path+".damaged")
}

func TestRowsThatAreNowhereAreAGapWithAName(t *testing.T) {
	dir, all := t.TempDir(), rows(t, 300)
	a := open(t, dir)
	require.NoError(t, a.Append(all[:100]))
	require.NoError(t, a.Skip(200, all[199].Hash))
	require.NoError(t, a.Append(all[200:]))
	page, err := a.Find(fsm.AuditFilter{Tenant: "default"}, 0, 1000)
	require.NoError(t, err)
	require.Equal(t, 133, len(page))
	page, err = a.Rows(95, 20, 1<<20)
	require.NoError(t, err)
	require.Equal(t, uint64(201), page[5].Seq)
	report, err := archive.Verify(dir)
	require.NoError(t, err)
	require.Len(t, report.Findings, 1)
	require.Equal(t, "rows 101 to 200 are missing", report.Findings[0].Why)
}

func TestALostIndexIsMadeAgain(t *testing.T) {
	a, all, dir := filled(t, 16_400)
	require.NoError(t, a.Close())
	index := filepath.Join(dir, fmt.Sprintf("%020d.index", 1))
	for _, damage := range []func() error{
		func() error { return os.Remove(index) },
		func() error { return os.Truncate(index, 40) },
		func() error { return os.WriteFile(index, []byte("something else"), 0o600) },
	} {
		require.NoError(t, damage())
		page, err := open(t, dir).Find(fsm.AuditFilter{Tenant: "default", Correlation: "c1"}, 0, 10)
		require.NoError(t, err)
		require.Equal(t, all[3], page[0])
	}
}
