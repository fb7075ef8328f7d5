package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// development is what `hoist dev` was asked for.
type development struct {
	http, dataDir, logLevel, webhooks string
	insecure, stopWithStdin           bool
}

func (a *app) devCommand() *cobra.Command {
	d := &development{}
	c := &cobra.Command{
		Use: "dev [DIR|FILE]", Short: "Run one node for development, with the flags of a folder or file",
		Long: `Run one node that binds only --http and keeps its state in memory unless --data-dir is given. The flags and segments of DIR or FILE are
loaded into the environment dev. The address is printed on standard output as soon as it serves; port 0 picks a free one.

Behind the address come three tokens, one per line: adm for everything, srv for a backend, cli for a page of this machine. Other commands of the
same user find the first one by themselves.`,
		Example: "  hoist dev\n  hoist dev examples/shop\n  hoist dev --http 127.0.0.1:0 --data-dir /tmp/hoist-dev",
		Args:    between(0, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := cmd.Context(), func() {}
			if d.stopWithStdin {
				ctx, stop = untilEOF(ctx, cmd.InOrStdin())
			}
			defer stop()
			path := ""
			if len(args) == 1 {
				path = args[0]
			}
			return a.develop(ctx, d, path)
		},
	}
	f := c.Flags()
	f.StringVar(&d.http, "http", defaultAddr, "address to serve on")
	f.StringVar(&d.dataDir, "data-dir", "", "keep the state here instead of in memory")
	f.StringVar(&d.webhooks, "webhooks-file", "", "YAML file with the receivers of notices, as for a server")
	f.StringVar(&d.logLevel, "log-level", "error", "debug, info, warn or error")
	f.BoolVar(&d.insecure, "insecure-no-auth", false, "let everybody on this machine in without a token; only with --http on loopback")
	f.BoolVar(&d.stopWithStdin, "stop-with-stdin", false, "stop when standard input ends: for programs that start hoist as a child")
	return c
}

func (a *app) develop(ctx context.Context, d *development, path string) error {
	if err := checkNoAuth(d.http, d.insecure); err != nil {
		return err
	}
	logger, err := a.logger(d.logLevel)
	if err != nil {
		return err
	}
	book, err := readWebhooks(d.webhooks)
	if err != nil {
		return err
	}
	var manifest *hoistv1.Manifest
	if path != "" {
		if manifest, err = a.readManifest(path); err != nil {
			return err
		}
	}
	running, err := open(ctx, d.http, cluster.Config{
		NodeName: "dev", DataDir: d.dataDir, BootstrapExpect: 1, Version: version, Logger: logger}, equipment{book: book, noAuth: d.insecure})
	if err != nil {
		return err
	}
	forget, err := a.announce(ctx, running.address(), d, manifest, path)
	defer forget()
	if err != nil {
		if closed := running.close(); closed != nil {
			logger.Error("closing failed", "error", closed)
		}
		return err
	}
	return running.until(ctx)
}

// announce loads the manifest and says where the node is, what opens its door and what to try. forget takes the token back
// that was left for the other commands of this user.
func (a *app) announce(ctx context.Context, addr string, d *development, manifest *hoistv1.Manifest, path string) (forget func(), err error) {
	forget = func() {}
	w := where{addr: addr, tenant: defaultTenant, environment: defaultEnvironment}
	made := &enrolled{}
	if !d.insecure {
		if made, err = d.tokens(ctx, w); err != nil {
			return forget, err
		}
		forget = saveToken(addr, made.Admin)
	}
	w.token = made.Admin
	n, err := dial(w)
	if err != nil {
		return forget, err
	}
	key, err := a.furnish(ctx, n, manifest, path)
	if err != nil {
		return forget, err
	}
	fmt.Fprintln(a.stdout, n.base)
	if !d.insecure {
		fmt.Fprint(a.stdout, made.lines())
	}
	a.talk("try: %s\n     HOIST_ADDR=%s hoist flag list\nCtrl-C stops it", curlLine(n.base, key, made.Server), addr)
	return forget, nil
}

// tokens are new ones for a node in memory, and those of its first start for one that keeps its state.
func (d *development) tokens(ctx context.Context, w where) (*enrolled, error) {
	if d.dataDir == "" {
		return enroll(ctx, w)
	}
	return keptTokens(ctx, w, d.dataDir)
}

// furnish waits for the node to lead, loads the manifest and returns the key of some flag.
func (a *app) furnish(ctx context.Context, n *node, manifest *hoistv1.Manifest, path string) (key string, err error) {
	a.timeout = 30 * time.Second
	if err := awaitLeader(ctx, n); err != nil {
		return "", err
	}
	key = "KEY"
	if manifest != nil {
		apply := func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.ApplyResponse, error) {
			return n.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: n.environment, Manifest: manifest, Write: o})
		}
		done, err := send(ctx, a, &writing{comment: "loaded by hoist dev"}, apply)
		if err != nil {
			return "", err
		}
		a.talk("%s: %d flag(s) and %d segment(s) in %s, %d change(s)",
			path, len(manifest.GetFlags()), len(manifest.GetSegments()), n.environment, len(done.GetChanges()))
		if all, err := a.listFlags(ctx, n, &hoistv1.ListFlagsRequest{Environment: n.environment}); err == nil && len(all.GetFlags()) > 0 {
			key = all.GetFlags()[0].GetFlag().GetKey()
		}
	}
	return key, nil
}

// curlLine evaluates a flag the way any OFREP client does.
func curlLine(base, key, token string) string {
	authorization := ""
	if token != "" {
		authorization = "-H 'Authorization: Bearer " + token + "' "
	}
	return fmt.Sprintf(`curl -s %s-H 'Content-Type: application/json' -d '{"context":{"targetingKey":"user-1"}}' %s/ofrep/v1/evaluate/flags/%s`,
		authorization, base, key)
}

// awaitLeader returns when the node can write.
func awaitLeader(ctx context.Context, n *node) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	read := &hoistv1.ReadOptions{Consistency: hoistv1.Consistency_CONSISTENCY_LINEARIZABLE}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		_, err := n.envs.List(ctx, &hoistv1.ListEnvironmentsRequest{Read: read})
		if err == nil {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}
