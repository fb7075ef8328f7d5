package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.yaml.in/yaml/v4"

	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

const (
	defaultAddr        = "127.0.0.1:7700"
	defaultTenant      = "default"
	defaultEnvironment = "dev"
)

// where says which node, tenant and environment a command means. Each member comes from the first that has it: flag,
// HOIST_* variable, context of the configuration file, default.
type where struct {
	context     string
	addr        string
	tenant      string
	environment string
	token       string
}

// contextsFile is ~/.config/hoist/config.yaml: named places to talk to.
//
//	current: local
//	contexts:
//	  local: {addr: "127.0.0.1:7700", env: dev}
type contextsFile struct {
	Current  string                  `yaml:"current"`
	Contexts map[string]savedContext `yaml:"contexts"`
}

type savedContext struct {
	Addr      string `yaml:"addr"`
	Tenant    string `yaml:"tenant"`
	Env       string `yaml:"env"`
	TokenFile string `yaml:"token_file"`
}

// resolve fills what flags left open.
func (w *where) resolve() error {
	saved, err := loadContext(w.context)
	if err != nil {
		return err
	}
	token := cmp.Or(w.token, os.Getenv("HOIST_TOKEN"))
	if token == "" && saved.TokenFile != "" {
		data, err := os.ReadFile(saved.TokenFile)
		if err != nil {
			return failed("correct token_file in "+contextsPath(), "the token cannot be read: %v", err)
		}
		token = strings.TrimSpace(string(data))
	}
	w.addr = cmp.Or(w.addr, os.Getenv("HOIST_ADDR"), saved.Addr, defaultAddr)
	w.token = cmp.Or(token, savedToken(w.addr))
	w.tenant = cmp.Or(w.tenant, os.Getenv("HOIST_TENANT"), saved.Tenant, defaultTenant)
	w.environment = cmp.Or(w.environment, os.Getenv("HOIST_ENV"), saved.Env, defaultEnvironment)
	return nil
}

func contextsPath() string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "" // no home directory: no contexts
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "hoist", "config.yaml")
}

// loadContext reads the named context, or the current one when name is empty.
func loadContext(name string) (savedContext, error) {
	path := contextsPath()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || path == "" {
		if name != "" {
			return savedContext{}, failed("create "+path, "there is no context %q: %s does not exist", name, path)
		}
		return savedContext{}, nil
	}
	if err != nil {
		return savedContext{}, failed("", "the contexts cannot be read: %v", err)
	}
	var file contextsFile
	if err := yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		return savedContext{}, failed("correct the file", "%s: %v", path, err)
	}
	name = cmp.Or(name, file.Current)
	if name == "" {
		return savedContext{}, nil
	}
	saved, ok := file.Contexts[name]
	if !ok {
		return savedContext{}, failed("one of the names under contexts: in that file", "%s has no context %q", path, name)
	}
	return saved, nil
}

// baseURL accepts host:port and URLs.
func baseURL(addr string) (string, error) {
	if !strings.Contains(addr, "://") {
		addr = "http://" + addr
	}
	u, err := url.Parse(addr)
	if err != nil || u.Host == "" {
		return "", failed("--addr 127.0.0.1:7700", "%q is not an address", addr)
	}
	return strings.TrimSuffix(addr, "/"), nil
}

// node is a connection to one node: one client per service, all over one pool.
type node struct {
	where
	base      string
	http      *http.Client
	flags     hoistv1connect.FlagServiceClient
	segments  hoistv1connect.SegmentServiceClient
	envs      hoistv1connect.EnvironmentServiceClient
	eval      hoistv1connect.EvaluationServiceClient
	manifest  hoistv1connect.ManifestServiceClient
	cluster   hoistv1connect.ClusterServiceClient
	backups   hoistv1connect.BackupServiceClient
	sync      hoistv1connect.SyncServiceClient
	rollouts  hoistv1connect.RolloutServiceClient
	schedules hoistv1connect.ScheduleServiceClient
	audit     hoistv1connect.AuditServiceClient
	tokens    hoistv1connect.TokenServiceClient
	changes   hoistv1connect.ChangeServiceClient
	promotes  hoistv1connect.PromotionServiceClient
}

// connect resolves where the command goes. Nothing is sent before the first call.
func (a *app) connect() (*node, error) {
	if err := a.where.resolve(); err != nil {
		return nil, err
	}
	return dial(a.where)
}

func dial(w where) (*node, error) {
	base, err := baseURL(w.addr)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &identified{where: w, next: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     time.Minute,
	}}}
	explain := connect.WithInterceptors(reachability{addr: w.addr})
	return &node{
		where: w, base: base, http: client,
		flags:     hoistv1connect.NewFlagServiceClient(client, base, explain),
		segments:  hoistv1connect.NewSegmentServiceClient(client, base, explain),
		envs:      hoistv1connect.NewEnvironmentServiceClient(client, base, explain),
		eval:      hoistv1connect.NewEvaluationServiceClient(client, base, explain),
		manifest:  hoistv1connect.NewManifestServiceClient(client, base, explain),
		cluster:   hoistv1connect.NewClusterServiceClient(client, base, explain),
		backups:   hoistv1connect.NewBackupServiceClient(client, base),
		sync:      hoistv1connect.NewSyncServiceClient(client, base, explain),
		rollouts:  hoistv1connect.NewRolloutServiceClient(client, base, explain),
		schedules: hoistv1connect.NewScheduleServiceClient(client, base, explain),
		audit:     hoistv1connect.NewAuditServiceClient(client, base, explain),
		tokens:    hoistv1connect.NewTokenServiceClient(client, base, explain),
		changes:   hoistv1connect.NewChangeServiceClient(client, base, explain),
		promotes:  hoistv1connect.NewPromotionServiceClient(client, base, explain),
	}, nil
}

// identified says on every request who asks, and for which tenant and environment.
type identified struct {
	where where
	next  http.RoundTripper
}

func (i *identified) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", "hoist/"+version)
	r.Header.Set("X-Tenant-ID", i.where.tenant)
	r.Header.Set("X-Hoist-Environment", i.where.environment)
	if i.where.token != "" {
		r.Header.Set("Authorization", "Bearer "+i.where.token)
	}
	return i.next.RoundTrip(r)
}

// reachability gives "connection refused" the words of a person.
type reachability struct{ addr string }

func (r reachability) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		response, err := next(ctx, request)
		if err != nil {
			return nil, unreachable(r.addr, err)
		}
		return response, nil
	}
}

func (r reachability) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (r reachability) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// get asks a plain HTTP path of the node.
func (n *node) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", path, err)
	}
	response, err := n.http.Do(request)
	if err != nil {
		return nil, unreachable(n.addr, connect.NewError(connect.CodeUnavailable, err))
	}
	return response, nil
}
