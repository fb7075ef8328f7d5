package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/hoistflags/hoist/cluster"
	"github.com/hoistflags/hoist/examples"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// rehearsal is one run of `hoist demo`: three real servers, the load on them, and what is checked in the end.
type rehearsal struct {
	chaos     bool
	duration  time.Duration
	rate      int
	killEvery time.Duration
	log       string // --log-store of the servers

	children  []*child
	tokens    *enrolled
	traffic   *traffic
	ledger    *ledger
	followers *followers
	flipper   *flipper
	killer    *killer
	shop      *storefront
	healthy   *canary
	poisoned  *canary
	judged    bool // the canaries ran to their ends
}

const demoNodes = 3

func (a *app) demoCommand() *cobra.Command {
	r := &rehearsal{}
	c := &cobra.Command{
		Use: "demo", Short: "Run a 3-node cluster with sample flags and traffic, and check that nothing is lost",
		Long: `Start three server processes on loopback, load the flags of examples/shop, evaluate them over OFREP at a fixed rate on all nodes, write
all the while, and flip a flag from another process. Two canaries go 10, 50, 100 percent, judged by the error ratio of an application inside the demo:
one works and promotes itself, the other is poisoned and is taken back by itself. --chaos also kills the leader with SIGKILL every few seconds and starts it again.
The data lives in a temporary folder and goes away with the demo.

What is counted, and how:
  evaluation   asks one node; on a refused or broken connection, or an answer other than 200, the next one, as a real client would.
               It fails when no node has answered within 2 s.
  backward     an answer from an older revision than one that the same server process had given before the question was sent; or a
               read demanding the revision of an acknowledged write (from another node) that does not have it.
  lost         an acknowledged write that any node lacks in the end. unknown: no node acknowledged it within 10 s.
  failover     from SIGKILL to the next acknowledged write.
  propagation  from the leader's time stamp on a change to a stream client of each node having it.
  share        of the users of a canary who ever saw its candidate; withdrawn: from its first failed request to the last such answer.
The exit code is 0 if both canaries ended as they should, no more users than the step's weight and 0.5 points saw the poisoned one, no evaluation failed, nothing was lost, nothing went backward and all nodes ended with the same hash.`,
		Example: "  hoist demo\n  hoist demo --chaos --duration 20s\n  hoist demo --chaos --duration 20s -o json", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if r.rate < 1 || r.killEvery < time.Second {
				return usage(cmd, "--rate must be at least 1 and --kill-every at least 1s")
			}
			if r.log != string(cluster.LogBolt) && r.log != string(cluster.LogWAL) {
				return usage(cmd, "--log-store must be bolt or wal")
			}
			return a.rehearse(cmd.Context(), r)
		},
	}
	f := c.Flags()
	f.BoolVar(&r.chaos, "chaos", false, "kill the leader again and again")
	f.DurationVar(&r.duration, "duration", 0, "end after this long (0: with Ctrl-C)")
	f.IntVar(&r.rate, "rate", 2000, "evaluations per second")
	f.DurationVar(&r.killEvery, "kill-every", 4*time.Second, "time between a recovery and the next kill")
	f.StringVar(&r.log, "log-store", string(cluster.LogBolt), "what the servers keep their logs in: bolt or wal")
	return a.printing(c, "table", "json")
}

