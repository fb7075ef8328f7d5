package cluster

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/hoistflags/hoist/fsm"
)

const (
	identityFile = "node.json"
	removedFile  = "removed.json"
)

// identity is who this server is, in node.json. The server id never changes and never derives from an address, which
// may change at any time.
type identity struct {
	ServerID  string `json:"server_id"`
	ClusterID string `json:"cluster_id,omitempty"` // empty until known
	Law       int    `json:"law"`                  // highest cluster_version the data directory has seen

	LogStore LogStore `json:"log_store,omitempty"` // what keeps the log; empty: bolt
}

// tombstone says that the server was removed for good.
type tombstone struct {
	ClusterID string `json:"cluster_id"`
	ServerID  string `json:"server_id"`
	Revision  uint64 `json:"revision"`
}

// loadIdentity reads node.json, or makes a new identity in an empty directory, whose log is kept by log.
func loadIdentity(files Files, log LogStore) (identity, error) {
	id, made, err := readIdentity(files)
	if err != nil || made {
		return id, err
	}
	id = identity{ServerID: uuid.NewString(), Law: fsm.LawOldest, LogStore: log}
	return id, id.save(files)
}

// readIdentity reads node.json; made is false in an empty directory.
func readIdentity(files Files) (id identity, made bool, err error) {
	if data, err := readOptional(files, removedFile); err != nil {
		return identity{}, false, fmt.Errorf("read %s: %w", removedFile, err)
	} else if data != nil {
		var t tombstone
		if err := json.Unmarshal(data, &t); err != nil {
			return identity{}, false, fmt.Errorf("read %s: %w", removedFile, err)
		}
		return identity{}, false, &ExitError{Code: ExitRemoved, Detail: fmt.Sprintf(
			"server %s was removed from cluster %s at revision %d; to join again start with an empty data directory, which gives it a new id", t.ServerID, t.ClusterID, t.Revision)}
	}
	data, err := readOptional(files, identityFile)
	if err != nil {
		return identity{}, false, fmt.Errorf("read %s: %w", identityFile, err)
	}
	if data == nil {
		return identity{}, false, nil
	}
	if err := json.Unmarshal(data, &id); err != nil {
		return identity{}, false, corrupted(identityFile, err)
	}
	if id.ServerID == "" {
		return identity{}, false, corrupted(identityFile, errors.New("server_id is missing"))
	}
	return id, true, id.checkLaw()
}

// checkLaw refuses what a newer release wrote: applying it by an older law would let the states diverge.
func (id identity) checkLaw() error {
	if id.Law <= fsm.LawVersion {
		return nil
	}
	return &ExitError{Code: ExitUnknownLaw, Detail: fmt.Sprintf(
		"the data directory was written under cluster version %d and this release knows %d at most; start a release that knows cluster version %d", id.Law, fsm.LawVersion, id.Law)}
}

func (id identity) save(files Files) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	if err := files.WriteFile(identityFile, append(data, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", identityFile, err)
	}
	return nil
}

// learn notes the cluster id and the law once the state shows them; called from one goroutine.
func (n *Node) learn() error {
	state := n.cfg.Store.State()
	id := *n.identity.Load()
	id.Law = max(id.Law, state.ClusterVersion())
	if named := state.ClusterID(); named != "" { // another one after a recovery
		id.ClusterID = named
	}
	if id == *n.identity.Load() {
		return nil
	}
	if err := id.save(n.stores.Files); err != nil {
		return err
	}
	n.identity.Store(&id)
	if n.network != nil && n.network.gossip != nil {
		n.spawn(func() { n.network.gossip.spread() }) // strangers must see at once whose this node is
	}
	return nil
}
