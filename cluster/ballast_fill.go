//go:build unix

package cluster

import (
	"crypto/rand"
	"os"
)

// fill writes random bytes, which no file system can make smaller.
func fill(f *os.File, bytes int64) error {
	chunk := make([]byte, 1<<20)
	_, _ = rand.Read(chunk) // never fails
	for bytes > 0 {
		part := chunk[:min(int64(len(chunk)), bytes)]
		if _, err := f.Write(part); err != nil {
			return err
		}
		bytes -= int64(len(part))
	}
	return f.Sync()
}
