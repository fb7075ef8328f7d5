package transport_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// twins are two nodes of one log. While they are held, a proposal enters it only when another one waits too, so that two
// calls that overlap have both been read and judged before either happens.
type twins struct {
	t    *testing.T
	urls [2]string

	mu     sync.Mutex
	met    *sync.Cond
	held   bool
	inside int // proposals that wait for another
	pairs  int // that have met
	stores [2]*fsm.Store
	index  uint64
}

// half is one of the two nodes.
type half struct {
	*twins
	store *fsm.Store
}

func newTwins(t *testing.T) *twins {
	w := &twins{t: t, stores: [2]*fsm.Store{fsm.NewStore(), fsm.NewStore()}}
	w.met = sync.NewCond(&w.mu)
	for i, store := range w.stores {
		server, err := transport.NewCore(transport.Config{Store: store, Node: half{w, store}, NoAuth: true, Calendars: tomorrow{}})
		require.NoError(t, err)
		web := httptest.NewServer(server)
		w.urls[i] = web.URL
		t.Cleanup(func() { require.NoError(t, server.Close()); web.Close() })
	}
	command, err := fsm.EncodeCommand(fsm.LeaderEstablished{Term: 1, ServerID: "s1", ClusterID: testCluster, Epoch: testEpoch, LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
	require.NoError(t, err)
	_, err = half{w, w.stores[0]}.Propose(t.Context(), &fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem}, Command: command})
	require.NoError(t, err)
	return w
}

// Propose applies the entry on both nodes and answers as the caller's.
func (h half) Propose(_ context.Context, p *fsm.Proposal) (fsm.Receipt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held {
		if h.inside++; h.inside == 2 {
			h.inside = 0
			h.pairs++
			h.met.Broadcast()
		} else {
			for pairs := h.pairs; h.pairs == pairs && h.held; {
				h.met.Wait()
			}
		}
	}
	stamped := *p
	stamped.At = time.Now().UnixMilli()
	h.index++
	var out fsm.Outcome
	for _, store := range h.stores {
		o := store.Apply([]fsm.Entry{{Index: h.index, Term: 1, Data: stamped.Encode()}})[0]
		if store == h.store {
			out = o
		}
	}
	return out.Receipt, out.Err
}

func (h half) ReadIndex(context.Context) (uint64, error) { return h.store.State().Index(), nil }
func (h half) Age() time.Duration                        { return 0 }

func (w *twins) hold(held bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held, w.inside = held, 0
	w.met.Broadcast()
}

// send is one call to a node, as ann unless the headers say otherwise.
func (w *twins) send(node int, method, path, body string, headers ...string) answer {
	return do(w.t, method, w.urls[node]+"/api/v1"+path, body, append([]string{"X-Tenant-ID", "default", "X-User-ID", "ann"}, headers...)...)
}

// atOnce sends two calls that overlap, to the given nodes.
func (w *twins) atOnce(nodes [2]int, call func(node, which int)) {
	w.hold(true)
	defer w.hold(false)
	var both sync.WaitGroup
	for which, node := range nodes {
		both.Go(func() { call(node, which) })
	}
	both.Wait()
}

func (w *twins) seed() {
	for _, f := range []string{flagBody, strings.ReplaceAll(flagBody, "checkout", "spare")} {
		require.Equal(w.t, 201, w.send(0, "POST", "/config/feature-flags?environment=dev", f).status)
	}
	require.Equal(w.t, 201, w.send(0, "POST", "/config/segments?environment=dev", `{"key":"staff","include":["u1"]}`).status)
}

// promotion makes one and moves it as far as named; its path comes back.
func (w *twins) promotion(moves ...string) string {
	made := w.send(0, "POST", "/config/promotions", promotionOf("dev", "staging", "FULL", ""))
	require.Equal(w.t, 201, made.status, made.body)
	at := "/config/promotions/" + field(w.t, made.body, "promotionId").(string)
	for _, move := range moves {
		who := "ann"
		if move == "approve" {
			who = "bob"
		}
		done := w.send(0, "POST", at+"/"+move, "", "X-User-ID", who)
		require.Equal(w.t, 200, done.status, done.body)
	}
	return at
}

