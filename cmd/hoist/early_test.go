package main

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// Whoever comes to the door of a node that still reads its data is sent away at once, in the words of the door it came to,
// and served there afterwards.
func TestTheDoorOfANodeThatStartsSaysSo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	e, err := answerEarly(listener)
	require.NoError(t, err)
	addr := listener.Addr().String()

	node, err := dial(where{addr: addr, tenant: defaultTenant, environment: defaultEnvironment})
	require.NoError(t, err)
	_, err = node.flags.Kill(t.Context(), &hoistv1.KillRequest{Key: "f"})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	require.ErrorContains(t, err, "starting")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/ofrep/v1/evaluate/flags/f": 503} {
		r, err := http.Post("http://"+addr+path, "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Equal(t, want, r.StatusCode, path)
		require.True(t, r.Close, "the next request is for the node")
	}

	require.NoError(t, e.end())
	caller, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer caller.Close()
	conn, err := listener.Accept()
	require.NoError(t, err, "the door is the node's now")
	require.NoError(t, conn.Close())
}
