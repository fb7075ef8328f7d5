package transport

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

const promotionPath = configPath + "/promotions"

// promotionREST is promotions over plain HTTP.
type promotionREST struct{ rest }

func (s *Server) mountPromotions(d *routeTable) {
	p := promotionREST{rest{s}}
	// Which environments a request is about stands in its body or behind its id, so the law and the routes judge; every
	// request names its tenant.
	mount := func(pattern, verb string, route func(context.Context, *call) (*reply, error)) {
		d.rest(pattern, verb, route, asksTenant, asksLaw)
	}
	for _, slash := range []string{"", "/{$}"} {
		mount("POST "+promotionPath+slash, fsm.OpenPromotion{}.Verb(), p.create)
		mount("GET "+promotionPath+slash, fsm.VerbReadConfig, p.index)
	}
	mount("GET "+promotionPath+"/diff", fsm.VerbReadConfig, p.diff)
	mount("GET "+promotionPath+"/{id}", fsm.VerbReadConfig, p.show)
	mount("DELETE "+promotionPath+"/{id}", fsm.MoveChange{Move: fsm.ChangeMoveCancel}.Verb(), p.act("cancel"))
	for _, move := range []string{"validate", "approve", "reject", "execute", "schedule", "rollback"} {
		mount("POST "+promotionPath+"/{id}/"+move, fsm.MoveChange{Move: moveNamed(move)}.Verb(), p.act(move))
	}
	mount("GET "+promotionPath+"/{id}/history", fsm.VerbReadConfig, p.history)
	mount("GET "+promotionPath+"/{id}/drift", fsm.VerbReadConfig, p.drift)
}

// The JSON of promotions.
type (
	personBody struct {
		UserID string `json:"userId"`
		Email  string `json:"email"`
	}
	itemBody struct {
		Kind   fsm.ItemKind   `json:"kind"`
		Key    string         `json:"key"`
		Change fsm.ChangeType `json:"change"`
	}
	approvalBody struct {
		personBody
		At      string `json:"at"`
		Comment string `json:"comment"`
	}
	validationBody struct {
		Valid          bool          `json:"valid"`
		At             string        `json:"at"`
		SourceRevision uint64        `json:"sourceRevision"`
		TargetRevision uint64        `json:"targetRevision"`
		DiffHash       string        `json:"diffHash"`
		Findings       []fsm.Finding `json:"findings"`
	}
	promotionBody struct {
		PromotionID       string            `json:"promotionId"`
		Status            fsm.ChangeStatus  `json:"status"`
		SourceEnvironment string            `json:"sourceEnvironment"`
		TargetEnvironment string            `json:"targetEnvironment"`
		PromotionType     fsm.PromotionType `json:"promotionType"`
		ConfigIDs         []string          `json:"configIds"`
		FlagIDs           []string          `json:"flagIds"`
		KeyPatterns       []string          `json:"keyPatterns"`
		Notes             string            `json:"notes"`
		Items             []itemBody        `json:"items"`
		Validation        *validationBody   `json:"validation"`
		Approvals         []approvalBody    `json:"approvals"`
		RequiredApprovals int               `json:"requiredApprovals"`
		ScheduledAt       *string           `json:"scheduledAt"`
		Timezone          string            `json:"timezone,omitempty"`
		CreatedBy         personBody        `json:"createdBy"`
		CreatedAt         string            `json:"createdAt"`
		ExecutedAt        *string           `json:"executedAt"`
		RollbackOf        *string           `json:"rollbackOf"`
		CorrelationID     string            `json:"correlationId"`
		Warnings          []string          `json:"warnings"`
		Stale             bool              `json:"stale,omitzero"`
		Reason            string            `json:"reason,omitempty"` // why it failed or was refused
		RollbackRequests  []approvalBody    `json:"rollbackRequests,omitempty"`
		Epoch             string            `json:"epoch,omitempty"`
		Revision          uint64            `json:"revision"`
	}
)

