package cluster

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes the content of a file durable, and of its description only what reading it needs: a full sync also
// writes the time of the last change, which costs as much again.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
