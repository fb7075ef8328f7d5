package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) flagStaleCommand() *cobra.Command {
	request := &hoistv1.StaleRequest{}
	c := &cobra.Command{
		Use: "stale", Short: "List flags that may be taken away, with their owners and the reasons", Args: takes(),
		Long: `List flags that are past their expiry, that serve everybody the same and have not changed for --days, or that nobody evaluated for as long;
the oldest first. Nodes report coarsely which flags are evaluated by name, each at most once a day. While the environment is also read as a
whole, by edges, SDKs or bulk requests, nobody can tell which flags are not evaluated, and the list says so.`,
		Example: "  hoist flag stale\n  hoist flag stale --days 90 -e production -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			request.Environment = n.environment
			got, err := n.flags.Stale(ctx, request)
			if err != nil {
				return err
			}
			if got.GetReadWhole() {
				a.talk("%s is also read as a whole, so flags that nobody evaluates cannot be told", n.environment)
			}
			v := view{message: got, header: []string{"KEY", "OWNER", "SINCE", "WHY"}}
			for _, f := range got.GetFlags() {
				v.names = append(v.names, "flag/"+f.GetKey())
				v.rows = append(v.rows, []string{f.GetKey(), f.GetOwner(), timeText(f.GetSince()), strings.Join(f.GetReasons(), "; ")})
			}
			return a.show(v)
		},
	}
	c.Flags().Int32Var(&request.Days, "days", 30, "for how long nothing must have changed, or asked")
	return a.printing(a.scoped(c), listFormats...)
}
