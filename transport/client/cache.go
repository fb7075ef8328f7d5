package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hoistflags/hoist/evaluator"
)

const (
	saveEvery    = time.Second // at most
	refreshEvery = time.Minute // when nothing but the time at which it was known to be current has changed
	saveShare    = 10          // of the time, one part goes into saving at most
	clockSlack   = 5 * time.Second
)

// cacheForm is the first line of a cache file; it changes with the form of what follows.
const cacheForm = "hoist cache 1\n"

// cache is the file that holds one environment between two runs: a line that names the form, a line of JSON with the
// head, the records of flags and segments, and the SHA-256 of all of that.
type cache struct {
	path                string
	tenant, environment string
	logger              *slog.Logger
}

// cacheHead is everything of a snapshot that is not a record.
type cacheHead struct {
	Tenant      string                `json:"tenant"`
	Environment string                `json:"environment"`
	Position    Position              `json:"position"`
	Snapshot    uint64                `json:"snapshot"` // its own revision
	ChangedAt   int64                 `json:"changedAt"`
	Scope       uint64                `json:"scope"`
	Client      uint64                `json:"client"`
	Segment     uint64                `json:"segment"`
	Floor       uint64                `json:"floor"`
	Flags       int                   `json:"flags"`
	Segments    int                   `json:"segments"`
	Tombstones  []evaluator.Tombstone `json:"tombstones,omitempty"`
}

// kept is what a cache file holds.
type kept struct {
	snapshot *evaluator.Snapshot
	position Position
}

// restore serves what the cache file holds.
func (r *Replica) restore() {
	k, err := r.cache.load()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		r.logger.Warn("the cache file is not used", slog.String("file", r.cache.path), slog.Any("error", err))
		return
	}
	if ahead := time.Until(k.position.KnownAt); ahead > clockSlack {
		r.logger.Warn("the cache file is from the future: the clock was set back since it was written, so its age is not known and counts as endless",
			slog.String("file", r.cache.path), slog.Duration("ahead", ahead))
		k.position.KnownAt = time.Unix(0, 0)
	}
	r.live.Publish(k.snapshot)
	r.stand(Status{Position: k.position, Err: errNotYet})
	r.opened.Do(func() { close(r.ready) })
	r.logger.Info("serving from the cache file until a node answers", slog.String("file", r.cache.path),
		slog.Uint64("revision", k.position.Revision), slog.Duration("age", k.position.Age()))
}

// keep saves what is other than what the file holds until ctx ends, and once more then.
func (r *Replica) keep(ctx context.Context, saved kept) {
	due := time.Now()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		stopping := false
		select {
		case now := <-tick.C:
			if now.Before(due) {
				continue
			}
		case <-ctx.Done():
			stopping = true
		}
		began := time.Now()
		if next, ok := r.unsaved(saved, stopping); ok {
			if err := r.cache.save(next); err != nil {
				r.logger.Warn("the cache file could not be written", slog.String("file", r.cache.path), slog.Any("error", err))
			} else {
				saved = next
			}
			due = time.Now().Add(saveShare * time.Since(began))
		}
		if stopping {
			return
		}
	}
}

// unsaved returns what should be saved now, if anything. The position is read first: the snapshot then holds everything
// up to it.
func (r *Replica) unsaved(saved kept, stopping bool) (kept, bool) {
	next := kept{position: r.Position()}
	next.snapshot = r.live.Snapshot()
	if next.position.Epoch == "" || next.position.Epoch != next.snapshot.Epoch() {
		return kept{}, false
	}
	next.position.Revision = max(next.position.Revision, next.snapshot.Revision())
	old := next.position.KnownAt.Sub(saved.position.KnownAt)
	return next, next.snapshot != saved.snapshot || old >= refreshEvery || stopping && old > 0
}

// save replaces the file as a whole or not at all: a process that dies on the way leaves the one that was there.
func (c *cache) save(k kept) (err error) {
	f, err := os.CreateTemp(filepath.Dir(c.path), filepath.Base(c.path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := c.write(f, k); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), c.path); err != nil {
		return err
	}
	// The file is in place; that its name survives a power cut as well is the folder's sync, which not every system has.
	if folder, err := os.Open(filepath.Dir(c.path)); err == nil {
		_ = folder.Sync()
		_ = folder.Close()
	}
	return f.Close()
}

