//go:build unix

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

const ballastFile = "ballast"

// room watches the disk of a data directory.
func room(d directory) Room { return d }

// Space asks the file system.
func (d directory) Space() (free, size uint64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(string(d), &s); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", string(d), err)
	}
	block := uint64(s.Bsize)                                       //nolint:unconvert // its type differs between systems
	return uint64(s.Bavail) * block, uint64(s.Blocks) * block, nil //nolint:unconvert // the same
}

// Ballast is the size of the ballast file, 0 when there is none.
func (d directory) Ballast() int64 {
	info, err := os.Stat(filepath.Join(string(d), ballastFile))
	if err != nil {
		return 0
	}
	return info.Size()
}

// SetBallast writes the file, byte by byte: space that is only promised would not be there when it is wanted.
func (d directory) SetBallast(bytes int64) error {
	path := filepath.Join(string(d), ballastFile)
	if bytes == 0 {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("delete the ballast: %w", err)
		}
		return nil
	}
	if err := writeBallast(path+".tmp", bytes); err != nil {
		_ = os.Remove(path + ".tmp") // the error at hand says more
		return fmt.Errorf("write the ballast: %w", err)
	}
	return os.Rename(path+".tmp", path)
}
