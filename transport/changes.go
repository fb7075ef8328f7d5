package transport

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

// changeService answers hoist.v1.ChangeService.
type changeService struct{ *Server }

// waits wraps a write that is to wait for others (see WriteOptions); every other write stays as it is.
func waits(cmd fsm.Command, opts *hoistv1.WriteOptions) (fsm.Command, error) {
	if opts.GetChangeTitle() == "" && opts.GetChangeId() == "" {
		return cmd, nil
	}
	return fsm.Waiting(cmd, opts.GetChangeTitle(), opts.GetChangeId())
}

// held names the change that a write opened, or was given to.
func (s *Server) held(cmd fsm.Command, revision uint64) string {
	switch c := cmd.(type) {
	case fsm.OpenChange:
		if env, ok := s.cfg.Store.State().Environment(c.Tenant, c.Environment); ok {
			if change, ok := env.Opened(revision); ok {
				return change.ID
			}
		}
	case fsm.EditChange:
		return c.ID
	}
	return ""
}

// change finds a change that the caller may read.
func (s *Server) change(state *fsm.State, who caller, id string) (*fsm.Environment, *fsm.Change, error) {
	env, c, ok := state.Change(who.tenant, id)
	if !ok {
		return nil, nil, &fsm.Error{Kind: fsm.KindNotFound, Op: "get change", Target: id,
			Detail: "tenant " + who.tenant + " has no such promotion or change; list them with their ids"}
	}
	return env, c, who.may(right{verb: fsm.VerbReadConfig}, env.Key())
}

// moveOf is the move of a change that is found by its id alone.
func (s *Server) moveOf(ctx context.Context, who caller, c fsm.MoveChange, opts *hoistv1.WriteOptions) (*hoistv1.Receipt, error) {
	env, _, err := s.change(s.cfg.Store.State(), who, c.ID)
	if err != nil {
		return nil, err
	}
	c.Scope = fsm.Scope{Tenant: who.tenant, Environment: env.Key()}
	return s.write(ctx, who, c, opts)
}

// Get implements hoistv1connect.ChangeServiceHandler.
func (s changeService) Get(ctx context.Context, r *hoistv1.GetChangeRequest) (*hoistv1.GetChangeResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	m, err := s.message(state, who, r.GetId(), nil)
	return &hoistv1.GetChangeResponse{Change: m, Position: s.position(state)}, err
}

// writtenBy is a change as the request with the receipt left it, for whoever asks again; as it is without one.
func writtenBy(c *fsm.Change, receipt *hoistv1.Receipt) *fsm.Change {
	if !receipt.GetReplayed() {
		return c
	}
	return c.AsOf(receipt.GetRevision())
}

func (s changeService) message(state *fsm.State, who caller, id string, receipt *hoistv1.Receipt) (*hoistv1.Change, error) {
	env, c, err := s.change(state, who, id)
	if err != nil {
		return nil, err
	}
	c = writtenBy(c, receipt)
	m := wire.EncodeChange(env, c, true)
	m.Items = changedItems(state, env, c)
	return m, nil
}

// List implements hoistv1connect.ChangeServiceHandler.
func (s changeService) List(ctx context.Context, r *hoistv1.ListChangesRequest) (*hoistv1.ListChangesResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.await(ctx, r.GetRead()); err != nil {
		return nil, err
	}
	state := s.cfg.Store.State()
	if r.GetEnvironment() != "" {
		if _, err := environment(state, who.scope(r.GetEnvironment())); err != nil {
			return nil, err
		}
	}
	out := &hoistv1.ListChangesResponse{Position: s.position(state)}
	for _, found := range changesOf(state, who) {
		c := found.change
		if c.Kind == fsm.ChangePromotion || r.GetEnvironment() != "" && found.env.Key() != r.GetEnvironment() ||
			r.GetStatus() != "" && !strings.EqualFold(string(c.Status), r.GetStatus()) || r.GetOpen() && !c.Status.Open() {
			continue
		}
		out.Changes = append(out.Changes, wire.EncodeChange(found.env, c, false))
	}
	return out, nil
}