const laterBody = `{"scheduledAt":"2190-12-24T18:00:00Z"}`

// Two calls with one Idempotency-Key and one body that overlap, at one node or at two, happen once and are answered alike;
// so is a third, after others have moved on.
func TestOverlappingDuplicatesAreOneRequest(t *testing.T) {
	big := []string{}
	for i := range 40 {
		big = append(big, fmt.Sprintf(`{"key":"c%d","kind":"config","type":"string","value":%q}`, i, strings.Repeat("v", 8<<10)))
	}
	move := func(name, who, body string, before ...string) func(w *twins) (string, string, string, string) {
		return func(w *twins) (string, string, string, string) {
			return "POST", w.promotion(before...) + "/" + name, body, who
		}
	}
	plain := func(method, path, body string) func(*twins) (string, string, string, string) {
		return func(*twins) (string, string, string, string) { return method, path, body, "ann" }
	}
	undo := func(w *twins, path string) {
		w.send(0, "POST", path[:strings.LastIndex(path, "/")]+"/rollback", `{}`, "X-User-ID", "cid")
	}
	touch := func(w *twins, _ string) {
		w.send(0, "PUT", "/config/feature-flags/checkout?environment=dev", strings.Replace(flagBody, `"enabled":true`, `"enabled":false,"name":"other"`, 1))
		w.send(0, "PUT", "/config/segments/staff?environment=dev", `{"key":"staff","include":["u2"]}`)
	}
	for name, c := range map[string]struct {
		call   func(w *twins) (method, path, body, who string)
		later  func(w *twins, path string) // what happens to the object before the third call; nil: nothing
		status int
	}{
		"create":         {plain("POST", "/config/feature-flags?environment=dev", strings.ReplaceAll(flagBody, "checkout", "fresh")), touch, 201},
		"put a new one":  {plain("PUT", "/config/feature-flags/fresh?environment=dev", strings.ReplaceAll(flagBody, "checkout", "fresh")), touch, 201},
		"put":            {plain("PUT", "/config/feature-flags/checkout?environment=dev", strings.Replace(flagBody, `"enabled":true`, `"enabled":true,"name":"n"`, 1)), touch, 200},
		"put a segment":  {plain("PUT", "/config/segments/staff?environment=dev", `{"key":"staff","include":["u1","u3"]}`), touch, 200},
		"toggle":         {plain("POST", "/config/feature-flags/checkout/toggle?environment=dev", ""), touch, 200},
		"kill":           {plain("POST", "/config/feature-flags/checkout/kill?environment=dev", `{"reason":"r"}`), nil, 200},
		"delete":         {plain("DELETE", "/config/feature-flags/spare?environment=dev", ""), touch, 200},
		"staged import":  {plain("POST", "/config/configs/import?environment=dev", `{"items":[`+strings.Join(big, ",")+`]}`), touch, 200},
		"environment":    {plain("POST", "/config/environments", `{"key":"qa"}`), touch, 201},
		"ask for toggle": {plain("POST", "/config/approvals/flags/checkout/toggle?environment=dev", `{"justification":"j"}`), touch, 201},
		"schedule": {plain("POST", "/config/schedules/one-time", `{"flagId":"checkout","environment":"dev","name":"x","action":"DISABLE",
			"startTime":"2190-12-24T18:00","timezone":"Europe/Berlin"}`), nil, 201},
		"promotion":          {plain("POST", "/config/promotions", promotionOf("dev", "staging", "FULL", "")), nil, 201},
		"validate":           {move("validate", "ann", ""), nil, 200},
		"approve":            {move("approve", "bob", `{"comment":"good"}`, "validate"), nil, 200},
		"reject":             {move("reject", "bob", `{"comment":"bad"}`, "validate"), nil, 200},
		"execute":            {move("execute", "ann", "", "validate", "approve"), undo, 200},
		"schedule promotion": {move("schedule", "ann", laterBody, "validate", "approve"), nil, 200},
		"rollback":           {move("rollback", "ann", "", "validate", "approve", "execute"), nil, 200},
	} {
		for place, nodes := range map[string][2]int{"one node": {0, 0}, "two nodes": {0, 1}} {
			t.Run(name+" at "+place, func(t *testing.T) {
				w := newTwins(t)
				w.seed()
				method, path, body, who := c.call(w)
				before, _ := w.stores[0].State().AuditHead()
				headers := []string{"Idempotency-Key", "k", "X-User-ID", who}
				var got [2]answer
				w.atOnce(nodes, func(node, which int) { got[which] = w.send(node, method, path, body, headers...) })
				requireSameAnswer(t, c.status, got[0], got[1])
				require.NotEqual(t, got[0].header.Get("Idempotent-Replay"), got[1].header.Get("Idempotent-Replay"), "one of them happened")
				rows := w.stores[0].State().Audit(before, 1000)
				require.NotEmpty(t, rows)
				seen := map[string]bool{}
				for _, row := range rows {
					require.Equal(t, rows[0].Index, row.Index, "one entry has all the effect")
					require.False(t, seen[row.Verb+row.Target], "%s %s: one row for one effect", row.Verb, row.Target)
					seen[row.Verb+row.Target] = true
				}
				require.Equal(t, got[0].header.Get("Hoist-Revision"), fmt.Sprint(rows[0].Index))
				require.Equal(t, w.stores[0].State().FullHash(), w.stores[1].State().FullHash())
				if c.later != nil {
					c.later(w, path)
				}
				third := w.send(1, method, path, body, headers...)
				requireSameAnswer(t, c.status, got[0], third)
				require.Equal(t, "true", third.header.Get("Idempotent-Replay"))
			})
		}
	}
}

