package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
)

// A ledger is the archive of the rows of one log that the state does not keep: a folder of this node, filled by one
// goroutine that walks every published state. Rows it missed, because it was away and came back through a snapshot, are in
// the state, or it asks the others for them. There are two: of the changes, and of the rollouts.
type ledger struct {
	node    *Node
	archive *archive.Archive
	of      func(*fsm.State) chain
	kind    byte // of the question to others
	// bare: the state has no records of its rows, so the others are asked first.
	bare  bool
	trail *fsm.Trail // begins before the node reads its log, so that nothing it reads again is missed
	rows  []fsm.Written
}

// chain is a log that the law chains: its head, and the newest rows.
type chain interface {
	AuditHead() (seq uint64, hash string)
	AuditBefore() string
	Audit(after uint64, limit int) []fsm.Audit
	Written(after uint64, limit int) []fsm.Written
	News() []fsm.Written
}

const (
	ledgerFolder = "audit"
	recordFolder = "rollouts"
	ledgerPause  = 50 * time.Millisecond // rows of this long are written together
	ledgerSync   = time.Second           // the log has them anyway, so they need not be safe at once
	ledgerAsk    = 5 * time.Second       // for one answer
	ledgerRetry  = 2 * time.Second       // until the others are asked again
	ledgerTries  = 15
	ledgerRows   = 2000      // of one answer
	ledgerBytes  = 700 << 10 // likewise, below maxFrame
)

// Ledger is the archive of the change log of this node; nil when it has no data directory.
func (n *Node) Ledger() *archive.Archive { return n.archiveOf(kindLedger) }

// Rollouts is the archive of the log of rollouts; nil when the node has no data directory.
func (n *Node) Rollouts() *archive.Archive { return n.archiveOf(kindRollouts) }

func (n *Node) archiveOf(kind byte) *archive.Archive {
	for _, l := range n.ledgers {
		if l.kind == kind {
			return l.archive
		}
	}
	return nil
}

// openLedgers opens the archives, if there is a place for them.
func (n *Node) openLedgers() (err error) {
	if n.cfg.DataDir == "" {
		return nil
	}
	for _, l := range n.ledgers { // of a disk that was put aside
		err = errors.Join(err, l.archive.Close())
	}
	n.ledgers = nil
	changes := &ledger{kind: kindLedger, of: func(s *fsm.State) chain { return s }}
	rollouts := &ledger{kind: kindRollouts, of: func(s *fsm.State) chain { return s.RolloutLog() }, bare: true}
	return errors.Join(err, changes.open(n, ledgerFolder), rollouts.open(n, recordFolder))
}

func (l *ledger) open(n *Node, folder string) (err error) {
	l.node, l.trail = n, n.cfg.Store.Trail()
	if l.archive, err = archive.Open(filepath.Join(n.cfg.DataDir, folder)); err != nil {
		return err
	}
	n.ledgers = append(n.ledgers, l)
	for _, what := range l.archive.Damaged {
		n.log.Error("old rows were damaged; they are fetched again", "log", folder, "what", what)
	}
	return nil
}

// closeLedgers writes what is left and ends the archives.
func (n *Node) closeLedgers() (err error) {
	for _, l := range n.ledgers {
		err = errors.Join(err, l.close())
	}
	return err
}

// fill fills the archive until the node is closed.
func (l *ledger) fill() {
	n := l.node
	l.ahead()
	synced, failing := time.Now(), false
	for {
		err := l.write(l.trail.State())
		if err != nil && !failing && !errors.Is(err, archive.ErrClosed) { // said once, not twenty times a second
			n.log.Error("rows could not be kept beyond the newest; it is tried again", "log", l.name(), "error", err)
		}
		if failing = err != nil; !failing && time.Since(synced) >= ledgerSync {
			synced = time.Now()
			if err := l.archive.Sync(); err != nil {
				n.log.Error("old rows could not be made safe", "log", l.name(), "error", err)
			}
		}
		l.rows = nil // what could not be kept is in the state, or with the others
		if !l.await() {
			return
		}
	}
}

