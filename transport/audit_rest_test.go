package transport_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
)

// kept is a ledger in memory that took every row, so that the state's own end at will.
type kept struct{ rows []fsm.Written }

func (k *kept) Head() (uint64, string) {
	if len(k.rows) == 0 {
		return 0, ""
	}
	last := k.rows[len(k.rows)-1]
	return last.Seq, last.Hash
}

func (k *kept) Find(want fsm.AuditFilter, before uint64, limit int) (out []fsm.Written, err error) {
	for i := len(k.rows) - 1; i >= 0 && len(out) < limit; i-- {
		if (before == 0 || k.rows[i].Seq < before) && want.Matches(&k.rows[i].Audit) {
			out = append(out, k.rows[i])
		}
	}
	return out, nil
}

func (k *kept) Rows(after uint64, limit, _ int) ([]fsm.Written, error) {
	return k.rows[min(int(after), len(k.rows)):min(int(after)+limit, len(k.rows))], nil
}

func (k *kept) Verify() (fsm.AuditReport, error) {
	seq, hash := k.Head()
	return fsm.AuditReport{Rows: seq, First: 1, Last: seq, Hash: hash}, nil
}

// keep moves every row that the node has now into the ledger.
func (k *kept) keep(n *node) {
	seq, _ := k.Head()
	k.rows = append(k.rows, n.store.State().Written(seq, 1<<20)...)
}

func withLedger(k *kept) func(*transport.Config) {
	return func(c *transport.Config) { c.Ledger = k }
}

func seqs(t *testing.T, body string) (out []uint64, next string) {
	t.Helper()
	var list struct {
		Items      []struct{ Seq uint64 }
		NextCursor string
	}
	require.NoError(t, json.Unmarshal([]byte(body), &list), body)
	for _, item := range list.Items {
		out = append(out, item.Seq)
	}
	return out, list.NextCursor
}

// S1-14: every filter of the contract, over rows of the state and rows of the ledger
func TestAuditFilters(t *testing.T) {
	for _, inLedger := range []int{0, 3, 100} {
		t.Run(fmt.Sprint(inLedger), func(t *testing.T) {
			n, k := newNode(t), &kept{}
			web, _ := serve(t, n, withLedger(k))
			began := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
			write := func(user, correlation, method, path, body string) {
				t.Helper()
				got := do(t, method, web.URL+"/api/v1/config/"+path, body, "X-User-ID", user, "X-Correlation-ID", correlation)
				require.Less(t, got.status, 300, got.body)
				if head, _ := n.store.State().AuditHead(); int(head) <= inLedger {
					k.keep(n)
				}
			}
			write("ada", "release-1", "POST", "feature-flags", flagBody)                                         // 1
			write("ada", "release-1", "POST", "configs", `{"key":"query.timeout","value":"180s"}`)               // 2
			write("bob", "release-2", "PUT", "configs/query.timeout", `{"value":"60s"}`)                         // 3
			write("bob", "", "POST", "feature-flags/checkout/toggle", "")                                        // 4
			write("ada", "", "POST", "feature-flags/checkout/kill?environment=dev", `{"reason":"it is broken"}`) // 5
			write("cy", "", "POST", "configs?environment=staging", `{"key":"querytimeout","value":1}`)           // 6
			for query, want := range map[string][]uint64{
				"":                               {6, 5, 4, 3, 2, 1},
				"?environment=dev":               {5, 4, 3, 2, 1},
				"?flag=checkout":                 {5, 4, 1},
				"/flags/checkout":                {5, 4, 1},
				"/config/query.timeout":          {3, 2},
				"/user/bob":                      {4, 3},
				"?user=bob&verb=flag.put":        {3},
				"/search?key=query.*":            {3, 2},
				"?correlationId=release-1":       {2, 1},
				"/range?start=" + began:          {6, 5, 4, 3, 2, 1},
				"/range?end=" + began:            nil,
				"?verb=flag.kill":                {5},
				"?page=1&size=2":                 {4, 3},
				"?cursor=3":                      {2, 1},
				"/user/" + url.PathEscape("a b"): nil,
			} {
				got := do(t, "GET", web.URL+"/api/v1/config/audit"+query, "")
				require.Equal(t, http.StatusOK, got.status, got.body)
				found, _ := seqs(t, got.body)
				require.Equal(t, want, found, "%s", query)
			}
			found, next := seqs(t, do(t, "GET", web.URL+"/api/v1/config/audit?limit=4", "").body)
			require.Equal(t, []uint64{6, 5, 4, 3}, found)
			found, next = seqs(t, do(t, "GET", web.URL+"/api/v1/config/audit?limit=4&cursor="+next, "").body)
			require.Equal(t, []uint64{2, 1}, found)
			require.Empty(t, next)

			other := do(t, "GET", web.URL+"/api/v1/config/audit", "", "X-Tenant-ID", "acme")
			found, _ = seqs(t, other.body)
			require.Empty(t, found, "rows of other tenants are not seen")
			row := field(t, do(t, "GET", web.URL+"/api/v1/config/audit?verb=flag.kill", "").body, "items").([]any)[0].(map[string]any)
			require.Equal(t, "it is broken", row["reason"])
			require.Equal(t, map[string]any{"type": "user", "id": "ada"}, row["actor"])
			require.Equal(t, true, field(t, do(t, "GET", web.URL+"/api/v1/config/audit/verify", "").body, "sound"))
		})
	}
}

