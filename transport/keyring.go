package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/client"
)

const (
	keyringSilence = 15 * time.Second // three signs of life; without one the stream counts as dead
	keyringPause   = 30 * time.Second // the longest between two attempts
	keyringClose   = 5 * time.Second
)

// KeyringConfig says whose tokens to follow and where. Addresses and Environments are required.
type KeyringConfig struct {
	Addresses    []string           // base URLs of any nodes or edges; the next one is tried when one fails
	HTTPClient   connect.HTTPClient // nil: one of its own, whose connections Close closes
	Token        string             // of kind edg
	Tenant       string
	Environments []string
	CacheFile    string       // what was last heard is kept here and used from the start; empty: nowhere
	Logger       *slog.Logger // nil: discard
}

// Keyring holds the hashes of the tokens that count in some environments and follows their changes. An edge lets its
// clients in by it: it asks nobody while it serves, and while its upstream is gone it goes on with what it knows. It is safe
// for concurrent use.
type Keyring struct {
	cfg    KeyringConfig
	nodes  []*client.Services
	own    *http.Client
	held   atomic.Pointer[heldKeys]
	stop   context.CancelFunc
	done   chan struct{}
	status atomic.Pointer[error]
}

// heldKeys is one version of the tokens.
type heldKeys struct {
	version  uint64
	tokens   []*fsm.Token
	replaced chan struct{}
}