// await waits for rows. It returns false when the node is closed.
func (l *ledger) await() bool {
	select {
	case <-l.trail.Moved():
	case <-l.node.ctx.Done():
		return false
	}
	select { // what else comes now goes into one write
	case <-time.After(ledgerPause):
	case <-l.node.ctx.Done():
	}
	l.ahead()
	return true
}

// ahead walks to the newest state and takes the rows of those in between. Where a restore began a new epoch, the rows before
// it are written first: only until then do they follow the archive, and nothing else keeps them.
func (l *ledger) ahead() {
	for before := l.trail.State(); ; {
		state, ok := l.trail.Ahead()
		if !ok {
			return
		}
		if before.Epoch() != "" && state.Epoch() != before.Epoch() {
			if err := l.write(before); err != nil {
				l.node.log.Error("rows of the time before a restore could not be kept", "log", l.name(), "error", err)
			}
			l.rows = nil
		}
		l.rows, before = append(l.rows, l.of(state).News()...), state
	}
}

func (l *ledger) name() string {
	if l.bare {
		return recordFolder
	}
	return ledgerFolder
}

func (l *ledger) head() uint64 {
	seq, _ := l.archive.Head()
	return seq
}

// write appends the rows that came, after those that are missing before them.
func (l *ledger) write(at *fsm.State) error {
	state := l.of(at)
	if err := l.part(state); err != nil {
		return fmt.Errorf("put aside what a restore left behind: %w", err)
	}
	rows := l.rows
	head, _ := state.AuditHead()
	if head == l.head() {
		return nil
	}
	if len(rows) == 0 || rows[0].Seq > l.head()+1 { // a snapshot came in between
		l.fetchMissing(state, head)
	}
	if at := sinceRow(rows, l.head()); at < len(rows) && rows[at].Seq == l.head()+1 {
		rows = rows[at:]
	} else {
		rows = l.held(state)
	}
	if len(rows) > 0 {
		last := rows[len(rows)-1]
		if now := state.Audit(last.Seq-1, 1); len(now) == 0 || now[0].Hash != last.Hash { // some were collected before a restore
			rows = l.held(state)
		}
	}
	return l.archive.Append(rows)
}

// held are the rows of the state that the archive lacks.
func (l *ledger) held(state chain) []fsm.Written { return state.Written(l.head(), math.MaxInt) }

// close writes what is left and ends the archive.
func (l *ledger) close() error {
	l.ahead()
	state := l.of(l.trail.State())
	if len(l.rows) > 0 && l.rows[0].Seq <= l.head()+1 || l.reaches(state) {
		return errors.Join(l.write(l.trail.State()), l.archive.Close())
	}
	return errors.Join(l.part(state), l.archive.Close())
}

// reaches tells whether the state goes on where the archive ends, so that nobody is asked for anything.
func (l *ledger) reaches(state chain) bool {
	next := state.Audit(l.head(), 1)
	return !l.bare && len(next) > 0 && next[0].Seq == l.head()+1
}

// part ends the archive where the state's chain parted from it: somebody restored a backup, and what was done after
// that backup was made is not this cluster's past any more.
func (l *ledger) part(state chain) error {
	seq, hash := l.archive.Head()
	common, err := l.commonRow(state, seq, hash)
	if err != nil || common == seq {
		return err
	}
	aside, err := l.archive.Part(common)
	if err != nil {
		return err
	}
	l.node.log.Warn("a restore took the cluster back; rows of the time after its backup are put aside",
		"log", l.name(), "after", common, "up_to", seq, "files", aside)
	return nil
}

