package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/cluster/archive"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) auditCommand() *cobra.Command {
	return noun("audit", "Look at the change log, export it, and verify its chain", "  hoist audit list --flag new-checkout", nil,
		a.auditListCommand(), a.auditTailCommand(), a.auditVerifyCommand(), a.auditExportCommand())
}

// auditOptions are the filters that list, tail and export share.
type auditOptions struct {
	filter             hoistv1.AuditFilter
	flag, since, until string
}

func (o *auditOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&o.filter.Environment, "env", "e", "", "only this environment; the default is all")
	f.StringVar(&o.flag, "flag", "", "only this flag or config")
	f.StringVar(&o.filter.KeyPattern, "key", "", "only keys that match: * any characters, ? one")
	f.StringVar(&o.filter.User, "user", "", "only what this person did: id, email, or owner of the token")
	f.StringVar(&o.filter.Verb, "verb", "", "only this verb, for example flag.kill")
	f.StringVar(&o.filter.CorrelationId, "correlation", "", "only this undertaking, as X-Correlation-ID named it")
	f.StringVar(&o.since, "since", "", "from this time on: RFC 3339, or how long ago, for example 24h")
	f.StringVar(&o.until, "until", "", "before this time, likewise")
}

func (o *auditOptions) build(cmd *cobra.Command) (*hoistv1.AuditFilter, error) {
	if o.flag != "" {
		o.filter.Target = "flag/" + o.flag
	}
	for option, to := range map[string]struct {
		text string
		at   **timestamppb.Timestamp
	}{"since": {o.since, &o.filter.Since}, "until": {o.until, &o.filter.Until}} {
		if to.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, to.text)
		if ago, wrong := time.ParseDuration(to.text); wrong == nil {
			at, err = time.Now().Add(-ago), nil
		}
		if err != nil {
			return nil, usage(cmd, "--%s %s is neither a time such as 2026-11-21T09:00:00Z nor a duration such as 24h", option, to.text)
		}
		*to.at = timestamppb.New(at)
	}
	return &o.filter, nil
}

