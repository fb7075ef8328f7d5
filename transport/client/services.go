package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// ServicesConfig says which server to talk to, as whom and where. Only Address is required.
type ServicesConfig struct {
	Address     string             // base URL such as http://127.0.0.1:7700; host:port means http
	HTTPClient  connect.HTTPClient // nil: NewHTTPClient
	Token       string             // sent as a bearer token; empty: none
	Tenant      string             // empty: the server's default
	Environment string             // empty: the server's default, dev; a request's own field wins
	UserID      string
	UserEmail   string
}

// Services are those of one server. They are safe for concurrent use.
type Services struct {
	Flags        hoistv1connect.FlagServiceClient
	Segments     hoistv1connect.SegmentServiceClient
	Environments hoistv1connect.EnvironmentServiceClient
	Manifests    hoistv1connect.ManifestServiceClient
	Cluster      hoistv1connect.ClusterServiceClient
	Audit        hoistv1connect.AuditServiceClient
	Evaluation   hoistv1connect.EvaluationServiceClient
	Sync         hoistv1connect.SyncServiceClient
	Tokens       hoistv1connect.TokenServiceClient

	address string
}

// OpenServices returns the services of a server. It does not contact the server.
func OpenServices(cfg ServicesConfig) (*Services, error) {
	base, err := baseURL(cfg.Address)
	if err != nil {
		return nil, err
	}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = NewHTTPClient()
	}
	if cfg.Token != "" {
		cfg.Token = "Bearer " + cfg.Token
	}
	options := connect.WithInterceptors(headers(map[string]string{
		"X-Tenant-ID": cfg.Tenant, "X-Hoist-Environment": cfg.Environment, "X-User-ID": cfg.UserID, "X-User-Email": cfg.UserEmail,
		"Authorization": cfg.Token,
	}))
	return &Services{
		Flags:        hoistv1connect.NewFlagServiceClient(cfg.HTTPClient, base, options),
		Segments:     hoistv1connect.NewSegmentServiceClient(cfg.HTTPClient, base, options),
		Environments: hoistv1connect.NewEnvironmentServiceClient(cfg.HTTPClient, base, options),
		Manifests:    hoistv1connect.NewManifestServiceClient(cfg.HTTPClient, base, options),
		Cluster:      hoistv1connect.NewClusterServiceClient(cfg.HTTPClient, base, options),
		Audit:        hoistv1connect.NewAuditServiceClient(cfg.HTTPClient, base, options),
		Evaluation:   hoistv1connect.NewEvaluationServiceClient(cfg.HTTPClient, base, options),
		Sync:         hoistv1connect.NewSyncServiceClient(cfg.HTTPClient, base, options),
		Tokens:       hoistv1connect.NewTokenServiceClient(cfg.HTTPClient, base, options),
		address:      base,
	}, nil
}

// NewHTTPClient is an HTTP client without an overall timeout, which would cut streams, that keeps enough connections for
// many calls at once.
func NewHTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
	}}
}

func baseURL(address string) (string, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("address %q: must be a URL such as http://127.0.0.1:7700, or host:port", address)
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// Info returns the machine-readable detail of an error that a call returned, or nil when it has none: the server was not
// reached, or something between answered.
func Info(err error) *hoistv1.ErrorInfo {
	var failed *connect.Error
	if !errors.As(err, &failed) {
		return nil
	}
	for _, detail := range failed.Details() {
		if message, err := detail.Value(); err == nil {
			if info, ok := message.(*hoistv1.ErrorInfo); ok {
				return info
			}
		}
	}
	return nil
}

// headers sets the same headers on every call, those that are not empty.
type headers map[string]string

func (h headers) set(to http.Header) {
	for name, value := range h {
		if value != "" {
			to.Set(name, value)
		}
	}
}

// WrapUnary implements connect.Interceptor.
func (h headers) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		h.set(req.Header())
		return next(ctx, req)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (h headers) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		h.set(conn.RequestHeader())
		return conn
	}
}

// WrapStreamingHandler implements connect.Interceptor; clients have no handlers.
func (h headers) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