func (c *cache) write(to io.Writer, k kept) error {
	p := k.snapshot.Parts()
	head, err := json.Marshal(cacheHead{
		Tenant: c.tenant, Environment: c.environment, Position: k.position, Snapshot: p.Revision, ChangedAt: p.ChangedAt,
		Scope: p.ScopeRevision, Client: p.ClientRevision, Segment: p.SegmentRevision, Floor: p.Floor,
		Flags: len(p.Flags), Segments: len(p.Segments), Tombstones: p.Tombstones,
	})
	if err != nil {
		return err
	}
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(to, sum), 256<<10)
	w.WriteString(cacheForm) //nolint:errcheck // a bufio.Writer remembers; Flush says it
	w.Write(head)            //nolint:errcheck // as above
	w.WriteByte('\n')        //nolint:errcheck // as above
	record := func(revision uint64, body []byte) {
		b := binary.AppendUvarint(w.AvailableBuffer(), revision)
		w.Write(binary.AppendUvarint(b, uint64(len(body)))) //nolint:errcheck // as above
		w.Write(body)                                       //nolint:errcheck // as above
	}
	for i, f := range p.Flags {
		record(p.FlagRevisions[i], f.Record())
	}
	for i, g := range p.Segments {
		record(p.SegmentRevisions[i], g.Record())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err = to.Write(sum.Sum(nil))
	return err
}

// load reads the file. Errors say what is wrong with it; one that is not there is fs.ErrNotExist.
func (c *cache) load() (kept, error) {
	data, err := os.ReadFile(c.path)
	if err != nil {
		return kept{}, err
	}
	k, err := c.decode(data)
	if err != nil {
		return kept{}, fmt.Errorf("%s: %w", c.path, err)
	}
	return k, nil
}

func (c *cache) decode(data []byte) (kept, error) {
	if !bytes.HasPrefix(data, []byte(cacheForm)) {
		return kept{}, errors.New("is not a cache file of this version")
	}
	body, sum := data[:max(len(cacheForm), len(data)-sha256.Size)], data[max(len(cacheForm), len(data)-sha256.Size):]
	if got := sha256.Sum256(body); !bytes.Equal(got[:], sum) {
		return kept{}, errors.New("is damaged: its checksum is another one; it is written anew once a node answers")
	}
	line, rest, _ := bytes.Cut(body[len(cacheForm):], []byte("\n"))
	var h cacheHead
	if err := json.Unmarshal(line, &h); err != nil {
		return kept{}, fmt.Errorf("has an unreadable head: %w", err)
	}
	if h.Tenant != c.tenant || h.Environment != c.environment {
		return kept{}, fmt.Errorf("holds environment %q of tenant %q; give every environment a file of its own", h.Environment, h.Tenant)
	}
	p := evaluator.Parts{
		Epoch: h.Position.Epoch, Revision: h.Snapshot, ChangedAt: h.ChangedAt, SegmentRevision: h.Segment, ScopeRevision: h.Scope,
		ClientRevision: h.Client, Floor: h.Floor, Tombstones: h.Tombstones,
	}
	var err error
	if p.Flags, p.FlagRevisions, rest, err = records(rest, h.Flags, decodeFlag); err != nil {
		return kept{}, err
	}
	if p.Segments, p.SegmentRevisions, _, err = records(rest, h.Segments, decodeSegment); err != nil {
		return kept{}, err
	}
	return kept{evaluator.RestoreSnapshot(p), h.Position}, nil
}

// records reads n records.
func records[T any](data []byte, n int, decode func([]byte) (T, error)) (items []T, revisions []uint64, rest []byte, err error) {
	for range n {
		revision, a := binary.Uvarint(data)
		size, b := binary.Uvarint(data[max(a, 0):])
		if a <= 0 || b <= 0 || size > uint64(len(data)-a-b) {
			return nil, nil, nil, errors.New("ends within a record")
		}
		item, err := decode(data[a+b : a+b+int(size)])
		if err != nil {
			return nil, nil, nil, fmt.Errorf("holds a record that this version cannot read: %w", err)
		}
		items, revisions = append(items, item), append(revisions, revision)
		data = data[a+b+int(size):]
	}
	return items, revisions, data, nil
}
