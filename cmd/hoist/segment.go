package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) segmentCommand() *cobra.Command {
	return noun("segment", "Name audiences that flags can refer to", "  hoist segment list", []string{"segments"},
		a.segmentListCommand(), a.segmentGetCommand(), a.segmentSetCommand(),
		a.segmentMembersCommand("add", "Put keys on the include list of a segment", withMembers),
		a.segmentMembersCommand("remove", "Take keys off the include list of a segment", withoutMembers),
		a.segmentDeleteCommand(), a.segmentHistoryCommand(), a.segmentRestoreCommand(),
	)
}

func (a *app) segmentListCommand() *cobra.Command {
	request := &hoistv1.ListSegmentsRequest{}
	c := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the segments of an environment",
		Example: "  hoist segment list -o wide",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			request.Environment = n.environment
			all, err := a.listSegments(cmd.Context(), n, request)
			if err != nil {
				return err
			}
			v := view{message: all, header: []string{"KEY", "INCLUDED", "EXCLUDED", "RULES", "REVISION", "USED BY", "UPDATED"}, wide: 2}
			for _, s := range all.GetSegments() {
				segment := s.GetState().GetSegment()
				v.names = append(v.names, "segment/"+segment.GetKey())
				v.rows = append(v.rows, []string{segment.GetKey(), fmt.Sprint(s.GetIncluded()), fmt.Sprint(s.GetExcluded()),
					fmt.Sprint(len(segment.GetRules())),
					revisionText(s.GetState().GetRevision()), fmt.Sprint(s.GetState().GetReferrers()), timeText(s.GetState().GetUpdatedAt())})
			}
			return a.show(v)
		},
	}
	c.Flags().StringVar(&request.Query, "query", "", "only segments with this text in key, name or description")
	return a.printing(a.scoped(c), listFormats...)
}

func (a *app) listSegments(ctx context.Context, n *node, request *hoistv1.ListSegmentsRequest) (*hoistv1.ListSegmentsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	all := &hoistv1.ListSegmentsResponse{}
	request.PageSize = 1000
	for {
		page, err := n.segments.List(ctx, request)
		if err != nil {
			return nil, err
		}
		all.Segments = append(all.Segments, page.GetSegments()...)
		all.Position = page.GetPosition()
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" {
			return all, nil
		}
	}
}

func (a *app) segmentGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "get KEY",
		Short:   "Show one segment with its members",
		Example: "  hoist segment get beta-users -o yaml",
		Args:    takes("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			got, err := a.getSegment(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			state, segment := got.GetState(), got.GetState().GetSegment()
			return a.show(view{message: got, names: []string{"segment/" + segment.GetKey()},
				header: []string{"KEY", "INCLUDED", "EXCLUDED", "RULES", "REVISION", "USED BY", "UPDATED"}, wide: 2,
				rows: [][]string{{segment.GetKey(), fmt.Sprint(len(segment.GetInclude())), fmt.Sprint(len(segment.GetExclude())),
					fmt.Sprint(len(segment.GetRules())), revisionText(state.GetRevision()),
					fmt.Sprint(state.GetReferrers()), timeText(state.GetUpdatedAt())}}})
		},
	}
	return a.printing(a.scoped(c), listFormats...)
}

func (a *app) getSegment(ctx context.Context, n *node, key string) (*hoistv1.GetSegmentResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return n.segments.Get(ctx, &hoistv1.GetSegmentRequest{Environment: n.environment, Key: key})
}

func (a *app) segmentSetCommand() *cobra.Command {
	var file, name, by string
	var include, exclude []string
	var w *writing
	c := &cobra.Command{
		Use: "set KEY", Short: "Create or replace a segment",
		Example: `  hoist segment set beta-users --include user-7 --include user-8
  hoist segment set staff -f staff.yaml`,
		Args: takes("KEY"),
	}
	f := c.Flags()
	f.StringVarP(&file, "file", "f", "", "whole definition, YAML or JSON; - reads standard input")
	f.StringVar(&name, "name", "", "name for people")
	f.StringVar(&by, "by", "", "attribute looked up in the lists; empty means targetingKey")
	f.StringArrayVar(&include, "include", nil, "key that belongs to it; repeat for more")
	f.StringArrayVar(&exclude, "exclude", nil, "key that never belongs to it; repeat for more")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		segment := &hoistv1.Segment{}
		if file != "" {
			if err := readDefinition(cmd, file, segment); err != nil {
				return err
			}
		}
		segment.Key = args[0]
		if cmd.Flags().Changed("name") {
			segment.Name = name
		}
		if cmd.Flags().Changed("by") {
			segment.By = by
		}
		segment.Include = append(segment.Include, include...)
		segment.Exclude = append(segment.Exclude, exclude...)
		n, err := a.connect()
		if err != nil {
			return err
		}
		return a.putSegment(cmd.Context(), n, w, segment, "set")
	}
	c, w = a.changing(c)
	w.waitable(c)
	return c
}

