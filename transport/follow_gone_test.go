package transport_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/hoistflags/hoist/transport"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// hungUp is a client that is gone: nothing can be written to it any more.
type hungUp struct{ *httptest.ResponseRecorder }

func (hungUp) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAFollowerThatLeftEndsItsStreamInPeace(t *testing.T) {
	n := golden(t)
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n, NoAuth: true})
	require.NoError(t, err)
	defer server.Close() // it serves no listener
	message, err := proto.Marshal(&hoistv1.FollowRequest{Environment: "dev"})
	require.NoError(t, err)
	body := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	r := httptest.NewRequest(http.MethodPost, hoistv1connect.SyncServiceFollowProcedure, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/connect+proto")
	require.NotPanics(t, func() { server.ServeHTTP(hungUp{httptest.NewRecorder()}, r) })
}

func TestAStrangerThatLeftIsRefusedInPeace(t *testing.T) {
	n := golden(t)
	server, err := transport.NewCore(transport.Config{Store: n.store, Node: n})
	require.NoError(t, err)
	defer server.Close() // it serves no listener
	r := httptest.NewRequest(http.MethodPost, hoistv1connect.SyncServiceFollowProcedure, http.NoBody)
	r.Header.Set("Content-Type", "application/connect+proto")
	require.NotPanics(t, func() { server.ServeHTTP(hungUp{httptest.NewRecorder()}, r) })
}
