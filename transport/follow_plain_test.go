package transport_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/client"
)

// Whatever arrives where frames are written without a Connect handler, the answer is a stream that a Connect client
// reads: no message that is not a frame, and an end that says what was wrong.
func TestPlainFollowRefusesWhatIsNoRequest(t *testing.T) {
	web, _ := serve(t, golden(t))
	for name, body := range map[string]string{
		"nothing": "", "half a head": "\x00\x00", "half a message": "\x00\x00\x00\x00\x09x", "too long": "\x00\xff\xff\xff\xff",
		"compressed": "\x01\x00\x00\x00\x00", "no message": "\x00\x00\x00\x00\x02\xff\xff", "two": "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		a := do(t, "POST", web.URL+"/hoist.v1.SyncService/Follow", body, "Content-Type", "application/connect+proto")
		require.Equal(t, 200, a.status, name)
		require.Equal(t, "application/connect+proto", a.header.Get("Content-Type"), name)
		require.Equal(t, byte(2), a.body[0], "%s: only an end", name)
		require.Contains(t, a.body, `"invalid_argument"`, name)
	}
	other := do(t, "POST", web.URL+"/hoist.v1.SyncService/Follow", "\x00\x00\x00\x00\x00", "Content-Type", "application/connect+proto", "X-Hoist-Environment", "nowhere")
	require.Contains(t, other.body, `"not_found"`)
}

func TestPlainFollowEndsWithItsErrorAfterFrames(t *testing.T) {
	upstream, _ := serve(t, golden(t))
	replica, err := client.OpenReplica(client.ReplicaConfig{Addresses: []string{upstream.URL}, Environment: "dev"})
	require.NoError(t, err)
	defer replica.Close()
	require.NoError(t, replica.Ready(t.Context()))
	server, err := transport.NewEdge(transport.EdgeConfig{Followed: []transport.Followed{{Environment: "dev", Replica: replica}}, NoAuth: true})
	require.NoError(t, err)
	web := httptest.NewServer(server)
	defer web.Close()
	defer server.Close()
	f := follow(t, web.Client(), web.URL, &hoistv1.FollowRequest{})
	defer f.close()
	require.NotNil(t, f.next().GetSnapshot())
	require.NotNil(t, f.next().GetProgress())
	replica.Live().Publish(evaluator.EmptySnapshot("another"))
	require.False(t, f.stream.Receive())
	require.Equal(t, connect.CodeAborted, connect.CodeOf(f.stream.Err()))
	require.Equal(t, string(fsm.KindRestored), client.Info(f.stream.Err()).GetCode())
}

func FuzzPlainFollow(f *testing.F) {
	f.Add("\x00\x00\x00\x00\x00")
	f.Add("\x00\x00\x00\x00\x05\x0a\x03dev")
	n := newNode(f)
	web, _ := serve(f, n)
	f.Fuzz(func(t *testing.T, body string) {
		if strings.HasPrefix(body, "\x00\x00\x00\x00") {
			t.Skip("may be a request, which would be followed for long")
		}
		a := do(t, "POST", web.URL+"/hoist.v1.SyncService/Follow", body, "Content-Type", "application/connect+proto")
		require.Equal(t, byte(2), a.body[0])
	})
}