func requireSameAnswer(t *testing.T, status int, a, b answer) {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, status, b.status, b.body)
	require.JSONEq(t, a.body, b.body)
	for _, name := range []string{"Hoist-Epoch", "Hoist-Revision", "ETag", "Location", "Idempotency-Key"} {
		require.Equal(t, a.header.Get(name), b.header.Get(name), name)
	}
}

// The same key with another body is refused while the first call is still under way too; whichever comes second.
func TestAnotherBodyUnderAKeyInFlightIsRefused(t *testing.T) {
	for place, nodes := range map[string][2]int{"one node": {0, 0}, "two nodes": {0, 1}} {
		t.Run(place, func(t *testing.T) {
			w := newTwins(t)
			w.seed()
			at := w.promotion("validate", "approve")
			for _, c := range []struct {
				path   string
				bodies [2]string
			}{
				{"/config/feature-flags/checkout/kill?environment=dev", [2]string{`{"reason":"one"}`, `{"reason":"other"}`}},
				{at + "/schedule", [2]string{laterBody, `{"scheduledAt":"2190-12-25T18:00:00Z"}`}},
			} {
				before, _ := w.stores[0].State().AuditHead()
				var got [2]answer
				w.atOnce(nodes, func(node, which int) {
					got[which] = w.send(node, "POST", c.path, c.bodies[which], "Idempotency-Key", "k")
				})
				if got[0].status != http.StatusOK {
					got[0], got[1] = got[1], got[0]
				}
				require.Equal(t, http.StatusOK, got[0].status, got[0].body)
				require.Equal(t, http.StatusUnprocessableEntity, got[1].status, got[1].body)
				require.Equal(t, "VAL_REQUEST_REUSED", field(t, got[1].body, "code"))
				require.Len(t, w.stores[0].State().Audit(before, 10), 1)
			}
		})
	}
}