func TestNonsensicalAuditQueriesNameTheirParameter(t *testing.T) {
	web, _ := serve(t, newNode(t))
	for query, name := range map[string]string{"?page=x": "page", "?size=0": "size", "?limit=1001": "pageSize", "?cursor=x": "cursor", "?start=yesterday": "start",
		"/range?start=2026-01-02T00:00:00Z&end=2026-01-01T00:00:00Z": "end", "?page=1000&size=1000": "page", "/versions/none/diff?from=x&to=1": "from"} {
		got := do(t, "GET", web.URL+"/api/v1/config/audit"+query, "")
		require.Equal(t, http.StatusBadRequest, got.status, got.body)
		require.Contains(t, field(t, got.body, "detail"), name)
	}
}

// S1-15: versions, also those that left the state; diff of any two; restoring any of them is a new version.
func TestOlderVersionsComeFromTheLedger(t *testing.T) {
	n, k := newNode(t), &kept{}
	web, _ := serve(t, n, withLedger(k))
	configs := web.URL + "/api/v1/config/configs"
	require.Equal(t, http.StatusCreated, post(t, configs, `{"key":"c","value":0}`).status)
	for i := 1; i < 50; i++ {
		require.Equal(t, http.StatusOK, do(t, "PUT", configs+"/c", fmt.Sprintf(`{"value":%d}`, i)).status)
		k.keep(n)
	}
	env, _ := n.store.State().Environment("default", "dev")
	require.Len(t, env.History(fsm.ObjectFlag, "c"), 20, "the state keeps the last ones")

	versions := func(query string) (out []float64, next string) {
		t.Helper()
		var list struct {
			Items []struct {
				Version float64
				Value   struct{ Value float64 }
			}
			NextCursor string
		}
		got := do(t, "GET", configs+"/c/versions"+query, "")
		require.NoError(t, json.Unmarshal([]byte(got.body), &list), got.body)
		for _, v := range list.Items {
			out = append(out, v.Value.Value)
		}
		return out, list.NextCursor
	}
	found, next := versions("?limit=30")
	require.Len(t, found, 30)
	require.Equal(t, 49.0, found[0])
	require.Equal(t, 20.0, found[29])
	found, next = versions("?limit=30&cursor=" + next)
	require.Equal(t, 19.0, found[0])
	require.Len(t, found, 20)
	require.Empty(t, next)

	first := fmt.Sprint(k.rows[0].Index)
	diff := do(t, "GET", web.URL+"/api/v1/config/audit/versions/c/diff?from="+first+"&to="+fmt.Sprint(k.rows[40].Index), "")
	require.Equal(t, 0.0, field(t, diff.body, "fromValue", "value"), diff.body)
	require.Equal(t, 40.0, field(t, diff.body, "toValue", "value"))
	require.Equal(t, []any{"flag c: value 0 → 40"}, field(t, diff.body, "changes"))

	back := post(t, configs+"/c/rollback", `{"version":`+first+`}`)
	require.Equal(t, http.StatusOK, back.status, back.body)
	require.Equal(t, 0.0, field(t, back.body, "value"))
	newest := env.History(fsm.ObjectFlag, "c")
	env, _ = n.store.State().Environment("default", "dev")
	require.Greater(t, env.History(fsm.ObjectFlag, "c")[0].Revision, newest[0].Revision, "a new version")
	record, _ := env.Flag("c")
	require.Equal(t, evaluator.Number(0), *record.Flag().Value)
	require.Equal(t, http.StatusNotFound, post(t, configs+"/c/rollback", `{"version":99999}`).status)
	require.Equal(t, http.StatusUnprocessableEntity, post(t, configs+"/c/rollback", `{}`).status)
}
