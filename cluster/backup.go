package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"
	"github.com/klauspost/compress/zstd"

	"github.com/hoistflags/hoist/fsm"
)

// Manifest says what a backup holds. It is the first line of the file, as JSON; the compressed state follows.
type Manifest struct {
	Format         int       `json:"format"` // 1
	ClusterID      string    `json:"cluster_id"`
	ClusterName    string    `json:"cluster_name"`
	Epoch          string    `json:"epoch"`
	Revision       uint64    `json:"revision"`
	ClusterVersion int       `json:"cluster_version"` // of the law in force
	DomainHash     string    `json:"domain_hash"`     // of what people declared and switched
	SHA256         string    `json:"sha256"`          // of everything after the first line
	Size           int64     `json:"size"`            // of the same, in bytes
	Node           string    `json:"node"`            // who wrote it
	AgeMS          int64     `json:"age_ms"`          // how long before that the node last knew that it was current
	At             time.Time `json:"at"`
}

const backupFormat = 1

// MaxBackup is the largest backup that is accepted, compressed.
const MaxBackup = 1 << 30

// Backup is the state of this node as one file, with or without a leader. What the file holds is what this node shows;
// the manifest says how old that is.
func (n *Node) Backup() (Manifest, []byte, error) {
	state := n.cfg.Store.State()
	if state.Epoch() == "" {
		return Manifest{}, nil, &fsm.Error{Kind: fsm.KindNoQuorum, Op: "backup", Detail: "this node is in no cluster yet, so there is nothing to back up"}
	}
	m := Manifest{Format: backupFormat, ClusterID: state.ClusterID(), ClusterName: n.cfg.ClusterName, Epoch: state.Epoch(), Revision: state.Index(),
		ClusterVersion: state.ClusterVersion(), DomainHash: state.DomainHash(), Node: n.cfg.NodeName, AgeMS: n.Age().Milliseconds(), At: time.Now().UTC()}
	content, err := compress(state)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("backup: %w", err)
	}
	digest := sha256.Sum256(content)
	m.SHA256, m.Size = hex.EncodeToString(digest[:]), int64(len(content))
	line, err := json.Marshal(m)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("backup: %w", err)
	}
	return m, append(append(line, '\n'), content...), nil
}