// OpenKeyring starts following and returns at once.
func OpenKeyring(cfg KeyringConfig) (*Keyring, error) {
	if len(cfg.Addresses) == 0 || len(cfg.Environments) == 0 {
		return nil, errors.New("KeyringConfig: name at least one node and one environment")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keyring{cfg: cfg, done: make(chan struct{})}
	if cfg.HTTPClient == nil {
		k.own = client.NewHTTPClient()
		cfg.HTTPClient = k.own
	}
	for _, address := range cfg.Addresses {
		node, err := client.OpenServices(client.ServicesConfig{Address: address, HTTPClient: cfg.HTTPClient, Token: cfg.Token, Tenant: cfg.Tenant,
			Environment: cfg.Environments[0]})
		if err != nil {
			return nil, err
		}
		k.nodes = append(k.nodes, node)
	}
	k.held.Store(&heldKeys{replaced: make(chan struct{})})
	k.restore()
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	go func() {
		defer close(k.done)
		k.run(ctx)
	}()
	return k, nil
}

// Version moves whenever the tokens change. There is no epoch: what is held is always the newest that was heard.
func (k *Keyring) Version() (epoch string, revision uint64) { return "", k.held.Load().version }

// Tokens are all that count, with their version.
func (k *Keyring) Tokens() (epoch string, revision uint64, all []*fsm.Token) {
	held := k.held.Load()
	return "", held.version, held.tokens
}

// Changed returns a channel that closes when the tokens change. Take it first, then read them: nothing is missed.
func (k *Keyring) Changed() <-chan struct{} { return k.held.Load().replaced }

// Err says why the tokens may be old; nil while they are followed.
func (k *Keyring) Err() error {
	if why := k.status.Load(); why != nil {
		return *why
	}
	return nil
}

// Close stops following. It waits at most 5 s, then says so.
func (k *Keyring) Close() error {
	k.stop()
	patience := time.NewTimer(keyringClose)
	defer patience.Stop()
	select {
	case <-k.done:
	case <-patience.C:
		return fmt.Errorf("following the tokens did not stop within %s", keyringClose)
	}
	if k.own != nil {
		k.own.CloseIdleConnections()
	}
	return nil
}

// run keeps one stream open, on one node after the other.
func (k *Keyring) run(ctx context.Context) {
	failures := 0
	for node := rand.IntN(len(k.nodes)); ctx.Err() == nil; node = (node + 1) % len(k.nodes) {
		heard, err := k.follow(ctx, k.nodes[node])
		if heard {
			failures = 0
		}
		if ctx.Err() != nil {
			return
		}
		k.status.Store(&err)
		pause := rand.N(min(keyringPause, 500*time.Millisecond<<min(failures, 6))) // not all edges at once
		if failures == 0 {
			k.cfg.Logger.Warn("following the tokens failed; those known still count",
				slog.String("upstream", k.cfg.Addresses[node]), slog.Any("error", err))
		}
		failures++
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// follow reads one stream to its end.
func (k *Keyring) follow(ctx context.Context, node *client.Services) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(keyringSilence, func() { cancel(errUnheard) })
	defer alarm.Stop()
	stream, err := node.Tokens.Follow(ctx, &hoistv1.FollowTokensRequest{Environments: k.cfg.Environments})
	if err != nil {
		return false, cmp.Or(unheard(ctx), err)
	}
	defer stream.Close() //nolint:errcheck // the stream is over, why is returned
	for stream.Receive() {
		alarm.Reset(keyringSilence)
		if err := k.take(stream.Msg()); err != nil {
			return heard, err
		}
		heard = true
		k.status.Store(nil)
	}
	return heard, cmp.Or(unheard(ctx), stream.Err(), errEnded)
}

var (
	errEnded   = errors.New("the stream ended")
	errUnheard = fmt.Errorf("nothing was heard for %s", keyringSilence)
)

func unheard(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errUnheard) {
		return cause
	}
	return nil
}

// take replaces what is held by a complete message; others only show that the stream is alive.
func (k *Keyring) take(m *hoistv1.FollowTokensResponse) error {
	if !m.GetComplete() {
		return nil
	}
	if m.GetOpen() && len(m.GetTokens()) == 0 {
		k.cfg.Logger.Warn("the upstream asks nobody for a token and knows none, so nobody is let in here; start this edge with --insecure-no-auth too, or the upstream without it")
	}
	var tokens []*fsm.Token
	for _, record := range m.GetTokens() {
		t := &fsm.Token{}
		if err := json.Unmarshal(record, t); err != nil {
			return fmt.Errorf("a token that cannot be read: %w", err)
		}
		tokens = append(tokens, t)
	}
	k.replace(tokens)
	k.save(tokens)
	return nil
}

// replace keeps tokens that did not change, so that who counts them by pointer sees no change.
func (k *Keyring) replace(tokens []*fsm.Token) {
	old := k.held.Load()
	known := map[string]*fsm.Token{}
	for _, t := range old.tokens {
		known[t.ID] = t
	}
	for i, t := range tokens {
		if before := known[t.ID]; before != nil && before.Revision == t.Revision && before.Digest == t.Digest {
			tokens[i] = before
		}
	}
	k.held.Store(&heldKeys{version: old.version + 1, tokens: tokens, replaced: make(chan struct{})})
	close(old.replaced)
}

// save writes what was heard beside the flags; it holds hashes only. A file that cannot be written is logged: the edge
// serves, but after a restart without its upstream it would know nobody.
func (k *Keyring) save(tokens []*fsm.Token) {
	if k.cfg.CacheFile == "" {
		return
	}
	sorted := slices.SortedFunc(slices.Values(tokens), func(a, b *fsm.Token) int { return cmp.Compare(a.ID, b.ID) })
	data, err := json.Marshal(sorted, json.Deterministic(true), jsontext.Multiline(true))
	if err == nil {
		temporary := k.cfg.CacheFile + ".new"
		if err = os.WriteFile(temporary, data, 0o600); err == nil {
			err = os.Rename(temporary, k.cfg.CacheFile)
		}
	}
	if err != nil {
		k.cfg.Logger.Error("the tokens could not be kept; after a restart without an upstream nobody is let in", slog.Any("error", err))
	}
}

// restore takes what was kept. A file that cannot be read is logged and replaced by what is heard next.
func (k *Keyring) restore() {
	if k.cfg.CacheFile == "" {
		return
	}
	data, err := os.ReadFile(k.cfg.CacheFile)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var tokens []*fsm.Token
	if err == nil {
		err = json.Unmarshal(data, &tokens)
	}
	if err != nil {
		k.cfg.Logger.Error("the kept tokens cannot be read; they are asked for anew", slog.Any("error", err))
		return
	}
	k.replace(tokens)
}

// emptyKeyring knows nobody and follows nothing: what an edge has that lets everybody in.
func emptyKeyring() *Keyring {
	k := &Keyring{}
	k.held.Store(&heldKeys{replaced: make(chan struct{})})
	return k
}
