package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) clusterBackupCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "backup FILE", Short: "Write the state of the asked node to a file",
		Long: `Write the state of the asked node to a file, with or without a leader. The file begins with one line of JSON, its manifest: cluster id,
epoch, revision, cluster version, how old the state was, and the SHA-256 of the rest. It holds everything, hashes of tokens included; keep
it like a password file.`,
		Example: "  hoist cluster backup hoist-backup.bin\n  hoist cluster backup hoist-backup.bin --addr 10.0.0.2:7700", Args: takes("FILE"),
	}
	return a.onCluster(c, func(ctx context.Context, n *node, args []string) error {
		stream, err := n.backups.Backup(ctx, &hoistv1.BackupRequest{})
		if err != nil {
			return unreachable(n.addr, err)
		}
		defer func() { _ = stream.Close() }() // it was read to its end, or has failed already
		var file bytes.Buffer
		for stream.Receive() {
			file.Write(stream.Msg().GetPart())
		}
		if err := stream.Err(); err != nil {
			return unreachable(n.addr, err)
		}
		m, _, err := cluster.ReadBackup(file.Bytes())
		if err != nil {
			return fmt.Errorf("the backup did not arrive whole: %w", err)
		}
		if err := writeWhole(args[0], file.Bytes()); err != nil {
			return failed("another place for FILE", "the backup cannot be written: %v", err)
		}
		fmt.Fprintf(a.stdout, "%s holds revision %d of epoch %s, %s old when %s wrote it\nsha256 %s\n",
			args[0], m.Revision, m.Epoch, ageText(m.AgeMS), m.Node, m.SHA256)
		return nil
	})
}

// writeWhole puts a file where readers see it whole or not at all.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // made for its owner only
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the error at hand says more
	}
	return err
}

func (a *app) clusterRestoreCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "restore FILE", Short: "Replace the state of the whole cluster by a backup",
		Long: `Replace the state of the whole cluster by a backup. Writes are refused until every server has it; those under way end with RESTORED. A new
epoch begins, so clients and edges take a snapshot. It is done when every server that answers shows the backup's domain hash. Any node
can be asked: the leader does it.`,
		Example: "  hoist cluster restore hoist-backup.bin\n  hoist cluster restore hoist-backup.bin --yes --timeout 2m", Args: takes("FILE"),
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c = a.onCluster(c, func(ctx context.Context, n *node, args []string) error { return a.restore(ctx, c, n, args[0], yes) })
	if err := c.Flags().Set("timeout", "60s"); err == nil {
		c.Flags().Lookup("timeout").DefValue = "1m0s"
		c.Flags().Lookup("timeout").Changed = false
	}
	return c
}

func (a *app) restore(ctx context.Context, c *cobra.Command, n *node, path string, yes bool) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return failed("another FILE", "%v", err)
	}
	m, state, err := cluster.ReadBackup(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, detail(err))
	}
	status, err := n.cluster.Status(ctx, &hoistv1.ClusterStatusRequest{})
	if err != nil {
		return err
	}
	a.talk("%s holds revision %d of epoch %s, made %s by %s (%s)", path, m.Revision, m.Epoch, m.At.Format(time.RFC3339), m.Node, sizes(state))
	a.talk("it replaces revision %d of epoch %s on all %d servers; what was written in between is lost", status.GetApplied(), status.GetPosition().GetEpoch(), len(status.GetMembers()))
	if err := a.confirm(c, yes, "Replace the state of the cluster?"); err != nil {
		return err
	}
	leader, err := a.atLeader(n, status)
	if err != nil {
		return err
	}
	stream, err := leader.backups.Restore(ctx)
	if err != nil {
		return unreachable(leader.addr, err)
	}
	const part = 512 << 10
	for rest := file; len(rest) > 0; rest = rest[min(part, len(rest)):] {
		if err := stream.Send(&hoistv1.RestoreBackupRequest{Part: rest[:min(part, len(rest))]}); err != nil {
			break // the answer says why
		}
	}
	done, err := stream.CloseAndReceive()
	if err != nil {
		return unreachable(leader.addr, err)
	}
	fmt.Fprintf(a.stdout, "restored: epoch %s begins at revision %d\nverified on %s\n", done.GetPosition().GetEpoch(), done.GetPosition().GetRevision(), strings.Join(done.GetVerified(), ", "))
	if missing := done.GetMissing(); len(missing) > 0 {
		return failed("hoist doctor in a moment: they take the backup when they come back", "not verified yet on %s", strings.Join(missing, ", "))
	}
	return nil
}

// detail is the sentence of an error of the law, without its code.
func detail(err error) error {
	var law *fsm.Error
	if errors.As(err, &law) {
		return errors.New(law.Detail)
	}
	return err
}

func sizes(s *fsm.State) string {
	flags, segments := 0, 0
	for _, tenant := range s.Tenants() {
		for _, e := range s.Environments(tenant) {
			f, g := e.Len()
			flags, segments = flags+f, segments+g
		}
	}
	return fmt.Sprintf("%d flags and %d segments in all environments", flags, segments)
}

// atLeader is a connection to the node that leads.
func (a *app) atLeader(n *node, status *hoistv1.ClusterStatusResponse) (*node, error) {
	for _, m := range status.GetMembers() {
		if m.GetId() == status.GetLeader() && status.GetLeader() != "" {
			if m.GetId() == status.GetNodeId() {
				return n, nil
			}
			w := n.where
			w.addr = m.GetApiAddr()
			return dial(w)
		}
	}
	return nil, &failure{code: exitUnavailable, message: "nobody leads, so the state cannot be replaced", try: "hoist cluster status; without a majority: hoist cluster recover --help"}
}

// confirm asks a person; without one only --yes goes on.
func (a *app) confirm(c *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	fmt.Fprintf(a.stderr, "%s Type yes: ", question)
	line, err := bufio.NewReader(c.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return failed(c.CommandPath()+" --yes, when nobody is there to ask", "nothing was changed")
	}
	return nil
}