func person(a fsm.Actor) personBody { return personBody{a.ID, a.Email} }

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano) }

func instantOrNull(ms int64) *string {
	if ms == 0 {
		return nil
	}
	text := instant(ms)
	return &text
}

func consents(list []fsm.Consent) []approvalBody {
	out := []approvalBody{}
	for _, a := range list {
		out = append(out, approvalBody{person(a.By), instant(a.At), a.Comment})
	}
	return out
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func promotionBodyOf(state *fsm.State, env *fsm.Environment, c *fsm.Change) promotionBody {
	p := c.Promotion
	b := promotionBody{PromotionID: c.ID, Status: c.Status, SourceEnvironment: p.Source, TargetEnvironment: env.Key(), PromotionType: p.Type,
		ConfigIDs: orEmpty(p.ConfigIDs), FlagIDs: orEmpty(p.FlagIDs), KeyPatterns: orEmpty(p.KeyPatterns), Notes: c.Notes, Items: []itemBody{},
		Approvals: consents(c.Approvals), RequiredApprovals: c.Required, ScheduledAt: instantOrNull(c.NotBefore), Timezone: c.Zone,
		CreatedBy: person(c.Author), CreatedAt: instant(c.CreatedAt), ExecutedAt: instantOrNull(c.ExecutedAt), CorrelationID: c.Correlation,
		Warnings: []string{}, Stale: state.Stale(env, c), Reason: c.Cause, Revision: c.Revision}
	if len(c.Undo) > 0 {
		b.RollbackRequests = consents(c.Undo)
	}
	for _, item := range state.Items(env, c) {
		b.Items = append(b.Items, itemBody{item.Kind, item.Key, item.Change})
	}
	for _, name := range p.Unused() {
		b.Warnings = append(b.Warnings, name+" is not used by "+string(p.Type))
	}
	if v := p.Validation; v != nil {
		b.Validation = &validationBody{v.Valid, instant(v.At), v.SourceRevision, v.TargetRevision, v.Hash, append([]fsm.Finding{}, v.Findings...)}
	}
	return b
}

// rendered is one promotion as an answer; a receipt says at which revision it was written.
func (p promotionREST) rendered(r *call, id string, receipt *hoistv1.Receipt) (*reply, error) {
	state := p.cfg.Store.State()
	env, c, err := p.promotion(state, r.who, id)
	if err != nil {
		return nil, err
	}
	c = writtenBy(c, receipt)
	b := promotionBodyOf(state, env, c)
	b.Epoch = state.Epoch()
	if receipt == nil {
		return replyJSON(b, &reply{object: c.Revision})
	}
	b.Revision = receipt.GetRevision()
	return replyJSON(b, &reply{object: c.Revision, receipt: receipt})
}

// replyJSON fills the body of an answer.
func replyJSON(value any, out *reply) (*reply, error) {
	var err error
	out.body, err = json.Marshal(value, json.Deterministic(true))
	return out, err
}

func (p promotionREST) create(ctx context.Context, r *call) (*reply, error) {
	in := struct {
		SourceEnvironment string   `json:"sourceEnvironment"`
		TargetEnvironment string   `json:"targetEnvironment"`
		PromotionType     string   `json:"promotionType"`
		ConfigIDs         []string `json:"configIds"`
		FlagIDs           []string `json:"flagIds"`
		KeyPatterns       []string `json:"keyPatterns"`
		Notes             string   `json:"notes"`
	}{}
	if err := decodeBody(r.body, &in); err != nil {
		return nil, err
	}
	receipt, opened, err := p.openPromotion(ctx, r.who, fsm.OpenPromotion{Scope: fsm.Scope{Environment: in.TargetEnvironment}, Source: in.SourceEnvironment,
		Type: fsm.PromotionType(in.PromotionType), ConfigIDs: in.ConfigIDs, FlagIDs: in.FlagIDs, KeyPatterns: in.KeyPatterns, Notes: in.Notes}, r.opts)
	if err != nil {
		return nil, err
	}
	if opened == nil { // tried only
		return &reply{receipt: receipt, body: []byte("{}")}, nil
	}
	out, err := p.rendered(r, opened.ID, receipt)
	if err == nil {
		out.status, out.location = http.StatusCreated, promotionPath+"/"+opened.ID
	}
	return out, err
}

func (p promotionREST) index(_ context.Context, r *call) (*reply, error) {
	q := r.http.URL.Query()
	size, err := limitOf(r)
	if err != nil {
		return nil, err
	}
	page, next := promotions(r.state, r.who, promotionFilter{status: q.Get("status"), source: q.Get("source"), target: q.Get("target"),
		createdBy: q.Get("createdBy"), flag: q.Get("flag"), size: size, cursor: q.Get("cursor")})
	out := struct {
		Items      []promotionBody `json:"items"`
		NextCursor string          `json:"nextCursor,omitempty"`
	}{Items: []promotionBody{}, NextCursor: next}
	for _, w := range page {
		out.Items = append(out.Items, promotionBodyOf(r.state, w.env, w.change))
	}
	return replyJSON(out, &reply{})
}

func (p promotionREST) show(_ context.Context, r *call) (*reply, error) {
	return p.rendered(r, r.http.PathValue("id"), nil)
}

// act is one move. What the person looked at is the diff that this node has: a change that becomes another before the
// move arrives refuses it.
func (p promotionREST) act(name string) func(context.Context, *call) (*reply, error) {
	return func(ctx context.Context, r *call) (*reply, error) {
		id := r.http.PathValue("id")
		_, c, err := p.promotion(r.state, r.who, id)
		if err != nil {
			return nil, err
		}
		move, err := moveBody(r.body, name)
		if err != nil {
			return nil, err
		}
		move.ID, move.Move = id, moveNamed(name)
		if name == "approve" && move.Hash == "" {
			move.Hash = c.Hash
		}
		receipt, err := p.moveOf(ctx, r.who, move, r.opts)
		if err != nil {
			return nil, err
		}
		out, err := p.rendered(r, id, receipt)
		if _, now, _ := p.promotion(p.cfg.Store.State(), r.who, id); err == nil && name == "rollback" && now != nil && writtenBy(now, receipt).Status == fsm.ChangeCompleted {
			out.status = http.StatusAccepted // others have to agree first
		}
		return out, err
	}
}

// moveBody reads the body of a move, strictly: each move has members of its own.
func moveBody(body []byte, name string) (c fsm.MoveChange, err error) {
	in := struct {
		Comment     string `json:"comment"`
		Force       bool   `json:"force"`
		DiffHash    string `json:"diffHash"`
		ScheduledAt string `json:"scheduledAt"`
		Timezone    string `json:"timezone"`
	}{}
	if err := decodeBody(body, &in); err != nil {
		return c, err
	}
	members := map[string]string{"comment": "approve reject rollback request-changes", "force": "rollback", "diffHash": "approve reject apply execute",
		"scheduledAt": "schedule", "timezone": "schedule"}
	given := map[string]jsontext.Value{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &given); err != nil {
			return c, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "body", Detail: err.Error(), Err: err}
		}
	}
	for member := range given {
		if !strings.Contains(" "+members[member]+" ", " "+name+" ") {
			return c, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "body", Detail: name + " has no member " + member}
		}
	}
	c = fsm.MoveChange{Comment: in.Comment, Force: in.Force, Hash: in.DiffHash, Zone: in.Timezone}
	if name == "schedule" {
		c.At, err = scheduledAt(in.ScheduledAt, in.Timezone)
	}
	return c, err
}

