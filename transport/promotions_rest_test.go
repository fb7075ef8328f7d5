package transport_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// desk is somebody at the promotions of a server.
type desk struct {
	t    *testing.T
	node *node
	url  string
}

func newDesk(t *testing.T) *desk {
	n := newNode(t)
	web, _ := serve(t, n)
	return &desk{t: t, node: n, url: web.URL + "/api/v1/config"}
}

// as sends a request as somebody of the default tenant; headers may follow.
func (d *desk) as(who, method, path, body string, headers ...string) answer {
	d.t.Helper()
	return do(d.t, method, d.url+path, body, append([]string{"X-Tenant-ID", "default", "X-User-ID", who, "X-User-Email", who + "@example.com"}, headers...)...)
}

// gets asserts the status and returns the body.
func (d *desk) gets(status int, who, method, path, body string, headers ...string) map[string]any {
	d.t.Helper()
	got := d.as(who, method, path, body, headers...)
	require.Equal(d.t, status, got.status, "%s %s: %s", method, path, got.body)
	var out map[string]any
	require.NoError(d.t, json.Unmarshal([]byte(got.body), &out), got.body)
	if status >= 400 {
		require.Equal(d.t, "application/problem+json", got.header.Get("Content-Type"))
		require.NotEmpty(d.t, out["detail"])
	}
	return out
}

func (d *desk) flag(scope fsm.Scope, definition string) {
	d.t.Helper()
	f, err := evaluator.DecodeFlag([]byte(definition))
	require.NoError(d.t, err)
	d.node.write(d.t, fsm.PutFlag{Scope: scope, Flag: f})
}

func promotionOf(from, to, kind, more string) string {
	return fmt.Sprintf(`{"sourceEnvironment":%q,"targetEnvironment":%q,"promotionType":%q%s}`, from, to, kind, more)
}

// opened creates a promotion as ann and returns its path.
func (d *desk) opened(body string) string {
	d.t.Helper()
	return "/promotions/" + d.gets(201, "ann", "POST", "/promotions", body)["promotionId"].(string)
}

