package transport_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

func TestManifestApplyDiffExport(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n)
	c := connectTo(t, web.URL)
	ctx := t.Context()
	flag := func(key, variant string) []byte {
		return []byte(`{"key":"` + key + `","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"` + variant + `"}}`)
	}
	manifest := &hoistv1.Manifest{Flags: [][]byte{flag("a", "on"), flag("b", "on")}, Segments: [][]byte{[]byte(`{"key":"beta","include":["u1"]}`)}}

	dry, err := c.Manifests.Apply(ctx, &hoistv1.ApplyRequest{Manifest: manifest, Write: &hoistv1.WriteOptions{DryRun: true}})
	require.NoError(t, err)
	require.Len(t, dry.GetChanges(), 3)
	require.Equal(t, "create", dry.GetChanges()[0].GetAction())
	done, err := c.Manifests.Apply(ctx, &hoistv1.ApplyRequest{Manifest: manifest})
	require.NoError(t, err)
	require.True(t, done.GetReceipt().GetChanged())
	again, err := c.Manifests.Apply(ctx, &hoistv1.ApplyRequest{Manifest: manifest})
	require.NoError(t, err)
	require.Empty(t, again.GetChanges())
	require.False(t, again.GetReceipt().GetChanged())

	manifest.Flags = [][]byte{flag("a", "off")}
	diff, err := c.Manifests.Diff(ctx, &hoistv1.DiffRequest{Manifest: manifest, Prune: true})
	require.NoError(t, err)
	require.Len(t, diff.GetChanges(), 2)
	for _, change := range diff.GetChanges() {
		switch change.GetKey() {
		case "a":
			require.Equal(t, []string{"default: serves on → off"}, change.GetLines())
		case "b":
			require.Equal(t, "delete", change.GetAction())
		}
	}
	stale := diff.GetEnvironmentRevision() - 1
	_, err = c.Manifests.Apply(ctx, &hoistv1.ApplyRequest{Manifest: manifest, Prune: true, Write: &hoistv1.WriteOptions{ExpectedRevision: &stale}})
	requireError(t, err, connect.CodeAborted, "CONFLICT")
	now := diff.GetEnvironmentRevision()
	_, err = c.Manifests.Apply(ctx, &hoistv1.ApplyRequest{Manifest: manifest, Prune: true, Write: &hoistv1.WriteOptions{ExpectedRevision: &now}})
	require.NoError(t, err)
	out, err := c.Manifests.Export(ctx, &hoistv1.ExportRequest{})
	require.NoError(t, err)
	require.Len(t, out.GetManifest().GetFlags(), 1)
	require.Len(t, out.GetManifest().GetSegments(), 1)

	_, err = c.Manifests.Apply(ctx, &hoistv1.ApplyRequest{Manifest: &hoistv1.Manifest{Flags: [][]byte{[]byte(`{"key":"x","typ":"boolean"}`), []byte(`{`)}}})
	info := requireError(t, err, connect.CodeInvalidArgument, "MALFORMED")
	require.GreaterOrEqual(t, len(info.GetProblems()), 2)
	require.Contains(t, info.GetProblems()[0].GetField(), "/flags/0")
}

func TestBigManifestIsStaged(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n)
	c := connectTo(t, web.URL)
	manifest := &hoistv1.Manifest{}
	for i := range 1500 {
		manifest.Flags = append(manifest.Flags, []byte(fmt.Sprintf(
			`{"key":"flag-%04d","type":"string","description":"%s","enabled":true,"variants":[{"key":"a","value":"x"}],"default":{"variant":"a"}}`, i, strings.Repeat("d", 200))))
	}
	members := make([]string, 30_000)
	for i := range members {
		members[i] = fmt.Sprintf(`"user-%06d"`, i)
	}
	manifest.Segments = [][]byte{[]byte(`{"key":"many","include":[` + strings.Join(members, ",") + `]}`)}
	before := len(n.seen)
	done, err := c.Manifests.Apply(t.Context(), &hoistv1.ApplyRequest{Manifest: manifest})
	require.NoError(t, err)
	require.Greater(t, len(n.seen)-before, 3, "one entry per part, then the commit")
	for _, p := range n.seen {
		require.LessOrEqual(t, len(p.Command), 128<<10)
	}
	list, err := c.Environments.List(t.Context(), &hoistv1.ListEnvironmentsRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 1500, list.GetEnvironments()[0].GetFlags())
	require.Equal(t, done.GetReceipt().GetRevision(), list.GetEnvironments()[0].GetRevision())
}

// racing is a node on which somebody else writes just before the first proposal arrives.
type racing struct {
	*node
	first func()
}

func (n *racing) Propose(ctx context.Context, p *fsm.Proposal) (fsm.Receipt, error) {
	if first := n.first; first != nil {
		n.first = nil
		first()
	}
	return n.node.Propose(ctx, p)
}

func TestApplyThatIsOvertakenNamesTheItem(t *testing.T) {
	n := newNode(t)
	n.put(t, `{"key":"a","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`)
	n.put(t, `{"key":"b","type":"boolean","enabled":true,"variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`)
	door := &racing{node: n, first: func() { n.write(t, fsm.SetArchived{Scope: dev, Key: "b", Archived: true}) }}
	web, _ := serve(t, n, func(c *transport.Config) { c.Node = door })
	manifests := hoistv1connect.NewManifestServiceClient(http.DefaultClient, web.URL)
	change := &hoistv1.ApplyRequest{Environment: "dev", Manifest: &hoistv1.Manifest{Flags: [][]byte{
		[]byte(`{"key":"a","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`),
		[]byte(`{"key":"b","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],"default":{"variant":"on"}}`)}}}
	_, err := manifests.Apply(t.Context(), change)
	require.Equal(t, connect.CodeAborted, connect.CodeOf(err), err)
	require.ErrorContains(t, err, `flag "b"`)
	env, _ := n.store.State().Environment("default", "dev")
	a, _ := env.Flag("a")
	require.True(t, a.Flag().Enabled, "nothing is half applied")
	_, err = manifests.Apply(t.Context(), change)
	require.NoError(t, err, "compared again it goes through")
}
