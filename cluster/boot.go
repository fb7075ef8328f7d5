package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/fsm"
)

const (
	progressFile  = "applied.json"
	progressEvery = time.Second
	replayBatch   = 256
)

// progress is how far this node had applied the log, and when it last knew that it was current. Everything up to the
// index is committed, so a restart may serve it before it has heard of any leader.
type progress struct {
	Index   uint64 `json:"index"`
	Current int64  `json:"current"` // unix milliseconds
}

func loadProgress(files Files) (progress, error) {
	data, err := readOptional(files, progressFile)
	if err != nil || data == nil {
		return progress{}, err
	}
	var p progress
	if err := json.Unmarshal(data, &p); err != nil {
		return progress{}, corrupted(progressFile, err)
	}
	return p, nil
}

// saveProgress writes the number down when it moved.
func (n *Node) saveProgress() error {
	p := progress{Index: n.cfg.Store.State().Index(), Current: time.Now().Add(-n.Age()).UnixMilli()}
	if p.Index == n.saved {
		return nil
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := n.stores.Files.WriteFile(progressFile, data); err != nil {
		return fmt.Errorf("write %s: %w", progressFile, err)
	}
	n.saved = p.Index
	return nil
}

// replay brings the store to the state this node served before it stopped: the newest snapshot, then its own log up to
// the index it had applied. Raft would wait for a leader with the second part, and without a quorum that is for ever.
func replay(stores *Stores, m *machine, upTo uint64) error {
	from := uint64(1)
	snapshots, err := stores.Snapshots.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	if len(snapshots) > 0 {
		meta, content, err := stores.Snapshots.Open(snapshots[0].ID)
		if err != nil {
			return corrupted("snapshot "+snapshots[0].ID, err)
		}
		if err := errors.Join(m.Restore(content), content.Close()); err != nil {
			return fmt.Errorf("load snapshot %s: %w", meta.ID, err) // its checksum is right, so this is what was written
		}
		from = meta.Index + 1
		m.snapshotAt.Store(snapshotTime(meta.ID))
	}
	if err := checkGap(stores.Log, from, upTo); err != nil {
		return err
	}
	return replayLog(stores.Log, m, from, upTo)
}

// checkGap makes sure that the log goes on where the snapshot ends and reaches as far as was applied. Both were synced
// before anything after them was served, so what is missing was lost.
func checkGap(log raft.LogStore, from, upTo uint64) error {
	first, err := log.FirstIndex()
	if err != nil {
		return corrupted("the log", err)
	}
	last, err := log.LastIndex()
	switch {
	case err != nil:
		return corrupted("the log", err)
	case first > from:
		return corrupted("the log", fmt.Errorf("it begins at entry %d, and the newest whole snapshot ends before entry %d", first, from))
	case upTo >= from && last < upTo:
		return corrupted("the log", fmt.Errorf("it ends at entry %d, and entry %d was applied", last, upTo))
	}
	return nil
}

// snapshotTime reads when a snapshot was made, in unix nanoseconds, out of the name raft's file store gives it:
// term-index-milliseconds. Another name says nothing.
func snapshotTime(id string) int64 {
	parts := strings.Split(id, "-")
	ms, err := strconv.ParseInt(parts[len(parts)-1], 10, 64)
	if err != nil || len(parts) != 3 {
		return 0
	}
	return ms * int64(time.Millisecond)
}

func replayLog(log raft.LogStore, m *machine, from, to uint64) error {
	batch := make([]*raft.Log, 0, replayBatch)
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		for _, r := range m.ApplyBatch(batch) {
			var law *fsm.LawError
			if o, ok := r.(fsm.Outcome); ok && errors.As(o.Err, &law) {
				return exitFromLaw(law)
			}
		}
		batch = batch[:0]
		return nil
	}
	for i := from; i <= to; i++ {
		entry := new(raft.Log)
		if err := guarded("the log", func() error { return log.GetLog(i, entry) }); err != nil {
			return corrupted("the log", fmt.Errorf("entry %d of those from %d to %d: %w", i, from, to, err))
		}
		if entry.Type != raft.LogCommand && entry.Type != raft.LogConfiguration {
			continue
		}
		if batch = append(batch, entry); len(batch) == cap(batch) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
