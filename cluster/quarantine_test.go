package cluster_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/fsm"
)

// damage is something that happens to a data directory while nobody runs on it.
type damage struct {
	words string // of the error
	do    func(t *testing.T, dir string)
}

func damages() map[string]damage {
	overwrite := func(name string, at int64, bytes int) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt(make([]byte, bytes), at)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
	}
	return map[string]damage{
		"the log's head is overwritten": {"raft.db is corrupt", overwrite("raft.db", 0, 2*os.Getpagesize())},
		"the log's file is cut off":     {"raft.db is corrupt", cutOffLog},
		"the log's file is lost":        {"raft.db is missing", func(t *testing.T, dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "raft.db"))) }},
		"the identity is overwritten":   {"node.json is corrupt", overwrite("node.json", 0, 10)},
		"a snapshot does not match its checksum": {"snapshot", func(t *testing.T, dir string) {
			all, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
			require.NoError(t, err)
			require.NotEmpty(t, all)
			for _, path := range all {
				name, err := filepath.Rel(dir, path)
				require.NoError(t, err)
				overwrite(name, 20, 4)(t, dir)
			}
		}},
		"the snapshots are lost and the log was cut": {"it begins at entry", func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(filepath.Join(dir, "snapshots"))) }},
	}
}

func TestACorruptNodeComesBackAsANewServer(t *testing.T) {
	for name, d := range damages() {
		t.Run(name, func(t *testing.T) {
			members := startMembers(t)
			victim := members[2]
			writeSome(t, members[0].node)
			_, err := victim.node.Snapshot(t.Context())
			require.NoError(t, err)
			old := victim.node.Status().NodeID
			require.NoError(t, victim.node.Close())
			d.do(t, victim.config.DataDir)

			victim.open(t)
			require.NotEqual(t, old, victim.node.Status().NodeID, "never under the id it may have voted with")
			aside, err := filepath.Glob(filepath.Join(victim.config.DataDir, "quarantine-*"))
			require.NoError(t, err)
			require.Len(t, aside, 1)
			receipt, err := members[0].node.Propose(t.Context(), put(t, "after"))
			require.NoError(t, err)
			require.Eventually(t, func() bool { return victim.config.Store.State().Index() >= receipt.Revision }, 20*time.Second, 10*time.Millisecond)
			require.Equal(t, "non-voter", victim.node.Status().Role)
			for _, m := range members[0].node.Status().Members {
				require.False(t, m.ID == old && m.Role != "gossip-only", "the old server gave its place up")
			}
			require.Eventually(t, func() bool {
				_, err := os.Stat(filepath.Join(victim.config.DataDir, "rejoin.json"))
				return os.IsNotExist(err)
			}, 10*time.Second, 10*time.Millisecond)
		})
	}
}

// A log that ends before what was applied is whole in itself; only what the node wrote down beside it shows the loss.
func TestALogThatLostItsEndIsPutAside(t *testing.T) {
	members := startMembers(t)
	victim := members[2]
	writeSome(t, members[0].node)
	applied := members[0].config.Store.State().Index()
	require.Eventually(t, func() bool { return victim.config.Store.State().Index() >= applied }, 20*time.Second, 10*time.Millisecond)
	old := victim.node.Status().NodeID
	require.NoError(t, victim.node.Close())
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(victim.config.DataDir, "raft.db"), MsgpackUseNewTimeFormat: true})
	require.NoError(t, err)
	last, err := bolt.LastIndex()
	require.NoError(t, err)
	require.NoError(t, bolt.DeleteRange(last-3, last))
	require.NoError(t, bolt.Close())

	victim.open(t)
	require.NotEqual(t, old, victim.node.Status().NodeID, "it may have acknowledged what it lost")
	require.Eventually(t, func() bool { return victim.config.Store.State().Index() >= applied }, 20*time.Second, 10*time.Millisecond)
}

// The process ended between the note and the last file it moves: the identity is gone, the old log still there.
func TestAnInterruptedQuarantineIsFinished(t *testing.T) {
	members := startMembers(t)
	victim := members[2]
	writeSome(t, members[0].node)
	applied := members[0].config.Store.State().Index()
	require.NoError(t, victim.node.Close())
	in := func(name ...string) string { return filepath.Join(append([]string{victim.config.DataDir}, name...)...) }
	require.NoError(t, os.WriteFile(in("rejoin.json"), []byte(`{"because": "a test", "directory": "quarantine-1"}`), 0o600))
	require.NoError(t, os.Mkdir(in("quarantine-1"), 0o700))
	require.NoError(t, os.Rename(in("node.json"), in("quarantine-1", "node.json")))

	victim.open(t)
	require.FileExists(t, in("quarantine-1", "raft.db"), "no new server over an old log")
	require.Eventually(t, func() bool { return victim.config.Store.State().Index() >= applied }, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		_, err := os.Stat(in("rejoin.json"))
		return os.IsNotExist(err)
	}, 10*time.Second, 10*time.Millisecond)
}

