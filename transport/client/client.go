package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/evaluator"
)

// defaultStaleAfter is three progress marks of a node, which come every 5 s.
const defaultStaleAfter = 15 * time.Second

// Staleness says what the getters answer from data that is older than Config.StaleAfter.
type Staleness int

// The answers from stale data.
const (
	ServeStale   Staleness = iota // the value as it was last known; Details.Stale says so
	ServeDefault                  // the caller's own default, without an error
	ServeError                    // the caller's own default, with the error code GENERAL
)

// Config says what a Client follows. Only Addr is required.
type Config struct {
	Addr        string // base URL of any node or edge, such as http://127.0.0.1:7700; several are separated by commas
	Token       string // sent as a bearer token; empty: none
	Tenant      string // empty: the server's default
	Environment string // empty: the server's default, dev
	// CacheFile keeps what was last served. With it a program starts and answers while no node can be reached. Every
	// environment needs a file of its own.
	CacheFile string
	// StartEmpty makes Open return at once even when there is nothing to serve yet: until there is, getters answer
	// their defaults with the error code PROVIDER_NOT_READY.
	StartEmpty bool
	// StaleAfter is the age at which data counts as stale; 0: 15 s. The age is that of the last word that a node had
	// everything; a node without a leader passes its own age on.
	StaleAfter time.Duration
	WhenStale  Staleness
	// Hooks hear of every evaluation by a getter, in the goroutine that asked; they must not block.
	Hooks []func(Exposure)
	// NoUseReport keeps to itself which flags are evaluated. Otherwise their keys are told upstream about once a minute,
	// with nothing about who asked, so that flags which nobody evaluates can be found.
	NoUseReport bool
	HTTPClient  connect.HTTPClient // nil: one of its own
	Logger      *slog.Logger       // nil: discard
}

// Client answers from memory what the flags of one environment say. It is safe for concurrent use.
type Client struct {
	live       *evaluator.Live
	replica    *Replica // nil: somebody else feeds live
	use        *Use     // nil: not reported
	staleAfter time.Duration
	whenStale  Staleness
	hooks      []func(Exposure)
	nobody     evaluator.Context // who asks when the caller does not say
}

// Open starts following and waits until there is something to serve: at once with a usable cache file, otherwise until
// a node has answered. When ctx ends first, the error says what stood in the way. ctx bounds only Open.
func Open(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.StaleAfter < 0 || cfg.WhenStale < ServeStale || cfg.WhenStale > ServeError {
		return nil, errors.New("Config: StaleAfter must not be negative, and WhenStale one of ServeStale, ServeDefault, ServeError")
	}
	if cfg.StaleAfter == 0 {
		cfg.StaleAfter = defaultStaleAfter
	}
	replica, err := OpenReplica(ReplicaConfig{
		Addresses: strings.FieldsFunc(cfg.Addr, func(r rune) bool { return r == ',' || r == ' ' }), HTTPClient: cfg.HTTPClient,
		Token: cfg.Token, Tenant: cfg.Tenant, Environment: cfg.Environment, CacheFile: cfg.CacheFile, Logger: cfg.Logger,
		ReportUse: !cfg.NoUseReport,
	})
	if err != nil {
		return nil, fmt.Errorf("Config.Addr %q: %w", cfg.Addr, err)
	}
	c := &Client{
		live: replica.Live(), replica: replica, use: replica.Use(), staleAfter: cfg.StaleAfter, whenStale: cfg.WhenStale, hooks: cfg.Hooks,
	}
	if cfg.StartEmpty {
		return c, nil
	}
	if err := c.Ready(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Serving returns a client that answers from live, which somebody else feeds. Its data is never stale. It is what test
// doubles are made of.
func Serving(live *evaluator.Live, hooks ...func(Exposure)) *Client {
	return &Client{live: live, hooks: hooks}
}

// Ready waits until there is something to serve. When ctx ends first, the error says what stood in the way.
func (c *Client) Ready(ctx context.Context) error {
	if c.replica == nil {
		return nil
	}
	err := c.replica.Ready(ctx)
	if err != nil {
		if status := c.replica.Status(); status.Err != nil {
			err = fmt.Errorf("%w: %w", err, status.Err)
		}
		return fmt.Errorf("no flags yet: %w", err)
	}
	return nil
}

// Status is what is served, how old it is, and how the client is connected.
func (c *Client) Status() Status {
	if c.replica == nil {
		s := c.live.Snapshot()
		return Status{Position: Position{Epoch: s.Epoch(), Revision: s.Revision(), KnownAt: time.Now()}, Connected: true}
	}
	return c.replica.Status()
}

// Snapshot is everything that is served now. It never changes; ask again for the next one.
func (c *Client) Snapshot() *evaluator.Snapshot {
	c.use.Whole() // nobody hears which flags it is asked about
	return c.live.Snapshot()
}

// Close stops following and saves the cache file; it waits at most 5 s. Getters go on answering what was last known.
func (c *Client) Close() error {
	if c.replica == nil {
		return nil
	}
	return c.replica.Close()
}

// stale tells whether what is served is older than it may be.
func (c *Client) stale(s Status) bool {
	return c.replica != nil && (s.KnownAt.IsZero() || s.Age() > c.staleAfter)
}
