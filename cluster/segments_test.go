package cluster

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const testSegment = 8 << 10

// logFiles is what a disk holds below a data directory, by name.
type logFiles map[string][]byte

func readFiles(t require.TestingT, dir string) logFiles {
	files := logFiles{}
	list, err := os.ReadDir(filepath.Join(dir, segmentsDir))
	require.NoError(t, err)
	for _, f := range list {
		files[f.Name()], err = os.ReadFile(filepath.Join(dir, segmentsDir, f.Name()))
		require.NoError(t, err)
	}
	return files
}

func (l logFiles) write(t require.TestingT, dir string) {
	require.NoError(t, os.RemoveAll(filepath.Join(dir, segmentsDir)))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, segmentsDir), 0o700))
	for name, content := range l {
		require.NoError(t, os.WriteFile(filepath.Join(dir, segmentsDir, name), content, 0o600))
	}
}

// torn is before, with some sectors of the log files as they are after: a power failure while after was being written.
// The table of files is still the old one, since it is changed only when the append is through.
func (l logFiles) torn(after logFiles, random *rand.Rand) logFiles {
	const sector = 512
	out := maps.Clone(l)
	for name, old := range l {
		if new := after[name]; strings.HasSuffix(name, ".wal") && len(new) == len(old) {
			mixed := bytes.Clone(old)
			for at := 0; at < len(old); at += sector {
				if random.IntN(2) == 0 {
					copy(mixed[at:min(at+sector, len(old))], new[at:])
				}
			}
			out[name] = mixed
		}
	}
	return out
}

// logModel is a log of small files beside what it must hold.
type logModel struct {
	t       *rapid.T
	dir     string
	log     *segments
	random  *rand.Rand
	first   uint64
	entries [][]byte // from first on
}

func (m *logModel) open() {
	var err error
	m.log, err = openSegments(m.dir, testSegment, hclog.NewNullLogger())
	require.NoError(m.t, err)
}

func (m *logModel) reopen() {
	require.NoError(m.t, m.log.Close())
	m.open()
}

// batch makes entries that often are as long as others, so that what a torn append left behind lines up with later ones.
func (m *logModel) batch() (logs []*raft.Log, datas [][]byte) {
	next := m.first + uint64(len(m.entries))
	for i := range uint64(1 + m.random.IntN(12)) {
		data := make([]byte, []int{8, 100, 100, 100, 700}[m.random.IntN(5)])
		for j := range data {
			data[j] = byte(m.random.IntN(5)) // much of it could be the head of a frame
		}
		datas = append(datas, data)
		logs = append(logs, &raft.Log{Index: next + i, Term: 3, Data: data, AppendedAt: time.Unix(7, 0)})
	}
	return logs, datas
}

func (m *logModel) append() {
	logs, datas := m.batch()
	require.NoError(m.t, m.log.StoreLogs(logs))
	m.entries = append(m.entries, datas...)
}

// crash loses power during an append that nobody was told of.
func (m *logModel) crash() {
	m.reopen() // so that no change of the files is still under way
	before := readFiles(m.t, m.dir)
	logs, datas := m.batch()
	require.NoError(m.t, m.log.StoreLogs(logs))
	after := readFiles(m.t, m.dir)
	require.NoError(m.t, m.log.Close())
	before.torn(after, m.random).write(m.t, m.dir)
	m.open()
	last, err := m.log.LastIndex()
	require.NoError(m.t, err)
	if landed := m.first + uint64(len(m.entries)+len(datas)) - 1; last == landed { // whole, or not at all
		m.entries = append(m.entries, datas...)
	}
}

func (m *logModel) cutTail() {
	if n := len(m.entries); n > 2 {
		keep := 1 + m.random.IntN(n-1)
		require.NoError(m.t, m.log.DeleteRange(m.first+uint64(keep), m.first+uint64(n)-1))
		m.entries = m.entries[:keep]
	}
}