// rehearse starts everything, lets it run, and judges.
func (a *app) rehearse(ctx context.Context, r *rehearsal) (err error) {
	dir, err := os.MkdirTemp("", "hoist-demo-")
	if err != nil {
		return fmt.Errorf("making a folder for the demo: %w", err)
	}
	if r.children, err = newChildren(dir, demoNodes); err != nil {
		return err
	}
	defer func() {
		for _, c := range r.children {
			err = errors.Join(err, c.stop())
		}
		if err != nil {
			a.talk("the nodes' data and logs stay in %s", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	if err := a.raiseCluster(ctx, r); err != nil {
		return err
	}
	for _, c := range r.children {
		defer saveToken(c.http, r.tokens.Admin)()
	}
	a.welcome(r)
	broken := a.perform(ctx, r)
	// Ctrl-C ends the show, not the judgement.
	result, err := r.judge(context.WithoutCancel(ctx))
	if err := errors.Join(broken, err); err != nil {
		return err
	}
	return a.showResult(result)
}

// raiseCluster starts the nodes, waits for a leader and loads the shop everywhere.
func (a *app) raiseCluster(ctx context.Context, r *rehearsal) error {
	a.talk("starting %d servers …", len(r.children))
	for _, c := range r.children {
		c.log, c.guarded = r.log, true
		if err := c.start(gossipOf(r.children)); err != nil {
			return err
		}
	}
	var err error
	if r.tokens, err = enrollAll(ctx, r.children); err != nil {
		return err
	}
	first := r.children[0].node
	shop, err := a.shopManifest()
	if err != nil {
		return err
	}
	a.timeout = 20 * time.Second
	w := &writing{comment: "loaded by hoist demo"}
	_, err = send(ctx, a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.CreateEnvironmentResponse, error) {
		return first.envs.Create(ctx, &hoistv1.CreateEnvironmentRequest{
			Key: ledgerEnvironment, Name: "What the demo writes and looks for", Write: o})
	})
	if err != nil {
		return err
	}
	done, err := send(ctx, a, w, func(ctx context.Context, o *hoistv1.WriteOptions) (*hoistv1.ApplyResponse, error) {
		return first.manifest.Apply(ctx, &hoistv1.ApplyRequest{Environment: defaultEnvironment, Manifest: shop, Write: o})
	})
	if err != nil {
		return err
	}
	for _, c := range r.children {
		if err := awaitRevision(ctx, c.node.where, c.http, done.GetReceipt()); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) shopManifest() (*hoistv1.Manifest, error) {
	tree, err := fs.Sub(examples.Files(), "shop")
	if err != nil {
		return nil, fmt.Errorf("opening the sample flags: %w", err)
	}
	shop, err := parseNative(tree, ".", "examples/shop")
	if err != nil {
		return nil, err
	}
	return manifestOf(shop.content), nil
}

// welcome says where everything is and what to try.
func (a *app) welcome(r *rehearsal) {
	base := r.children[0].node.base
	a.talk("the cluster serves; the flags of examples/shop are in the environment dev:")
	for _, c := range r.children {
		a.talk("  %s  %s", c.name, c.node.base)
	}
	a.talk("\nevaluate a flag:\n  %s", curlLine(base, "new-checkout", r.tokens.Server))
	a.talk("\nfrom a Go program, with any OpenFeature SDK and its OFREP provider:")
	a.talk("  openfeature.SetProviderAndWait(ofrep.NewProvider(%q, ofrep.WithBearerToken(%q)))", base, r.tokens.Server)
	a.talk("  user := openfeature.NewEvaluationContext(\"user-1\", nil)")
	a.talk("  on, _ := openfeature.NewClient(\"shop\").BooleanValue(ctx, \"new-checkout\", false, user)")
	a.talk("\nthe tokens: for everything, for a backend, for a page of this machine\n%s", r.tokens.lines())
	a.talk("try in another terminal (hoist finds the first token by itself while the demo runs):\n  export HOIST_ADDR=%s\n  hoist flag list\n"+
		"  hoist flag kill new-checkout --reason \"just trying\" --wait\n  hoist cluster status\n", r.children[0].http)
}

// perform runs load and chaos until the time is up or Ctrl-C.
func (a *app) perform(ctx context.Context, r *rehearsal) error {
	r.traffic, r.ledger = newTraffic(r.children, r.rate), newLedger(r.children)
	r.followers, r.flipper = newFollowers(r.children), &flipper{children: r.children}
	board := newBoard(a, r)
	var err error
	if r.shop, err = openStorefront(); err != nil {
		return err
	}
	r.healthy = &canary{flag: "canary-healthy", failures: 0.002, children: r.children, shop: r.shop, say: board.say}
	r.poisoned = &canary{flag: "canary-poisoned", failures: 0.3, children: r.children, shop: r.shop, say: board.say}
	r.killer = &killer{children: r.children, ledger: r.ledger, every: r.killEvery, say: board.say}
	show := ctx
	if r.duration > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, r.duration)
		defer stop()
	}
	// The streams and the board outlive the writers by a moment, so that they see the last writes.
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watchers, players sync.WaitGroup
	for _, c := range []*canary{r.healthy, r.poisoned} { // they end by themselves, and are waited for
		players.Go(func() { c.run(show, a) })
	}
	watchers.Go(func() { r.followers.run(watching) })
	watchers.Go(func() { board.run(watching) })
	players.Go(func() { r.traffic.run(ctx) })
	players.Go(func() { r.ledger.run(ctx, 4, 200*time.Millisecond) })
	players.Go(func() { r.flipper.run(ctx, 2*time.Second) })
	var broken error
	if r.chaos {
		players.Go(func() { broken = r.killer.run(ctx) })
	}
	players.Wait()
	stopWatching()
	watchers.Wait()
	r.judged = show.Err() == nil || r.healthy.rollout.GetEndedAt() != nil && r.poisoned.rollout.GetEndedAt() != nil
	return errors.Join(broken, r.shop.close())
}
