package clustertest_test

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

var (
	person = fsm.Actor{Kind: "user", ID: "ada"}
	dev    = fsm.Scope{Tenant: fsm.DefaultTenant, Environment: "dev"}
)

// proposal is one command of a person under a fresh request id.
func proposal(t testing.TB, c fsm.Command) *fsm.Proposal {
	command, err := fsm.EncodeCommand(c)
	require.NoError(t, err)
	id := fsm.NewRequestID(time.Now().UnixMilli(), uuid.New())
	return &fsm.Proposal{RequestID: id, Actor: person, Command: command}
}

// put writes a small new flag.
func put(t testing.TB, key string) *fsm.Proposal {
	f, err := evaluator.DecodeFlag([]byte(`{"key":"` + key + `","type":"boolean","variants":[{"key":"on","value":true},{"key":"off","value":false}],"off":"off","default":{"variant":"on"}}`))
	require.NoError(t, err)
	return proposal(t, fsm.PutFlag{Scope: dev, Flag: f})
}

func has(s *fsm.State, key string) bool {
	env, ok := s.Environment(dev.Tenant, dev.Environment)
	if !ok {
		return false
	}
	_, ok = env.Flag(key)
	return ok
}

// ending is why a member's process must end; that it must is certain, so a minute without a reason is a failure.
func ending(t testing.TB, m *clustertest.Member) error {
	select {
	case err := <-m.Node().Fatal():
		return err
	case <-time.After(time.Minute):
		require.FailNow(t, "the process does not end", m.Name)
		return nil
	}
}

// talk shows the nodes' logs when asked for.
func talk() *slog.Logger {
	if os.Getenv("HOIST_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil))
}
