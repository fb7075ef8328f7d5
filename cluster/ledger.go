package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
)

// The ledger is the archive of the rows of the change log that the state does not keep: a folder of this node, filled by
// one goroutine that walks every published state. Rows it missed, because it was away and came back through a snapshot,
// are in the state, or it asks the others for them.

const (
	ledgerFolder = "audit"
	ledgerPause  = 50 * time.Millisecond // rows of this long are written together
	ledgerSync   = time.Second           // the log has them anyway, so they need not be safe at once
	ledgerAsk    = 5 * time.Second       // for one answer
	ledgerRetry  = 2 * time.Second       // until the others are asked again
	ledgerTries  = 15
	ledgerRows   = 2000      // of one answer
	ledgerBytes  = 700 << 10 // likewise, below maxFrame
)

// Ledger is the archive of this node; nil when it has no data directory.
func (n *Node) Ledger() *archive.Archive { return n.ledger }

// openLedger opens the archive, if there is a place for one.
func (n *Node) openLedger() (err error) {
	if n.cfg.DataDir == "" {
		return nil
	}
	if n.ledger, err = archive.Open(filepath.Join(n.cfg.DataDir, ledgerFolder)); err != nil {
		return err
	}
	for _, what := range n.ledger.Damaged {
		n.log.Error("old audit rows were damaged; they are fetched again", "what", what)
	}
	return nil
}

// keepLedger fills the archive until the node is closed.
func (n *Node) keepLedger() {
	rows := n.ledgerTrail.State().Written(n.ledgerHead(), int(^uint(0)>>1))
	synced, failing := time.Now(), false
	for {
		err := n.writeLedger(n.ledgerTrail.State(), rows)
		if err != nil && !failing && !errors.Is(err, archive.ErrClosed) { // said once, not twenty times a second
			n.log.Error("audit rows could not be kept beyond the newest; it is tried again", "error", err)
		}
		if failing = err != nil; !failing && time.Since(synced) >= ledgerSync {
			synced = time.Now()
			if err := n.ledger.Sync(); err != nil {
				n.log.Error("old audit rows could not be made safe", "error", err)
			}
		}
		select {
		case <-n.ledgerTrail.Moved():
		case <-n.ctx.Done():
			return
		}
		select { // what else comes now goes into one write
		case <-time.After(ledgerPause):
		case <-n.ctx.Done():
		}
		rows = n.collectLedger()
	}
}

// collectLedger walks to the newest state and returns the rows of those in between. Where a restore began a new epoch, the
// rows before it are written first: only until then do they follow the archive, and nothing else keeps them.
func (n *Node) collectLedger() (rows []fsm.Written) {
	for before := n.ledgerTrail.State(); ; {
		state, ok := n.ledgerTrail.Ahead()
		if !ok {
			return rows
		}
		if state.Epoch() != before.Epoch() {
			if err := n.writeLedger(before, rows); err != nil {
				n.log.Error("audit rows of the time before a restore could not be kept", "error", err)
			}
			rows = nil
		}
		rows, before = append(rows, state.News()...), state
	}
}

func (n *Node) ledgerHead() uint64 {
	seq, _ := n.ledger.Head()
	return seq
}

// writeLedger appends rows, after those that are missing before them.
func (n *Node) writeLedger(state *fsm.State, rows []fsm.Written) error {
	if err := n.partLedger(state); err != nil {
		return fmt.Errorf("put aside what a restore left behind: %w", err)
	}
	seq, _ := n.ledger.Head()
	if head, _ := state.AuditHead(); head == seq {
		return nil
	}
	if len(rows) == 0 || rows[0].Seq > seq+1 { // a snapshot came in between
		n.fillLedger(state)
		rows = state.Written(n.ledgerHead(), int(^uint(0)>>1))
	}
	rows = rows[sinceRow(rows, n.ledgerHead()):]
	if len(rows) > 0 {
		last := rows[len(rows)-1]
		if now := state.Audit(last.Seq-1, 1); len(now) == 0 || now[0].Hash != last.Hash { // some were collected before a restore
			rows = state.Written(n.ledgerHead(), int(^uint(0)>>1))
		}
	}
	return n.ledger.Append(rows)
}

// closeLedger writes what is left and ends the archive.
func (n *Node) closeLedger() error {
	if n.ledgerTrail != nil {
		n.collectLedger() // the newest rows are in the state
	}
	state := n.cfg.Store.State()
	if err := n.partLedger(state); err != nil {
		return errors.Join(err, n.ledger.Close())
	}
	seq, _ := n.ledger.Head()
	if rows := state.Written(seq, int(^uint(0)>>1)); len(rows) > 0 && rows[0].Seq == seq+1 {
		if err := n.ledger.Append(rows); err != nil {
			return errors.Join(err, n.ledger.Close())
		}
	}
	return n.ledger.Close()
}

// partLedger ends the archive where the state's chain parted from it: somebody restored a backup, and what was done after
// that backup was made is not this cluster's past any more.
func (n *Node) partLedger(state *fsm.State) error {
	seq, hash := n.ledger.Head()
	common, err := n.commonRow(state, seq, hash)
	if err != nil || common == seq {
		return err
	}
	aside, err := n.ledger.Part(common)
	if err != nil {
		return err
	}
	n.log.Warn("a restore took the cluster back; audit rows of the time after its backup are put aside",
		"after", common, "up_to", seq, "files", aside)
	return nil
}