// Alone it may not decide that its data is worthless, and founding a new cluster would make it so.
func TestACorruptNodeWithoutOthersKeepsItsDataAndFoundsNothing(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, dir string){
		"the log's file is cut off": cutOffLog,
		"all but the identity is lost": func(t *testing.T, dir string) {
			for _, name := range []string{"raft.db", "snapshots", "applied.json", "applied.mark"} {
				require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			open := func() (*cluster.Node, error) {
				return cluster.Open(t.Context(), cluster.Config{Store: fsm.NewStore(), DataDir: dir, PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", BootstrapExpect: 1, Logger: logger()})
			}
			node, err := open()
			require.NoError(t, err)
			writeSome(t, node)
			require.NoError(t, node.Close())
			harm(t, dir)
			_, err = open()
			var exit *cluster.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, cluster.ExitDisk, exit.Code)
			require.ErrorContains(t, err, "hoist cluster restore")
			require.FileExists(t, filepath.Join(dir, "node.json"), "nothing is moved")
		})
	}
}

func cutOffLog(t *testing.T, dir string) {
	require.NoError(t, os.Truncate(filepath.Join(dir, "raft.db"), 3*int64(os.Getpagesize())))
}

// Too few are left to let anybody in, and those who lost their data must not found a new cluster, although bootstrap-expect
// says 3 and three of them see each other.
func TestACorruptNodeWaitsForAMajorityOfTheOthers(t *testing.T) {
	for _, victims := range []int{2, 3} {
		t.Run(fmt.Sprint(victims, " of three"), func(t *testing.T) {
			members := startMembers(t)
			writeSome(t, members[0].node)
			for _, m := range members {
				require.Eventually(t, func() bool {
					_, err := os.Stat(filepath.Join(m.config.DataDir, "members.json"))
					return err == nil
				}, 10*time.Second, 10*time.Millisecond)
			}
			for _, m := range members {
				require.NoError(t, m.node.Close())
			}
			for _, m := range members[3-victims:] {
				cutOffLog(t, m.config.DataDir)
			}
			for _, m := range members {
				m.open(t)
			}
			before := members[0].config.Store.State().Index()
			require.Equal(t, victims == 3, before == 0)
			for _, m := range members {
				require.Eventually(t, func() bool { return len(m.node.Status().Members) >= 3 }, 20*time.Second, 10*time.Millisecond, "they see each other")
			}
			last := members[2].node
			founded := func() bool {
				return slices.ContainsFunc(last.Status().Members, func(m cluster.Member) bool { return m.Role != "gossip-only" })
			}
			require.Never(t, func() bool { return founded() || members[1].node.Status().Leader != "" }, 3*time.Second, 100*time.Millisecond)
			require.Equal(t, before, members[0].config.Store.State().Index())
		})
	}
}

// member is a node that can be closed and opened again; it keeps its ports and its directory.
type member struct {
	node   *cluster.Node
	config cluster.Config
}

// open starts the member with a fresh store.
func (m *member) open(t *testing.T) {
	m.config.Store = fsm.NewStore()
	var err error
	m.node, err = cluster.Open(t.Context(), m.config)
	require.NoError(t, err)
}

// startMembers starts three members over loopback, on disk, whose logs are cut early, and waits for the first write.
func startMembers(t *testing.T) (members []*member) {
	var join []string
	for i := range 3 {
		m := &member{config: cluster.Config{
			Logger: logger(), NodeName: fmt.Sprint("n", i+1), DataDir: t.TempDir(), TrailingLogs: 5,
			PeerAddr: "127.0.0.1:0", GossipAddr: "127.0.0.1:0", BootstrapExpect: 3, Join: join,
			Hooks: cluster.Hooks{Raft: patient},
		}}
		m.open(t)
		t.Cleanup(func() { require.NoError(t, m.node.Close()) })
		status := m.node.Status()
		m.config.PeerAddr, m.config.GossipAddr = status.PeerAddr, status.GossipAddr
		members = append(members, m)
		join = []string{status.GossipAddr}
	}
	require.Eventually(t, func() bool {
		_, err := members[0].node.Propose(t.Context(), put(t, "first"))
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
	return members
}

// writeSome writes a few flags.
func writeSome(t *testing.T, n *cluster.Node) {
	for i := range 20 {
		_, err := n.Propose(t.Context(), put(t, fmt.Sprint("some-", i)))
		require.NoError(t, err)
	}
}
