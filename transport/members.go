package transport

import (
	"context"
	"time"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// ClusterAdmin is what ClusterService needs from whoever keeps the membership. Errors are *fsm.Error.
type ClusterAdmin interface {
	Status() ClusterStatus
	Join(ctx context.Context, addrs []string) error
	Remove(ctx context.Context, id string, force bool) error
	Transfer(ctx context.Context, to string) error
	Snapshot(ctx context.Context) (index uint64, err error)
	Backup() (file []byte, err error)
	Restore(ctx context.Context, file []byte) (BackupRestored, error)
	MaxBackup() int // bytes
}

// ClusterStatus is what a node knows about its cluster.
type ClusterStatus struct {
	ClusterID   string
	ClusterName string
	NodeID      string
	NodeName    string
	Role        string // leader, follower, candidate, non-voter, joining, waiting
	Leader      string // id; empty: none known
	Term        uint64
	Commit      uint64
	Quorum      int
	CanLose     int    // healthy voters that may still fail
	Margin      string // the same in words
	Insecure    bool
	Members     []ClusterMember
}

// ClusterMember is one server of the cluster, or one seen in gossip only.
type ClusterMember struct {
	ID          string
	Name        string
	Role        string // leader, voter, non-voter, gossip-only
	Health      string // alive, suspect, dead, unknown
	PeerAddr    string
	GossipAddr  string
	APIAddr     string
	Version     string
	Lag         uint64        // entries behind the leader's commit; leader only
	LastContact time.Duration // leader only
	DiskFree    uint64        // bytes
	DiskSize    uint64        // bytes; 0: not known
	DiskFull    bool          // takes no writes
}

// clusterService answers hoist.v1.ClusterService.
type clusterService struct{ *Server }

// admin returns the membership, or says that this node has none to show.
func (s clusterService) admin() (ClusterAdmin, error) {
	if s.cfg.Admin == nil {
		return nil, &fsm.Error{Kind: KindUnimplemented, Detail: "this node is not a member of a cluster"}
	}
	return s.cfg.Admin, nil
}

func (s clusterService) Status(_ context.Context, _ *hoistv1.ClusterStatusRequest) (*hoistv1.ClusterStatusResponse, error) {
	admin, err := s.admin()
	if err != nil {
		return nil, err
	}
	state, status := s.cfg.Store.State(), admin.Status()
	return &hoistv1.ClusterStatusResponse{
		ClusterId: status.ClusterID, ClusterName: status.ClusterName, NodeId: status.NodeID, NodeName: status.NodeName,
		Role: status.Role, Leader: status.Leader, Term: status.Term, Commit: status.Commit, Applied: state.Index(),
		Quorum: int32(status.Quorum), CanLose: int32(status.CanLose), Insecure: status.Insecure,
		Members: memberMessages(status.Members), DomainHash: state.DomainHash(), Version: s.cfg.Version,
		Margin: status.Margin, Position: s.position(state),
	}, nil
}

func (s clusterService) Members(_ context.Context, _ *hoistv1.MembersRequest) (*hoistv1.MembersResponse, error) {
	admin, err := s.admin()
	if err != nil {
		return nil, err
	}
	return &hoistv1.MembersResponse{
		Members: memberMessages(admin.Status().Members), Position: s.position(s.cfg.Store.State()),
	}, nil
}

func memberMessages(list []ClusterMember) []*hoistv1.Member {
	var out []*hoistv1.Member
	for _, m := range list {
		out = append(out, &hoistv1.Member{
			Id: m.ID, Name: m.Name, Role: m.Role, Health: m.Health, PeerAddr: m.PeerAddr, GossipAddr: m.GossipAddr,
			ApiAddr: m.APIAddr, Version: m.Version, Lag: m.Lag, LastContactMs: m.LastContact.Milliseconds(),
			DiskFree: m.DiskFree, DiskSize: m.DiskSize, DiskFull: m.DiskFull,
		})
	}
	return out
}

func (s clusterService) Join(ctx context.Context, r *hoistv1.JoinRequest) (*hoistv1.JoinResponse, error) {
	admin, err := s.admin()
	if err != nil {
		return nil, err
	}
	if len(r.GetAddresses()) == 0 {
		return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "addresses", Detail: "name at least one gossip address, host:port"}
	}
	if err := admin.Join(ctx, r.GetAddresses()); err != nil {
		return nil, err
	}
	return &hoistv1.JoinResponse{Position: s.position(s.cfg.Store.State())}, nil
}

func (s clusterService) Remove(ctx context.Context, r *hoistv1.RemoveRequest) (*hoistv1.RemoveResponse, error) {
	admin, err := s.admin()
	if err != nil {
		return nil, err
	}
	if r.GetId() == "" {
		return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "id", Detail: "name the server; `hoist cluster members` lists them"}
	}
	if err := admin.Remove(ctx, r.GetId(), r.GetForce()); err != nil {
		return nil, err
	}
	return &hoistv1.RemoveResponse{Position: s.position(s.cfg.Store.State())}, nil
}

func (s clusterService) Transfer(ctx context.Context, r *hoistv1.TransferRequest) (*hoistv1.TransferResponse, error) {
	admin, err := s.admin()
	if err != nil {
		return nil, err
	}
	if err := admin.Transfer(ctx, r.GetTo()); err != nil {
		return nil, err
	}
	return &hoistv1.TransferResponse{Position: s.position(s.cfg.Store.State())}, nil
}

func (s clusterService) Snapshot(ctx context.Context, _ *hoistv1.SnapshotRequest) (*hoistv1.SnapshotResponse, error) {
	admin, err := s.admin()
	if err != nil {
		return nil, err
	}
	index, err := admin.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	return &hoistv1.SnapshotResponse{Index: index, Position: s.position(s.cfg.Store.State())}, nil
}
