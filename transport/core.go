package transport

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport/lane"
	"github.com/hoistflags/hoist/transport/stream"
)

// Node is what the doors need from whoever keeps the log. Errors are *fsm.Error.
type Node interface {
	// Propose returns when the proposal is applied on this node.
	Propose(ctx context.Context, p *fsm.Proposal) (fsm.Receipt, error)
	// ReadIndex returns when the local state is at least as new as the call.
	ReadIndex(ctx context.Context) (uint64, error)
	// Age is how long ago this node last knew that it was current.
	Age() time.Duration
}

// Config says what a Server serves. Store and Node are required.
type Config struct {
	Store     *fsm.Store
	Node      Node
	Admin     ClusterAdmin // nil: ClusterService answers unimplemented
	Rollouts  Ledger       // nil: nothing is kept of rollouts but what the state holds
	Ledger    Ledger       // nil: the change log ends with the newest rows, which the state holds
	Calendars Calendars    // nil: no schedule can be made here
	Plans     Plans        // nil: no rollout can be started here
	Logger    *slog.Logger // nil: discard

	// Registry receives the metrics and is what /metrics shows; nil: a registry of its own.
	Registry *prometheus.Registry
	// NoAuth lets everybody in without a token and believes the headers. Whoever sets it sees to it that only this machine
	// can reach the server.
	NoAuth bool
	// Version is the build's, shown by cluster status and hoist_build_info.
	Version string
	// PublicPrefix is the path under which a proxy publishes this server, for example /flags. Event stream URLs start
	// with it, because clients resolve them against the origin only.
	PublicPrefix string
	// MaxStreams bounds the open streams of all doors together; 0: 20,000.
	MaxStreams int
	// StreamAge is the mean life of a stream, which ends at +-20 % of it; 0: 30 minutes.
	StreamAge time.Duration
}

// Server is the public port of a node. It is safe for concurrent use.
type Server struct {
	cfg    Config
	source source
	home   *home // nil: requests that name no environment are about the default one
	http   *http.Server
	gate   *gate
	mux    *http.ServeMux
	asked  map[string]right // of every route, by pattern
	// described makes the OpenAPI document when it is first asked for
	described func() ([]byte, error)
	denials   denials
	scopes    *scopes
	meters    *meters
	cohorts   *cohorts
	streams   *admission
	hub       *stream.Hub
	ofrep     *ofrep
	plain     *plainEvaluation
	logger    *slog.Logger

	useOnce sync.Once
	endUse  func() // ends the reports of use; nil before the first Serve

	lanes sync.Mutex
	fast  []*lane.Listener
}

// Limits of the doors.
const (
	maxManagementBody = 1 << 20
	maxManifestBody   = 64 << 20
	minRevisionWait   = 2 * time.Second
	writeDeadline     = 10 * time.Second
	drainTime         = 5 * time.Second
)

// NewCore builds the server of a node that holds the state itself. Errors: a required field is missing, or a metric of
// the registry has the name of one of ours.
func NewCore(cfg Config) (*Server, error) {
	if cfg.Store == nil || cfg.Node == nil {
		return nil, errors.New("transport: Config.Store and Config.Node are required")
	}
	s, err := newServer(cfg, core{cfg.Store, cfg.Node}, stateKeys{cfg.Store})
	if err != nil {
		return nil, err
	}
	return s, s.mount(s.routes)
}

// mount builds the routes, all of which must say what they ask of their callers.
func (s *Server) mount(routes func(*routeTable)) error {
	d := newRouteTable(s)
	routes(d)
	var err error
	s.mux, err = d.done()
	s.asked = d.routes
	s.described = sync.OnceValues(s.describeAPI)
	return err
}

