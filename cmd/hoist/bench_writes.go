package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/cluster"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

const benchClients = 64

func (a *app) benchWritesCommand() *cobra.Command {
	b := &benchmark{}
	c := &cobra.Command{
		Use: "writes", Short: "Enable and disable flags on a 3-node cluster, with 1 and with 64 clients",
		Long: `Start three server processes on loopback and enable and disable flags through the API of the leader: with one client, then with 64, each on
a flag of its own. Two such clusters run, one for each --log-store. The baseline is three processes with nothing but raft and raft-boltdb, with the same raft settings, whose leader appends
the body of an HTTP POST and answers when it is committed. All clusters run at the same time and are asked in turns.`,
		Example: "  hoist bench writes --compare-baseline", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.check(cmd); err != nil {
				return err
			}
			return a.benchWrites(cmd.Context(), b)
		},
	}
	b.flags(c, "a bare raft loop")
	return a.printing(c, "table", "json", "yaml")
}

func (a *app) benchWrites(ctx context.Context, b *benchmark) (err error) {
	dir, err := os.MkdirTemp("", "hoist-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for the benchmark: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var targets []target
	for _, log := range []cluster.LogStore{cluster.LogBolt, cluster.LogWAL} {
		a.talk("starting 3 servers that keep their log in %s …", log)
		children, err := newChildren(filepath.Join(dir, string(log)), demoNodes)
		if err != nil {
			return err
		}
		defer func() { _ = stopAll(children) }() // measured is measured
		t, err := writeTarget(ctx, children, log)
		if err != nil {
			return err
		}
		t.name += ", log in " + string(log)
		targets = append(targets, t)
	}
	if b.compare {
		a.talk("starting 3 bare raft nodes …")
		bare, stop, err := startBareCluster(ctx, dir)
		if err != nil {
			return err
		}
		defer stop()
		targets = append(targets, bare)
	}
	var all []measured
	for _, clients := range []int{1, benchClients} {
		results, err := b.contest(ctx, a.talk, clients, targets)
		if err != nil {
			return err
		}
		all = append(all, results...)
	}
	return a.showMeasured(all)
}

func stopAll(children []*child) (err error) {
	for _, c := range children {
		err = errors.Join(err, c.stop())
	}
	return err
}

// writeTarget starts the servers, creates the flags and finds the leader.
func writeTarget(ctx context.Context, children []*child, log cluster.LogStore) (target, error) {
	for _, c := range children {
		c.log = string(log)
		if err := c.start(gossipOf(children)); err != nil {
			return target{}, err
		}
	}
	if err := awaitLeader(ctx, children[0].node); err != nil {
		return target{}, err
	}
	if err := awaitCurrent(ctx, children); err != nil {
		return target{}, err
	}
	leader := (&killer{children: children}).leader(ctx)
	if leader == nil {
		return target{}, failed("the same again", "no node leads")
	}
	on, _ := typedValue("boolean", "true") // both are constant and valid
	off, _ := typedValue("boolean", "false")
	for i := range benchClients {
		flag := &hoistv1.Flag{Key: benchKey(i), Type: "boolean", Off: "off", Default: &hoistv1.Serve{Variant: "on"},
			Variants: []*hoistv1.Variant{{Key: "on", Value: on}, {Key: "off", Value: off}}}
		if _, err := leader.node.flags.Put(ctx, &hoistv1.PutFlagRequest{Environment: defaultEnvironment, Flag: flag}); err != nil {
			return target{}, err
		}
	}
	return target{name: "hoist, 3 nodes", addr: leader.http, requests: func(client int) [][]byte {
		return [][]byte{switchRequest(client, true), switchRequest(client, false)}
	}}, nil
}

func benchKey(client int) string { return fmt.Sprintf("bench-%d", client) }

// switchRequest is a Connect call in binary form.
func switchRequest(client int, enabled bool) []byte {
	body, err := proto.Marshal(&hoistv1.SetEnabledRequest{Environment: defaultEnvironment, Key: benchKey(client), Enabled: enabled})
	if err != nil {
		return nil // a message of two texts and a boolean always encodes
	}
	return rawPost(hoistv1connect.FlagServiceSetEnabledProcedure, "application/proto", body)
}
