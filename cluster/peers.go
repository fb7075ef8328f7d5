package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hoistflags/hoist/fsm"
)

const (
	pollEvery   = time.Second
	pollTime    = time.Second
	healthyFor  = 3 * pollEvery // a peer that answered within it counts as healthy
	maxLag      = 1000          // entries a new voter may be behind
	orderTime   = 10 * time.Second
	changeQueue = 5 * time.Second // to hand a change of members to raft
)

// peerState is what a node says of itself when it is asked.
type peerState struct {
	ServerID  string        `json:"id"`
	ClusterID string        `json:"cluster_id,omitempty"`
	LawLow    int           `json:"law_low"`
	LawHigh   int           `json:"law_high"`
	Term      uint64        `json:"term"`
	Last      uint64        `json:"last"`    // index of its last log entry
	Applied   uint64        `json:"applied"` // its revision
	Leader    bool          `json:"leader"`  // established
	Settled   bool          `json:"settled"` // on a leader: Servers is committed
	Servers   []raft.Server `json:"servers,omitempty"`
	Founders  []string      `json:"founders,omitempty"` // whom it would found a cluster with
	Wall      int64         `json:"wall"`               // its clock, unix microseconds
	Epoch     string        `json:"epoch,omitempty"`
	Domain    string        `json:"domain,omitempty"` // hash of its state
	DiskFree  uint64        `json:"disk_free,omitempty"`
	DiskSize  uint64        `json:"disk_size,omitempty"` // 0: not known
	DiskFull  bool          `json:"disk_full,omitempty"` // takes no writes
}

func (n *Node) describe() peerState {
	leads := n.lead.Load() != nil
	state := n.cfg.Store.State()
	return peerState{
		ServerID: n.id(), ClusterID: n.clusterID(), LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion,
		Term: n.raft().CurrentTerm(), Last: n.raft().LastIndex(), Applied: state.Index(), Epoch: state.Epoch(), Domain: state.DomainHash(),
		Leader: leads, Settled: leads && n.changes.Load() == 0,
		Servers: n.raft().GetConfiguration().Configuration().Servers, Founders: n.founders.chosen(),
		Wall:     n.cfg.Hooks.Wall().UnixMicro(),
		DiskFree: n.space.free.Load(), DiskSize: n.space.size.Load(), DiskFull: n.space.full.Load(),
	}
}

// report is the last that was heard of a peer.
type report struct {
	state peerState
	at    time.Time // of the last answer
	since time.Time // answers every time since then
	wall  time.Time // its wall clock at that moment
	lag   uint64    // committed entries it did not have
}

func (r report) healthy(now time.Time) bool { return !r.at.IsZero() && now.Sub(r.at) < healthyFor }

// reports holds the newest report of each peer.
type reports struct {
	mu   sync.Mutex
	byID map[string]report
}

func (r *reports) get(id string) report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

func (r *reports) put(id string, s peerState, wall time.Time, commit uint64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = map[string]report{}
	}
	old := r.byID[id]
	if !old.healthy(now) {
		old.since = now
	}
	r.byID[id] = report{state: s, at: now, since: old.since, wall: wall, lag: commit - min(commit, s.Last)}
}

// watchPeers asks every server of the configuration, once a second, how it is. From the answers come health, lag,
// clock offsets, the law everybody knows, and the news that this server was removed while nobody could tell it.
func (n *Node) watchPeers() {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for { // the first round at once: a leader that waits for this node hears that it is back
		var round sync.WaitGroup
		for id := range n.peerIDs() {
			round.Add(1)
			go func() {
				defer round.Done()
				n.poll(id)
			}()
		}
		round.Wait()
		n.metrics.offset.Set(n.clockCorrection().Seconds())
		n.network.gossip.spread()
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
	}
}

// peerIDs are the other servers of the configuration and those alive in gossip.
func (n *Node) peerIDs() map[string]bool {
	ids := map[string]bool{}
	for _, s := range n.raft().GetConfiguration().Configuration().Servers {
		ids[string(s.ID)] = true
	}
	for _, s := range n.network.gossip.all() {
		if s.alive() {
			ids[s.id] = true
		}
	}
	delete(ids, n.id())
	return ids
}

func (n *Node) poll(id string) {
	ctx, cancel := context.WithTimeout(n.ctx, pollTime)
	defer cancel()
	start := time.Now()
	commit := n.raft().CommitIndex()
	s, err := n.askState(ctx, id)
	if err != nil {
		return // its report grows old
	}
	n.transport.returns.heard(raft.ServerID(id))
	trip := time.Since(start)
	n.reports.put(id, s, time.UnixMicro(s.Wall).Add(trip/2), commit, time.Now())
	n.checkRemoved(s)
}

func (n *Node) askState(ctx context.Context, id string) (s peerState, err error) {
	body, err := n.network.ask(ctx, id, n.network.addressOf(id), kindPeers, nil)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(body, &s)
}

