package main

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// realTrees is the folder of real configurations beside the project; without it the test is skipped.
func realTrees(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(dir, "..", "shared", "data", "cloudbees")
	if _, err := os.Stat(filepath.Join(dir, "golden-diffs.json")); err != nil {
		t.Skip("the real trees are not here: ../shared/data/cloudbees")
	}
	return dir
}

// promoter calls the API of a node without tokens as somebody.
type promoter struct {
	t   *testing.T
	url string
}

func (p promoter) call(who, method, path, body string, into any) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+"/api/v1/config"+path, strings.NewReader(body))
	require.NoError(p.t, err)
	req.Header.Set("X-Tenant-ID", "default")
	req.Header.Set("X-User-ID", who)
	res, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	require.Less(p.t, res.StatusCode, 300, "%s %s: %s", method, path, text)
	if into != nil {
		require.NoError(p.t, json.Unmarshal(text, into))
	}
}

type namedItems []struct {
	Key, Kind                       string
	Value, SourceValue, TargetValue struct{ Annotations map[string]string }
}

// of gives the names of the items of a kind as their files have them.
func (n namedItems) of(kind string) []string {
	out := []string{}
	for _, item := range n {
		if (item.Kind == "segment") == (kind == "segment") {
			name := func(a map[string]string) string { return a["cloudbees.name"] }
			out = append(out, cmp.Or(name(item.Value.Annotations), name(item.SourceValue.Annotations), name(item.TargetValue.Annotations), item.Key))
		}
	}
	slices.Sort(out)
	return out
}

func (p promoter) hash(env string) string {
	var e struct{ DeclaredHash string }
	p.call("ann", "GET", "/environments/"+env, "", &e)
	return e.DeclaredHash
}

// dropSchedules takes away what stands beside the flags of an environment: a schedule keeps what it drives, so a promotion
// that changes that is refused.
func (p promoter) dropSchedules(env string) {
	p.t.Helper()
	manifests := hoistv1connect.NewManifestServiceClient(http.DefaultClient, p.url)
	all, err := manifests.Export(p.t.Context(), &hoistv1.ExportRequest{Environment: env})
	require.NoError(p.t, err)
	m := &hoistv1.Manifest{Flags: all.GetManifest().GetFlags(), Segments: all.GetManifest().GetSegments(), StatesSchedules: true}
	_, err = manifests.Apply(p.t.Context(), &hoistv1.ApplyRequest{Environment: env, Manifest: m})
	require.NoError(p.t, err)
}

// S1-03, S1-10, S1-13: real environments, imported branch by branch: the differences are those that others found, a full
// promotion leaves none, and its rollback what was there.
func TestPromotionsBetweenRealEnvironments(t *testing.T) {
	trees := realTrees(t)
	text, err := os.ReadFile(filepath.Join(trees, "golden-diffs.json"))
	require.NoError(t, err)
	var golden struct {
		Diffs []struct {
			Source, Target      string
			Flags, TargetGroups struct{ Added, Modified, Removed []string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &golden))
	require.Len(t, golden.Diffs, 16)
	p := promoter{t, dev(t, "--insecure-no-auth")}
	imported := map[string]string{}
	environment := func(tree string) string {
		if imported[tree] == "" {
			imported[tree] = strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(tree))
			does(t, "env", "create", imported[tree])
			does(t, "apply", "-f", filepath.Join(trees, tree), "--format", "cloudbees", "-e", imported[tree], "--skip-invalid", "--timeout", "60s")
		}
		return imported[tree]
	}
	for _, want := range golden.Diffs {
		t.Run(want.Source+" to "+want.Target, func(t *testing.T) {
			p.t = t
			source, target := environment(want.Source), environment(want.Target)
			var diff struct{ Added, Modified, Removed namedItems }
			p.call("ann", "GET", "/promotions/diff?source="+source+"&target="+target, "", &diff)
			for kind, expected := range map[string]struct{ Added, Modified, Removed []string }{"flag": want.Flags, "segment": want.TargetGroups} {
				require.Equal(t, expected.Added, diff.Added.of(kind), kind)
				require.Equal(t, expected.Modified, diff.Modified.of(kind), kind)
				require.Equal(t, expected.Removed, diff.Removed.of(kind), kind)
			}
			does(t, "env", "policy", "-e", target, "--allow-from", source)
			p.dropSchedules(target)
			before := p.hash(target)
			var made struct {
				PromotionID, Status string
				Validation          struct{ Findings []any }
			}
			p.call("ann", "POST", "/promotions", `{"promotionType":"FULL","sourceEnvironment":"`+source+`","targetEnvironment":"`+target+`"}`, &made)
			at := "/promotions/" + made.PromotionID
			p.call("ann", "POST", at+"/validate", "", &made)
			require.Equal(t, "VALIDATED", made.Status, made.Validation.Findings)
			p.call("bob", "POST", at+"/approve", "", nil)
			p.call("ann", "POST", at+"/execute", "", nil)
			var empty struct{ Added, Modified, Removed []any }
			p.call("ann", "GET", "/promotions/diff?source="+source+"&target="+target, "", &empty)
			require.Empty(t, empty.Added)
			require.Empty(t, empty.Modified)
			require.Empty(t, empty.Removed)
			p.call("ann", "POST", at+"/rollback", "", nil)
			require.Equal(t, before, p.hash(target))
		})
	}
}
