//go:build unix && !linux

package cluster

import (
	"errors"
	"os"
)

// writeBallast writes the bytes, since there is no portable way to set space aside.
func writeBallast(path string, bytes int64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(fill(f, bytes), f.Close())
}