func (m *logModel) cutHead() {
	if n := len(m.entries); n > 2 {
		drop := m.random.IntN(n - 1)
		if drop > 0 {
			require.NoError(m.t, m.log.DeleteRange(m.first, m.first+uint64(drop)-1))
		}
		m.first, m.entries = m.first+uint64(drop), m.entries[drop:]
	}
}

// snapshot empties the log, as raft does when it installs a snapshot, and goes on further ahead.
func (m *logModel) snapshot() {
	if n := len(m.entries); n > 0 {
		require.NoError(m.t, m.log.DeleteRange(m.first, m.first+uint64(n)-1))
		m.first, m.entries = m.first+uint64(n+m.random.IntN(3)*100), nil
		m.append()
	}
}

func (m *logModel) check() {
	first, err := m.log.FirstIndex()
	require.NoError(m.t, err)
	last, err := m.log.LastIndex()
	require.NoError(m.t, err)
	if len(m.entries) == 0 {
		require.Zero(m.t, last)
		return
	}
	require.Equal(m.t, m.first, first)
	require.Equal(m.t, m.first+uint64(len(m.entries))-1, last)
	for i, want := range m.entries {
		var got raft.Log
		require.NoError(m.t, m.log.GetLog(m.first+uint64(i), &got))
		require.Equal(m.t, want, got.Data, "entry %d", m.first+uint64(i))
	}
}

// S2-11: what was acknowledged survives any torn tail, and the log can be written again, however often that happens.
func TestAcknowledgedEntriesSurviveTornAppends(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "hoist-log-")
		require.NoError(t, err)
		defer func() { require.NoError(t, os.RemoveAll(dir)) }()
		m := &logModel{t: t, dir: dir, first: 1, random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
		m.open()
		defer func() { require.NoError(t, m.log.Close()) }()
		actions := map[string]func(){"append": m.append, "crash": m.crash, "reopen": m.reopen, "cut tail": m.cutTail, "cut head": m.cutHead, "snapshot": m.snapshot}
		names := []string{"append", "append", "append", "crash", "crash", "reopen", "cut tail", "cut head", "snapshot"}
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			actions[rapid.SampledFrom(names).Draw(t, "action")]()
			m.check()
		}
	})
}

func TestALogWhoseLastFileWasJustFullIsWrittenOn(t *testing.T) {
	dir := t.TempDir()
	open := func() *segments {
		log, err := openSegments(dir, testSegment, hclog.NewNullLogger())
		require.NoError(t, err)
		return log
	}
	log := open()
	table := readFiles(t, dir)["wal-meta.db"]
	entry := func(index uint64) *raft.Log {
		return &raft.Log{Index: index, Data: []byte(fmt.Sprint(index, strings.Repeat("x", 900)))}
	}
	last := uint64(0)
	for full := false; !full; { // the file is full when the next one appears
		last++
		require.NoError(t, log.StoreLog(entry(last)))
		files := readFiles(t, dir)
		full = len(files) > 2 || bytes.Contains(files["00000000000000000001-0000000000000000.wal"], []byte{kindIndex, 0, 0, 0, byte(4 * last), 0, 0, 0, fileHeader, 0, 0, 0})
	}
	require.NoError(t, log.Close())
	crashed := readFiles(t, dir)
	maps.DeleteFunc(crashed, func(name string, _ []byte) bool {
		return name > "00000000000000000001-0000000000000000.wal" && name != "wal-meta.db"
	})
	crashed["wal-meta.db"] = table // the process ended before the table named the next file
	crashed.write(t, dir)

	for range 3 {
		log = open()
		last++
		require.NoError(t, log.StoreLog(entry(last)))
		for i := uint64(1); i <= last; i++ {
			var got raft.Log
			require.NoError(t, log.GetLog(i, &got))
			require.Equal(t, entry(i).Data, got.Data)
		}
		require.NoError(t, log.Close())
	}
}
