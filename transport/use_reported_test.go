package transport_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	"github.com/hoistflags/hoist/transport/client"
)

// unevaluated lists the flags of dev that nobody evaluated for so many days, as stale tells.
func unevaluated(n *node, days int) (keys []string) {
	state := n.store.State()
	env, _ := state.Environment(dev.Tenant, dev.Environment)
	for _, f := range env.Stale(max(state.Now(), time.Now().UnixMilli()), days) {
		if strings.Contains(strings.Join(f.Reasons, ";"), "evaluated") {
			keys = append(keys, f.Flag.Key)
		}
	}
	return keys
}

// counting counts the reports that pass, and refuses them while down.
type counting struct {
	http.RoundTripper
	reports atomic.Int64
	down    atomic.Bool
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, hoistv1connect.SyncServiceReportUseProcedure) {
		if c.down.Load() {
			return nil, errors.New("down")
		}
		c.reports.Add(1)
	}
	return c.RoundTripper.RoundTrip(r)
}

// S4-11: what is evaluated by an edge, by an edge behind an edge or in a program is in use; what nobody evaluates is stale,
// although all of them follow the environment.
func TestFlagsEvaluatedElsewhereAreNotStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		for _, key := range []string{"at-edge", "at-second", "in-sdk", "behind", "by-nobody"} {
			n.put(t, simple(key, "on"))
		}
		s := newStreet()
		server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
		require.NoError(t, err)
		out := s.move(t, "node", server)
		first, leaveFirst := s.edge(t, "edge", "", "http://node")
		second, leaveSecond := s.edge(t, "second", "", "http://edge")
		require.NoError(t, first.Ready(t.Context()))
		require.NoError(t, second.Ready(t.Context()))
		near, err := client.Open(t.Context(), client.Config{Addr: "http://node", HTTPClient: s.web})
		require.NoError(t, err)
		far, err := client.Open(t.Context(), client.Config{Addr: "http://second", HTTPClient: s.web})
		require.NoError(t, err)
		time.Sleep(50 * time.Hour)
		require.Len(t, unevaluated(n, 1), 5)

		near.Bool("in-sdk", false, nil)
		far.Bool("behind", false, nil)
		for url, key := range map[string]string{"http://edge": "at-edge", "http://second": "at-second"} {
			res, err := s.web.Post(url+"/ofrep/v1/evaluate/flags/"+key, "application/json", strings.NewReader(`{"context":{"targetingKey":"u"}}`))
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode)
		}
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"by-nobody"}, unevaluated(n, 1))
		env, _ := n.store.State().Environment(dev.Tenant, dev.Environment)
		_, whole := env.ReadWhole()
		require.False(t, whole, "who reports does not read the whole")

		far.Snapshot() // to be asked about anything
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		require.Empty(t, unevaluated(n, 1), "now nobody knows")
		require.NoError(t, errors.Join(near.Close(), far.Close()))
		leaveSecond()
		leaveFirst()
		out()
		s.web.CloseIdleConnections()
	})
}

// Reports are coarse, survive an upstream that is away for a while, and are made once more at the end.
func TestReportsOfUseAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		for _, key := range []string{"often", "late", "last"} {
			n.put(t, simple(key, "on"))
		}
		web, _, stop := bubble(t, n)
		defer stop()
		passing := &counting{RoundTripper: web.Transport}
		passing.down.Store(true)
		c, err := client.Open(t.Context(), client.Config{Addr: "http://node", HTTPClient: &http.Client{Transport: passing}})
		require.NoError(t, err)
		used := func(key string) bool {
			env, _ := n.store.State().Environment(dev.Tenant, dev.Environment)
			_, ok := env.Used(key)
			return ok
		}
		c.Bool("often", false, nil)
		time.Sleep(10 * time.Minute)
		passing.down.Store(false)
		for range 30 * 60 {
			c.Bool("often", false, nil)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		require.EqualValues(t, 1, passing.reports.Load(), "once an hour for one flag")
		require.True(t, used("often"))
		c.Bool("late", false, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.EqualValues(t, 2, passing.reports.Load())
		c.Bool("last", false, nil)
		require.NoError(t, c.Close())
		require.EqualValues(t, 3, passing.reports.Load(), "what is left is told at the end")
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		require.True(t, used("last"))
		entries := 0
		for _, p := range n.seen {
			if command, err := fsm.DecodeCommand(p.Command); err == nil {
				if _, ok := command.(fsm.NoteUse); ok {
					entries++
				}
			}
		}
		require.LessOrEqual(t, entries, 3)
	})
}

// A program that keeps its use to itself, and one whose token may not report, read the environment as a whole.
func TestFollowersThatDoNotReportReadTheWhole(t *testing.T) {
	for name, c := range map[string]struct {
		cfg   client.Config
		grant fsm.Grant
		whole bool
	}{
		"opted out":         {client.Config{NoUseReport: true}, serverGrant(), true},
		"a token of people": {client.Config{}, fsm.Grant{Role: fsm.RoleAdmin}, true},
		"reports":           {client.Config{}, serverGrant(), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode(t)
				n.put(t, simple("f", "on"))
				web, _, stop := bubble(t, n, guarded)
				defer stop()
				passing := &counting{RoundTripper: web.Transport}
				c.cfg.Addr, c.cfg.HTTPClient, c.cfg.Token = "http://node", &http.Client{Transport: passing}, n.token(t, "reader", c.grant)
				sdk, err := client.Open(t.Context(), c.cfg)
				require.NoError(t, err)
				for range 30 {
					sdk.Bool("f", false, nil)
					time.Sleep(time.Minute)
				}
				synctest.Wait()
				require.NoError(t, sdk.Close())
				env, _ := n.store.State().Environment(dev.Tenant, dev.Environment)
				_, whole := env.ReadWhole()
				_, used := env.Used("f")
				require.Equal(t, c.whole, whole)
				require.Equal(t, !c.whole, used)
				require.LessOrEqual(t, passing.reports.Load(), int64(1), "who is refused does not ask again")
			})
		})
	}
}

// Tokens of edges and servers may report, in their environments, and nobody else.
func TestWhoMayReportUse(t *testing.T) {
	n := golden(t)
	web, _ := serve(t, n, guarded)
	url := web.URL + hoistv1connect.SyncServiceReportUseProcedure
	report := func(token, body string) answer { return post(t, url, body, bearer(token)...) }
	server := n.token(t, "srv", serverGrant())
	edge := n.token(t, "edg", fsm.Grant{Kind: fsm.TokenEdge, Environments: []string{"dev"}})
	for _, token := range []string{server, edge} {
		require.Equal(t, 200, report(token, `{"flags":["theme","unknown","theme"],"whole":true}`).status)
		require.Equal(t, 403, report(token, `{"environment":"staging","flags":["theme"]}`).status)
	}
	for _, token := range []string{n.token(t, "adm", fsm.Grant{Role: fsm.RoleAdmin}), n.token(t, "cli", clientGrant()),
		n.token(t, "brk", fsm.Grant{Kind: fsm.TokenBreakGlass, Environments: []string{"dev"}})} {
		got := report(token, `{"flags":["theme"]}`)
		require.Equal(t, 403, got.status, got.body)
		require.Contains(t, got.body, "srv")
	}
	many := make([]string, 10_001)
	for i := range many {
		many[i] = fmt.Sprintf(`"f%d"`, i)
	}
	got := report(server, `{"flags":[`+strings.Join(many, ",")+`]}`)
	require.Equal(t, 400, got.status, got.body)
	require.Contains(t, got.body, "flags")
}
