package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/fsm"
)

// Inspection is what a data directory holds while no process runs on it.
type Inspection struct {
	Dir         string
	ServerID    string
	ClusterID   string
	LogStore    LogStore
	Snapshot    uint64 // index of the newest snapshot, 0: none
	First, Last uint64 // entries of the log, 0: none
	LastTerm    uint64 // of the last entry or snapshot: with Last, what an election compares
	VoteTerm    uint64 // the newest term it took part in
	Applied     uint64 // what was served, all of it committed
	Current     time.Time
	Servers     []raft.Server // the newest configuration in the log
	State       *fsm.State    // at Applied
	Tail        []TailEntry   // the log after Applied: nobody here knows whether it was committed
	Findings    []Finding
}

// TailEntry is one entry that may or may not have been committed.
type TailEntry struct {
	Index, Term uint64
	Verb        string // of the command; "configuration" for a change of the members
	Actor       string
	At          time.Time
}

// Finding is something that a person should know, and what to do about it.
type Finding struct {
	Severity string // ok, warning, problem
	What     string
	Fix      string
}

// The severities of findings.
const (
	SeverityOK      = "ok"
	SeverityWarning = "warning"
	SeverityProblem = "problem"
)

func (i *Inspection) found(severity, fix, format string, args ...any) {
	i.Findings = append(i.Findings, Finding{Severity: severity, What: fmt.Sprintf(format, args...), Fix: fix})
}

// Inspect reads a data directory from one end to the other. It locks the directory and changes nothing that counts. What
// is wrong with the content is a finding; an error means that the directory could not be looked at.
func Inspect(dir string) (*Inspection, error) {
	i := &Inspection{Dir: dir}
	if _, err := os.Stat(filepath.Join(dir, identityFile)); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is no data directory: it holds no %s", dir, identityFile)
	}
	i.findNotes()
	stores, kind, err := openDisk(dir, "", newRaftLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return i, i.explain(err)
	}
	defer func() { _ = stores.Close() }() // it was only read
	i.LogStore = kind
	if err := i.read(stores); err != nil {
		return i, i.explain(err)
	}
	i.found(SeverityOK, "", "snapshot %d, log %d to %d, applied %d: they fit together and every entry reads", i.Snapshot, i.First, i.Last, i.Applied)
	i.findSpace(stores)
	return i, nil
}

// explain turns errors of the content into findings.
func (i *Inspection) explain(err error) error {
	var corrupt *CorruptError
	var exit *ExitError
	switch {
	case errors.As(err, &corrupt):
		i.found(SeverityProblem, "start the server: it puts the data aside and takes a copy from the others, as soon as they have a quorum; alone, restore a backup into an empty directory", "%v", err)
	case errors.As(err, &exit) && exit.Code == ExitRemoved:
		i.found(SeverityProblem, "start with an empty data directory to join under a new id", "%v", err)
	case errors.As(err, &exit) && exit.Code == ExitUnknownLaw:
		i.found(SeverityProblem, "start the release that wrote it, or a newer one", "%v", err)
	default:
		return err
	}
	return nil
}

// findNotes looks at the small files around the log.
func (i *Inspection) findNotes() {
	if data, err := readOptional(directory(i.Dir), rejoinFile); err == nil && data != nil {
		var r rejoin
		if json.Unmarshal(data, &r) == nil {
			i.found(SeverityWarning, "let it run with --join: it becomes a member again once the others have a quorum", "the former data was corrupt (%s) and lies in %s", r.Because, r.Directory)
		}
	}
	aside, err := filepath.Glob(filepath.Join(i.Dir, "quarantine-*"))
	if err == nil && len(aside) > 0 {
		i.found(SeverityWarning, "delete them when nobody wants to look at them any more", "%d directories with data that was put aside", len(aside))
	}
	if info, err := os.Stat(i.Dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		i.found(SeverityWarning, "chmod 700 "+i.Dir, "others than the owner can read the directory (mode %o)", info.Mode().Perm())
	}
}

func (i *Inspection) findSpace(stores *Stores) {
	if stores.Room == nil {
		return
	}
	free, size, err := stores.Room.Space()
	if err != nil {
		i.found(SeverityWarning, "look at the file system", "the free space is not known: %v", err)
		return
	}
	c := Config{DiskReserve: defaultReserve, DiskBallast: defaultBallast}
	switch low, full, _ := c.limits(size); {
	case free < full:
		i.found(SeverityProblem, "free space or make the disk larger; no restart is needed", "the disk has %d MiB free: a node takes no writes below %d MiB", free>>20, full>>20)
	case free < low:
		i.found(SeverityWarning, "free space or make the disk larger", "the disk has %d MiB free of %d MiB", free>>20, size>>20)
	default:
		i.found(SeverityOK, "", "the disk has %d MiB free of %d MiB", free>>20, size>>20)
	}
}

