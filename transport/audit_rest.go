package transport

import (
	"context"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
)

const auditPath = configPath + "/audit"

// maxSkip bounds how far page reaches; cursors have no end.
const maxSkip = 10_000

// mountAudit is the route table of the change log.
func (s *Server) mountAudit(d *routeTable) {
	r := rest{s}
	about := func(set func(*fsm.AuditFilter, *call)) func(context.Context, *call) (*reply, error) {
		return func(_ context.Context, c *call) (*reply, error) { return r.auditRows(c, set) }
	}
	item := func(w *fsm.AuditFilter, c *call) { w.Target = nodeOf(fsm.ObjectFlag, c.key) }
	d.rest("GET "+auditPath, fsm.VerbReadAudit, about(nil))
	d.rest("GET "+auditPath+"/range", fsm.VerbReadAudit, about(nil))
	d.rest("GET "+auditPath+"/search", fsm.VerbReadAudit, about(nil))
	d.rest("GET "+auditPath+"/config/{key}", fsm.VerbReadAudit, about(item))
	d.rest("GET "+auditPath+"/flags/{key}", fsm.VerbReadAudit, about(item))
	d.rest("GET "+auditPath+"/user/{id}", fsm.VerbReadAudit, about(func(w *fsm.AuditFilter, c *call) { w.User = c.http.PathValue("id") }))
	d.rest("GET "+auditPath+"/versions/{key}", fsm.VerbReadConfig, r.auditVersions)
	d.rest("GET "+auditPath+"/versions/{key}/diff", fsm.VerbReadConfig, r.auditDiff)
	d.rest("GET "+configPath+"/stale", fsm.VerbReadConfig, r.staleList)
	d.rest("GET "+auditPath+"/verify", fsm.VerbReadAudit, r.auditVerify)
}

func nodeOf(object fsm.ObjectKind, key string) string { return string(object) + "/" + key }

// auditQuery reads the filters of the query. Environments are not narrowed by the header: the log is the tenant's.
func auditQuery(tenant string, q url.Values) (fsm.AuditFilter, error) {
	want := fsm.AuditFilter{Tenant: tenant, Environment: q.Get("environment"), KeyPattern: q.Get("key"), User: q.Get("user"),
		Correlation: q.Get("correlationId"), Verb: q.Get("verb")}
	if flag := q.Get("flag"); flag != "" {
		want.Target = nodeOf(fsm.ObjectFlag, flag)
	}
	for name, at := range map[string]*int64{"start": &want.From, "end": &want.Until} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return want, malformedQuery(name, "must be a time such as 2026-11-21T09:00:00Z")
		}
		*at = t.UnixMilli()
	}
	if want.Until > 0 && want.Until <= want.From {
		return want, malformedQuery("end", "must be after start")
	}
	return want, nil
}

// auditPage reads which rows of the result are asked for: cursor and limit, or page (from 0) and size.
func auditPage(q url.Values) (before uint64, skip, limit int, err error) {
	size, page := q.Get("limit"), 0
	if text := q.Get("size"); text != "" {
		size = text
	}
	if text := q.Get("page"); text != "" {
		if page, err = strconv.Atoi(text); err != nil || page < 0 {
			return 0, 0, 0, malformedQuery("page", "must be the number of a page, from 0")
		}
	}
	asked := int64(0)
	if size != "" {
		if asked, err = strconv.ParseInt(size, 10, 32); err != nil || asked <= 0 {
			return 0, 0, 0, malformedQuery("size", "must be between 1 and 1000")
		}
	}
	if limit, err = pageSize(int32(asked)); err != nil {
		return 0, 0, 0, err
	}
	if skip = page * limit; skip > maxSkip {
		return 0, 0, 0, malformedQuery("page", "pages end at row "+strconv.Itoa(maxSkip)+"; go on with cursor=nextCursor")
	}
	if text := q.Get("cursor"); text != "" {
		if before, err = strconv.ParseUint(text, 10, 64); err != nil || before == 0 {
			return 0, 0, 0, malformedQuery("cursor", "must be nextCursor of the page before")
		}
	}
	return before, skip, limit, nil
}

// smallNumber reads a number of the query; 0 when it is left out.
func smallNumber(q url.Values, name string, most int64) (int32, error) {
	text := q.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n <= 0 || n > most {
		return 0, malformedQuery(name, "must be between 1 and "+strconv.FormatInt(most, 10))
	}
	return int32(n), nil
}

