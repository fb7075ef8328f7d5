package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/transport"
	"github.com/hoistflags/hoist/transport/client"
)

// outpost is what `hoist edge` was asked for.
type outpost struct {
	upstreams, environments                   []string
	http, tenant, token, dataDir              string
	publicPrefix, logLevel                    string
	insecure, insecureUpstream, stopWithStdin bool
}

func (a *app) edgeCommand() *cobra.Command {
	o := &outpost{}
	c := &cobra.Command{
		Use: "edge", Short: "Evaluate close to users, from copies of environments that follow a cluster",
		Long: `Follow environments of any server or of another edge, and answer OFREP, Connect evaluations, Watch and Follow from memory. An edge needs no
write permission, no disk beyond one file per environment and no open port but its own.

Clients come with their own tokens: an edge follows the hashes of those that count in its environments, lets them in without asking anybody, and
goes on with those it knows while no upstream can be reached. A token that is revoked is refused here within seconds.

It starts and serves from those files while no upstream can be reached: Hoist-Age-Ms on every answer, /readyz?verbose and the metric
hoist_edge_age_seconds say how old that is. Requests that name no environment are about the first --env. The address is printed on
standard output as soon as it serves; port 0 picks a free one.`,
		Example: `  hoist edge --upstream http://10.0.0.1:7700 --upstream http://10.0.0.2:7700 --env production
  HOIST_TOKEN=$(hoist token create --kind edg -e dev,staging) hoist edge --upstream 127.0.0.1:7700 --env dev,staging --data-dir /var/lib/hoist-edge
  hoist edge --upstream http://edge.internal:7710 --http 127.0.0.1:7720`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.upstreams) == 0 {
				return usage(cmd, "--upstream is missing")
			}
			ctx, stop := cmd.Context(), func() {}
			if o.stopWithStdin {
				ctx, stop = untilEOF(ctx, cmd.InOrStdin())
			}
			defer stop()
			return a.edge(ctx, o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.upstreams, "upstream", nil, "URLs of servers or edges to follow, repeatable or separated by commas; one that fails is left for the next")
	f.StringSliceVarP(&o.environments, "env", "e", []string{defaultEnvironment}, "environments to follow, repeatable or separated by commas")
	f.StringVar(&o.http, "http", "127.0.0.1:7710", "address to serve on")
	f.StringVar(&o.tenant, "tenant", defaultTenant, "tenant of the environments")
	f.StringVar(&o.token, "token", "", "token of kind edg for the upstreams (HOIST_TOKEN)")
	f.StringVar(&o.dataDir, "data-dir", "./hoist-edge", "where the last known state of every environment is kept")
	f.StringVar(&o.publicPrefix, "public-prefix", "", "path under which a proxy publishes this edge, for example /flags")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	f.BoolVar(&o.insecure, "insecure-no-auth", false, "let everybody on this machine in without a token; only with --http on loopback")
	f.BoolVar(&o.insecureUpstream, "insecure-token", false, "allow sending --token without TLS beyond loopback")
	f.BoolVar(&o.stopWithStdin, "stop-with-stdin", false, "stop when standard input ends: for programs that start hoist as a child")
	return c
}