// checkRemoved ends the process of a server that an established leader no longer counts among its servers. Only a
// leader's word is believed: in an old log this server may well be missing from an old configuration.
func (n *Node) checkRemoved(s peerState) {
	if !s.Leader || !s.Settled || !n.member.Load() || s.ClusterID == "" || s.ClusterID != n.clusterID() || s.Term < n.raft().CurrentTerm() {
		return
	}
	for _, server := range s.Servers {
		if string(server.ID) == n.id() {
			return
		}
	}
	t := tombstone{ClusterID: s.ClusterID, ServerID: n.id(), Revision: s.Last}
	data, err := json.MarshalIndent(t, "", "  ")
	if err == nil {
		err = n.stores.Files.WriteFile(removedFile, append(data, '\n'))
	}
	if err != nil {
		n.log.Error("the removal could not be written down", "error", err)
	}
	n.failf(ExitRemoved, "server %s was removed from cluster %s; to join again start with an empty data directory, which gives it a new id", n.id(), s.ClusterID)
}

// clockCorrection is the voters' median clock relative to this node's as it is now: what was heard of the others goes on by
// time that nobody sets, so a jump of our own clock a moment ago shows.
func (n *Node) clockCorrection() time.Duration {
	if n.network == nil {
		return 0
	}
	now := time.Now()
	var offsets []time.Duration
	voters := 0
	for _, s := range n.raft().GetConfiguration().Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if r := n.reports.get(string(s.ID)); r.healthy(now) {
			offsets = append(offsets, r.wall.Add(now.Sub(r.at)).Sub(n.cfg.Hooks.Wall()))
		}
	}
	return medianOffset(offsets, voters)
}

// answer serves one question of a peer; nil says that it was not understood.
func (n *Node) answer(ctx context.Context, kind byte, body []byte) []byte {
	switch kind {
	case kindForward:
		return n.answerForward(ctx, body)
	case kindReadIndex:
		return n.answerReadIndex(ctx, body)
	case kindPeers:
		return encodeAnswer(n.describe())
	case kindJoin:
		var r joinRequest
		if json.Unmarshal(body, &r) != nil {
			return nil
		}
		return encodeAnswer(n.admit(ctx, r))
	case kindOrder:
		var o order
		if json.Unmarshal(body, &o) != nil {
			return nil
		}
		return encodeAnswer(packAnswer(n.obey(ctx, o)))
	case kindLedger, kindRollouts:
		return n.answerLedger(kind, body)
	}
	return nil
}

func encodeAnswer(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil { // cannot be: text and numbers
		return nil
	}
	return b
}

// packAnswer is a result without content.
func packAnswer(err error) packedError {
	if err == nil {
		return packedError{}
	}
	return packError(err)
}

// answerForward runs a forwarded proposal here, if this node leads. It never forwards again: at most one hop.
func (n *Node) answerForward(ctx context.Context, body []byte) []byte {
	left, data, err := takeTime(body)
	if err != nil {
		return nil
	}
	p, err := fsm.DecodeProposal(data)
	if err != nil {
		return attempt{err: &fsm.Error{Kind: fsm.KindMalformed, Op: "propose", Detail: "the forwarded proposal does not decode: do all members run compatible releases?", Err: err}}.encode()
	}
	l := n.lead.Load()
	if l == nil {
		return attempt{verdict: notLogged}.encode()
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	return n.applyHere(ctx, l, p).encode()
}

// forward sends the proposal to the leader, with the caller's identity, request id and remaining time.
func (n *Node) forward(ctx context.Context, leader string, p *fsm.Proposal) attempt {
	deadline, _ := ctx.Deadline() // Propose sets one
	gone := n.leaderGone(leader)
	body, err := n.network.askUntil(ctx, gone, leader, kindForward, append(appendTime(nil, time.Until(deadline)), p.Encode()...))
	switch {
	case errors.Is(err, errNotSent):
		return attempt{verdict: notLogged, err: err}
	case err != nil:
		return attempt{verdict: unknown, err: err}
	}
	a, err := decodeAttempt(body)
	if err != nil {
		return attempt{verdict: unknown, err: err}
	}
	return a
}

func (n *Node) answerReadIndex(ctx context.Context, body []byte) []byte {
	left, _, err := takeTime(body)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if n.lead.Load() == nil {
		return encodeAnswer(readAnswer{Error: errNoLeader.Error()})
	}
	index, err := n.joinRound(ctx)
	if err != nil {
		return encodeAnswer(readAnswer{Error: err.Error()})
	}
	return encodeAnswer(readAnswer{Index: index})
}

type readAnswer struct {
	Index uint64 `json:"index"`
	Error string `json:"error,omitempty"`
}

// askReadIndex gets a read index from the leader.
func (n *Node) askReadIndex(ctx context.Context, leader string) (uint64, error) {
	deadline, _ := ctx.Deadline() // a round has one
	body, err := n.network.askUntil(ctx, n.leaderGone(leader), leader, kindReadIndex, appendTime(nil, time.Until(deadline)))
	if err != nil {
		return 0, err
	}
	var a readAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return 0, errMalformed
	}
	if a.Error != "" {
		return 0, fmt.Errorf("the leader cannot confirm: %s", a.Error)
	}
	return a.Index, nil
}
