package transport

import (
	"context"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
)

// history finds the versions of an item, also of a deleted one.
func (c collection) history(r *call) ([]fsm.Version, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	list := env.History(c.object, r.key)
	for _, v := range list {
		if c.object == fsm.ObjectFlag && v.Record != nil {
			if f, err := evaluator.DecodeFlag(v.Record); err != nil || kindOf(f) != c.kind {
				list = nil
			}
			break
		}
	}
	if len(list) == 0 {
		return nil, missing("read history", r.key, env)
	}
	return list, nil
}

// versions lists the last versions, newest first. The number of a version is the revision of its change.
func (c collection) versions(_ context.Context, r *call) (*reply, error) {
	history, err := c.history(r)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for _, v := range history {
		actor := evaluator.Object([]evaluator.Attribute{member("type", evaluator.String(v.Actor.Kind)),
			member("id", evaluator.String(v.Actor.ID)), member("email", evaluator.String(v.Actor.Email))})
		list = append(list, object([]byte("{}"), member("version", number(v.Revision)),
			member("at", evaluator.String(time.UnixMilli(v.At).UTC().Format(time.RFC3339Nano))),
			member("actor", actor), member("verb", evaluator.String(v.Verb)), member("value", valueOf(v.Record))))
	}
	return &reply{body: items(list, "", c.position(r.state)...)}, nil
}

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
	history, err := c.history(r)
	if err != nil {
		return nil, err
	}
	from, err := c.version(r, history, "from")
	if err != nil {
		return nil, err
	}
	to, err := c.version(r, history, "to")
	if err != nil {
		return nil, err
	}
	var lines []evaluator.Value
	for _, line := range manifest.Describe(c.content(from), c.content(to), true) {
		lines = append(lines, evaluator.String(line))
	}
	return &reply{body: object([]byte("{}"), append([]evaluator.Attribute{
		member("fromVersion", number(from.Revision)), member("toVersion", number(to.Revision)),
		member("fromValue", valueOf(from.Record)), member("toValue", valueOf(to.Record)), member("changes", evaluator.List(lines))},
		c.position(r.state)...)...)}, nil
}

func (c collection) version(r *call, history []fsm.Version, name string) (fsm.Version, error) {
	revision, err := strconv.ParseUint(r.http.URL.Query().Get(name), 10, 64)
	if err != nil {
		return fsm.Version{}, malformedQuery(name, "must be the number of a version, such as 42")
	}
	for _, v := range history {
		if v.Revision == revision {
			return v, nil
		}
	}
	return fsm.Version{}, &fsm.Error{Kind: fsm.KindNotFound, Op: "read version", Target: strconv.FormatUint(revision, 10),
		Detail: r.key + " has no such version any more; the last 20 are kept"}
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
	if _, err := c.history(r); err != nil {
		return nil, err
	}
	return c.write(ctx, r, r.key, fsm.Restore{Scope: r.scope, Object: c.object, Key: r.key, Revision: in.Version})
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
