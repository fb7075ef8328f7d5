package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"google.golang.org/protobuf/proto"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func (a *app) tokenCommand() *cobra.Command {
	c := noun("token", "Make, list and revoke tokens", "  hoist token create --kind srv -e production --name checkout-service", []string{"tokens"},
		a.tokenBootstrapCommand(), a.tokenCreateCommand(), a.tokenListCommand(), a.tokenShowCommand(), a.tokenRevokeCommand())
	c.Long = `A token says who you are and what you may. Its kind is what it is for:
  adm  people and their programs; --role says what they may: viewer, editor, approver, operator, admin, each with all before it
  srv  a backend: evaluates every flag of one environment, and follows it
  cli  browsers and apps: results of the client-visible flags of one environment, from the --origin pages
  edg  an edge: follows environments
  brk  emergencies: reads, kills and aborts, always with a reason

The text of a token is printed once, on standard output, and kept nowhere; a lost one is revoked and made again.`
	return c
}

func (a *app) tokenBootstrapCommand() *cobra.Command {
	var owner string
	c := &cobra.Command{
		Use: "bootstrap", Short: "Make the first token of a fresh cluster: everything, everywhere",
		Long: `Make the first token of a fresh cluster. It has the role admin for every tenant. This works once, without a token, and only on the machine of
a server. Use the token to make others, and keep it where you keep such things.

If it is lost: stop one server, start it with --insecure-no-auth on loopback, and make another with hoist token create --kind adm --role admin --everywhere.`,
		Example: "  export HOIST_TOKEN=$(hoist token bootstrap)\n  hoist token bootstrap --owner ann -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			seed := newSeed()
			made, err := sendUntilLed(cmd.Context(), a, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.TokenSecret, error) {
				return n.tokens.Bootstrap(ctx, &hoistv1.BootstrapTokenRequest{Owner: owner, Seed: seed, Write: o})
			})
			if errorInfo(err).GetCode() == "EXISTS" {
				f := asFailure(err)
				f.try = "hoist token create --kind adm --role admin, with the first token in HOIST_TOKEN"
				return f
			}
			if err != nil {
				return err
			}
			return a.showSecret(made)
		},
	}
	c.Flags().StringVar(&owner, "owner", "", "the user it belongs to (default admin)")
	return a.printing(a.remote(c), "table", "json", "yaml")
}

// showSecret prints the text alone, so that a shell can take it; the rest is talk.
func (a *app) showSecret(made *hoistv1.TokenSecret) error {
	if a.output != "table" {
		return a.showMessage(made)
	}
	if made.GetReceipt().GetDryRun() {
		fmt.Fprintln(a.stdout, "the token would be made (dry run, nothing changed)")
		return nil
	}
	t := made.GetToken()
	a.talk("token %s (%s) of %s, %s; its text is shown this once:", t.GetId(), kindAndRole(t), t.GetOwner(), tokenReach(t))
	fmt.Fprintln(a.stdout, made.GetSecret())
	return nil
}

func kindAndRole(t *hoistv1.Token) string {
	if t.GetRole() != "" {
		return t.GetKind() + ", " + t.GetRole()
	}
	return t.GetKind()
}

// tokenReach says in words where a token counts.
func tokenReach(t *hoistv1.Token) string {
	switch {
	case t.GetEverywhere():
		return "every tenant"
	case len(t.GetEnvironments()) == 0:
		return "every environment of " + t.GetTenant()
	}
	return strings.Join(t.GetEnvironments(), ", ")
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var w *writing
	request := &hoistv1.CreateTokenRequest{}
	var expires time.Duration
	c := &cobra.Command{
		Use: "create", Short: "Make a token and print it, this once",
		Example: `  hoist token create --kind srv -e production --name checkout-service
  hoist token create --kind adm --role editor --owner ann --email ann@example.com --expires 2160h
  hoist token create --kind cli -e production --origin https://app.example.com --rate 200
  hoist token create --kind edg -e staging,production --name edge-berlin
  hoist token create --kind adm --role operator --act-as --name gateway --owner platform`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			request.Environments = splitList(a.where.environment)
			n, err := a.connect()
			if err != nil {
				return err
			}
			if request.Kind == "srv" || request.Kind == "cli" {
				request.Environments = splitList(n.environment)
			}
			request.ExpiresInMs, request.Seed = expires.Milliseconds(), newSeed()
			made, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.TokenSecret, error) {
				request.Write = o
				return n.tokens.Create(ctx, request)
			})
			if err != nil {
				return err
			}
			return a.showSecret(made)
		},
	}
	f := c.Flags()
	f.StringVar(&request.Kind, "kind", "", "adm, srv, cli, edg or brk")
	f.StringVar(&request.Role, "role", "", "of an adm token: viewer, editor, approver, operator or admin")
	f.StringVar(&request.Name, "name", "", "name for people")
	f.StringVar(&request.Owner, "owner", "", "the user it belongs to and acts as (default: you)")
	f.StringVar(&request.Email, "email", "", "of the owner")
	f.StringSliceVar(&request.Groups, "group", nil, "groups of approvers the owner is in, repeatable or separated by commas")
	f.StringSliceVar(&request.Origins, "origin", nil, "pages that a cli token may be used from, for example https://app.example.com")
	f.Uint32Var(&request.Rate, "rate", 0, "evaluations per second and node of a srv or cli token (0: no limit)")
	spanFlag(f, &expires, "expires", 0, 0, "how long it counts, for example 720h (0: until it is revoked)")
	f.BoolVar(&request.ActAs, "act-as", false, "may name other users in X-User-ID (gateways)")
	f.BoolVar(&request.Everywhere, "everywhere", false, "for every tenant and the cluster itself")
	c, w = a.changing(c)
	f.Lookup("env").Usage = "environments it is for, separated by commas (srv and cli: exactly one; the others: all if left out)"
	return required(c, "kind")
}