// read goes through everything: identity, snapshots, state, log.
func (i *Inspection) read(stores *Stores) error {
	id, _, err := readIdentity(stores.Files)
	if err != nil {
		return err
	}
	i.ServerID, i.ClusterID = id.ServerID, id.ClusterID
	p, err := loadProgress(stores.Files)
	if err != nil {
		return err
	}
	i.Applied, i.Current = max(p.Index, stores.marked), time.UnixMilli(p.Current)
	if i.VoteTerm, err = stores.Stable.GetUint64([]byte("CurrentTerm")); err != nil && err.Error() != "not found" {
		return corrupted("the term", err)
	}
	if err := i.readSnapshots(stores.Snapshots); err != nil {
		return err
	}
	m := silentMachine()
	if err := replay(stores, m, i.Applied); err != nil {
		return err
	}
	i.State = m.store.State()
	return i.readLog(stores.Log)
}

// readSnapshots reads each from end to end, which checks its checksum.
func (i *Inspection) readSnapshots(all raft.SnapshotStore) error {
	list, err := all.List()
	if err != nil {
		return err
	}
	for at, meta := range list {
		_, content, err := all.Open(meta.ID)
		if err == nil {
			_, err = io.Copy(io.Discard, content)
			err = errors.Join(err, content.Close())
		}
		if err != nil {
			return corrupted("snapshot "+meta.ID, err)
		}
		if at == 0 {
			i.Snapshot, i.LastTerm, i.Servers = meta.Index, meta.Term, meta.Configuration.Servers
		}
	}
	return nil
}

// readLog decodes every entry, and lists those that were not applied.
func (i *Inspection) readLog(log raft.LogStore) (err error) {
	if i.First, err = log.FirstIndex(); err != nil {
		return corrupted("the log", err)
	}
	if i.Last, err = log.LastIndex(); err != nil {
		return corrupted("the log", err)
	}
	for index := i.First; index > 0 && index <= i.Last; index++ {
		entry := new(raft.Log)
		if err := guarded("the log", func() error { return log.GetLog(index, entry) }); err != nil {
			return corrupted("the log", fmt.Errorf("entry %d: %w", index, err))
		}
		if entry.Index != index {
			return corrupted("the log", fmt.Errorf("entry %d says that it is entry %d", index, entry.Index))
		}
		if entry.Type == raft.LogConfiguration && index > i.Snapshot {
			i.Servers = raft.DecodeConfiguration(entry.Data).Servers
		}
		if index > i.Applied {
			i.Tail = append(i.Tail, tailEntry(entry))
		}
		if index > i.Snapshot {
			i.LastTerm = entry.Term
		}
	}
	return nil
}

func tailEntry(entry *raft.Log) TailEntry {
	t := TailEntry{Index: entry.Index, Term: entry.Term, Verb: "nothing"}
	switch entry.Type {
	case raft.LogConfiguration:
		t.Verb = "configuration"
	case raft.LogCommand:
		p, err := fsm.DecodeProposal(entry.Data)
		if err != nil {
			t.Verb = "unreadable"
			return t
		}
		t.Actor, t.At = p.Actor.ID, time.UnixMilli(p.At)
		t.Verb = "unknown"
		if c, err := fsm.DecodeCommand(p.Command); err == nil {
			t.Verb = c.Verb()
		}
	}
	return t
}

// Newest is the last index the directory holds anything of.
func (i *Inspection) Newest() uint64 { return max(i.Last, i.Snapshot) }

// Further tells whether this log would win an election against the other: what one of them committed is in the further
// one, if it is in any of the two.
func (i *Inspection) Further(other *Inspection) bool {
	if i.LastTerm != other.LastTerm {
		return i.LastTerm > other.LastTerm
	}
	return i.Newest() > other.Newest()
}

// ReadLog calls each for every entry that a data directory holds and that was applied there, while no process runs on it.
func ReadLog(dir string, each func(*raft.Log) error) error {
	stores, _, err := openDisk(dir, "", newRaftLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	defer func() { _ = stores.Close() }() // it was only read
	p, err := loadProgress(stores.Files)
	if err != nil {
		return err
	}
	first, err := stores.Log.FirstIndex()
	if err != nil {
		return err
	}
	for index := first; index > 0 && index <= max(p.Index, stores.marked); index++ {
		entry := new(raft.Log)
		if err := stores.Log.GetLog(index, entry); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
		if err := each(entry); err != nil {
			return err
		}
	}
	return nil
}
