package transport

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// backupPart is how much of a backup travels in one message.
const backupPart = 512 << 10

// BackupRestored is what became of a restore.
type BackupRestored struct {
	Revision   uint64 // of the backup
	Epoch      string // likewise
	DomainHash string
	Verified   []string // servers that show it
	Missing    []string // servers that did not answer in time
}

// backupService answers hoist.v1.BackupService.
type backupService struct{ *Server }

// Backup sends the file in parts.
func (s backupService) Backup(_ context.Context, _ *hoistv1.BackupRequest, stream *connect.ServerStream[hoistv1.BackupResponse]) error {
	admin, err := clusterService(s).admin()
	if err != nil {
		return err
	}
	file, err := admin.Backup()
	for err == nil && len(file) > 0 {
		part := file[:min(backupPart, len(file))]
		file = file[len(part):]
		err = stream.Send(&hoistv1.BackupResponse{Part: part})
	}
	return err
}

// Restore takes the file in parts and hands it over when it is whole.
func (s backupService) Restore(ctx context.Context, stream *connect.ClientStream[hoistv1.RestoreBackupRequest]) (*hoistv1.RestoreBackupResponse, error) {
	admin, err := clusterService(s).admin()
	if err != nil {
		return nil, err
	}
	var file []byte
	for stream.Receive() {
		if file = append(file, stream.Msg().GetPart()...); len(file) > admin.MaxBackup() {
			return nil, &fsm.Error{Kind: fsm.KindMalformed, Op: "restore", Detail: fmt.Sprintf("a backup has at most %d bytes", admin.MaxBackup())}
		}
	}
	if err := stream.Err(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	done, err := admin.Restore(ctx, file)
	if err != nil {
		return nil, err
	}
	return &hoistv1.RestoreBackupResponse{BackupRevision: done.Revision, BackupEpoch: done.Epoch, DomainHash: done.DomainHash,
		Verified: done.Verified, Missing: done.Missing, Position: s.position(s.cfg.Store.State())}, nil
}