// S1-01, S1-02
func TestWhatAPromotionMustSay(t *testing.T) {
	d := newDesk(t)
	d.flag(dev, `{"key":"query.timeout","kind":"config","type":"string","value":"180s"}`)
	d.flag(dev, flagBody)
	got := d.as("ann", "POST", "/promotions/", promotionOf("dev", "staging", "SELECTIVE",
		`,"configIds":["query.timeout"],"flagIds":["checkout"],"keyPatterns":["query.*"],"notes":"verified"`))
	require.Equal(t, 201, got.status, got.body)
	id := field(t, got.body, "promotionId").(string)
	require.Equal(t, "/api/v1/config/promotions/"+id, got.header.Get("Location"))
	require.Equal(t, "DRAFT", field(t, got.body, "status"))
	require.Equal(t, []any{"keyPatterns is not used by SELECTIVE"}, field(t, got.body, "warnings"))
	require.Equal(t, map[string]any{"userId": "ann", "email": "ann@example.com"}, field(t, got.body, "createdBy"))
	require.Nil(t, field(t, got.body, "scheduledAt"))
	require.Len(t, field(t, got.body, "items"), 2)

	for name, c := range map[string]struct {
		body, field, code string
		status            int
	}{
		"unknown type":        {promotionOf("dev", "staging", "SOME", ""), "/promotionType", "INVALID", 422},
		"no type":             {`{"sourceEnvironment":"dev","targetEnvironment":"staging"}`, "/promotionType", "INVALID", 422},
		"unknown source":      {promotionOf("moon", "staging", "FULL", ""), "/sourceEnvironment", "INVALID", 422},
		"unknown target":      {promotionOf("dev", "moon", "FULL", ""), "/targetEnvironment", "INVALID", 422},
		"no target":           {promotionOf("dev", "", "FULL", ""), "/targetEnvironment", "INVALID", 422},
		"same":                {promotionOf("dev", "dev", "FULL", ""), "/targetEnvironment", "INVALID", 422},
		"past the pipeline":   {promotionOf("dev", "production", "FULL", ""), "/sourceEnvironment", "PROM_PIPELINE", 422},
		"nothing selected":    {promotionOf("dev", "staging", "SELECTIVE", ""), "/flagIds", "INVALID", 422},
		"no pattern":          {promotionOf("dev", "staging", "PATTERN", ""), "/keyPatterns", "INVALID", 422},
		"hopeless pattern":    {promotionOf("dev", "staging", "PATTERN", `,"keyPatterns":["[a-z]+"]`), "/keyPatterns/0", "INVALID", 422},
		"config as a flag":    {promotionOf("dev", "staging", "SELECTIVE", `,"flagIds":["query.timeout"]`), "/flagIds/0", "INVALID", 422},
		"flag as a config":    {promotionOf("dev", "staging", "SELECTIVE", `,"configIds":["checkout"]`), "/configIds/0", "INVALID", 422},
		"oversize notes":      {promotionOf("dev", "staging", "FULL", `,"notes":"`+strings.Repeat("n", 5000)+`"`), "/notes", "INVALID", 422},
		"unknown member":      {promotionOf("dev", "staging", "FULL", `,"force":true`), "", "MALFORMED", 400},
		"no JSON":             {`{"sourceEnvironment"`, "", "MALFORMED", 400},
		"a number for a list": {promotionOf("dev", "staging", "PATTERN", `,"keyPatterns":7`), "", "MALFORMED", 400},
	} {
		t.Run(name, func(t *testing.T) {
			before := d.node.store.State().DomainHash()
			problem := d.gets(c.status, "ann", "POST", "/promotions", c.body)
			require.Equal(t, c.code, problem["code"], problem)
			if c.field != "" {
				require.Equal(t, c.field, problem["errors"].([]any)[0].(map[string]any)["field"], problem)
			}
			require.Equal(t, before, d.node.store.State().DomainHash())
			require.Len(t, d.gets(200, "ann", "GET", "/promotions", "")["items"], 1, "nothing was stored")
		})
	}
	require.Equal(t, "VAL_TENANT_REQUIRED", field(t, do(t, "GET", d.url+"/promotions", "").body, "code"))
	other := do(t, "GET", d.url+"/promotions/"+id, "", "X-Tenant-ID", "acme")
	require.Equal(t, http.StatusNotFound, other.status)
	d.gets(404, "ann", "GET", "/promotions/018f0000-0000-7000-8000-000000000000", "")
	d.gets(400, "ann", "GET", "/promotions?limit=0", "")
	d.gets(400, "ann", "GET", "/promotions/diff?source=dev", "")
	d.gets(404, "ann", "GET", "/promotions/diff?source=dev&target=moon", "")
}