// edge runs an edge until ctx ends.
func (a *app) edge(ctx context.Context, o *outpost) error {
	if err := checkNoAuth(o.http, o.insecure); err != nil {
		return err
	}
	o.token = cmp.Or(o.token, os.Getenv("HOIST_TOKEN"))
	if err := o.checkToken(); err != nil {
		return err
	}
	logger, err := a.logger(o.logLevel)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dataDir, 0o700); err != nil {
		return failed("another --data-dir", "data_dir: %v", err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", o.http)
	if err != nil {
		return failed("another --http, for example 127.0.0.1:0 for any free port", "the door cannot be opened: %v", err)
	}
	collect(edgeGarbage) // before anything is loaded
	followed, err := o.follow(logger)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	keyring, err := o.keyring(logger)
	if err != nil {
		return errors.Join(err, leave(followed), listener.Close())
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	server, err := transport.NewEdge(transport.EdgeConfig{
		Followed: followed, Logger: logger, Registry: registry, Version: version, PublicPrefix: o.publicPrefix,
		Keyring: keyring, NoAuth: o.insecure,
	})
	if err != nil {
		return errors.Join(err, leave(followed), forgetKeys(keyring), listener.Close())
	}
	fmt.Fprintln(a.stdout, "http://"+listener.Addr().String())
	logger.Info("serving", "http", listener.Addr().String(), "upstreams", o.upstreams, "environments", o.environments, "version", version)
	why := serveEdge(ctx, server, listener, followed)
	if why == nil {
		logger.Info("stopping: draining")
	}
	return errors.Join(why, server.Close(), leave(followed), forgetKeys(keyring)) // the door first, so that no request meets a replica that is gone
}

// serveEdge serves until ctx ends, or says why it stopped.
func serveEdge(ctx context.Context, server *transport.Server, listener net.Listener, followed []transport.Followed) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	loading, stopLoading := context.WithCancel(ctx)
	var settled sync.WaitGroup
	settled.Go(func() { settle(loading, followed) })
	defer settled.Wait()
	defer stopLoading()
	select {
	case <-ctx.Done():
		return nil
	case why := <-served:
		return why
	}
}

// settle gives back what loading took, once everything is there: an edge makes so little garbage afterwards that Go would
// keep that memory, and count garbage as what lives, for minutes.
func settle(ctx context.Context, followed []transport.Followed) {
	for _, f := range followed {
		if f.Replica.Ready(ctx) != nil {
			return // it stops
		}
	}
	runtime.GC() // what pools hold is let go by the second collection only
	debug.FreeOSMemory()
}

// checkToken refuses to send a credential where others can read it.
func (o *outpost) checkToken() error {
	if o.token == "" || o.insecureUpstream {
		return nil
	}
	for _, upstream := range o.upstreams {
		base, err := baseURL(upstream)
		if err != nil {
			return failed("--upstream https://hoist.example.com", "upstream: %v", err)
		}
		u, err := url.Parse(base)
		if err != nil {
			return failed("--upstream https://hoist.example.com", "upstream: %v", err)
		}
		if u.Scheme != "https" && !loopback(net.JoinHostPort(u.Hostname(), "0")) {
			return failed("an https upstream, or --insecure-token on a network that is yours", "upstream %s would be sent the token in the clear", upstream)
		}
	}
	return nil
}

// follow opens one replica per environment, each with a file of its own.
func (o *outpost) follow(logger *slog.Logger) ([]transport.Followed, error) {
	var out []transport.Followed
	for _, environment := range o.environments {
		name := url.PathEscape(o.tenant) + "." + url.PathEscape(environment) + ".flags"
		replica, err := client.OpenReplica(client.ReplicaConfig{
			Addresses: o.upstreams, Token: o.token, Tenant: o.tenant, Environment: environment,
			CacheFile: filepath.Join(o.dataDir, name), Logger: logger.With("environment", environment), ReportUse: true,
		})
		if err != nil {
			return nil, errors.Join(failed("--upstream http://127.0.0.1:7700", "upstream: %v", err), leave(out))
		}
		out = append(out, transport.Followed{Tenant: o.tenant, Environment: environment, Replica: replica})
	}
	return out, nil
}

// keyring follows the tokens that clients are let in by; nil when everybody is.
func (o *outpost) keyring(logger *slog.Logger) (*transport.Keyring, error) {
	if o.insecure {
		return nil, nil
	}
	k, err := transport.OpenKeyring(transport.KeyringConfig{
		Addresses: o.upstreams, Token: o.token, Tenant: o.tenant, Environments: o.environments,
		CacheFile: filepath.Join(o.dataDir, url.PathEscape(o.tenant)+".tokens"), Logger: logger,
	})
	if err != nil {
		return nil, failed("--upstream http://127.0.0.1:7700", "upstream: %v", err)
	}
	return k, nil
}

// forgetKeys stops following the tokens.
func forgetKeys(k *transport.Keyring) error {
	if k == nil {
		return nil
	}
	return k.Close()
}

// leave stops following.
func leave(followed []transport.Followed) error {
	var all []error
	for _, f := range followed {
		all = append(all, f.Replica.Close())
	}
	return errors.Join(all...)
}