func (a *app) tokenListCommand() *cobra.Command {
	var ended bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the tokens of the tenant, the newest first",
		Example: "  hoist token list\n  hoist token list --all -o wide", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			all, err := n.tokens.List(ctx, &hoistv1.ListTokensRequest{Ended: ended})
			if err != nil {
				return err
			}
			return a.show(tokenView(all, all.GetTokens()))
		},
	}
	c.Flags().BoolVar(&ended, "all", false, "those too that were revoked or have expired")
	return a.printing(a.remote(c), listFormats...)
}

func (a *app) tokenShowCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "show ID", Aliases: []string{"get"}, Short: "Show what a token may, and until when",
		Example: "  hoist token show 4Jk2mPq8sTvX -o yaml", Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout)
			defer cancel()
			one, err := n.tokens.Get(ctx, &hoistv1.GetTokenRequest{Id: tokenID(args[0])})
			if err != nil {
				return err
			}
			return a.show(tokenView(one, []*hoistv1.Token{one.GetToken()}))
		},
	}
	return a.printing(a.remote(c), listFormats...)
}

// tokenID accepts an id, or by mistake or haste the whole token.
func tokenID(text string) string {
	if parts := strings.Split(text, "_"); len(parts) == 4 && parts[0] == "hst" {
		return parts[2]
	}
	return text
}

func (a *app) tokenRevokeCommand() *cobra.Command {
	var w *writing
	var reason string
	c := &cobra.Command{
		Use: "revoke ID", Short: "End a token for ever, and its open streams within seconds",
		Example: `  hoist token revoke 4Jk2mPq8sTvX --reason "left the company"`, Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.connect()
			if err != nil {
				return err
			}
			id := tokenID(args[0])
			done, err := send(cmd.Context(), a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.RevokeTokenResponse, error) {
				return n.tokens.Revoke(ctx, &hoistv1.RevokeTokenRequest{Id: id, Reason: reason, Write: o})
			})
			if err != nil {
				return err
			}
			return a.report(cmd.Context(), n, w, done, view{message: done}, "token "+id+" revoked")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why; kept with the token and in the audit log")
	c, w = a.changing(c)
	return c
}

func tokenView(message proto.Message, list []*hoistv1.Token) view {
	v := view{message: message, header: []string{"ID", "KIND", "FOR", "OWNER", "NAME", "ENDS", "MADE", "BY", "GROUPS"}, wide: 3}
	for _, t := range list {
		ends := "never"
		switch {
		case t.GetRevokedAt() != nil:
			ends = strings.TrimSuffix("revoked "+t.GetRevokedAt().AsTime().Format(time.DateOnly)+": "+t.GetReason(), ": ")
		case t.GetExpires() != nil:
			ends = t.GetExpires().AsTime().Format(time.RFC3339)
		}
		v.names = append(v.names, "token/"+t.GetId())
		v.rows = append(v.rows, []string{t.GetId(), kindAndRole(t), tokenReach(t), t.GetOwner(), t.GetName(), ends,
			t.GetCreatedAt().AsTime().Format(time.RFC3339), cmp.Or(t.GetCreatedBy().GetId(), t.GetCreatedBy().GetKind()), strings.Join(t.GetGroups(), ",")})
	}
	return v
}