func (a *app) auditListCommand() *cobra.Command {
	o := &auditOptions{}
	var limit int32
	var before uint64
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List changes, newest first", Args: takes(),
		Example: `  hoist audit list
  hoist audit list --flag new-checkout --since 24h
  hoist audit list --user ada@example.com --key "query.*" -o json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := o.build(cmd)
			if err != nil {
				return err
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.audit.List(ctx, &hoistv1.ListAuditRequest{Filter: filter, Newest: true, Before: before, Limit: limit})
			if err != nil {
				return err
			}
			slices.Reverse(got.Rows)
			v := view{message: got, header: []string{"SEQ", "AT", "WHO", "WHAT", "TARGET", "ENVIRONMENT", "REASON", "REVISION", "TOKEN", "CORRELATION"}, wide: 3}
			for _, r := range got.GetRows() {
				v.names = append(v.names, fmt.Sprintf("audit/%d", r.GetSeq()))
				v.rows = append(v.rows, []string{fmt.Sprint(r.GetSeq()), timeText(r.GetAt()), actorText(r.GetActor()), r.GetVerb(), r.GetTarget(),
					r.GetEnvironment(), r.GetReason(), revisionText(r.GetRevision()), r.GetActor().GetTokenId(), r.GetCorrelationId()})
			}
			if len(got.GetRows()) > 0 && a.output == "table" && len(got.GetRows()) == int(limit) {
				defer a.talk("older ones: --before %d", got.GetRows()[len(got.GetRows())-1].GetSeq())
			}
			return a.show(v)
		},
	}
	o.flags(c)
	c.Flags().Int32Var(&limit, "limit", 50, "at most this many, 1 to 1000")
	c.Flags().Uint64Var(&before, "before", 0, "only rows before this one, to go on where the last list ended")
	return a.printing(a.remote(c), listFormats...)
}

// auditPages walks rows from after on, in order, and returns where it ended.
func (a *app) auditPages(ctx context.Context, n *node, filter *hoistv1.AuditFilter, after uint64, each func(*hoistv1.AuditRow) error) (uint64, error) {
	for {
		page, cancel := context.WithTimeout(ctx, a.timeout)
		got, err := n.audit.List(page, &hoistv1.ListAuditRequest{Filter: filter, After: after, Limit: 1000})
		cancel()
		if err != nil {
			return after, err
		}
		for _, row := range got.GetRows() {
			if err := each(row); err != nil {
				return after, err
			}
		}
		if got.GetScanned() <= after {
			return after, nil
		}
		after = got.GetScanned()
	}
}

func (a *app) auditTailCommand() *cobra.Command {
	o := &auditOptions{}
	c := &cobra.Command{
		Use: "tail", Short: "Print every change as it happens, one line each", Args: takes(), Example: "  hoist audit tail --verb flag.kill",
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := o.build(cmd)
			if err != nil {
				return err
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			head, err := n.audit.List(cmd.Context(), &hoistv1.ListAuditRequest{Newest: true, Limit: 1})
			if err != nil {
				return err
			}
			after := head.GetHeadSeq()
			for {
				if after, err = a.auditPages(cmd.Context(), n, filter, after, a.auditLine); err != nil {
					return err
				}
				select {
				case <-time.After(time.Second):
				case <-cmd.Context().Done():
					return nil
				}
			}
		},
	}
	o.flags(c)
	return a.printing(a.remote(c), "table", "json")
}

func (a *app) auditLine(r *hoistv1.AuditRow) error {
	if a.output == "json" {
		return writeAudit(a.stdout, r)
	}
	fmt.Fprintln(a.stdout, strings.TrimRight(fmt.Sprintf("%d  %s  %s  %s  %s %s  %s", r.GetSeq(), timeText(r.GetAt()), actorText(r.GetActor()), r.GetVerb(),
		r.GetTarget(), r.GetEnvironment(), r.GetReason()), " "))
	return nil
}

// writeAudit writes a row as one line of JSON, in the form that verify --file reads.
func writeAudit(w io.Writer, r *hoistv1.AuditRow) error {
	actor := r.GetActor()
	data, err := json.Marshal(fsm.Audit{Seq: r.GetSeq(), Index: r.GetRevision(), At: r.GetAt().AsTime().UnixMilli(), RequestID: r.GetRequestId(),
		Actor:       fsm.Actor{Kind: actor.GetKind(), ID: actor.GetId(), Email: actor.GetEmail(), Token: actor.GetTokenId(), Owner: actor.GetOwner()},
		Correlation: r.GetCorrelationId(), Tenant: r.GetTenant(), Environment: r.GetEnvironment(), Verb: r.GetVerb(), Target: r.GetTarget(),
		Before: r.GetBefore(), After: r.GetAfter(), Reason: r.GetReason(), Approvals: r.GetApprovals(), Hash: r.GetHash()})
	if err != nil {
		return fmt.Errorf("printing a row: %w", err)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

func (a *app) auditExportCommand() *cobra.Command {
	o := &auditOptions{}
	var after uint64
	c := &cobra.Command{
		Use: "export", Short: "Write changes as JSON, one line each, oldest first", Args: takes(),
		Example: "  hoist audit export > audit.jsonl\n  hoist audit export --since 720h --env production",
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := o.build(cmd)
			if err != nil {
				return err
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			out := bufio.NewWriter(a.stdout)
			_, err = a.auditPages(cmd.Context(), n, filter, after, func(r *hoistv1.AuditRow) error { return writeAudit(out, r) })
			return errors.Join(err, out.Flush())
		},
	}
	o.flags(c)
	c.Flags().Uint64Var(&after, "after", 0, "only rows after this one, to go on where an earlier export ended")
	return a.remote(c)
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var dir, file string
	c := &cobra.Command{
		Use: "verify", Short: "Follow the chain of the change log; name what was altered or is missing",
		Long: `Follow the chain of the change log: each row holds a hash over itself and the row before it, so a byte that was flipped or a row that was
dropped shows, with its number. Without more the node that is asked reads everything it keeps; --dir reads the files of a data directory,
whether its server runs or not; --file reads an export of all rows. The log of rollouts is a chain of its own beside it and verified with it.`,
		Example: "  hoist audit verify\n  hoist audit verify --dir hoist-data\n  hoist audit verify --file audit.jsonl",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := a.auditReport(cmd.Context(), dir, file)
			if err != nil {
				return err
			}
			for _, f := range report.Findings {
				fmt.Fprintf(a.stdout, "row %d in %s: %s\n", f.Seq, f.Where, f.Why)
			}
			if n := len(report.Findings); n > 0 {
				return failed("compare with another node: hoist audit verify --addr", "the change log is not sound: %d finding(s), the first at row %d", n, report.Findings[0].Seq)
			}
			fmt.Fprintf(a.stdout, "%d row(s), %d to %d, follow each other; the last has hash %s\n", report.Rows, report.First, report.Last, report.Hash)
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "a data directory, or its folder audit or rollouts")
	c.Flags().StringVar(&file, "file", "", "an export of all rows")
	return a.remote(c)
}

func (a *app) auditReport(ctx context.Context, dir, file string) (fsm.AuditReport, error) {
	switch {
	case dir != "" && file != "":
		return fsm.AuditReport{}, failed("one of the two", "--dir and --file do not go together")
	case dir != "":
		return verifyFiles(dir)
	case file != "":
		return verifyExport(file)
	}
	n, err := a.connect()
	if err != nil {
		return fsm.AuditReport{}, err
	}
	got, err := n.audit.Verify(ctx, &hoistv1.VerifyAuditRequest{})
	if err != nil {
		return fsm.AuditReport{}, err
	}
	report := fsm.AuditReport{Rows: got.GetRows(), First: got.GetFirst(), Last: got.GetLast(), Hash: got.GetHash()}
	for _, f := range got.GetFindings() {
		report.Findings = append(report.Findings, fsm.AuditFinding{Seq: f.GetSeq(), Where: f.GetWhere(), Why: f.GetWhy()})
	}
	return report, nil
}

// verifyFiles follows the chains of a data directory, or of one folder of files.
func verifyFiles(dir string) (fsm.AuditReport, error) {
	inner := filepath.Join(dir, "audit")
	if !isDir(inner) {
		return archive.Verify(dir)
	}
	report, err := archive.Verify(inner)
	if rollouts := filepath.Join(dir, "rollouts"); err == nil && isDir(rollouts) {
		var more fsm.AuditReport
		more, err = archive.Verify(rollouts)
		report.Findings = append(report.Findings, more.Findings...)
	}
	return report, err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// verifyExport follows the chain through a file of rows.
func verifyExport(path string) (report fsm.AuditReport, err error) {
	f, err := os.Open(path)
	if err != nil {
		return report, failed("hoist audit export > "+path, "%v", err)
	}
	defer f.Close() //nolint:errcheck // only read
	lines := json.NewDecoder(bufio.NewReader(f))
	for {
		var row fsm.Audit
		if err := lines.Decode(&row); errors.Is(err, io.EOF) {
			return report, nil
		} else if err != nil {
			return report, failed("hoist audit export > "+path, "%s: behind row %d: %v", path, report.Last, err)
		}
		why := ""
		switch {
		case report.Rows > 0 && row.Seq != report.Last+1:
			why = fmt.Sprintf("row %d comes after row %d; rows are missing, or only some were exported", row.Seq, report.Last)
		case report.Rows == 0 && row.Seq > 1: // its own hash is where the chain begins
		default:
			if wrong := fsm.VerifyAudit(report.Hash, []fsm.Audit{row}); wrong != nil {
				why = wrong.Error()
			}
		}
		if why != "" {
			report.Findings = append(report.Findings, fsm.AuditFinding{Seq: row.Seq, Where: path, Why: why})
		}
		if report.Rows == 0 {
			report.First = row.Seq
		}
		report.Rows, report.Last, report.Hash = report.Rows+1, row.Seq, row.Hash
	}
}