func (s rest) auditRows(r *call, set func(*fsm.AuditFilter, *call)) (*reply, error) {
	q := r.http.URL.Query()
	want, err := auditQuery(r.who.tenant, q)
	if err != nil {
		return nil, err
	}
	if set != nil {
		set(&want, r)
	}
	before, skip, limit, err := auditPage(q)
	if err != nil {
		return nil, err
	}
	rows, err := s.newestRows(r.state, want, before, skip+limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(rows) > skip+limit {
		rows = rows[:skip+limit]
		next = strconv.FormatUint(rows[len(rows)-1].Seq, 10)
	}
	var list [][]byte
	for i := min(skip, len(rows)); i < len(rows); i++ {
		list = append(list, object([]byte("{}"), auditMembers(&rows[i].Audit)...))
	}
	seq, hash := r.state.AuditHead()
	head := evaluator.Object([]evaluator.Attribute{member("seq", number(seq)), member("hash", evaluator.String(hash))})
	return &reply{body: items(list, next, append(s.position(r.state), member("head", head))...)}, nil
}

// auditMembers is a row as plain HTTP shows it.
func auditMembers(row *fsm.Audit) []evaluator.Attribute {
	text := func(name, value string) evaluator.Attribute { return member(name, evaluator.String(value)) }
	out := []evaluator.Attribute{member("seq", number(row.Seq)), member("revision", number(row.Index)), text("at", timeOf(row.At)),
		member("actor", actorValue(row.Actor)), text("verb", row.Verb), text("target", row.Target)}
	for _, m := range []evaluator.Attribute{text("tenant", row.Tenant), text("environment", row.Environment), text("requestId", row.RequestID),
		text("correlationId", row.Correlation), text("before", row.Before), text("after", row.After), text("reason", row.Reason)} {
		if m.Value != evaluator.String("") {
			out = append(out, m)
		}
	}
	if row.Approvals != "" {
		var names []evaluator.Value
		for name := range strings.SplitSeq(row.Approvals, ",") {
			names = append(names, evaluator.String(name))
		}
		out = append(out, member("approvals", evaluator.List(names)))
	}
	return append(out, text("hash", row.Hash))
}

func timeOf(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

// actorValue is who acted: the person, and the token they came with.
func actorValue(a fsm.Actor) evaluator.Value {
	out := []evaluator.Attribute{member("type", evaluator.String(a.Kind))}
	for _, m := range []evaluator.Attribute{member("id", evaluator.String(a.ID)), member("email", evaluator.String(a.Email)),
		member("tokenId", evaluator.String(a.Token)), member("owner", evaluator.String(a.Owner))} {
		if m.Value != evaluator.String("") {
			out = append(out, m)
		}
	}
	return evaluator.Object(out)
}

// auditItem is the flag, config or segment of the path.
func (s rest) auditItem(r *call) (collection, *fsm.Environment, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return collection{}, nil, err
	}
	c := collection{rest: s, object: fsm.ObjectFlag}
	if found, err := s.versions(env, fsm.ObjectFlag, r.key, 0, 1); err != nil || len(found) == 0 {
		c.object = fsm.ObjectSegment
	}
	return c, env, nil
}

func (s rest) auditVersions(ctx context.Context, r *call) (*reply, error) {
	c, _, err := s.auditItem(r)
	if err != nil {
		return nil, err
	}
	return c.versionsOf(ctx, r)
}

func (s rest) auditDiff(_ context.Context, r *call) (*reply, error) {
	c, env, err := s.auditItem(r)
	if err != nil {
		return nil, err
	}
	return c.compareVersions(r, env)
}

func (s rest) auditVerify(_ context.Context, r *call) (*reply, error) {
	report, err := s.verifyRows(r.state)
	if err != nil {
		return nil, err
	}
	findings := []evaluator.Value{}
	for _, f := range report.Findings {
		findings = append(findings, evaluator.Object([]evaluator.Attribute{member("seq", number(f.Seq)),
			member("where", evaluator.String(f.Where)), member("why", evaluator.String(f.Why))}))
	}
	return &reply{body: object([]byte("{}"), append([]evaluator.Attribute{member("sound", evaluator.Bool(len(findings) == 0)),
		member("rows", number(report.Rows)), member("first", number(report.First)), member("last", number(report.Last)),
		member("hash", evaluator.String(report.Hash)), member("findings", evaluator.List(findings))}, s.position(r.state)...)...)}, nil
}

// describeVersions says in words how two versions differ.
func (c collection) describeVersions(from, to fsm.Version) evaluator.Value {
	lines := []evaluator.Value{}
	for _, line := range manifest.Describe(c.content(from), c.content(to), true) {
		lines = append(lines, evaluator.String(line))
	}
	return evaluator.List(lines)
}
