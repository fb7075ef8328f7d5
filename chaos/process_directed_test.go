package chaos_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// do is one operation on one node, with its deadline.
func do(t *testing.T, w *chaos.Processes, node string, in chaos.Input, request string) chaos.Op {
	t.Helper()
	in.Environment = chaos.Registers
	op := chaos.Op{Input: in, Request: request}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	w.Client(node).Do(ctx, &op)
	return op
}

// writeUntil repeats a write under its request id until somebody takes it, and tells how long that took.
func writeUntil(t *testing.T, w *chaos.Processes, node, request string, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		op := do(t, w, node, chaos.Input{Kind: chaos.Put, Key: "w", Value: request}, request)
		if op.Outcome == chaos.OK {
			return time.Since(began)
		}
		require.Less(t, time.Since(began), limit, "no write: %s %s", op.Result.Code, op.Result.Detail)
		time.Sleep(10 * time.Millisecond)
	}
}

func awaitLeader(t *testing.T, w *chaos.Processes) string {
	t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if l := w.Leader(); l != "" {
			return l
		}
		require.Less(t, time.Since(began), 30*time.Second, "nobody leads")
	}
}

func other(w *chaos.Processes, node string) string {
	for _, n := range w.Nodes() {
		if n != node {
			return n
		}
	}
	return ""
}

// lead makes a node the leader.
func lead(t *testing.T, w *chaos.Processes, node string) {
	t.Helper()
	for began := time.Now(); w.Leader() != node; time.Sleep(100 * time.Millisecond) {
		require.Less(t, time.Since(began), 30*time.Second, "%s does not lead", node)
		if l := w.Leader(); l != "" && l != node {
			_, _ = hoistv1connect.NewClusterServiceClient(w.HTTP(0), w.Address(l)).Transfer(t.Context(), &hoistv1.TransferRequest{To: node}) // tried again
		}
	}
}

// exits counts the ends of a node's processes with an exit code.
func exits(h *chaos.History, node string, code int) (count int) {
	for _, m := range h.Marks() {
		if m.What == chaos.MarkExit && m.Node == node && m.Text == fmt.Sprint("exit status ", code) {
			count++
		}
	}
	return count
}

// strace makes the syncs of a running process fail or hang, until the returned function is called.
func strace(t *testing.T, pid int, inject string) (stop func()) {
	t.Helper()
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace here, which makes syncs fail")
	}
	c := exec.Command(path, "-f", "-qq", "-o", "/dev/null", "-p", fmt.Sprint(pid), "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:"+inject)
	require.NoError(t, c.Start())
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if traced(t, pid) {
			break
		}
		require.Less(t, time.Since(began), 10*time.Second, "strace did not attach")
	}
	return func() {
		_ = c.Process.Kill() // it ends with the process it traces
		_ = c.Wait()
	}
}

// traced tells whether every thread of a process has its tracer.
func traced(t *testing.T, pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err == nil && strings.Contains(string(data), "TracerPid:\t0\n") {
			return false
		}
	}
	return len(tasks) > 0
}

func TestALeaderWhoseDiskHangsOrFailsIsReplacedWithinThreeSeconds(t *testing.T) {
	path := binary(t)
	for name, inject := range map[string]string{"it hangs": "delay_enter=8000000", "it fails": "error=EIO"} {
		t.Run(name, func(t *testing.T) {
			h := chaos.NewHistory(time.Now())
			w := processes(t, h, chaos.ProcessConfig{Binary: path})
			leader := awaitLeader(t, w)
			stop := strace(t, w.Pid(leader), inject)
			defer stop()
			took := writeUntil(t, w, other(w, leader), "through-another", 15*time.Second)
			t.Logf("the next write was acknowledged after %v", took)
			require.Less(t, took, 5*time.Second, "three, and two for a busy machine")
			require.NotEqual(t, leader, awaitLeader(t, w))
			for began := time.Now(); exits(h, leader, 70) == 0; time.Sleep(50 * time.Millisecond) {
				require.Less(t, time.Since(began), 30*time.Second, "the process with the broken disk must end with 70")
				writeUntil(t, w, other(w, leader), fmt.Sprint("more-", began.UnixNano()), 10*time.Second)
			}
			stop()
			writeUntil(t, w, leader, "through-the-victim", 30*time.Second)
		})
	}
}