// S1-06, S1-07, S1-10, S1-11: the whole way over REST, with every wrong turn.
func TestAPromotionFromDraftToRollback(t *testing.T) {
	d := newDesk(t)
	d.flag(dev, flagBody)
	at := d.opened(promotionOf("dev", "staging", "FULL", ""))
	problem := d.gets(409, "bob", "POST", at+"/approve", `{}`)
	require.Equal(t, "RES_STATE", problem["code"])
	require.Equal(t, "DRAFT", problem["currentState"])
	require.Equal(t, []any{"validate", "cancel"}, problem["allowed"])
	require.Equal(t, "RES_STATE", d.gets(409, "ann", "POST", at+"/execute", "")["code"], "before it is approved")

	valid := d.gets(200, "ann", "POST", at+"/validate", "")
	require.Equal(t, "VALIDATED", valid["status"])
	require.Equal(t, true, valid["validation"].(map[string]any)["valid"])
	require.Equal(t, valid["validation"], d.gets(200, "ann", "POST", at+"/validate", `{}`)["validation"], "twice the same answer")
	require.Equal(t, []any{map[string]any{"kind": "flag", "key": "checkout", "change": "added"}}, valid["items"])

	require.Equal(t, "PERM_SELF_APPROVAL", d.gets(403, "ann", "POST", at+"/approve", `{"comment":"mine"}`)["code"])
	require.Equal(t, "RES_STATE", d.gets(409, "ann", "POST", at+"/execute", "")["code"])
	d.gets(422, "bob", "POST", at+"/reject", `{}`)
	d.gets(400, "bob", "POST", at+"/approve", `{"force":true}`)
	approved := d.gets(200, "bob", "POST", at+"/approve", `{"comment":"good"}`)
	require.Equal(t, "APPROVED", approved["status"])
	require.Len(t, d.gets(200, "bob", "POST", at+"/approve", "")["approvals"], 1, "the same person counts once")

	d.flag(dev, `{"key":"late","kind":"config","type":"number","value":1}`)
	require.Equal(t, true, d.gets(200, "ann", "GET", at, "")["stale"])
	stale := d.gets(409, "ann", "POST", at+"/execute", "")
	require.Equal(t, "PROM_STALE", stale["code"])
	require.Equal(t, "/problems/promotion-stale", stale["type"])
	require.Contains(t, stale["detail"], "validate again")
	require.Empty(t, d.gets(200, "ann", "POST", at+"/validate", "")["approvals"], "approvals were for another diff")
	d.gets(200, "bob", "POST", at+"/approve", "")

	done := d.as("ann", "POST", at+"/execute", "", "Idempotency-Key", "once")
	require.Equal(t, 200, done.status, done.body)
	require.Equal(t, "COMPLETED", field(t, done.body, "status"))
	require.NotNil(t, field(t, done.body, "executedAt"))
	again := d.as("ann", "POST", at+"/execute", "", "Idempotency-Key", "once")
	require.Equal(t, 200, again.status)
	require.Equal(t, "true", again.header.Get("Idempotent-Replay"))
	require.Equal(t, field(t, done.body, "revision"), field(t, again.body, "revision"))
	d.gets(409, "ann", "POST", at+"/execute", "", "Idempotency-Key", "twice")
	d.gets(409, "ann", "DELETE", at, "")
	d.gets(409, "bob", "POST", at+"/approve", "")
	diff := d.gets(200, "ann", "GET", "/promotions/diff?source=dev&target=staging", "")
	require.Equal(t, []any{}, diff["added"])
	require.EqualValues(t, 2, diff["unchanged"])

	require.Empty(t, d.gets(200, "ann", "GET", at+"/drift", "")["items"])
	d.node.write(t, fsm.SetEnabled{Scope: fsm.Scope{Tenant: "default", Environment: "staging"}, Key: "checkout"})
	require.Len(t, d.gets(200, "ann", "GET", at+"/drift", "")["items"], 1)
	drift := d.gets(409, "ann", "POST", at+"/rollback", "")
	require.Equal(t, "PROM_DRIFT", drift["code"])
	require.Equal(t, "/flag/checkout", drift["errors"].([]any)[0].(map[string]any)["field"])
	back := d.gets(200, "ann", "POST", at+"/rollback", `{"force":true,"comment":"a mistake"}`)
	require.Equal(t, "ROLLED_BACK", back["status"])
	require.Equal(t, "ROLLED_BACK", d.gets(200, "ann", "POST", at+"/rollback", "")["status"])
	require.Empty(t, d.gets(200, "ann", "GET", "/feature-flags?environment=staging", "")["items"])

	var events []string
	for _, e := range d.gets(200, "ann", "GET", at+"/history", "")["items"].([]any) {
		events = append(events, e.(map[string]any)["event"].(string))
	}
	require.Equal(t, []string{"promotion.requested", "promotion.validated", "promotion.approved", "promotion.validated", "promotion.approved",
		"promotion.completed", "promotion.rolled_back"}, events)
}

