package transport

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/wire"
)

const configPath = "/api/v1/config"

// collection is one kind of item under /api/v1/config: its path, what it holds, and how a body becomes a definition.
type collection struct {
	rest
	path   string
	object fsm.ObjectKind
	kind   evaluator.Kind // of flags
}

// mountConfig is the route table of /api/v1/config. Bodies are the definitions of package evaluator, as in a manifest.
func (s *Server) mountConfig(d *routeTable) {
	r := rest{s}
	for _, c := range []collection{
		{r, configPath + "/feature-flags", fsm.ObjectFlag, evaluator.KindFlag},
		{r, configPath + "/configs", fsm.ObjectFlag, evaluator.KindConfig},
		{r, configPath + "/segments", fsm.ObjectSegment, ""},
	} {
		put, drop := fsm.PutFlag{}.Verb(), fsm.DeleteFlag{}.Verb()
		if c.object == fsm.ObjectSegment {
			put, drop = fsm.PutSegment{}.Verb(), fsm.DeleteSegment{}.Verb()
		}
		d.rest("GET "+c.path, fsm.VerbReadConfig, c.list)
		d.rest("POST "+c.path, put, c.create)
		d.rest("GET "+c.path+"/{key}", fsm.VerbReadConfig, c.get)
		d.rest("PUT "+c.path+"/{key}", put, c.put)
		d.rest("DELETE "+c.path+"/{key}", drop, c.delete)
		d.rest("GET "+c.path+"/{key}/{part}", fsm.VerbReadConfig, c.part)
		d.rest("GET "+c.path+"/{key}/versions/diff", fsm.VerbReadConfig, c.compare)
		d.rest("POST "+c.path+"/{key}/rollback", fsm.Restore{Object: c.object}.Verb(), c.rollback)
	}
	flags := collection{r, configPath + "/feature-flags", fsm.ObjectFlag, evaluator.KindFlag}
	d.rest("POST "+flags.path+"/{key}/evaluate", fsm.VerbExplain, flags.evaluate) // it names the rule
	d.rest("POST "+flags.path+"/{key}/toggle", fsm.SetEnabled{}.Verb(), flags.toggle)
	d.rest("POST "+flags.path+"/{key}/kill", fsm.Kill{}.Verb(), flags.kill)
	d.rest("POST "+flags.path+"/{key}/unkill", fsm.Unkill{}.Verb(), flags.unkill)
	configs := collection{r, configPath + "/configs", fsm.ObjectFlag, evaluator.KindConfig}
	d.rest("GET "+configs.path+"/export", fsm.VerbReadConfig, configs.export)
	d.rest("POST "+configs.path+"/import", fsm.Batch{}.Verb(), configs.imports)
	d.rest("GET "+configPath+"/environments", fsm.VerbReadTenant, r.environments)
	d.rest("POST "+configPath+"/environments", fsm.CreateEnvironment{}.Verb(), r.createEnvironment)
	d.rest("GET "+configPath+"/environments/{key}", fsm.VerbReadTenant, r.environment)
	d.rest("PUT "+configPath+"/environments/{key}/policy", fsm.SetPolicy{}.Verb(), r.setPolicy, asksLaw)
	d.rest("PUT "+configPath+"/environments", fsm.OrderEnvironments{}.Verb(), r.orderEnvironments)
}

// part answers below an item: its versions and, for a flag, whether it is enabled. tag is no item: below it are the flags
// with that tag.
func (c collection) part(ctx context.Context, r *call) (*reply, error) {
	part, flags := r.http.PathValue("part"), c.kind == evaluator.KindFlag
	switch {
	case flags && r.key == "tag":
		return c.list(ctx, r)
	case part == "versions":
		return c.versions(ctx, r)
	case flags && part == "enabled":
		return c.enabled(ctx, r)
	}
	return nil, &fsm.Error{Kind: fsm.KindNotFound, Detail: "there is nothing here; below an item are versions, versions/diff and rollback"}
}

// record finds an item of this collection: a config is no feature flag, and the other way round.
func (c collection) record(state *fsm.State, scope fsm.Scope, key string) (*fsm.Environment, *fsm.FlagRecord, error) {
	env, err := environment(state, scope)
	if err != nil {
		return nil, nil, err
	}
	if c.object == fsm.ObjectSegment {
		if s, ok := env.Segment(key); ok {
			return env, (*fsm.FlagRecord)(s), nil
		}
	} else if f, ok := env.Flag(key); ok && kindOf(f.Flag()) == c.kind {
		return env, f, nil
	}
	return env, nil, missing("get", key, env)
}

func kindOf(f *evaluator.Flag) evaluator.Kind {
	if f.Kind == "" {
		return evaluator.KindFlag
	}
	return f.Kind
}

