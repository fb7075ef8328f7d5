package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Stores is everything a node keeps that must survive it.
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	Files     Files
	Room      Room         // nil: space is never short
	Close     func() error // nil: nothing to close

	mark   *mark  // nil: the progress file has to do
	marked uint64 // what it held at the start
}

// Files keeps a few small named files. A write is atomic and durable: after a crash a reader sees the old content or
// the new one. Reading what was never written gives fs.ErrNotExist.
type Files interface {
	ReadFile(name string) ([]byte, error)
	WriteFile(name string, data []byte) error
}

// LogStore names what keeps raft's log on disk. A data directory remembers the one it was made with.
type LogStore string

// LogBolt is raft-boltdb: one file, two syncs for each append. LogWAL is raft-wal: files that are only appended to, one
// sync. Term and vote are in the bolt file either way, whose lock also keeps a second process out of the directory.
const (
	LogBolt LogStore = "bolt"
	LogWAL  LogStore = "wal"
)

// openDisk opens (or makes) a data directory. asked is the log a new directory gets, bolt if empty, and the one an old
// directory must have.
func openDisk(dir string, asked LogStore, logger hclog.Logger) (stores *Stores, kind LogStore, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("data directory: %w", err)
	}
	if err := checkComplete(dir); err != nil {
		return nil, "", err
	}
	bolt, err := openBolt(dir)
	if err != nil {
		return nil, "", err
	}
	stores = &Stores{Log: bolt, Stable: bolt, Files: directory(dir), Room: room(directory(dir)), Close: bolt.Close}
	defer func() {
		if err != nil {
			err = errors.Join(err, stores.Close())
		}
	}()
	if stores.Snapshots, err = raft.NewFileSnapshotStoreWithLogger(dir, 3, logger); err != nil {
		return nil, "", fmt.Errorf("open the snapshots in %s: %w", dir, err)
	}
	if stores.mark, stores.marked, err = openMark(dir); err != nil {
		return nil, "", err
	}
	mark := stores.mark
	stores.Close = func() error { return errors.Join(mark.Close(), bolt.Close()) }
	if kind, err = keptLog(dir, asked); err != nil || kind == LogBolt {
		return stores, kind, err
	}
	log, err := openSegments(dir, segmentSize, logger)
	if err != nil {
		return nil, "", err
	}
	stores.Log, stores.Close = log, func() error { return errors.Join(log.Close(), mark.Close(), bolt.Close()) }
	return stores, kind, nil
}

// keptLog is the log that the data directory has, or shall get. The directory must be locked.
func keptLog(dir string, asked LogStore) (LogStore, error) {
	id, made, err := readIdentity(directory(dir))
	switch kept := cmp.Or(id.LogStore, LogBolt); {
	case err != nil:
		return "", err
	case !made:
		return cmp.Or(asked, LogBolt), nil
	case asked != "" && asked != kept:
		return "", fmt.Errorf("%w: data directory %s keeps its log in %s, not in %s: leave the log store as it is, or take this server out of the cluster "+
			"(hoist cluster remove %s) and start it with an empty data directory, which it fills from the others", ErrConfig, dir, kept, asked, id.ServerID)
	default:
		return kept, nil
	}
}

// checkComplete refuses a directory whose log is gone: with an empty one the server would vote a second time. The log is
// made before the identity, so one without the other is a loss, whatever else the identity had time to learn.
func checkComplete(dir string) error {
	_, made, err := readIdentity(directory(dir))
	if err != nil || !made {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "raft.db")); errors.Is(err, fs.ErrNotExist) {
		return &CorruptError{What: "the data directory", Err: errors.New("raft.db is missing")}
	}
	return nil
}

// openBolt opens the bolt file; doing so walks all its pages, so a broken one is noticed here.
func openBolt(dir string) (bolt *raftboltdb.BoltStore, err error) {
	err = guarded("raft.db", func() error {
		bolt, err = newBolt(dir)
		return err
	})
	return bolt, err
}

func newBolt(dir string) (*raftboltdb.BoltStore, error) {
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, "raft.db"),
		BoltOptions: &bbolt.Options{
			Timeout:        time.Second,
			NoFreelistSync: true, // the free list is rebuilt at open; not writing it halves the pages of a small commit
			FreelistType:   bbolt.FreelistMapType,
		},
		MsgpackUseNewTimeFormat: true,
	})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("data directory %s is in use by another hoist process: stop that one or choose another directory", dir)
	}
	if err != nil {
		return nil, corrupted("raft.db", fmt.Errorf("open the log in %s: %w", dir, err))
	}
	return bolt, nil
}

// directory is Files on a real disk.
type directory string

func (d directory) ReadFile(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), name))
}

// WriteFile goes through a temporary file and a rename, with both the file and the directory synced.
func (d directory) WriteFile(name string, data []byte) error {
	path := filepath.Join(string(d), name)
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	parent, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// readOptional is ReadFile that answers nil for a file that was never written.
func readOptional(f Files, name string) ([]byte, error) {
	data, err := f.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
