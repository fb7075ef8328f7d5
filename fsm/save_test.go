package fsm_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

var update = flag.Bool("update", false, "write the samples of this law version anew")

func TestDamagedStateIsRefusedAndTheOldOneStays(t *testing.T) {
	n := newNode(t)
	n.put(boolean("checkout", ""))
	n.do(fsm.Kill{Scope: dev, Key: "checkout"})
	saved := n.save()
	store := fsm.NewStore()
	require.NoError(t, store.Load(bytes.NewReader(saved)))
	state := store.State()
	for at := range saved {
		damaged := bytes.Clone(saved)
		damaged[at] ^= 0x10
		require.Error(t, store.Load(bytes.NewReader(damaged)), "byte %d", at)
		require.Error(t, store.Load(bytes.NewReader(saved[:at])), "cut at %d", at)
	}
	require.Same(t, state, store.State())
}

// A state whose checksum is right but whose records are not those the header speaks of is no state.
func TestRecordsThatDoNotHashToTheHeaderAreRefused(t *testing.T) {
	n := newNode(t)
	saved := n.save()
	hash := []byte(n.store.State().FullHash())
	at := bytes.Index(saved, hash)
	require.Positive(t, at)
	saved[at] = 'x'
	body := saved[:len(saved)-4]
	forged := binary.LittleEndian.AppendUint32(bytes.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	require.ErrorContains(t, fsm.NewStore().Load(bytes.NewReader(forged)), "the header says")
}

func TestStateOfANewerFormatNamesTheWayOut(t *testing.T) {
	saved := newNode(t).save()
	saved[len("HOISTFSM")] = 2
	require.ErrorContains(t, fsm.NewStore().Load(bytes.NewReader(saved)), "start a newer release")
}

func TestTombstonesSurviveASnapshot(t *testing.T) {
	n := newNode(t)
	n.put(boolean("a", ""), boolean("b", ""))
	at := n.store.State().Index()
	n.do(fsm.DeleteFlag{Scope: dev, Key: "a"})
	restored := fsm.NewStore()
	require.NoError(t, restored.Load(bytes.NewReader(n.save())))
	e, _ := restored.State().Environment("default", "dev")
	d, ok := e.Snapshot().Since(at)
	require.True(t, ok)
	require.Equal(t, []string{"a"}, d.RemovedFlags)
	require.Empty(t, d.Flags)
}

// sampleLog is a log that uses every command of law version 1. It never changes once version 1 is released: newer
// commands go into a sample of their own version.
func sampleLog(t *testing.T) *node {
	n := newNode(t)
	n.do(fsm.CreateTenant{Tenant: "acme", Name: "Acme"})
	n.do(fsm.CreateEnvironment{Tenant: "acme", Environment: "qa"})
	n.do(putSegment(t, `{"key":"beta","include":["user-7"],"rules":[{"if":[{"attribute":"plan","operator":"in","values":["pro"]}]}]}`))
	n.put(boolean("payments", `,"owner":"team","tags":["x","y"],"metadata":{"tier":1}`), needs("checkout", "payments"),
		`{"key":"timeout","kind":"config","type":"string","value":"180s"}`,
		`{"key":"search","type":"string","clientVisible":true,"enabled":true,"variants":[{"key":"new","value":"n"},{"key":"old"}],"off":"old",
			"rules":[{"id":"beta","if":[{"operator":"segment","values":["beta"]}],"then":{"split":{"weights":[{"variant":"new","weight":25000},{"variant":"old","weight":75000}]}}}],
			"default":{"variant":"old"}}`)
	n.do(fsm.SetEnabled{Scope: dev, Key: "payments"})
	n.do(fsm.SetArchived{Scope: dev, Key: "timeout", Archived: true})
	n.do(fsm.Kill{Scope: dev, Key: "search", Reason: "errors"})
	n.do(fsm.Kill{Scope: dev, Key: "checkout"})
	n.do(fsm.Unkill{Scope: dev, Key: "checkout"})
	n.do(fsm.Restore{Scope: dev, Object: fsm.ObjectFlag, Key: "payments", Revision: 5})
	n.do(fsm.Batch{Scope: dev, Commands: []fsm.Command{put(t, boolean("x", "")), putSegment(t, segmentOf("y"))}})
	n.put(boolean("timed", ""))
	n.do(fsm.DeleteFlag{Scope: dev, Key: "x"})
	n.do(fsm.DeleteSegment{Scope: dev, Key: "y"})
	stage := fsm.Stage{Scope: dev, Change: "small", Commands: []fsm.Command{put(t, boolean("staged", ""))}}
	n.do(stage)
	n.do(fsm.Stage{Scope: dev, Change: "cut", Fragment: []byte{1, 6, 0}}) // both stay uncommitted
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("payments")})
	n.do(fsm.PutSchedule{Scope: dev, Schedule: scheduleOf("timed")})
	n.do(fsm.DropSchedule{Scope: dev, Flag: "timed"})
	n.do(fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "timed", Action: fsm.ActionDisable, Cron: "0 9 * * *", Zone: "Europe/Berlin"}})
	n.do(fsm.PutSchedule{Scope: dev, Schedule: &fsm.Schedule{Flag: "timed", Action: fsm.ActionPercentage, Weight: 250, Start: at(5), End: at(6)}})
	n.do(fsm.SwitchSchedule{Scope: dev, Flag: "timed", ID: fsm.ScheduleID(n.store.State().Index(), 1)})
	n.put(dark("f"), dark("g"), dark("h"))
	id := n.start(watched(t, 1, `[{"setWeight":12.5},{"hold":"1h"},{"setWeight":50},{"approval":{"count":2}}]`))
	n.drive(id, fsm.MoveAdvance)
	n.measure(id, fsm.VerdictSuccessful, fsm.VerdictNoData)
	n.answered(id, []byte("sample"))
	landed, ended := steps(t, `[{"setWeight":50},{"hold":{}}]`), steps(t, `[{"setWeight":5},{"hold":{}}]`)
	landed.Name, landed.Flag, ended.Name, ended.Flag = "landed", "g", "ended", "h"
	n.move(n.start(landed), fsm.MovePromoteFull)
	n.start(ended)
	n.do(fsm.KillRollouts{Scope: fsm.Scope{Tenant: dev.Tenant, Environment: "staging"}})
	n.do(fsm.Freeze{Scope: dev, Reason: "sample", For: 60_000})
	n.do(fsm.Unfreeze{Scope: dev})
	n.refuse(fsm.KindNotFound, fsm.DeleteFlag{Scope: dev, Key: "x"})
	n.sampleTokens()
	system := fsm.Actor{Kind: fsm.ActorSystem}
	require.NoError(t, n.apply(&fsm.Proposal{Actor: system, Command: n.encode(fsm.RaiseVersion{Version: 1})}).Err)
	require.NoError(t, n.apply(&fsm.Proposal{Actor: system, Command: n.encode(fsm.Checksum{Index: 4096, Hash: "00"})}).Err)
	n.now += 3_600_000
	require.NoError(t, n.apply(&fsm.Proposal{Actor: system, Command: n.encode(fsm.MoveSchedule{Scope: dev, Flag: "payments"})}).Err)
	n.do(fsm.Freeze{Scope: dev, Reason: "sample again"})
	n.do(fsm.Freeze{Scope: dev, Of: fsm.OfCluster, Kind: fsm.FreezeWindow, Reason: "sample everywhere", For: 1000})
	n.do(fsm.Unfreeze{Scope: dev, Of: fsm.OfCluster})
	of := n.do(fsm.PutBudget{Scope: dev, Budget: budget()}).Revision
	require.NoError(t, n.burn(of, fsm.Burn{Tier: fsm.BurnExhausted, Numbers: "sample"}).Err)
	require.NoError(t, n.burn(of, fsm.Burn{Tier: fsm.BurnPage, Numbers: "sample", Long: 3_600_000}).Err)
	n.do(fsm.Unfreeze{Scope: dev})
	heard := told(t, `[{"setWeight":5},{"hold":{}}]`)
	heard.Name, heard.Flag = "heard", "g"
	heard.Target.Variant = "off"
	n.start(heard)
	r, _ := n.store.State().Receiver("releases")
	n.settle(fsm.Settled{To: "releases", Through: r.Waiting()[0].Seq}, fsm.Settled{To: "alerts", Why: "sample"})
	sampleChanges(n)
	n.do(fsm.Freeze{Scope: fsm.Scope{Tenant: "acme", Environment: "qa"}, Of: fsm.OfTenant, Reason: "sample of a tenant"})
	return n
}

