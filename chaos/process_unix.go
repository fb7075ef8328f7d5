//go:build unix

package chaos

import (
	"errors"
	"os/exec"
	"syscall"
)

// ownGroup keeps signals of our terminal from the child, and lets a signal reach a tracer together with what it traces.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// signal reaches the whole group of a child.
func signal(c *exec.Cmd, s syscall.Signal) error {
	if err := syscall.Kill(-c.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