// S1-09, S1-11
func TestSchedulingAndCancelling(t *testing.T) {
	d := newDesk(t)
	d.flag(dev, flagBody)
	at := d.opened(promotionOf("dev", "staging", "PATTERN", `,"keyPatterns":["check*"]`))
	d.gets(409, "ann", "POST", at+"/schedule", `{"scheduledAt":"2100-01-01T00:00:00Z"}`)
	d.gets(200, "ann", "POST", at+"/validate", "")
	d.gets(200, "bob", "POST", at+"/approve", "")
	require.Equal(t, "/scheduledAt", d.gets(422, "ann", "POST", at+"/schedule", `{"scheduledAt":"2001-01-01T00:00:00Z"}`)["errors"].([]any)[0].(map[string]any)["field"])
	d.gets(422, "ann", "POST", at+"/schedule", `{"scheduledAt":"tomorrow"}`)
	d.gets(422, "ann", "POST", at+"/schedule", `{}`)
	d.gets(422, "ann", "POST", at+"/schedule", `{"scheduledAt":"2100-01-01T00:00:00","timezone":"Mars/Base"}`)
	got := d.gets(200, "ann", "POST", at+"/schedule", `{"scheduledAt":"2100-01-01T01:00:00","timezone":"Europe/Berlin"}`)
	require.Equal(t, "SCHEDULED", got["status"])
	require.Equal(t, "2100-01-01T00:00:00Z", got["scheduledAt"])
	got = d.gets(200, "ann", "POST", at+"/schedule", `{"scheduledAt":"2100-01-02T00:00:00Z"}`)
	require.Equal(t, "2100-01-02T00:00:00Z", got["scheduledAt"])
	d.gets(409, "ann", "POST", at+"/validate", "")
	require.Equal(t, "CANCELLED", d.gets(200, "ann", "DELETE", at, "")["status"])
	require.Equal(t, "CANCELLED", d.gets(200, "ann", "DELETE", at, "")["status"])
	d.gets(409, "ann", "POST", at+"/execute", "")

	d.node.write(t, fsm.Freeze{Scope: fsm.Scope{Tenant: "default", Environment: "staging"}, Reason: "holidays"})
	at = d.opened(promotionOf("dev", "staging", "FULL", ""))
	d.gets(200, "ann", "POST", at+"/validate", "")
	d.gets(200, "bob", "POST", at+"/approve", "")
	require.Contains(t, d.gets(423, "ann", "POST", at+"/execute", "")["detail"], "holidays")
	require.Len(t, d.gets(200, "ann", "GET", "/promotions?status=APPROVED&target=staging&createdBy=ann&flag=checkout&limit=5", "")["items"], 1)
	page := d.gets(200, "ann", "GET", "/promotions?limit=1", "")
	require.Len(t, page["items"], 1)
	require.Len(t, d.gets(200, "ann", "GET", "/promotions?limit=1&cursor="+page["nextCursor"].(string), "")["items"], 1)
}

// S1-13: the published shape, to the member.
func TestTheShapeOfADiff(t *testing.T) {
	d := newDesk(t)
	production := fsm.Scope{Tenant: "default", Environment: "production"}
	off := false
	d.node.write(t, fsm.SetPolicy{Scope: production, Policy: fsm.Policy{Protected: &off}})
	d.flag(fsm.Scope{Tenant: "default", Environment: "staging"}, `{"key":"query.timeout","kind":"config","type":"string","value":"180s"}`)
	d.flag(fsm.Scope{Tenant: "default", Environment: "staging"}, `{"key":"ai.new-model","kind":"config","type":"string","value":"gpt-4-turbo"}`)
	d.flag(fsm.Scope{Tenant: "default", Environment: "staging"}, flagBody)
	d.flag(production, `{"key":"query.timeout","kind":"config","type":"string","value":"120s"}`)
	d.flag(production, `{"key":"old","kind":"config","type":"number","value":7}`)
	d.flag(production, strings.Replace(flagBody, `"enabled":true,`, "", 1))
	got := d.as("ann", "GET", "/promotions/diff?source=staging&target=production", "")
	require.JSONEq(t, `{"sourceEnvironment":"staging","targetEnvironment":"production",
		"added":[{"key":"ai.new-model","value":"gpt-4-turbo","kind":"config"}],
		"modified":[
			{"key":"checkout","kind":"flag","changes":["/enabled"],
				"sourceValue":{"type":"boolean","owner":"payments","tags":["shop"],"enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}},
				"targetValue":{"type":"boolean","owner":"payments","tags":["shop"],"variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}},
			{"key":"query.timeout","sourceValue":"180s","targetValue":"120s","kind":"config","changes":["/value"]}],
		"removed":[{"key":"old","value":7,"kind":"config"}],"unchanged":0,"sourceRevision":5,"targetRevision":8}`, got.body)
	filtered := d.gets(200, "ann", "GET", "/promotions/diff?source=staging&target=production&kind=config&keyPattern=query.*", "")
	require.Empty(t, filtered["added"])
	require.Len(t, filtered["modified"], 1)
	require.Empty(t, d.gets(200, "ann", "GET", "/promotions/diff?source=staging&target=staging", "")["modified"])
}