// commonRow is the newest row that the archive and the state's chain have in common. A hash covers everything before it, so
// one row that agrees is enough. Where the state does not reach back so far, only its beginning can tell.
func (n *Node) commonRow(state *fsm.State, seq uint64, hash string) (uint64, error) {
	head, headHash := state.AuditHead()
	oldest, before := head+1, headHash
	if rows := state.Audit(0, 1); len(rows) > 0 {
		oldest, before = rows[0].Seq, state.AuditBefore()
	}
	if seq+1 < oldest {
		return seq, nil // rows are missing in between; they show whether they follow
	}
	for from := min(seq, head); ; from-- {
		ours, err := n.hashOf(from, seq, hash)
		if err != nil {
			return 0, err
		}
		theirs := before
		if from+1 > oldest {
			theirs = state.Audit(from-1, 1)[0].Hash
		}
		switch {
		case ours == theirs && from == head:
			return seq, nil // the state is behind, as after a crash; whether it will follow, its next row shows
		case ours == theirs:
			return from, nil
		case from+1 == oldest:
			return 0, nil
		}
	}
}

// hashOf is the hash of a row of the archive, whose head is given.
func (n *Node) hashOf(row, head uint64, hash string) (string, error) {
	switch row {
	case head:
		return hash, nil
	case 0:
		return strings.Repeat("0", 64), nil // before the first row
	}
	rows, err := n.ledger.Rows(row-1, 1, 1)
	if err != nil || len(rows) == 0 || rows[0].Seq != row {
		return "", err
	}
	return rows[0].Hash, nil
}

// sinceRow is where the rows after seq begin.
func sinceRow(rows []fsm.Written, seq uint64) int {
	at, _ := slices.BinarySearchFunc(rows, seq+1, func(r fsm.Written, seq uint64) int {
		if r.Seq < seq {
			return -1
		}
		return 1
	})
	return at
}

// fillLedger fetches what lies between the archive and the oldest row of the state. When nobody has it the archive goes on
// behind the gap, which Verify will name.
func (n *Node) fillLedger(state *fsm.State) {
	oldest := state.Audit(0, 1)
	if len(oldest) == 0 {
		return
	}
	for try := 1; ; try++ {
		seq, hash := n.ledger.Head()
		if seq+1 >= oldest[0].Seq {
			return
		}
		moved, unsure := n.fetchLedger(seq, hash, oldest[0].Seq)
		if moved {
			try = 0
			continue
		}
		if !unsure || try == ledgerTries {
			before := state.AuditBefore()
			n.log.Warn("older audit rows are nowhere to be had; the archive of this node begins behind them", "from", seq+1, "to", oldest[0].Seq-1)
			if err := n.ledger.Skip(oldest[0].Seq-1, before); err != nil {
				n.log.Error("the archive of audit rows", "error", err)
			}
			return
		}
		select {
		case <-time.After(ledgerRetry):
		case <-n.ctx.Done():
			return
		}
	}
}

// fetchLedger asks the others for the rows after seq. unsure says that somebody who could not be asked may have them.
func (n *Node) fetchLedger(seq uint64, hash string, until uint64) (moved, unsure bool) {
	if n.network == nil {
		return false, false
	}
	for id := range n.peerIDs() {
		rows, err := n.askLedger(id, seq)
		if err != nil {
			unsure = true
			continue
		}
		if len(rows) == 0 || rows[0].Seq != seq+1 {
			continue
		}
		if last := sinceRow(rows, until-1); last < len(rows) {
			rows = rows[:last] // the state has the others
		}
		if err := n.ledger.Append(rows); err != nil {
			n.log.Error("audit rows of a peer do not follow ours", "peer", id, "after", seq, "hash", hash, "error", err)
			continue
		}
		return true, false
	}
	return false, unsure
}

func (n *Node) askLedger(id string, seq uint64) ([]fsm.Written, error) {
	ctx, cancel := context.WithTimeout(n.ctx, ledgerAsk)
	defer cancel()
	body, err := n.network.ask(ctx, id, n.network.addressOf(id), kindLedger, binary.AppendUvarint(nil, seq))
	if err != nil {
		return nil, err
	}
	var rows []fsm.Written
	for len(body) > 0 {
		size, used := binary.Uvarint(body)
		if used <= 0 || size > uint64(len(body)-used) {
			return nil, errMalformed
		}
		row, err := fsm.DecodeWritten(bytes.Clone(body[used : used+int(size)]))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errMalformed, err)
		}
		rows, body = append(rows, row), body[used+int(size):]
	}
	return rows, nil
}

// answerLedger gives a peer the rows after the one it names: from the archive, else from the state.
func (n *Node) answerLedger(body []byte) []byte {
	seq, used := binary.Uvarint(body)
	if used <= 0 {
		return nil
	}
	var rows []fsm.Written
	if n.ledger != nil {
		var err error
		if rows, err = n.ledger.Rows(seq, ledgerRows, ledgerBytes); err != nil {
			n.log.Error("audit rows for a peer", "error", err)
		}
	}
	if len(rows) == 0 || rows[0].Seq != seq+1 {
		rows = n.cfg.Store.State().Written(seq, ledgerRows)
	}
	out := []byte{}
	for i := range rows {
		row := rows[i].Encode(nil)
		if len(out)+len(row) > maxFrame-64 {
			break
		}
		out = append(binary.AppendUvarint(out, uint64(len(row))), row...)
	}
	return out
}
