package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) flagCommand() *cobra.Command {
	return noun("flag", "Create, change, kill and look at flags", "  hoist flag list", []string{"flags"},
		a.flagListCommand(), a.flagGetCommand(), a.flagCreateCommand(), a.flagSetCommand(),
		a.flagSwitchCommand("enable", "Serve the flag by its rules", true),
		a.flagSwitchCommand("disable", "Serve the off variant, without looking at rules", false),
		a.flagKillCommand(), a.flagUnkillCommand(), a.flagArchiveCommand(), a.flagDeleteCommand(),
		a.flagHistoryCommand(), a.flagRestoreCommand(), a.flagStaleCommand(), a.scheduleCommand(),
	)
}

func (a *app) flagListCommand() *cobra.Command {
	var watch bool
	request := &hoistv1.ListFlagsRequest{}
	c := &cobra.Command{
		Use: "list [FILTER...]", Aliases: []string{"ls"}, Short: "List the flags of an environment",
		Long: `List the flags of an environment, sorted by key. A filter is key:PATTERN (* any characters, ? one), tag:TAG, owner:OWNER,
kind:flag or kind:config; a word without a colon is looked for in key, name and description. All filters have to hold.`,
		Example: "  hoist flag list\n  hoist flag list key:checkout.* tag:beta owner:payments\n  hoist flag list --tag checkout -o wide\n" +
			"  hoist flag list --watch -o json",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, filter := range args {
				if err := addFilter(cmd, request, filter); err != nil {
					return err
				}
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			request.Environment = n.environment
			if watch {
				return a.watchFlags(cmd.Context(), n)
			}
			all, err := a.listFlags(cmd.Context(), n, request)
			if err != nil {
				return err
			}
			return a.show(flagsView(all))
		},
	}
	f := c.Flags()
	f.StringVar(&request.Query, "query", "", "only flags with this text in key, name or description")
	f.StringArrayVar(&request.Tags, "tag", nil, "only flags with this tag; repeat for more")
	f.StringVar(&request.Owner, "owner", "", "only flags of this owner")
	f.StringVar(&request.Kind, "kind", "", "only this kind: flag or config")
	f.BoolVar(&request.IncludeArchived, "archived", false, "archived flags too")
	f.BoolVarP(&watch, "watch", "w", false, "keep going: one line (or JSON object) for every change of the environment")
	return a.printing(a.scoped(c), listFormats...)
}

// addFilter reads one filter of the command line into the request.
func addFilter(cmd *cobra.Command, request *hoistv1.ListFlagsRequest, filter string) error {
	name, text, ok := strings.Cut(filter, ":")
	if !ok {
		name, text = "query", filter
	}
	single := map[string]*string{"query": &request.Query, "key": &request.KeyPattern, "owner": &request.Owner, "kind": &request.Kind}
	switch to := single[name]; {
	case name == "tag":
		request.Tags = append(request.Tags, text)
	case to == nil:
		return usage(cmd, "%q is no filter; use key:, tag:, owner: or kind:", filter)
	case *to != "":
		return usage(cmd, "there are two filters for %s", name)
	default:
		*to = text
	}
	return nil
}

// listFlags walks all pages.
func (a *app) listFlags(ctx context.Context, n *node, request *hoistv1.ListFlagsRequest) (*hoistv1.ListFlagsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	all := &hoistv1.ListFlagsResponse{}
	request.PageSize = 1000
	for {
		page, err := n.flags.List(ctx, request)
		if err != nil {
			return nil, err
		}
		all.Flags = append(all.Flags, page.GetFlags()...)
		all.Position = page.GetPosition()
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" {
			return all, nil
		}
	}
}

func flagsView(all *hoistv1.ListFlagsResponse) view {
	v := view{message: all, header: []string{"KEY", "TYPE", "STATE", "SERVES", "REVISION", "OWNER", "TAGS", "UPDATED"}, wide: 3}
	for _, s := range all.GetFlags() {
		f := s.GetFlag()
		v.names = append(v.names, "flag/"+f.GetKey())
		v.rows = append(v.rows, []string{f.GetKey(), typeText(f), stateText(s), servesText(s), revisionText(s.GetRevision()),
			f.GetOwner(), strings.Join(f.GetTags(), ","), timeText(s.GetUpdatedAt())})
	}
	return v
}

func typeText(f *hoistv1.Flag) string {
	if f.GetKind() == "config" {
		return "config " + f.GetType()
	}
	return f.GetType()
}

func stateText(s *hoistv1.FlagState) string {
	switch {
	case s.GetFlag().GetArchived():
		return "archived"
	case s.GetKilled():
		return "killed"
	case s.GetFlag().GetKind() == "config":
		return "on"
	case s.GetFlag().GetEnabled():
		return "on"
	}
	return "off"
}

// servesText sums up in one cell what most contexts get.
func servesText(s *hoistv1.FlagState) string {
	f := s.GetFlag()
	if f.GetKind() == "config" {
		return valueText(f.GetValue())
	}
	if s.GetKilled() || !f.GetEnabled() {
		return "off: " + orDefault(f.GetOff())
	}
	text := ""
	if count := len(f.GetRules()); count > 0 {
		text = fmt.Sprintf("%d rule(s), else ", count)
	}
	return text + serveText(f.GetDefault())
}

