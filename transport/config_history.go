package transport

import (
	"context"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// ofKind tells whether a version is of an item of this collection; a deletion says nothing of it.
func (c collection) ofKind(v fsm.Version) bool {
	if c.object != fsm.ObjectFlag || c.kind == "" || v.Record == nil {
		return true
	}
	f, err := evaluator.DecodeFlag(v.Record)
	return err == nil && kindOf(f) == c.kind
}

// versions lists versions, newest first. The number of a version is the revision of its change.
func (c collection) versions(ctx context.Context, r *call) (*reply, error) {
	return c.versionsOf(ctx, r)
}

func (c collection) versionsOf(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	q := r.http.URL.Query()
	before, _, limit, err := auditPage(q)
	if err != nil {
		return nil, err
	}
	if q.Get("limit") == "" {
		limit = defaultVersions
	}
	found, err := c.Server.versions(env, c.object, r.key, before, limit+1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && before == 0 || len(found) > 0 && !c.ofKind(found[0]) {
		return nil, missing("read history", r.key, env)
	}
	next := ""
	if len(found) > limit {
		found = found[:limit]
		next = strconv.FormatUint(found[limit-1].Revision, 10)
	}
	var list [][]byte
	for _, v := range found {
		list = append(list, object([]byte("{}"), member("version", number(v.Revision)), member("at", evaluator.String(timeOf(v.At))),
			member("actor", actorValue(v.Actor)), member("verb", evaluator.String(v.Verb)), member("value", valueOf(v.Record))))
	}
	return &reply{body: items(list, next, c.position(r.state)...)}, nil
}

// defaultVersions is how many versions a list shows when nobody says.
const defaultVersions = 20

// valueOf is a record as a value; null for a deletion.
func valueOf(record []byte) evaluator.Value {
	var v evaluator.Value
	if record != nil && v.UnmarshalJSON(record) != nil {
		return evaluator.Value{}
	}
	return v
}

// compare says in words and whole how two versions differ.
func (c collection) compare(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	return c.compareVersions(r, env)
}

func (c collection) compareVersions(r *call, env *fsm.Environment) (*reply, error) {
	from, err := c.named(r, env, "from")
	if err != nil {
		return nil, err
	}
	to, err := c.named(r, env, "to")
	if err != nil {
		return nil, err
	}
	return &reply{body: object([]byte("{}"), append([]evaluator.Attribute{
		member("fromVersion", number(from.Revision)), member("toVersion", number(to.Revision)),
		member("fromValue", valueOf(from.Record)), member("toValue", valueOf(to.Record)), member("changes", c.describeVersions(from, to))},
		c.position(r.state)...)...)}, nil
}

// named is the version that a parameter of the query names.
func (c collection) named(r *call, env *fsm.Environment, name string) (fsm.Version, error) {
	revision, err := strconv.ParseUint(r.http.URL.Query().Get(name), 10, 64)
	if err != nil {
		return fsm.Version{}, malformedQuery(name, "must be the number of a version, such as 42")
	}
	v, err := c.Server.version(env, c.object, r.key, revision)
	if err == nil && !c.ofKind(v) {
		err = missing("read history", r.key, env)
	}
	return v, err
}

func (c collection) content(v fsm.Version) fsm.Content {
	var out fsm.Content
	if v.Record == nil {
		return out
	}
	if c.object == fsm.ObjectSegment {
		if s, err := evaluator.DecodeSegment(v.Record); err == nil { // the law wrote it
			out.Segments = []*evaluator.Segment{s}
		}
	} else if f, err := evaluator.DecodeFlag(v.Record); err == nil {
		out.Flags = []*evaluator.Flag{f}
	}
	return out
}

// rollback writes an older version again, as a new one.
func (c collection) rollback(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		Version uint64 `json:"version"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	if in.Version == 0 {
		return nil, evaluator.Problems{{Field: "/version", Code: "version.required", Message: "name the version to write again"}}
	}
	command, err := c.restoring(r.state, r.scope, c.object, r.key, in.Version)
	if err != nil {
		return nil, err
	}
	if put, ok := command.(fsm.Restore); ok {
		env, err := environment(r.state, r.scope)
		if err != nil {
			return nil, err
		}
		if v, err := c.Server.version(env, c.object, r.key, put.Revision); err == nil && !c.ofKind(v) {
			return nil, missing("restore", r.key, env)
		}
	}
	return c.write(ctx, r, r.key, command)
}

// restoring is the command that writes an older version again. The law knows those that the state holds; an older one comes
// from the ledger, whole.
func (s *Server) restoring(state *fsm.State, scope fsm.Scope, object fsm.ObjectKind, key string, revision uint64) (fsm.Command, error) {
	restore := fsm.Restore{Scope: scope, Object: object, Key: key, Revision: revision}
	env, err := environment(state, scope)
	if err != nil || s.cfg.Ledger == nil {
		return restore, err
	}
	for _, v := range env.History(object, key) {
		if v.Revision <= revision {
			return restore, nil
		}
	}
	v, err := s.version(env, object, key, revision)
	if err != nil || v.Record == nil {
		return restore, err
	}
	if object == fsm.ObjectSegment {
		segment, err := evaluator.DecodeSegment(v.Record)
		return fsm.PutSegment{Scope: scope, Segment: segment}, err
	}
	flag, err := evaluator.DecodeFlag(v.Record)
	return fsm.PutFlag{Scope: scope, Flag: flag}, err
}

// restoringOr is restoring for the services, where the law says what is wrong.
func (s *Server) restoringOr(scope fsm.Scope, object fsm.ObjectKind, r *hoistv1.RestoreRequest) fsm.Command {
	command, err := s.restoring(s.cfg.Store.State(), scope, object, r.GetKey(), r.GetRevision())
	if err != nil {
		return fsm.Restore{Scope: scope, Object: object, Key: r.GetKey(), Revision: r.GetRevision()}
	}
	return command
}

// decodeBody reads a small body strictly; an empty one leaves what is there.
func decodeBody(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	if err := json.Unmarshal(body, into, json.RejectUnknownMembers(true)); err != nil {
		return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "body", Detail: err.Error(), Err: err}
	}
	return nil
}
