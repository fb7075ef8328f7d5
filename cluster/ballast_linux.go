package cluster

import (
	"errors"
	"os"
	"syscall"
)

// writeBallast lets the file system set the space aside, which takes no time; where it cannot, the bytes are written.
func writeBallast(path string, bytes int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = syscall.Fallocate(int(f.Fd()), 0, 0, bytes); errors.Is(err, syscall.EOPNOTSUPP) {
		err = fill(f, bytes)
	}
	return errors.Join(err, f.Close())
}
