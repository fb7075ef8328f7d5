package archive

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hoistflags/hoist/fsm"
)

// Part ends the archive's history at row seq, because the cluster's went another way from there: a backup was restored. What
// came after is no row of this cluster any more, but somebody did it: its files are kept aside under the names returned.
func (a *Archive) Part(seq uint64) (aside []string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, ErrClosed
	case seq >= a.head:
		return nil, nil
	}
	if a.file != nil {
		if err := a.seal(); err != nil {
			return nil, err
		}
	}
	for i := len(a.segments) - 1; i >= 0 && a.segments[i].end() > seq; i-- { // newest first: a crash leaves a whole beginning
		name, err := a.partSegment(a.segments[i], seq)
		if err != nil {
			return aside, err
		}
		aside = append(aside, name)
	}
	return aside, errors.Join(syncDir(a.dir), a.load())
}

// partSegment puts a file aside and leaves of it what comes up to seq.
func (a *Archive) partSegment(s *segment, seq uint64) (string, error) {
	aside, err := freeName(s.path + ".parted")
	if err != nil {
		return "", err
	}
	if err := os.Remove(s.indexPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("archive: %w", err)
	}
	if s.first > seq {
		return aside, os.Rename(s.path, aside)
	}
	if err := copyFile(s.path, aside); err != nil {
		return "", fmt.Errorf("archive: %w", err)
	}
	_, end, err := scan(s.path, func(_ int64, row fsm.Written) bool { return row.Seq <= seq })
	if err != nil {
		return "", damaged(s.path, seq, err)
	}
	return aside, cut(s.path, end)
}

// freeName is the path, or the path with the first number behind it that is not taken.
func freeName(path string) (string, error) {
	name := path
	for n := 2; ; n++ {
		_, err := os.Lstat(name)
		if errors.Is(err, os.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", fmt.Errorf("archive: %w", err)
		}
		name = fmt.Sprintf("%s-%d", path, n)
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