// S4-10: what version 1 wrote is read by every later release, to the same hash.
func TestSamplesOfEveryLawVersion(t *testing.T) {
	dir := "testdata"
	if *update {
		writeSample(t, dir)
	}
	for version := fsm.LawOldest; version <= fsm.LawVersion; version++ {
		log := readLog(t, filepath.Join(dir, fmt.Sprintf("v%d.log", version)))
		snapshot, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("v%d.snapshot", version)))
		require.NoError(t, err)
		hash, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("v%d.hash", version)))
		require.NoError(t, err)

		replayed, loaded := fsm.NewStore(), fsm.NewStore()
		replayed.Apply(log)
		require.NoError(t, loaded.Load(bytes.NewReader(snapshot)))
		require.Equal(t, string(hash), replayed.State().FullHash())
		sameState(t, replayed.State(), loaded.State())
	}
}

func writeSample(t *testing.T, dir string) {
	n := sampleLog(t)
	var log bytes.Buffer
	for _, e := range n.log {
		fmt.Fprintf(&log, "%d %d %x\n", e.Index, e.Term, e.Data)
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	base := filepath.Join(dir, fmt.Sprintf("v%d.", fsm.LawVersion))
	require.NoError(t, os.WriteFile(base+"log", log.Bytes(), 0o644))
	require.NoError(t, os.WriteFile(base+"snapshot", n.save(), 0o644))
	require.NoError(t, os.WriteFile(base+"hash", []byte(n.store.State().FullHash()), 0o644))
}

func readLog(t *testing.T, path string) []fsm.Entry {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var log []fsm.Entry
	for line := range bytes.Lines(text) {
		var e fsm.Entry
		_, err := fmt.Sscanf(string(line), "%d %d %x", &e.Index, &e.Term, &e.Data)
		require.NoError(t, err)
		log = append(log, e)
	}
	return log
}

func FuzzLoad(f *testing.F) {
	f.Add(newNode(f).save())
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = fsm.NewStore().Load(bytes.NewReader(data))
	})
}