func (a *app) putSegment(ctx context.Context, n *node, w *writing, segment *hoistv1.Segment, done string) error {
	put := func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.SegmentReceipt, error) {
		return n.segments.Put(ctx, &hoistv1.PutSegmentRequest{Environment: n.environment, Segment: segment, Write: o})
	}
	return a.writeSegment(ctx, n, w, segment.GetKey(), done, put)
}

func (a *app) writeSegment(ctx context.Context, n *node, w *writing, key, done string,
	call func(context.Context, *hoistv1.WriteOptions) (*hoistv1.SegmentReceipt, error)) error {
	receipt, err := send(ctx, a, w, call)
	if err != nil {
		return err
	}
	return a.report(ctx, n, w, receipt, view{message: receipt}, fmt.Sprintf("segment %s in %s %s", key, n.environment, done))
}

func withMembers(list, keys []string) []string {
	for _, key := range keys {
		if !slices.Contains(list, key) {
			list = append(list, key)
		}
	}
	return list
}

func withoutMembers(list, keys []string) []string {
	return slices.DeleteFunc(list, func(key string) bool { return slices.Contains(keys, key) })
}

// segmentMembersCommand edits the include list, guarded by the revision that was read.
func (a *app) segmentMembersCommand(verb, short string, edit func(list, keys []string) []string) *cobra.Command {
	var w *writing
	c := &cobra.Command{
		Use: verb + " KEY MEMBER...", Short: short, Example: "  hoist segment " + verb + " beta-users user-7 user-8",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usage(cmd, "KEY and at least one MEMBER are needed")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			got, err := a.getSegment(cmd.Context(), n, args[0])
			if err != nil {
				return err
			}
			segment := got.GetState().GetSegment()
			segment.Include = edit(segment.Include, args[1:])
			if !w.conditional {
				w.conditional, w.ifRevision = true, got.GetState().GetRevision()
			}
			return a.putSegment(cmd.Context(), n, w, segment, "changed")
		},
	}
	c, w = a.changing(c)
	w.waitable(c)
	return c
}

func (a *app) segmentDeleteCommand() *cobra.Command {
	var w *writing
	c := &cobra.Command{
		Use:     "delete KEY",
		Aliases: []string{"rm"},
		Short:   "Delete a segment that nothing refers to",
		Example: "  hoist segment delete beta-users",
		Args:    takes("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			remove := func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.SegmentReceipt, error) {
				return n.segments.Delete(ctx, &hoistv1.DeleteSegmentRequest{Environment: n.environment, Key: args[0], Write: o})
			}
			return a.writeSegment(cmd.Context(), n, w, args[0], "deleted", remove)
		},
	}
	c, w = a.changing(c)
	w.waitable(c)
	return c
}

func (a *app) segmentHistoryCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "history KEY",
		Short:   "Show the last versions of a segment, also of a deleted one",
		Example: "  hoist segment history beta-users",
		Args:    takes("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.segments.History(ctx, &hoistv1.HistoryRequest{Environment: n.environment, Key: args[0]})
			if err != nil {
				return err
			}
			return a.showHistory(got)
		},
	}
	return a.printing(a.scoped(c), "table", "json", "yaml")
}

func (a *app) segmentRestoreCommand() *cobra.Command {
	var w *writing
	var revision uint64
	c := &cobra.Command{
		Use: "restore KEY", Short: "Write an older version of a segment again, as a new version",
		Example: "  hoist segment restore beta-users --revision 42", Args: takes("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			restore := func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.SegmentReceipt, error) {
				return n.segments.Restore(ctx, &hoistv1.RestoreRequest{Environment: n.environment, Key: args[0], Revision: revision, Write: o})
			}
			return a.writeSegment(cmd.Context(), n, w, args[0], "restored", restore)
		},
	}
	c.Flags().Uint64Var(&revision, "revision", 0, "revision of the version, as history shows it")
	c, w = a.changing(c)
	w.waitable(c)
	return required(c, "revision")
}