// scheduledAt reads an instant, or a local time in a zone that is named beside it.
func scheduledAt(text, zone string) (int64, error) {
	refuse := func(field, message string) error {
		return fsm.Problems{{Field: field, Code: "schedule.time", Message: message}}
	}
	place := time.UTC
	if zone != "" {
		var err error
		if place, err = time.LoadLocation(zone); err != nil || zone == "Local" {
			return 0, refuse("/timezone", "there is no time zone "+zone+"; name one such as Europe/Berlin")
		}
	}
	if text == "" {
		return 0, refuse("/scheduledAt", "say when, such as 2026-12-01T06:00:00Z")
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UnixMilli(), nil
	}
	at, err := time.ParseInLocation("2006-01-02T15:04:05", text, place)
	if err != nil || zone == "" {
		return 0, refuse("/scheduledAt", text+" is no time; write 2026-12-01T06:00:00Z, or a local time beside a timezone")
	}
	return at.UnixMilli(), nil
}

// diff compares two environments, in the published shape: nothing but the revisions is added to it.
func (p promotionREST) diff(_ context.Context, r *call) (*reply, error) {
	q := r.http.URL.Query()
	source, target := q.Get("source"), q.Get("target")
	for _, name := range []string{"source", "target"} {
		if q.Get(name) == "" {
			return nil, malformedQuery(name, "name the environment, as in ?source=staging&target=production")
		}
	}
	if kind := q.Get("kind"); kind != "" && kind != "flag" && kind != "config" && kind != "segment" {
		return nil, malformedQuery("kind", "is flag, config or segment")
	}
	c, err := p.compared(r.state, r.who, source, target)
	if err != nil {
		return nil, err
	}
	return replyJSON(diffBodyOf(c, source, target, q.Get("kind"), q.Get("keyPattern")), &reply{})
}

