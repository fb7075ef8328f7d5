package chaos_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/chaos"
)

// binary is the program under test: HOIST_BINARY, or one built for these tests.
func binary(t *testing.T, tags ...string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	if path := os.Getenv("HOIST_BINARY"); path != "" && len(tags) == 0 {
		return path
	}
	tag := strings.Join(tags, ",")
	builds.Lock()
	defer builds.Unlock()
	path := builds.made[tag]
	if path == "" {
		path = filepath.Join(builds.dir, "hoist-"+tag)
		build := exec.Command("go", "build", "-tags", tag, "-o", path, "../cmd/hoist")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
		builds.made[tag] = path
	}
	return path
}

// builds are the programs that tests have made, each once.
var builds = struct {
	sync.Mutex
	dir  string
	made map[string]string
}{made: map[string]string{}}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hoist-chaos-")
	if err != nil {
		panic(err)
	}
	builds.dir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// processes starts a cluster of real processes that ends with the test.
func processes(t *testing.T, h *chaos.History, c chaos.ProcessConfig) *chaos.Processes {
	t.Helper()
	c.Dir = cmp.Or(c.Dir, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := chaos.StartProcesses(ctx, h, c)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.Logs())
		}
		require.NoError(t, w.Close())
	})
	return w
}

// mix is what breaks in CI, one after the other.
func mix() []string {
	return []string{"kill-leader", "pause-leader", "halves", "one-way-out", "one-way-in", "bridge", "flapping", "slow-link", "isolate-leader", "kill-majority", "restart-storm", "power-failure", "rolling-restart"}
}

// The same checkers as in virtual time judge real processes. HOIST_CHAOS_DURATION makes it longer, HOIST_CHAOS_SEED and
// HOIST_CHAOS_NEMESIS repeat one case.
func TestProcessesAreLawfulWhateverBreaks(t *testing.T) {
	duration, err := time.ParseDuration(cmp.Or(os.Getenv("HOIST_CHAOS_DURATION"), "15s"))
	require.NoError(t, err)
	seed := fromEnvironment(t, "HOIST_CHAOS_SEED", 1)
	names := mix()
	if list := os.Getenv("HOIST_CHAOS_NEMESIS"); list != "" {
		names = strings.Split(list, "+")
	}
	found, err := chaos.FindIn(append(chaos.Nemeses(), chaos.Rolling()), names)
	require.NoError(t, err)
	h := chaos.NewHistory(time.Now())
	w := processes(t, h, chaos.ProcessConfig{Binary: binary(t), Args: []string{"--profile", "wan"}})
	chance := rand.New(rand.NewPCG(seed, 7))
	stop := chaos.Load{World: w, History: h, Seed: seed, Pause: 100 * time.Millisecond, Follow: 1}.Start(context.Background())
	began := time.Now()
	for i := 0; time.Since(began) < duration; i++ {
		chaos.Strike(t.Context(), w, h, chance, 5*time.Second, found[i%len(found)])
		time.Sleep(3 * time.Second) // real processes need real time to get well
	}
	stop()
	report := &chaos.Report{Trial: chaos.Trial{Seed: seed}, Virtual: time.Since(began), Violations: chaos.Settle(w, h)}
	require.NoError(t, w.Finish())
	report.Evidence = chaos.Evidence{History: h, Dump: w.Dump()}
	report.Judge()
	t.Log(report)
	if len(report.Violations) > 0 {
		dir := filepath.Join(artefacts(), "processes")
		require.NoError(t, report.Store(dir))
		for _, v := range report.Violations {
			t.Error(v)
		}
		t.Errorf("everything about it is in %s; repeat it with: make chaos SEED=%d NEMESIS=%s", dir, seed, strings.Join(names, "+"))
	}
}