// commonRow is the newest row that the archive and the state's chain have in common. A hash covers everything before it, so
// one row that agrees is enough. Where the state does not reach back so far, only its beginning can tell.
func (l *ledger) commonRow(state chain, seq uint64, hash string) (uint64, error) {
	head, headHash := state.AuditHead()
	oldest, before := head+1, headHash
	if rows := state.Audit(0, 1); len(rows) > 0 {
		oldest, before = rows[0].Seq, state.AuditBefore()
	}
	if seq+1 < oldest {
		return seq, nil // rows are missing in between; they show whether they follow
	}
	for from := min(seq, head); ; from-- {
		ours, err := l.hashOf(from, seq, hash)
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
func (l *ledger) hashOf(row, head uint64, hash string) (string, error) {
	switch row {
	case head:
		return hash, nil
	case 0:
		return strings.Repeat("0", 64), nil // before the first row
	}
	rows, err := l.archive.Rows(row-1, 1, 1)
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

// fetchMissing fetches what lies between the archive and the oldest row that came with its record. When nobody has it the
// archive goes on with the rows that the state holds, behind a gap, which Verify will name.
func (l *ledger) fetchMissing(state chain, head uint64) {
	n := l.node
	oldest := head + 1
	if rows := state.Audit(0, 1); len(rows) > 0 {
		oldest = rows[0].Seq
	}
	until := oldest
	if l.bare {
		until = head + 1
		if len(l.rows) > 0 {
			until = l.rows[0].Seq
		}
	}
	for try := 1; l.head()+1 < until; try++ {
		moved, unsure := l.fetch(until)
		if moved {
			try = 0
			continue
		}
		if !unsure || try == ledgerTries {
			l.skip(oldest, state.AuditBefore())
			return
		}
		select {
		case <-time.After(ledgerRetry):
		case <-n.ctx.Done():
			return
		}
	}
}

// skip lets the archive go on behind rows that nobody has, up to the oldest that the state holds.
func (l *ledger) skip(oldest uint64, before string) {
	seq := l.head()
	if seq+1 >= oldest {
		return
	}
	l.node.log.Warn("older rows are nowhere to be had; the archive of this node begins behind them", "log", l.name(), "from", seq+1, "to", oldest-1)
	if err := l.archive.Skip(oldest-1, before); err != nil {
		l.node.log.Error("the archive of old rows", "log", l.name(), "error", err)
	}
}

// fetch asks the others for the rows after the newest. unsure says that somebody who could not be asked may have them.
func (l *ledger) fetch(until uint64) (moved, unsure bool) {
	n := l.node
	if n.network == nil {
		return false, false
	}
	seq, hash := l.archive.Head()
	for id := range n.peerIDs() {
		rows, err := n.askLedger(id, l.kind, seq)
		if err != nil {
			unsure = true
			continue
		}
		if len(rows) == 0 || rows[0].Seq != seq+1 {
			unsure = unsure || l.bare // its archive may be a moment behind its state
			continue
		}
		if last := sinceRow(rows, until-1); last < len(rows) {
			rows = rows[:last] // the rest is here
		}
		if err := l.archive.Append(rows); err != nil {
			n.log.Error("rows of a peer do not follow ours", "log", l.name(), "peer", id, "after", seq, "hash", hash, "error", err)
			continue
		}
		return true, false
	}
	return false, unsure
}

func (n *Node) askLedger(id string, kind byte, seq uint64) ([]fsm.Written, error) {
	ctx, cancel := context.WithTimeout(n.ctx, ledgerAsk)
	defer cancel()
	body, err := n.network.ask(ctx, id, n.network.addressOf(id), kind, binary.AppendUvarint(nil, seq))
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

// answerLedger gives a peer the rows after the one it names: from the archive, else those of the state that have all they
// should.
func (n *Node) answerLedger(kind byte, body []byte) []byte {
	seq, used := binary.Uvarint(body)
	if used <= 0 {
		return nil
	}
	var rows []fsm.Written
	if kept := n.archiveOf(kind); kept != nil {
		var err error
		if rows, err = kept.Rows(seq, ledgerRows, ledgerBytes); err != nil {
			n.log.Error("rows for a peer", "error", err)
		}
	}
	if kind == kindLedger && (len(rows) == 0 || rows[0].Seq != seq+1) {
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
