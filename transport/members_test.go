package transport_test

import (
	"context"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// admin is a membership that only remembers.
type admin struct{ removed string }

func (a *admin) Status() transport.ClusterStatus {
	return transport.ClusterStatus{ClusterID: "c", NodeID: "n1", Role: "leader", Members: []transport.ClusterMember{{ID: "n1", Role: "leader"}}}
}
func (a *admin) Join(context.Context, []string) error { return nil }
func (a *admin) Remove(_ context.Context, id string, _ bool) error {
	a.removed = id
	return nil
}
func (a *admin) Transfer(context.Context, string) error {
	return &fsm.Error{Kind: fsm.KindNotLeader, Detail: "not the leader"}
}
func (a *admin) Snapshot(context.Context) (uint64, error) { return 7, nil }

func TestClusterService(t *testing.T) {
	n, a := newNode(t), &admin{}
	web, _ := serve(t, n, func(cfg *transport.Config) { cfg.Admin = a })
	c := connectTo(t, web.URL)
	status, err := c.Cluster.Status(t.Context(), &hoistv1.ClusterStatusRequest{})
	require.NoError(t, err)
	require.Equal(t, "leader", status.GetRole())
	require.Equal(t, n.store.State().DomainHash(), status.GetDomainHash())
	_, err = c.Cluster.Remove(t.Context(), &hoistv1.RemoveRequest{})
	requireError(t, err, connect.CodeInvalidArgument, "MALFORMED")
	_, err = c.Cluster.Remove(t.Context(), &hoistv1.RemoveRequest{Id: "n2"})
	require.NoError(t, err)
	require.Equal(t, "n2", a.removed)
	_, err = c.Cluster.Transfer(t.Context(), &hoistv1.TransferRequest{})
	requireError(t, err, connect.CodeUnavailable, "NOT_LEADER")
	plain, _ := serve(t, newNode(t))
	_, err = connectTo(t, plain.URL).Cluster.Status(t.Context(), &hoistv1.ClusterStatusRequest{})
	requireError(t, err, connect.CodeUnimplemented, "UNIMPLEMENTED")
}
