package transport

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

const (
	maxRequestID = 64
	maxComment   = 512
)

// write is the one way from a door into the log: judged here first, so that what can never be accepted never enters the
// log; tried only, when asked for; cut into staged parts when it is larger than one entry.
func (s *Server) write(ctx context.Context, who caller, cmd fsm.Command, opts *hoistv1.WriteOptions) (*hoistv1.Receipt, error) {
	id, err := requestID(opts)
	if err != nil {
		return nil, err
	}
	if _, first := cmd.(fsm.BootstrapToken); who.pass == nil && !s.cfg.NoAuth && !first {
		return nil, &fsm.Error{Kind: KindNoToken, Op: cmd.Verb(), Detail: "nobody writes without a token"} // whatever a door forgot
	}
	if cmd, err = waits(cmd, opts); err != nil {
		return nil, err
	}
	receipt, err := s.submit(ctx, fsm.Proposal{
		RequestID: id, Actor: who.actor, ExpectedRevision: expectedRevision(opts), Comment: opts.GetComment(), Correlation: who.correlation,
	}, cmd, opts.GetDryRun())
	if err != nil {
		return nil, &writeError{requestID: id, err: err}
	}
	m := receiptMessage(receipt, id)
	if m.DryRun = opts.GetDryRun(); !m.GetDryRun() {
		m.ChangeId = s.held(cmd, receipt.Revision)
	}
	return m, nil
}

func receiptMessage(r fsm.Receipt, id string) *hoistv1.Receipt {
	return &hoistv1.Receipt{Epoch: r.Epoch, Revision: r.Revision, ObjectRevision: r.Object, Changed: r.Changed, Replayed: r.Replayed, RequestId: id}
}

// repeated is the receipt of a write that was made before under the caller's id and of which nothing is left to do. What a
// definition means depends on the state, so the same body is another command once it has been carried out.
func repeated(state *fsm.State, who caller, opts *hoistv1.WriteOptions) (*hoistv1.Receipt, bool) {
	made, ok := state.Request(who.actor, opts.GetRequestId())
	if !ok || !made.Changed || opts.GetRequestId() == "" || opts.GetDryRun() {
		return nil, false
	}
	return receiptMessage(made, opts.GetRequestId()), true
}

// writeError carries the request id of a failed write to whoever renders the error: the caller retries with it.
type writeError struct {
	requestID string
	err       error
}

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

func (s *Server) submit(ctx context.Context, p fsm.Proposal, cmd fsm.Command, dryRun bool) (fsm.Receipt, error) {
	if err := fsm.Check(cmd); err != nil {
		return fsm.Receipt{}, err
	}
	if dryRun {
		return s.try(p, cmd)
	}
	return s.stage(ctx, p, cmd)
}

// stage sends a write; one that is too large for one entry in parts, and then what makes it happen.
func (s *Server) stage(ctx context.Context, p fsm.Proposal, cmd fsm.Command) (fsm.Receipt, error) {
	parts, err := fsm.Parts(cmd, p.RequestID)
	if err != nil {
		return fsm.Receipt{}, err
	}
	var receipt fsm.Receipt
	for i, part := range parts {
		sent := p
		if i < len(parts)-1 { // a staged part: invisible, and nothing to compare yet
			sent.RequestID, sent.ExpectedRevision = partID(p.RequestID, i), nil
		}
		sent.Command = part
		if receipt, err = s.cfg.Node.Propose(ctx, &sent); err != nil {
			return fsm.Receipt{}, err
		}
	}
	return receipt, nil
}

// try judges a write against this node's state. Big writes are tried whole: staging exists for the log's sake only.
func (s *Server) try(p fsm.Proposal, cmd fsm.Command) (fsm.Receipt, error) {
	var err error
	if p.Command, err = fsm.EncodeCommand(cmd); err != nil {
		return fsm.Receipt{}, err
	}
	return s.cfg.Store.State().Try(&p)
}

// requestID checks what the caller chose, or makes a UUIDv7.
func requestID(opts *hoistv1.WriteOptions) (string, error) {
	if !presentable(opts.GetComment(), maxComment) {
		return "", &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "write.comment",
			Detail: "must be printable text of at most " + strconv.Itoa(maxComment) + " bytes"}
	}
	id := opts.GetRequestId()
	if id == "" {
		return fsm.NewRequestID(time.Now().UnixMilli(), uuid.New()), nil
	}
	if !presentable(id, maxRequestID) {
		return "", &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "write.requestId",
			Detail: "must be printable text of at most " + strconv.Itoa(maxRequestID) + " bytes, a UUIDv7 for example"}
	}
	return id, nil
}

// partID names a staged part so that a retry of the whole write names it the same. It has a fixed length, whatever the
// caller's id was.
func partID(id string, part int) string {
	sum := sha256.Sum256([]byte(id + "\x00" + strconv.Itoa(part)))
	return "part-" + hex.EncodeToString(sum[:16])
}

// expectedRevision tells an unset expectation (unconditional) from 0 (must not exist).
func expectedRevision(opts *hoistv1.WriteOptions) *uint64 {
	if opts == nil {
		return nil
	}
	return opts.ExpectedRevision
}