// Move implements hoistv1connect.ChangeServiceHandler.
func (s changeService) Move(ctx context.Context, r *hoistv1.MoveChangeRequest) (*hoistv1.MoveChangeResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	receipt, err := s.moveOf(ctx, who, fsm.MoveChange{ID: r.GetId(), Move: fsm.ChangeMove(r.GetMove()), Comment: r.GetComment(),
		Hash: r.GetDiffHash(), At: unixMillis(r.GetScheduledAt()), Zone: r.GetTimezone()}, r.GetWrite())
	if err != nil {
		return nil, err
	}
	m, err := s.message(s.cfg.Store.State(), who, r.GetId(), receipt)
	return &hoistv1.MoveChangeResponse{Change: m, Receipt: receipt}, err
}

func unixMillis(t *timestamppb.Timestamp) int64 {
	if t == nil {
		return 0
	}
	return t.AsTime().UnixMilli()
}

// waiting is a change and where it waits.
type waiting struct {
	env    *fsm.Environment
	change *fsm.Change
}

// changesOf lists the changes of every environment that the caller's token is for, the newest first.
func changesOf(state *fsm.State, who caller) []waiting {
	var out []waiting
	for _, env := range who.environments(state) {
		for _, c := range env.Changes() {
			out = append(out, waiting{env, c})
		}
	}
	sortNewest(out)
	return out
}

// changedItems says what a change is about: what a promotion changes or changed, and what the commands of an edit make
// of what was there when it was made.
func changedItems(state *fsm.State, env *fsm.Environment, c *fsm.Change) []*hoistv1.ChangedItem {
	var out []*hoistv1.ChangedItem
	for _, item := range state.Items(env, c) {
		out = append(out, changedItem(item))
	}
	for _, command := range c.Commands() {
		out = append(out, proposed(env, c, command))
	}
	return out
}

func changedItem(item fsm.ChangeItem) *hoistv1.ChangedItem {
	m := &hoistv1.ChangedItem{Kind: string(item.Kind), Key: item.Key, Change: string(item.Change), Before: item.Before, After: item.After}
	object := fsm.ObjectFlag
	if item.Kind == fsm.ItemSegment {
		object = fsm.ObjectSegment
	}
	if item.Change != fsm.ChangeRemoved {
		m.Lines = linesOf(object, item.Key, item.Before, item.After)
	}
	return m
}

// linesOf says in words how two records of an item differ.
func linesOf(object fsm.ObjectKind, key string, before, after []byte) []string {
	var lines []string
	for _, line := range manifest.Describe(contentOf(object, before), contentOf(object, after), false) {
		lines = append(lines, strings.TrimPrefix(line, string(object)+" "+key+": "))
	}
	return lines
}

func contentOf(object fsm.ObjectKind, record []byte) (out fsm.Content) {
	if record == nil {
		return out
	}
	if object == fsm.ObjectSegment {
		if s, err := evaluator.DecodeSegment(record); err == nil { // the law wrote it
			out.Segments = []*evaluator.Segment{s}
		}
	} else if f, err := evaluator.DecodeFlag(record); err == nil {
		out.Flags = []*evaluator.Flag{f}
	}
	return out
}

// proposed is one command of an edit beside what stood there when the edit was made.
func proposed(env *fsm.Environment, c *fsm.Change, command fsm.Command) *hoistv1.ChangedItem {
	change := describe(env, []fsm.Command{command})[0]
	m := &hoistv1.ChangedItem{Kind: change.GetObject(), Key: change.GetKey(), Lines: change.GetLines(), Change: string(fsm.ChangeModified)}
	object := fsm.ObjectKind(change.GetObject())
	for _, v := range env.History(object, m.Key) {
		if v.Revision <= c.Base {
			m.Before = v.Record
			break
		}
	}
	switch p := command.(type) {
	case fsm.PutFlag:
		m.After = p.Flag.Canonical()
		if kindOf(p.Flag) == evaluator.KindConfig {
			m.Kind = string(fsm.ItemConfig)
		}
	case fsm.PutSegment:
		m.After = p.Segment.Canonical()
	case fsm.DeleteFlag, fsm.DeleteSegment:
		m.Change = string(fsm.ChangeRemoved)
		return m
	default:
		return m
	}
	if m.Before == nil {
		m.Change = string(fsm.ChangeAdded)
	}
	m.Lines = linesOf(object, m.Key, m.Before, m.After)
	return m
}