// Over Connect the request id is the caller's own; the same holds.
func TestOverlappingDuplicatesOverConnect(t *testing.T) {
	for place, nodes := range map[string][2]int{"one node": {0, 0}, "two nodes": {0, 1}} {
		t.Run(place, func(t *testing.T) {
			w := newTwins(t)
			w.seed()
			id := strings.TrimPrefix(w.promotion("validate"), "/config/promotions/")
			before, _ := w.stores[0].State().AuditHead()
			write := &hoistv1.WriteOptions{RequestId: fsm.NewRequestID(time.Now().UnixMilli(), [16]byte{1})}
			var got [2]*hoistv1.MovePromotionResponse
			approve := func(node int, comment string) (*hoistv1.MovePromotionResponse, error) {
				ctx, call := connect.NewClientContext(t.Context())
				call.RequestHeader().Set("X-User-ID", "bob")
				return hoistv1connect.NewPromotionServiceClient(http.DefaultClient, w.urls[node]).Move(ctx,
					&hoistv1.MovePromotionRequest{Id: id, Move: "approve", Comment: comment, Write: write})
			}
			errs := [2]error{}
			w.atOnce(nodes, func(node, which int) { got[which], errs[which] = approve(node, "good") })
			require.NoError(t, errs[0])
			require.NoError(t, errs[1])
			require.NotEqual(t, got[0].GetReceipt().GetReplayed(), got[1].GetReceipt().GetReplayed())
			alike := func(m *hoistv1.MovePromotionResponse) string {
				m = proto.CloneOf(m)
				m.Receipt.Replayed = false
				text, err := json.Marshal(m)
				require.NoError(t, err)
				return string(text)
			}
			require.JSONEq(t, alike(got[0]), alike(got[1]))
			require.Equal(t, string(fsm.ChangeApproved), got[0].GetPromotion().GetStatus())
			require.Len(t, w.stores[0].State().Audit(before, 10), 1)

			require.Equal(t, 200, w.send(0, "POST", "/config/promotions/"+id+"/execute", "").status)
			again, err := approve(nodes[1], "good")
			require.NoError(t, err)
			require.Equal(t, string(fsm.ChangeApproved), again.GetPromotion().GetStatus(), "as that request left it")
			require.Nil(t, again.GetPromotion().GetExecutedAt())
			_, err = approve(nodes[1], "other")
			require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), err)
		})
	}
}

// What later moves did to a change is left out of the answer to a retry.
func TestAChangeAsOfAMove(t *testing.T) {
	w := newTwins(t)
	w.seed()
	at := w.promotion()
	answers := map[string]answer{}
	steps := []struct{ move, who, body, status string }{
		{"validate", "ann", "", "VALIDATED"}, {"approve", "bob", "", "APPROVED"}, {"schedule", "ann", laterBody, "SCHEDULED"},
		{"approve", "cid", "", "SCHEDULED"},
	}
	for _, s := range steps {
		got := w.send(0, "POST", at+"/"+s.move, s.body, "X-User-ID", s.who, "Idempotency-Key", s.who)
		require.Equal(t, s.status, field(t, got.body, "status"), got.body)
		answers[s.move+s.who] = got
	}
	require.Equal(t, 200, w.send(0, "DELETE", at, "").status)
	for _, s := range steps {
		if s.move == "schedule" {
			continue // cancelling forgets the time
		}
		again := w.send(1, "POST", at+"/"+s.move, s.body, "X-User-ID", s.who, "Idempotency-Key", s.who)
		require.Equal(t, s.status, field(t, again.body, "status"))
		for _, name := range []string{"approvals", "requiredApprovals", "revision", "executedAt", "reason"} {
			var was, is map[string]any
			require.NoError(t, json.Unmarshal([]byte(answers[s.move+s.who].body), &was))
			require.NoError(t, json.Unmarshal([]byte(again.body), &is))
			require.Equal(t, was[name], is[name], "%s after %s", name, s.move)
		}
	}
}