func orDefault(variant string) string {
	if variant == "" {
		return "(caller's default)"
	}
	return variant
}

func serveText(s *hoistv1.Serve) string {
	if s.GetSplit() == nil {
		return s.GetVariant()
	}
	var parts []string
	for _, w := range s.GetSplit().GetWeights() {
		parts = append(parts, fmt.Sprintf("%s %g%%", w.GetVariant(), float64(w.GetWeight())/1000))
	}
	return strings.Join(parts, ", ")
}

func (a *app) flagGetCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "get KEY", Short: "Show one flag", Example: "  hoist flag get new-checkout -o yaml", Args: takes("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			got, err := n.flags.Get(ctx, &hoistv1.GetFlagRequest{Environment: n.environment, Key: args[0]})
			if err != nil {
				return err
			}
			v := flagsView(&hoistv1.ListFlagsResponse{Flags: []*hoistv1.FlagState{got.GetState()}})
			v.message = got
			return a.show(v)
		},
	}
	return a.printing(a.scoped(a.completesFlags(c)), listFormats...)
}

func (a *app) flagHistoryCommand() *cobra.Command {
	var diff bool
	request := &hoistv1.HistoryRequest{}
	c := &cobra.Command{
		Use: "history KEY [FROM TO]", Short: "Show the versions of a flag, also of a deleted one, or how two differ",
		Long: `Show the versions of a flag or config, newest first, also of a deleted one. With --diff say how two of them differ: those of the revisions
FROM and TO, or the last two.`,
		Example: "  hoist flag history new-checkout\n  hoist flag history new-checkout -o json --limit 100\n  hoist flag history new-checkout --diff 12 15",
		Args:    between(1, "KEY", "FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !diff && len(args) > 1 || len(args) == 2 {
				return usage(cmd, "FROM and TO go with --diff, both")
			}
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			request.Environment, request.Key = n.environment, args[0]
			if diff {
				return a.showDifference(ctx, cmd, n, request, args[1:])
			}
			got, err := n.flags.History(ctx, request)
			if err != nil {
				return err
			}
			return a.showHistory(got)
		},
	}
	c.Flags().BoolVar(&diff, "diff", false, "say how two versions differ")
	c.Flags().Int32Var(&request.Limit, "limit", 20, "at most this many versions, 1 to 1000")
	c.Flags().Uint64Var(&request.Before, "before", 0, "only versions before this revision")
	return a.printing(a.scoped(a.completesFlags(c)), "table", "json", "yaml")
}

// showHistory prints versions; records are JSON in the API's bytes, so JSON output shows them as such.
func (a *app) showHistory(h *hoistv1.HistoryResponse) error {
	v := view{message: h, header: []string{"REVISION", "AT", "WHO", "WHAT", "DEFINITION"}}
	for _, version := range h.GetVersions() {
		record := string(version.GetRecord())
		if record == "" {
			record = "(deleted)"
		} else if len(record) > 100 {
			record = record[:97] + "…"
		}
		v.rows = append(v.rows, []string{revisionText(version.GetRevision()), timeText(version.GetAt()),
			actorText(version.GetActor()), version.GetVerb(), record})
	}
	if a.output == "table" {
		return a.show(v)
	}
	return a.showHistoryRecords(h)
}

// showHistoryRecords prints what protojson would show as base64 as the JSON it is.
func (a *app) showHistoryRecords(h *hoistv1.HistoryResponse) error {
	type row struct {
		Revision uint64          `json:"revision"`
		At       string          `json:"at"`
		Actor    string          `json:"actor"`
		Verb     string          `json:"verb"`
		Record   json.RawMessage `json:"record,omitempty"`
	}
	rows := []row{}
	for _, v := range h.GetVersions() {
		rows = append(rows, row{v.GetRevision(), v.GetAt().AsTime().Format("2006-01-02T15:04:05.000Z07:00"),
			actorText(v.GetActor()), v.GetVerb(), v.GetRecord()})
	}
	return a.showJSON(map[string]any{"versions": rows})
}

func actorText(actor *hoistv1.Actor) string {
	if actor.GetEmail() != "" {
		return actor.GetEmail()
	}
	if actor.GetId() != "" {
		return actor.GetKind() + ":" + actor.GetId()
	}
	return actor.GetKind()
}

// completesFlags offers the keys of flags to the shell.
func (a *app) completesFlags(c *cobra.Command) *cobra.Command {
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		n, err := a.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		all, err := a.listFlags(cmd.Context(), n, &hoistv1.ListFlagsRequest{Environment: n.environment})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var keys []string
		for _, s := range all.GetFlags() {
			if key := s.GetFlag().GetKey(); strings.HasPrefix(key, prefix) {
				keys = append(keys, key)
			}
		}
		return keys, cobra.ShellCompDirectiveNoFileComp
	}
	return c
}