// item is the definition with what the server knows about it. A body may send these members back; they are ignored.
func (c collection) item(env *fsm.Environment, r *fsm.FlagRecord, members ...evaluator.Attribute) []byte {
	members = append([]evaluator.Attribute{
		member("environment", evaluator.String(env.Key())), member("objectRevision", number(r.Revision)),
		member("createdRevision", number(r.Created)),
		member("updatedAt", evaluator.String(time.UnixMilli(r.UpdatedAt).UTC().Format(time.RFC3339Nano))),
	}, members...)
	if c.object == fsm.ObjectFlag {
		exposures := env.Exposures(r.Key)
		var owners []evaluator.Value
		for _, x := range exposures {
			owners = append(owners, evaluator.String(x.Owner))
		}
		members = append(members, member("killed", evaluator.Bool(wire.Killed(exposures))), member("exposures", evaluator.List(owners)))
	}
	return object(r.Record, members...)
}

// ofServer are the members of an item that are the server's.
var ofServer = []string{"environment", "objectRevision", "createdRevision", "updatedAt", "killed", "exposures", "epoch", "revision"}

// definition is the body without what is the server's, with the key of the path.
func (c collection) definition(body []byte, key string) (fsm.Command, string, error) {
	members := map[string]jsontext.Value{}
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, "", &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "body", Detail: "must be one JSON object: " + err.Error(), Err: err}
	}
	for _, name := range ofServer {
		delete(members, name)
	}
	if key != "" {
		members["key"] = evaluator.String(key).AppendJSON(nil)
	}
	if c.kind == evaluator.KindConfig {
		complete(members)
	}
	record, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		return nil, "", err
	}
	if c.object == fsm.ObjectSegment {
		segment, err := evaluator.DecodeSegment(record)
		if err != nil {
			return nil, "", err
		}
		return fsm.PutSegment{Segment: segment}, segment.Key, nil
	}
	flag, err := evaluator.DecodeFlag(record)
	if err != nil {
		return nil, "", err
	}
	if kindOf(flag) != c.kind {
		return nil, "", evaluator.Problems{{Field: "/kind", Code: "flag.kind", Message: "this path holds items of kind " + string(c.kind)}}
	}
	return fsm.PutFlag{Flag: flag}, flag.Key, nil
}

// complete says for a config what its path and its value say already.
func complete(members map[string]jsontext.Value) {
	if _, ok := members["kind"]; !ok {
		members["kind"] = jsontext.Value(`"config"`)
	}
	if _, ok := members["type"]; ok {
		return
	}
	types := map[jsontext.Kind]string{'"': `"string"`, '0': `"number"`, 't': `"boolean"`, 'f': `"boolean"`, '{': `"object"`}
	if name, ok := types[members["value"].Kind()]; ok {
		members["type"] = jsontext.Value(name)
	}
}

func scoped(c fsm.Command, scope fsm.Scope) fsm.Command {
	switch c := c.(type) {
	case fsm.PutFlag:
		c.Scope = scope
		return c
	case fsm.PutSegment:
		c.Scope = scope
		return c
	}
	return c
}

func (c collection) list(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	q := r.http.URL.Query()
	filter, size, err := listFilter(r)
	if err != nil {
		return nil, err
	}
	filter.Kind = string(c.kind)
	records := env.Flags()
	if c.object == fsm.ObjectSegment {
		records = segmentRecords(env)
	}
	var list [][]byte
	next := ""
	for _, record := range records[after(len(records), q.Get("cursor"), func(i int) string { return records[i].Key }):] {
		if !c.matches(filter, env, record) {
			continue
		}
		if len(list) == size {
			break
		}
		list = append(list, c.item(env, record))
		next = pageToken(record.Key)
	}
	if len(list) < size {
		next = ""
	}
	return &reply{body: items(list, next, c.position(r.state)...), object: env.Revision()}, nil
}

func segmentRecords(env *fsm.Environment) []*fsm.FlagRecord {
	segments := env.Segments()
	out := make([]*fsm.FlagRecord, len(segments))
	for i, s := range segments {
		out[i] = (*fsm.FlagRecord)(s)
	}
	return out
}

func (c collection) matches(filter *hoistv1.ListFlagsRequest, env *fsm.Environment, record *fsm.FlagRecord) bool {
	if c.object == fsm.ObjectSegment {
		s := (*fsm.SegmentRecord)(record).Segment()
		return fsm.MatchKey(filter.GetKeyPattern(), s.Key) && mentions(filter.GetQuery(), s.Key, s.Name, s.Description)
	}
	return wanted(filter, record.Flag(), env.Exposures(record.Key))
}