func TestAFullDiskStepsBackAndComesBackByItself(t *testing.T) {
	path := binary(t)
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=96m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	h := chaos.NewHistory(time.Now())
	w := processes(t, h, chaos.ProcessConfig{Binary: path, Data: func(node string) string {
		if node == "n1" {
			return filepath.Join(disk, "data")
		}
		return ""
	}})
	lead(t, w, "n1")
	fill := func(leave uint64) {
		var s syscall.Statfs_t
		require.NoError(t, syscall.Statfs(disk, &s))
		free := s.Bavail * uint64(s.Bsize)
		require.Greater(t, free, leave)
		f, err := os.OpenFile(filepath.Join(disk, "filler"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, _ = f.Write(make([]byte, free-leave)) // as far as it goes
		require.NoError(t, f.Close())
	}
	fill(4 << 20)
	for began := time.Now(); w.Leader() == "n1" || w.Leader() == ""; time.Sleep(50 * time.Millisecond) {
		require.Less(t, time.Since(began), 10*time.Second, "a node with a full disk must hand leadership on")
	}
	writeUntil(t, w, "n2", "while-n1-is-almost-full", 10*time.Second)
	s, err := hoistv1connect.NewClusterServiceClient(w.HTTP(0), w.Address("n1")).Status(t.Context(), &hoistv1.ClusterStatusRequest{})
	require.NoError(t, err)
	full := map[string]bool{}
	for _, m := range s.GetMembers() {
		full[m.GetName()] = m.GetDiskFull()
	}
	require.True(t, full["n1"], "and say so")
	fill(0)
	for i := range 20 {
		writeUntil(t, w, "n2", fmt.Sprint("while-n1-is-full-", i), 10*time.Second)
	}
	require.Equal(t, chaos.OK, do(t, w, "n1", chaos.Input{Kind: chaos.Stale, Key: "w"}, "").Outcome, "evaluations go on")
	require.NoError(t, os.Remove(filepath.Join(disk, "filler")))
	lead(t, w, "n1")
	writeUntil(t, w, "n1", "after", 20*time.Second)
	for _, m := range h.Marks() {
		require.NotEqual(t, chaos.MarkExit, m.What, "no process may end for want of space: %s", m.Text)
	}
}

func TestAllProcessesAtNewAddressesHealUnaided(t *testing.T) {
	h := chaos.NewHistory(time.Now())
	w := processes(t, h, chaos.ProcessConfig{Binary: binary(t)})
	writeUntil(t, w, "n1", "before", 10*time.Second)
	for _, n := range w.Nodes() {
		require.NoError(t, w.Crash(n))
	}
	require.NoError(t, w.MoveAll())
	w.Heal()
	took := writeUntil(t, w, "n2", "after", 30*time.Second)
	t.Logf("the next write was acknowledged after %v", took)
	require.Eventually(t, func() bool {
		return do(t, w, "n3", chaos.Input{Kind: chaos.Read, Key: "w"}, "").Result.Value == "after"
	}, 20*time.Second, 50*time.Millisecond)
}

// What was served stays served, although all processes are killed the moment after it was seen and only one comes back.
func TestAKillIsNotUndoneByAColdStartWithoutAQuorum(t *testing.T) {
	h := chaos.NewHistory(time.Now())
	w := processes(t, h, chaos.ProcessConfig{Binary: binary(t)})
	for round, survivor := range w.Nodes() {
		awaitLeader(t, w)
		writeUntil(t, w, survivor, fmt.Sprint("on-", round), 10*time.Second)
		require.Eventually(t, func() bool {
			return do(t, w, survivor, chaos.Input{Kind: chaos.Kill, Key: "w"}, fmt.Sprint("kill-", round)).Outcome == chaos.OK
		}, 10*time.Second, 10*time.Millisecond)
		seen := do(t, w, survivor, chaos.Input{Kind: chaos.Stale, Key: "w"}, "")
		require.True(t, seen.Result.Killed)
		for _, n := range w.Nodes() {
			require.NoError(t, w.Crash(n))
		}
		require.NoError(t, w.Restart(survivor))
		var again chaos.Op
		require.Eventually(t, func() bool {
			again = do(t, w, survivor, chaos.Input{Kind: chaos.Stale, Key: "w"}, "")
			return again.Outcome == chaos.OK
		}, 20*time.Second, 10*time.Millisecond)
		require.True(t, again.Result.Killed, "round %d: the kill at revision %d is undone at revision %d", round, seen.Revision, again.Revision)
		require.GreaterOrEqual(t, again.Revision, seen.Revision)
		w.Heal()
		require.Eventually(t, func() bool {
			return do(t, w, survivor, chaos.Input{Kind: chaos.Unkill, Key: "w"}, fmt.Sprint("unkill-", round)).Outcome == chaos.OK
		}, 20*time.Second, 50*time.Millisecond)
	}
}

// A leader that stands still over an election and wakes up believes for a moment that it leads. Nothing it acknowledges
// then may be lost, and nothing it reads linearizably may be old.
func TestALeaderThatWakesUpMovesNothing(t *testing.T) {
	h := chaos.NewHistory(time.Now())
	w := processes(t, h, chaos.ProcessConfig{Binary: binary(t)})
	leader := awaitLeader(t, w)
	writeUntil(t, w, leader, "before", 10*time.Second)
	require.NoError(t, w.Pause(leader))
	took := writeUntil(t, w, other(w, leader), "meanwhile", 15*time.Second)
	t.Logf("the next write was acknowledged after %v", took)

	answers := make(chan chaos.Op, 20)
	for i := range 10 { // waiting at its door when it wakes up
		go func() {
			answers <- do(t, w, leader, chaos.Input{Kind: chaos.Read, Key: "w"}, "")
			answers <- do(t, w, leader, chaos.Input{Kind: chaos.Put, Key: "p", Value: fmt.Sprint(i)}, fmt.Sprint("stale-", i))
		}()
	}
	time.Sleep(300 * time.Millisecond)
	require.NoError(t, w.Resume(leader))
	var acknowledged []uint64
	for range 20 {
		op := <-answers
		switch {
		case op.Outcome != chaos.OK:
		case op.Input.Kind == chaos.Read:
			require.Equal(t, "meanwhile", op.Result.Value, "a linearizable read at revision %d is stale", op.Revision)
		default:
			acknowledged = append(acknowledged, op.Revision)
		}
	}
	require.Empty(t, chaos.Settle(w, h))
	require.NoError(t, w.Finish())
	inLog := map[uint64]bool{}
	for _, e := range w.Dump().Entries {
		inLog[e.Index] = true
	}
	for _, revision := range acknowledged {
		require.True(t, inLog[revision], "the write acknowledged at %d is not in the log", revision)
	}
}
