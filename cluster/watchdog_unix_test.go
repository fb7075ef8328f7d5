//go:build unix

package cluster

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A process that stood still (SIGSTOP, a machine that is moved to another host) must not end itself when it wakes up.
func TestAStoppedProcessDoesNotBlameItsDisk(t *testing.T) {
	if os.Getenv("HOIST_TEST_WRITES") != "" {
		s := &logStore{duration: newMetrics().fsync, fail: func(err error) { fmt.Println(err) }, isolate: func() {}}
		fmt.Println("writing")
		require.NoError(t, s.timed(opSet, func() error { time.Sleep(hangAfter / 2); return nil }))
		fmt.Println("written")
		return
	}
	child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	child.Env = append(os.Environ(), "HOIST_TEST_WRITES=1")
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	var said []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said = append(said, lines.Text())
		if lines.Text() == "writing" {
			require.NoError(t, child.Process.Signal(syscall.SIGSTOP))
			time.Sleep(hangAfter + hangAfter/2) // how long it stands still
			require.NoError(t, child.Process.Signal(syscall.SIGCONT))
		}
	}
	require.NoError(t, child.Wait())
	require.Contains(t, said, "written")
	require.NotContains(t, strings.Join(said, "\n"), "the disk hangs")
}