// newServer builds everything but the routes.
func newServer(cfg Config, from source, k keys) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
	}
	if cfg.MaxStreams == 0 {
		cfg.MaxStreams = 20_000
	}
	if cfg.StreamAge == 0 {
		cfg.StreamAge = 30 * time.Minute
	}
	s := &Server{cfg: cfg, source: from, gate: newGate(k), logger: cfg.Logger}
	var err error
	if s.meters, err = newMeters(cfg.Registry, cfg.Version); err != nil {
		return nil, err
	}
	if s.cohorts, err = newCohorts(cfg.Registry, cfg.Store); err != nil {
		return nil, err
	}
	s.scopes = newScopes(from, s.meters, s.cohorts)
	s.streams = newAdmission(cfg.MaxStreams, cfg.StreamAge, s.meters)
	s.hub = stream.NewHub(stream.Config{
		Live: from.Live,
		Applied: func(tenant, environment string) uint64 {
			_, revision := from.At(fsm.Scope{Tenant: tenant, Environment: environment})
			return revision
		},
		Await: func(ctx context.Context, tenant, environment string, revision uint64) error {
			return from.Await(ctx, fsm.Scope{Tenant: tenant, Environment: environment}, revision)
		},
		Age: func(tenant, environment string) time.Duration {
			return from.Age(fsm.Scope{Tenant: tenant, Environment: environment})
		},
		Observe: s.meters,
	})
	s.ofrep, s.plain = newOFREP(s), newPlainEvaluation(s)
	s.http = newHTTPServer(s, cfg.Logger)
	return s, nil
}

// newHTTPServer listens for HTTP/1.1 and for HTTP/2 without TLS on one port, so that gRPC, gRPC-Web, Connect, OFREP and
// a browser's EventSource all arrive there. Streams lift the deadlines for themselves.
func newHTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:        h,
		Protocols:      protocols,
		ReadTimeout:    30 * time.Second,
		WriteTimeout:   60 * time.Second,
		IdleTimeout:    2 * time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: 1000},
	}
}

// ServeHTTP routes a request. OFREP is looked at first and without the mux: its path is the hot one, and a flag key
// must reach the lookup as it was sent, where the mux would clean it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.home != nil && s.cfg.NoAuth {
		s.home.guide(r)
	}
	if len(r.URL.Path) >= len(ofrepPrefix) && r.URL.Path[:len(ofrepPrefix)] == ofrepPrefix {
		s.ofrep.ServeHTTP(w, r)
		return
	}
	if r.URL.Path == evaluateProcedure && s.plain.serve(w, r) {
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Serve answers requests that arrive at l until Close. It returns nil after Close, otherwise why it stopped. Evaluations
// that arrive over plain HTTP/1.1 are served by a lane of their own.
func (s *Server) Serve(l net.Listener) error {
	s.keepUse()
	fast := lane.Listen(l, s.laneConfig())
	s.lanes.Lock()
	s.fast = append(s.fast, fast)
	s.lanes.Unlock()
	if err := s.http.Serve(fast); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// laneConfig says what the lane serves: OFREP, and the plainest calls of EvaluationService.
func (s *Server) laneConfig() lane.Config {
	return lane.Config{
		Handler: s, Prefixes: []string{ofrepPrefix + flagsPath, evaluateProcedure}, Logger: s.logger,
		Takes: func(r *http.Request) bool {
			if r.URL.Path[1] == ofrepPrefix[1] {
				return true
			}
			_, plain := plainCall(r)
			return plain && r.URL.Path == evaluateProcedure
		},
	}
}

// Close asks every follower to go elsewhere, lets requests in flight finish for at most 5 s, and closes the rest.
func (s *Server) Close() error {
	s.useOnce.Do(func() {}) // from here on nothing starts
	if s.endUse != nil {
		s.endUse()
	}
	s.streams.drain()
	s.hub.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	s.lanes.Lock()
	for _, fast := range s.fast {
		_ = fast.Shutdown(ctx) // what does not end in time is cut, as above
	}
	s.lanes.Unlock()
	s.hub.Close()
	return err
}