func listFilter(r *call) (*hoistv1.ListFlagsRequest, int, error) {
	q := r.http.URL.Query()
	out := &hoistv1.ListFlagsRequest{Query: q.Get("query"), Tags: q["tag"], Owner: q.Get("owner"), KeyPattern: q.Get("key"),
		IncludeArchived: q.Get("archived") == "true"}
	if r.key == "tag" {
		out.Tags = append(out.Tags, r.http.PathValue("part"))
	}
	if text := q.Get("enabled"); text != "" {
		enabled, err := strconv.ParseBool(text)
		if err != nil {
			return nil, 0, malformedQuery("enabled", "must be true or false")
		}
		out.Enabled = &enabled
	}
	size, err := limitOf(r)
	return out, size, err
}

// limitOf is how many items a page has.
func limitOf(r *call) (int, error) {
	text := r.http.URL.Query().Get("limit")
	if text == "" {
		return pageSize(0)
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n <= 0 {
		return 0, malformedQuery("limit", "must be between 1 and 1000")
	}
	return pageSize(int32(n))
}

func (s rest) position(state *fsm.State) []evaluator.Attribute {
	return []evaluator.Attribute{member("epoch", evaluator.String(state.Epoch())), member("revision", number(state.Index()))}
}

func (c collection) get(_ context.Context, r *call) (*reply, error) {
	env, record, err := c.record(r.state, r.scope, r.key)
	if err != nil {
		return nil, err
	}
	return &reply{body: c.item(env, record, c.position(r.state)...), object: record.Revision}, nil
}

// create answers 201; an item that exists already is 409.
func (c collection) create(ctx context.Context, r *call) (*reply, error) {
	command, key, err := c.definition(r.body, "")
	if err != nil {
		return nil, err
	}
	r.opts.ExpectedRevision = new(uint64)
	out, err := c.write(ctx, r, key, scoped(command, r.scope))
	if err != nil {
		return nil, err
	}
	c.created(r, out, key)
	return out, nil
}

func (c collection) created(r *call, out *reply, key string) {
	if !r.opts.GetDryRun() && out.status == 0 {
		out.status, out.location = http.StatusCreated, c.path+"/"+key
	}
}

// put creates or replaces. The key of the path counts, and a body that says another is refused.
func (c collection) put(ctx context.Context, r *call) (*reply, error) {
	command, key, err := c.definition(r.body, "")
	if key == "" { // not said, or not readable: say it
		command, key, err = c.definition(r.body, r.key)
	}
	if err != nil {
		return nil, err
	}
	if key != r.key {
		return nil, evaluator.Problems{{Field: "/key", Code: "key.path", Message: "the path names " + strconv.Quote(r.key)}}
	}
	out, err := c.write(ctx, r, key, scoped(command, r.scope))
	if err == nil && out.fresh {
		c.created(r, out, key)
	}
	return out, err
}

func (c collection) delete(ctx context.Context, r *call) (*reply, error) {
	if _, known := r.state.Request(r.who.actor, r.opts.GetRequestId()); !known {
		if _, _, err := c.record(r.state, r.scope, r.key); err != nil {
			return nil, err
		}
	}
	var command fsm.Command = fsm.DeleteFlag{Scope: r.scope, Key: r.key}
	if c.object == fsm.ObjectSegment {
		command = fsm.DeleteSegment{Scope: r.scope, Key: r.key}
	}
	return c.write(ctx, r, r.key, command)
}

// write proposes the command and answers with the item as it is then; one that is gone leaves the position only.
func (c collection) write(ctx context.Context, r *call, key string, command fsm.Command) (*reply, error) {
	receipt, err := c.Server.write(ctx, r.who, command, r.opts)
	if err != nil {
		return nil, err
	}
	position := []evaluator.Attribute{member("epoch", evaluator.String(receipt.GetEpoch())), member("revision", number(receipt.GetRevision()))}
	out := &reply{receipt: receipt, object: receipt.GetObjectRevision(), body: object([]byte("{}"), position...)}
	if id := receipt.GetChangeId(); id != "" { // it waits for others
		out.status, out.location = http.StatusAccepted, approvalPath+"/"+id
		out.body = object([]byte("{}"), append([]evaluator.Attribute{member("changeId", evaluator.String(id))}, position...)...)
		return out, nil
	}
	env, record, err := c.record(c.cfg.Store.State(), r.scope, key)
	if err != nil || receipt.GetDryRun() {
		return out, nil //nolint:nilerr // it was deleted, by this write or a later one
	}
	if receipt.GetReplayed() {
		record = atRevision(env, c.object, record, receipt.GetRevision())
	}
	out.body, out.object, out.fresh = c.item(env, record, position...), record.Revision, record.Created == receipt.GetRevision()
	return out, nil
}
