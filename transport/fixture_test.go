package transport_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport"
	"github.com/hoistflags/hoist/transport/lane"
)

const (
	testEpoch   = "6f1c2d3e-0000-4000-8000-000000000001"
	testCluster = "c1c1c1c1-0000-4000-8000-000000000002"
)

// node is a log of one: what is proposed is applied at once.
type node struct {
	mu    sync.Mutex
	store *fsm.Store
	index uint64
	fail  error // what Propose answers instead
	seen  []fsm.Proposal
	age   time.Duration
}

func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{store: fsm.NewStore()}
	n.system(t, fsm.LeaderEstablished{Term: 1, ServerID: "s1", ClusterID: testCluster, Epoch: testEpoch, LawLow: fsm.LawOldest, LawHigh: fsm.LawVersion})
	return n
}

func (n *node) system(t testing.TB, c fsm.Command) {
	t.Helper()
	command, err := fsm.EncodeCommand(c)
	require.NoError(t, err)
	_, err = n.Propose(context.Background(), &fsm.Proposal{Actor: fsm.Actor{Kind: "system"}, Command: command})
	require.NoError(t, err)
}

func (n *node) Propose(_ context.Context, p *fsm.Proposal) (fsm.Receipt, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return fsm.Receipt{}, n.fail
	}
	n.seen = append(n.seen, *p)
	n.index++
	stamped := *p
	stamped.At = time.Now().UnixMilli()
	out := n.store.Apply([]fsm.Entry{{Index: n.index, Term: 1, Data: stamped.Encode()}})[0]
	return out.Receipt, out.Err
}

func (n *node) ReadIndex(context.Context) (uint64, error) {
	return n.store.State().Index(), nil
}

func (n *node) Age() time.Duration { return n.age }

// skipTo makes the next write have this revision.
func (n *node) skipTo(revision uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.index+1 < revision {
		n.index++
		n.store.Apply([]fsm.Entry{{Index: n.index, Term: 1}})
	}
}

var requests struct {
	sync.Mutex
	n int
}

// write proposes one command under a request id of its own.
func (n *node) write(t testing.TB, c fsm.Command) fsm.Receipt {
	t.Helper()
	command, err := fsm.EncodeCommand(c)
	require.NoError(t, err)
	requests.Lock()
	requests.n++
	id := "test-" + string(evaluator.Number(float64(requests.n)).AppendJSON(nil))
	requests.Unlock()
	receipt, err := n.Propose(context.Background(), &fsm.Proposal{RequestID: id, Actor: fsm.Actor{Kind: "user", ID: "ann"}, Command: command})
	require.NoError(t, err)
	return receipt
}

var dev = fsm.Scope{Tenant: "default", Environment: "dev"}

// put writes a flag given as JSON into dev.
func (n *node) put(t testing.TB, flag string) fsm.Receipt {
	t.Helper()
	f, err := evaluator.DecodeFlag([]byte(flag))
	require.NoError(t, err)
	return n.putFlag(t, f)
}

func (n *node) putFlag(t testing.TB, f *evaluator.Flag) fsm.Receipt {
	t.Helper()
	return n.write(t, fsm.PutFlag{Scope: dev, Flag: f})
}

// serve starts a server in front of the node.
func serve(t testing.TB, n *node, edit ...func(*transport.Config)) (*httptest.Server, *transport.Server) {
	t.Helper()
	cfg := transport.Config{Store: n.store, Node: n, NoAuth: true}
	for _, e := range edit {
		e(&cfg)
	}
	server, err := transport.NewCore(cfg)
	require.NoError(t, err)
	web := httptest.NewUnstartedServer(server)
	web.Config.Protocols = new(http.Protocols)
	web.Config.Protocols.SetHTTP1(true)
	web.Config.Protocols.SetUnencryptedHTTP2(true)
	fast := lane.Listen(web.Listener, server.Lane()) // as Serve does
	web.Listener = fast
	web.Start()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		web.CloseClientConnections()
		web.Close()
		require.NoError(t, fast.Shutdown(context.Background()))
	})
	return web, server
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

// post sends an OFREP request; headers come in pairs and replace those set by default.
func post(t testing.TB, url, body string, headers ...string) answer {
	t.Helper()
	return do(t, http.MethodPost, url, body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func do(t testing.TB, method, url, body string, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header, string(text)}
}

// field digs a member out of a JSON text.
func field(t testing.TB, text string, path ...string) any {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal([]byte(text), &v), text)
	for _, name := range path {
		object, ok := v.(map[string]any)
		require.True(t, ok, "%s in %s", name, text)
		v = object[name]
	}
	return v
}

// pipes is a listener whose connections are in memory, for tests in virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// dial is for http.Transport.
func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble starts a server inside a synctest bubble and returns a client for it; stop ends both.
func bubble(t *testing.T, n *node, edit ...func(*transport.Config)) (web *http.Client, server *transport.Server, stop func()) {
	t.Helper()
	cfg := transport.Config{Store: n.store, Node: n, NoAuth: true}
	for _, e := range edit {
		e(&cfg)
	}
	server, err := transport.NewCore(cfg)
	require.NoError(t, err)
	listener := newPipes()
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	carrier := &http.Transport{DialContext: listener.dial}
	return &http.Client{Transport: carrier}, server, func() {
		carrier.CloseIdleConnections()
		require.NoError(t, server.Close())
		require.NoError(t, <-done)
	}
}
