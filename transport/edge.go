package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport/client"
)

// Followed is one environment of an edge and the replica that follows it.
type Followed struct {
	Tenant      string // empty: fsm.DefaultTenant
	Environment string
	Replica     *client.Replica
}

// EdgeConfig says what an edge serves. Followed is required; the other fields are those of Config.
type EdgeConfig struct {
	// Followed are the environments. Requests that name no environment are about the first.
	Followed []Followed
	// Keyring holds the tokens that clients are let in by. It stays the caller's.
	Keyring *Keyring
	// NoAuth lets everybody in, as in Config; then no Keyring is needed.
	NoAuth       bool
	Logger       *slog.Logger
	Registry     *prometheus.Registry
	Version      string
	PublicPrefix string
	MaxStreams   int
	StreamAge    time.Duration
}

// NewEdge builds a server that evaluates and streams what replicas follow, and nothing else: it has no state of its own
// and takes no writes. Its followers may be edges too. The replicas stay the caller's; close them after the server.
func NewEdge(cfg EdgeConfig) (*Server, error) {
	if len(cfg.Followed) == 0 {
		return nil, errors.New("transport: EdgeConfig.Followed: name at least one environment")
	}
	e := &edge{replicas: map[fsm.Scope]*client.Replica{}}
	for _, f := range cfg.Followed {
		if f.Tenant == "" {
			f.Tenant = fsm.DefaultTenant
		}
		scope := fsm.Scope{Tenant: f.Tenant, Environment: f.Environment}
		if f.Environment == "" || f.Replica == nil || e.replicas[scope] != nil {
			return nil, fmt.Errorf("transport: EdgeConfig.Followed: %q needs a name, a replica and one place in the list", f.Environment)
		}
		e.replicas[scope], e.order = f.Replica, append(e.order, scope)
	}
	if cfg.Keyring == nil && !cfg.NoAuth {
		return nil, errors.New("transport: EdgeConfig.Keyring: an edge needs the tokens of its clients, or NoAuth")
	}
	if cfg.Keyring == nil {
		cfg.Keyring = emptyKeyring()
	}
	s, err := newServer(Config{
		Store: fsm.NewStore(), Logger: cfg.Logger, Registry: cfg.Registry, Version: cfg.Version,
		PublicPrefix: cfg.PublicPrefix, MaxStreams: cfg.MaxStreams, StreamAge: cfg.StreamAge, NoAuth: cfg.NoAuth,
	}, e, cfg.Keyring)
	if err != nil {
		return nil, err
	}
	s.home = &home{tenant: []string{e.order[0].Tenant}, environment: []string{e.order[0].Environment}}
	err = s.mount(func(d *routeTable) { s.edgeRoutes(d, cfg.Keyring) })
	return s, errors.Join(err, s.cfg.Registry.Register(newEdgeMeters(e)))
}

// home is where requests go that do not say where, as header values.
type home struct{ tenant, environment []string }

// guide makes a request that names no environment one about the first that the edge follows.
func (h *home) guide(r *http.Request) {
	if len(r.Header[headerEnvironment]) == 0 {
		r.Header[headerEnvironment] = h.environment
	}
	if len(r.Header[headerTenant]) == 0 {
		r.Header[headerTenant] = h.tenant
	}
}

// edge is the source of a server that follows others.
type edge struct {
	replicas map[fsm.Scope]*client.Replica
	order    []fsm.Scope
}

// replica returns that of the scope, or the first one.
func (e *edge) replica(scope fsm.Scope) *client.Replica {
	if r := e.replicas[scope]; r != nil {
		return r
	}
	return e.replicas[e.order[0]]
}

func (e *edge) Live(tenant, environment string) (*evaluator.Live, bool) {
	r := e.replicas[fsm.Scope{Tenant: tenant, Environment: environment}]
	if r == nil {
		return nil, false
	}
	return r.Live(), true
}

func (e *edge) At(scope fsm.Scope) (epoch string, revision uint64) {
	p := e.replica(scope).Position()
	return p.Epoch, p.Revision
}

func (e *edge) Await(ctx context.Context, scope fsm.Scope, revision uint64) error {
	r := e.replica(scope)
	epoch := r.Position().Epoch
	if err := r.Wait(ctx, epoch, revision); err != nil {
		return err
	}
	if now := r.Position(); now.Epoch != epoch {
		return restoredTo(epoch, now.Epoch, now.Revision)
	}
	return nil
}

func (e *edge) Use(scope fsm.Scope) *client.Use { return e.replica(scope).Use() }

func (e *edge) Age(scope fsm.Scope) time.Duration { return e.replica(scope).Position().Age() }

func (e *edge) Current(context.Context) error {
	return &fsm.Error{Kind: fsm.KindMalformed, Op: "read", Target: "consistency",
		Detail: "an edge cannot read linearizably; name a min_revision, or ask a server"}
}

func (e *edge) Past(fsm.Scope, string, uint64) (*evaluator.Snapshot, error) {
	return nil, &fsm.Error{Kind: KindUnimplemented, Op: "look back", Detail: "an edge does not hold the past; ask a server"}
}

func (e *edge) Missing(scope fsm.Scope) error {
	if r := e.replicas[scope]; r != nil {
		return &fsm.Error{Kind: KindNotReady, Detail: "this edge has nothing to serve yet: " + waitsFor(r.Status())}
	}
	names := make([]string, 0, len(e.order))
	for _, s := range e.order {
		names = append(names, s.Tenant+"/"+s.Environment)
	}
	return &fsm.Error{Kind: fsm.KindNotFound, Op: "find environment", Target: scope.Environment,
		Detail: "this edge follows " + strings.Join(names, ", ") + " only"}
}

func waitsFor(s client.Status) string {
	if s.Err == nil {
		return "the first snapshot is on its way"
	}
	return s.Err.Error()
}

func (e *edge) Health() (ok bool, detail string, age time.Duration) {
	ok = true
	var all []string
	for _, scope := range e.order {
		s := e.replicas[scope].Status()
		age = max(age, s.Age())
		text := scope.Environment + ": epoch " + s.Epoch + ", revision " + formatRevision(s.Revision)
		if s.Epoch == "" {
			ok, text = false, scope.Environment+": nothing yet"
		}
		if !s.Connected {
			text += ", not connected: " + waitsFor(s)
			if s.Epoch != "" {
				text += ", serving what is " + s.Age().Round(time.Second).String() + " old"
			}
		}
		all = append(all, text)
	}
	return ok, strings.Join(all, "; "), age
}
