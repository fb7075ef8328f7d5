package transport_test

import (
	"bytes"
	"context"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// admin is a membership that only remembers.
type admin struct {
	removed  string
	restored []byte
}

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
func (a *admin) Backup() ([]byte, error)                  { return bytes.Repeat([]byte("state"), 300_000), nil }
func (a *admin) MaxBackup() int                           { return 2_000_000 }
func (a *admin) Restore(_ context.Context, file []byte) (transport.BackupRestored, error) {
	a.restored = file
	return transport.BackupRestored{Revision: 9, Verified: []string{"n1"}, Missing: []string{"n2"}}, nil
}

func TestABackupTravelsInPartsBothWays(t *testing.T) {
	n, a := newNode(t), &admin{}
	web, _ := serve(t, n, func(cfg *transport.Config) { cfg.Admin = a })
	c := hoistv1connect.NewBackupServiceClient(web.Client(), web.URL)
	down, err := c.Backup(t.Context(), &hoistv1.BackupRequest{})
	require.NoError(t, err)
	var file []byte
	for down.Receive() {
		file = append(file, down.Msg().GetPart()...)
	}
	require.NoError(t, down.Err())
	want, err := a.Backup()
	require.NoError(t, err)
	require.Equal(t, want, file)

	restore := func(parts int) (*hoistv1.RestoreBackupResponse, error) {
		up, err := c.Restore(t.Context())
		require.NoError(t, err)
		for range parts {
			if up.Send(&hoistv1.RestoreBackupRequest{Part: file[:500_000]}) != nil {
				break
			}
		}
		return up.CloseAndReceive()
	}
	done, err := restore(3)
	require.NoError(t, err)
	require.Len(t, a.restored, 1_500_000)
	require.Equal(t, []string{"n2"}, done.GetMissing())
	_, err = restore(5)
	requireError(t, err, connect.CodeInvalidArgument, "MALFORMED")
}

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