func (p promotionREST) history(_ context.Context, r *call) (*reply, error) {
	_, c, err := p.promotion(r.state, r.who, r.http.PathValue("id"))
	if err != nil {
		return nil, err
	}
	type event struct {
		Event    string           `json:"event"`
		Revision uint64           `json:"revision"`
		At       string           `json:"at"`
		Actor    personBody       `json:"actor"`
		From     fsm.ChangeStatus `json:"from"`
		To       fsm.ChangeStatus `json:"to"`
		Comment  string           `json:"comment"`
	}
	out := struct {
		Items []event `json:"items"`
	}{Items: []event{}}
	for _, e := range c.Events {
		out.Items = append(out.Items, event{eventName(e), e.Revision, instant(e.At), person(e.Actor), e.From, e.To, e.Comment})
	}
	return replyJSON(out, &reply{object: c.Revision})
}

// eventName is what happened to a promotion, in the words of its event.
func eventName(e fsm.ChangeEvent) string {
	names := map[fsm.ChangeMove]string{fsm.ChangeMoveOpen: "requested", fsm.ChangeMoveValidate: "validated", fsm.ChangeMoveApprove: "approved",
		fsm.ChangeMoveReject: "rejected", fsm.ChangeMoveSchedule: "scheduled", fsm.ChangeMoveCancel: "cancelled",
		fsm.ChangeMoveApply: "completed", fsm.ChangeMoveDue: "completed", fsm.ChangeMoveRollback: "rolled_back"}
	name := names[e.Move]
	switch {
	case e.To == fsm.ChangeFailed:
		name = "failed"
	case e.Move == fsm.ChangeMoveRollback && e.To == fsm.ChangeCompleted:
		name = "rollback_requested"
	}
	return "promotion." + name
}

func (p promotionREST) drift(_ context.Context, r *call) (*reply, error) {
	env, c, err := p.promotion(r.state, r.who, r.http.PathValue("id"))
	if err != nil {
		return nil, err
	}
	items, err := drifted(env, c)
	if err != nil {
		return nil, err
	}
	out := struct {
		PromotionID string     `json:"promotionId"`
		Items       []itemBody `json:"items"`
	}{PromotionID: c.ID, Items: []itemBody{}}
	for _, item := range items {
		out.Items = append(out.Items, itemBody{item.Kind, item.Key, item.Change})
	}
	return replyJSON(out, &reply{object: c.Revision})
}