// S1-17
func TestApprovalsOverREST(t *testing.T) {
	d := newDesk(t)
	production := fsm.Scope{Tenant: "default", Environment: "production"}
	off, on := false, true
	d.node.write(t, fsm.SetPolicy{Scope: production, Policy: fsm.Policy{Protected: &off}})
	d.flag(production, `{"key":"query.timeout","kind":"config","type":"string","value":"120s"}`)
	d.flag(production, flagBody)
	d.node.write(t, fsm.SetPolicy{Scope: production, Policy: fsm.Policy{Protected: &on}})

	protected := d.gets(409, "ann", "POST", "/feature-flags/checkout/toggle?environment=production", "")
	require.Equal(t, "ENV_PROTECTED", protected["code"])
	require.Contains(t, protected["detail"], "Hoist-Change")
	opened := d.gets(201, "ann", "POST", "/approvals/config/query.timeout?environment=production", `{"proposedValue":"60s","justification":"slow"}`)
	require.Equal(t, "CONFIG_UPDATE", opened["changeType"])
	require.Equal(t, "120s", opened["currentValue"])
	require.Equal(t, "60s", opened["proposedValue"])
	require.Equal(t, "PENDING", opened["status"])
	at := "/approvals/" + opened["id"].(string)
	d.gets(403, "ann", "POST", at+"/approve", "")
	d.gets(409, "ann", "POST", at+"/apply", "")
	d.gets(409, "bob", "POST", at+"/approve", `{"diffHash":"00"}`)
	d.gets(200, "bob", "POST", at+"/approve", "")
	require.Equal(t, "APPLIED", d.gets(200, "ann", "POST", at+"/apply", "")["status"])
	require.Equal(t, "60s", d.gets(200, "ann", "GET", "/configs/query.timeout?environment=production", "")["value"])

	toggled := d.gets(201, "ann", "POST", "/approvals/flags/checkout/toggle?environment=production", `{"justification":"later"}`)
	require.Equal(t, "FLAG_TOGGLE", toggled["changeType"])
	require.Equal(t, true, toggled["currentValue"])
	require.Equal(t, false, toggled["proposedValue"])
	held := d.as("ann", "POST", "/feature-flags/checkout/toggle?environment=production", "", "Hoist-Change", "switch it off")
	require.Equal(t, http.StatusAccepted, held.status, held.body)
	require.Equal(t, "/api/v1/config/approvals/"+field(t, held.body, "changeId").(string), held.header.Get("Location"))
	d.gets(200, "bob", "POST", "/approvals/"+toggled["id"].(string)+"/approve", "")
	d.gets(200, "ann", "POST", "/approvals/"+toggled["id"].(string)+"/apply", "")
	second := "/approvals/" + field(t, held.body, "changeId").(string)
	d.gets(200, "bob", "POST", second+"/approve", "")
	moved := d.gets(409, "ann", "POST", second+"/apply", "")
	require.Contains(t, fmt.Sprint(moved["errors"]), "was", "both values are shown")
	require.Equal(t, "CANCELLED", d.gets(200, "ann", "POST", second+"/cancel", "")["status"])
	require.Len(t, d.gets(200, "ann", "GET", "/approvals?status=APPLIED", "")["items"], 2)
	require.Equal(t, http.StatusOK, d.as("ann", "POST", "/feature-flags/checkout/kill?environment=production", `{"reason":"errors"}`).status)
}
