package transport

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// await is awaitIn for reads of no single environment, which only servers answer: there all have one revision.
func (s *Server) await(ctx context.Context, opts *hoistv1.ReadOptions) error {
	return s.awaitIn(ctx, fsm.Scope{}, opts)
}

// awaitIn makes this node as current as the caller asked for, or says how far it is.
func (s *Server) awaitIn(ctx context.Context, scope fsm.Scope, opts *hoistv1.ReadOptions) error {
	if opts == nil {
		return nil
	}
	if opts.GetConsistency() == hoistv1.Consistency_CONSISTENCY_LINEARIZABLE {
		if err := s.source.Current(ctx); err != nil {
			return err
		}
	}
	if epoch, revision := s.source.At(scope); opts.GetEpoch() != "" && opts.GetEpoch() != epoch {
		return restoredTo(opts.GetEpoch(), epoch, revision)
	}
	return s.awaitRevision(ctx, scope, opts.GetMinRevision(), minRevisionWait)
}

// awaitRevision waits until the node has applied revision, at most for the given time.
func (s *Server) awaitRevision(ctx context.Context, scope fsm.Scope, revision uint64, limit time.Duration) error {
	if _, applied := s.source.At(scope); applied >= revision {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := s.source.Await(bounded, scope, revision)
	if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	_, applied := s.source.At(scope)
	return &fsm.Error{Kind: fsm.KindBehind, Op: "wait for revision", Target: formatRevision(revision), Revision: applied, Err: err,
		Detail: "this node has applied " + formatRevision(applied) + " so far; ask again or ask another node"}
}

func formatRevision(revision uint64) string { return strconv.FormatUint(revision, 10) }

func restoredTo(epoch, now string, revision uint64) *fsm.Error {
	return &fsm.Error{Kind: fsm.KindRestored, Op: "read epoch", Target: epoch, Revision: revision,
		Detail: "the cluster now lives in epoch " + now + "; forget what was remembered of the other one"}
}

// position says where an answer was read from. Take it from the state that answered, not from a later one.
func (s *Server) position(state *fsm.State) *hoistv1.Position {
	return &hoistv1.Position{Epoch: state.Epoch(), Revision: state.Index(), AgeMs: s.cfg.Node.Age().Milliseconds()}
}

// environment finds an environment in a state.
func environment(state *fsm.State, scope fsm.Scope) (*fsm.Environment, error) {
	env, ok := state.Environment(scope.Tenant, scope.Environment)
	if ok {
		return env, nil
	}
	if state.Epoch() == "" {
		return nil, notReady()
	}
	return nil, &fsm.Error{Kind: fsm.KindNotFound, Op: "find environment", Target: scope.Environment,
		Detail: "tenant " + scope.Tenant + " has no such environment; `hoist env list` shows those it has"}
}

// parsePosition reads "<epoch>.<revision>". Epochs hold no dot; the last one separates.
func parsePosition(text string) (epoch string, revision uint64, ok bool) {
	dot := strings.LastIndexByte(text, '.')
	if dot <= 0 {
		return "", 0, false
	}
	revision, err := strconv.ParseUint(text[dot+1:], 10, 64)
	return text[:dot], revision, err == nil
}
