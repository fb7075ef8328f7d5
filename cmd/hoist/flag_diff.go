package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/fsm/manifest"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// showDifference says how two versions of a flag differ: those of two revisions, or the last two.
func (a *app) showDifference(ctx context.Context, cmd *cobra.Command, n *node, request *hoistv1.HistoryRequest, revisions []string) error {
	var pair [2]*hoistv1.Version
	if len(revisions) == 0 {
		request.Limit = 2
		got, err := n.flags.History(ctx, request)
		if err != nil {
			return err
		}
		if len(got.GetVersions()) < 2 {
			return failed("", "flag %s has only one version", request.GetKey())
		}
		pair[0], pair[1] = got.GetVersions()[1], got.GetVersions()[0]
	}
	for i, text := range revisions {
		revision, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return usage(cmd, "%s is not the revision of a version", text)
		}
		got, err := n.flags.History(ctx, &hoistv1.HistoryRequest{Environment: request.GetEnvironment(), Key: request.GetKey(), Before: revision + 1, Limit: 1})
		if err != nil {
			return err
		}
		if versions := got.GetVersions(); len(versions) == 1 {
			pair[i] = versions[0]
		}
		if pair[i].GetRevision() != revision {
			return &failure{code: exitNotFound, message: fmt.Sprintf("flag %s has no version of revision %d", request.GetKey(), revision), try: "hoist flag history " + request.GetKey()}
		}
	}
	if a.output != "table" {
		return a.showHistoryRecords(&hoistv1.HistoryResponse{Versions: pair[:]})
	}
	var contents [2]fsm.Content
	for i, version := range pair {
		if len(version.GetRecord()) == 0 {
			continue // a deletion
		}
		flag, err := evaluator.DecodeFlag(version.GetRecord())
		if err != nil {
			return fmt.Errorf("reading revision %d: %w", version.GetRevision(), err)
		}
		contents[i].Flags = []*evaluator.Flag{flag}
	}
	fmt.Fprintf(a.stdout, "%s: revision %d (%s, %s) → %d (%s, %s)\n", request.GetKey(), pair[0].GetRevision(), timeText(pair[0].GetAt()), actorText(pair[0].GetActor()),
		pair[1].GetRevision(), timeText(pair[1].GetAt()), actorText(pair[1].GetActor()))
	for _, line := range manifest.Describe(contents[0], contents[1], true) {
		fmt.Fprintln(a.stdout, "  "+line)
	}
	return nil
}
