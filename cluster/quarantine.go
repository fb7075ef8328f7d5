package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"
)

const rejoinFile = "rejoin.json"

// CorruptError says that what a data directory holds cannot be what was written there.
type CorruptError struct {
	What string // the file or the part of it
	Err  error
}

// Error names the part and the reason.
func (e *CorruptError) Error() string { return fmt.Sprintf("%s is corrupt: %v", e.What, e.Err) }

// Unwrap gives the reason.
func (e *CorruptError) Unwrap() error { return e.Err }

// corrupted marks an error as a sign of corruption, unless the system refused the access itself: a missing right or a
// failing disk says nothing about the content.
func corrupted(what string, err error) error {
	var refusal syscall.Errno
	var exit *ExitError
	if err == nil || errors.As(err, &refusal) || errors.As(err, &exit) {
		return err
	}
	return &CorruptError{What: what, Err: err}
}

// guarded turns what a corrupt memory-mapped file does to its reader, a panic or a fault, into an error.
func guarded(what string, do func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = &CorruptError{What: what, Err: fmt.Errorf("%v", p)}
		}
	}()
	return do()
}

// rejoin is the note a node leaves itself when its data was put aside. While it is there the node founds no cluster: it
// was in one, and only its members can let it in again, which takes their quorum.
type rejoin struct {
	Because   string    `json:"because"`
	At        time.Time `json:"at"`
	ServerID  string    `json:"server_id,omitempty"` // of the data put aside, where it could be read
	Directory string    `json:"directory"`           // where it is now, below the data directory
	Moved     bool      `json:"moved"`
}

// putAside lists everything that belongs to the identity and the log. The addresses of the others stay.
func putAside() []string {
	return []string{identityFile, "raft.db", segmentsDir, "snapshots", progressFile, markFile}
}

// quarantine moves the data aside, so that the node can enter the cluster again as a new server: under its old id it may
// have voted or acknowledged what it no longer knows. Nothing is moved where nobody is known who could give the data
// back.
func (n *Node) quarantine(why *CorruptError) error {
	dir := directory(n.cfg.DataDir)
	seeds, err := n.seedsIn(dir)
	if err != nil {
		n.log.Warn("the remembered members cannot be read", "error", err)
	}
	if len(seeds) == 0 && len(n.cfg.Join) == 0 {
		return &ExitError{Code: ExitDisk, Detail: fmt.Sprintf("%s: no other member is known to take a copy from; restore a backup into an empty data directory "+
			"(hoist cluster restore FILE), or name a member with --join", why)}
	}
	r := rejoin{Because: why.Error(), At: time.Now().UTC(), Directory: fmt.Sprintf("quarantine-%d", time.Now().UnixMilli())}
	if id, made, err := readIdentity(dir); err == nil && made {
		r.ServerID = id.ServerID
	}
	n.log.Error("the data is put aside and this node asks to be let in as a new server; it is, once a majority of the old members is up",
		"because", why, "old_server", r.ServerID, "directory", filepath.Join(n.cfg.DataDir, r.Directory))
	return r.carryOut(dir)
}

// carryOut moves the files and can be repeated after a crash at any point.
func (r rejoin) carryOut(dir directory) error {
	if err := r.save(dir); err != nil {
		return err
	}
	to := filepath.Join(string(dir), r.Directory)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	for _, name := range putAside() {
		if err := os.Rename(filepath.Join(string(dir), name), filepath.Join(to, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	r.Moved = true
	return r.save(dir)
}

func (r rejoin) save(dir directory) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := dir.WriteFile(rejoinFile, append(data, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", rejoinFile, err)
	}
	return nil
}

// resumeQuarantine finishes one that a crash interrupted, and tells whether this node has to be let in again.
func (n *Node) resumeQuarantine() error {
	if n.cfg.DataDir == "" || n.cfg.Hooks.Stores != nil {
		return nil
	}
	dir := directory(n.cfg.DataDir)
	data, err := readOptional(dir, rejoinFile)
	if err != nil || data == nil {
		return err
	}
	var r rejoin
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("read %s: %w: delete the file, and start with --join and without --bootstrap-expect", rejoinFile, err)
	}
	n.rejoining = true
	if r.Moved {
		return nil
	}
	return r.carryOut(dir)
}

// rejoined forgets the quarantine once this node is a member again; the data put aside stays for whoever wants to see.
func (n *Node) rejoined() {
	if !n.rejoining {
		return
	}
	if err := os.Remove(filepath.Join(n.cfg.DataDir, rejoinFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.log.Warn("the note of the quarantine could not be deleted", "error", err)
		return
	}
	n.log.Info("this node is a member again; the data put aside can be deleted")
}