func compress(state *fsm.State) ([]byte, error) {
	var content bytes.Buffer
	w, err := zstd.NewWriter(&content, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	err = errors.Join(state.Save(w), w.Close())
	return content.Bytes(), err
}

// ReadBackup checks a backup against its manifest and decodes it.
func ReadBackup(file []byte) (Manifest, *fsm.State, error) {
	bad := func(format string, args ...any) (Manifest, *fsm.State, error) {
		return Manifest{}, nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read backup", Detail: fmt.Sprintf(format, args...)}
	}
	line, content, ok := bytes.Cut(file, []byte("\n"))
	var m Manifest
	if !ok || json.Unmarshal(line, &m) != nil || m.Format == 0 {
		return bad("this is no backup: `hoist cluster backup FILE` makes one")
	}
	if m.Format != backupFormat {
		return bad("the backup has format %d and this release reads format %d: use the release that made it", m.Format, backupFormat)
	}
	if digest := sha256.Sum256(content); hex.EncodeToString(digest[:]) != m.SHA256 {
		return bad("the file has %d bytes of content whose SHA-256 is not the one in its manifest (%d bytes): it was cut or changed; use another copy", len(content), m.Size)
	}
	plain, err := zstd.NewReader(bytes.NewReader(content), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return Manifest{}, nil, err
	}
	defer plain.Close()
	store := fsm.NewStore()
	if err := store.Load(plain); err != nil {
		return bad("the state does not load: %v", err)
	}
	if got := store.State().DomainHash(); got != m.DomainHash {
		return bad("the state has the domain hash %s and the manifest says %s", got, m.DomainHash)
	}
	return m, store.State(), nil
}

// Restored is what became of a restore.
type Restored struct {
	Manifest Manifest
	Epoch    string   // the new one
	Revision uint64   // the first of it
	Verified []string // names of the servers that show the backup's domain hash
	Missing  []string // names of those that did not answer in time; they catch up when they come back
}

// Restore replaces the state of the whole cluster by a backup, under a new epoch. Only the leader can; others answer
// NOT_LEADER. Writes are refused while it lasts, and those under way end with RESTORED. It returns when every server
// that answers shows the backup's domain hash.
func (n *Node) Restore(ctx context.Context, file []byte) (Restored, error) {
	m, state, err := ReadBackup(file)
	if err != nil {
		return Restored{}, err
	}
	if n.lead.Load() == nil {
		return Restored{}, &fsm.Error{Kind: fsm.KindNotLeader, Op: "restore", Detail: "only the leader restores a backup: `hoist cluster status` names it"}
	}
	if !n.maintenance.CompareAndSwap(false, true) {
		return Restored{}, &fsm.Error{Kind: fsm.KindIllegal, Op: "restore", Detail: "a restore is under way already"}
	}
	defer n.maintenance.Store(false)
	n.log.Warn("the state is replaced by a backup; writes are refused until every server has it", "made_at", m.At, "backup_revision", m.Revision, "revision", n.cfg.Store.State().Index())
	r := Restored{Manifest: m, Epoch: uuid.NewString()}
	if err := n.replaceState(ctx, state.Reborn(r.Epoch, n.clusterID())); err != nil {
		return Restored{}, err
	}
	r.Revision = n.cfg.Store.State().Index()
	n.changed.raise()
	r.Verified, r.Missing, err = n.verifyRestore(ctx, r)
	return r, err
}

// replaceState hands a state to raft as a snapshot of its own and begins the epoch with an established term.
func (n *Node) replaceState(ctx context.Context, state *fsm.State) error {
	content, err := compress(state)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	meta := raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: state.Index(), Size: int64(len(content))}
	if err := n.raft().Restore(&meta, bytes.NewReader(content), restoreTime(ctx)); err != nil {
		return &fsm.Error{Kind: fsm.KindUnknownOutcome, Op: "restore", Detail: "raft did not take the backup: look at `hoist cluster status` (the epoch changes with a restore), then repeat it", Err: err}
	}
	command := fsm.LeaderEstablished{Term: n.raft().CurrentTerm(), ServerID: n.id(), LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion}
	return n.proposeOwn(ctx, command, max(state.Now(), n.cfg.Hooks.Wall().UnixMilli()))
}

// restoreTime is what is left of the context, a minute without a deadline.
func restoreTime(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(time.Until(d), time.Millisecond)
	}
	return time.Minute
}

// verifyRestore waits until all servers show the backup, or the context ends. One that shows something else is an error.
func (n *Node) verifyRestore(ctx context.Context, r Restored) (verified, missing []string, err error) {
	if got := n.cfg.Store.State().DomainHash(); got != r.Manifest.DomainHash {
		return nil, nil, &fsm.Error{Kind: fsm.KindInternal, Op: "restore", Detail: fmt.Sprintf("the leader shows the domain hash %s after the restore, the backup has %s", got, r.Manifest.DomainHash)}
	}
	for {
		verified, missing = []string{n.cfg.NodeName}, nil
		for _, s := range n.raft().GetConfiguration().Configuration().Servers {
			id := string(s.ID)
			if id == n.id() {
				continue
			}
			report := n.reports.get(id)
			switch name := n.nameOf(id); {
			case !report.healthy(time.Now()) || report.state.Epoch != r.Epoch || report.state.Applied < r.Revision:
				missing = append(missing, name)
			case report.state.Domain != r.Manifest.DomainHash:
				return verified, missing, &fsm.Error{Kind: fsm.KindInternal, Op: "restore", Target: name,
					Detail: fmt.Sprintf("%s shows the domain hash %s after the restore, the backup has %s", name, report.state.Domain, r.Manifest.DomainHash)}
			default:
				verified = append(verified, name)
			}
		}
		if len(missing) == 0 {
			return verified, nil, nil
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return verified, missing, nil
		}
	}
}

// inMaintenance refuses writes while the state is being replaced.
func (n *Node) inMaintenance() error {
	if !n.maintenance.Load() {
		return nil
	}
	return &fsm.Error{Kind: fsm.KindRestored, Op: "propose", Detail: "the cluster is being restored from a backup and the write did not happen: read again in a moment, then decide"}
}
