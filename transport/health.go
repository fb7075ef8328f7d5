package transport

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/hoistflags/hoist/evaluator"
)

// currentWithin is how old the knowledge of a node may be that calls itself current.
const currentWithin = 5 * time.Second

// check is one reason why a node is, or is not, ready.
type check struct {
	name   string
	ok     bool
	detail string
}

// checks are what readiness is made of. Only the first is asked for by default: a node with data serves it, with or
// without a leader.
func (s *Server) checks() (data, current check) {
	ok, detail, age := s.source.Health()
	data = check{"data", ok, detail}
	current = check{"current", data.ok && age <= currentWithin, "last known to be current " + strconv.FormatInt(age.Milliseconds(), 10) + " ms ago"}
	return data, current
}

// healthz answers as long as the process lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") }

// readyz answers whether the node has data and serves it; with ?current whether it is caught up as well; with ?verbose
// what was looked at.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	data, current := s.checks()
	asked := r.URL.Query()
	status, ok := http.StatusOK, data.ok && (!asked.Has("current") || current.ok)
	if !ok {
		status = http.StatusServiceUnavailable
	}
	if !asked.Has("verbose") {
		plain(w, status, map[bool]string{true: "ready\n", false: "not ready\n"}[ok])
		return
	}
	body := strconv.AppendBool([]byte(`{"ready":`), ok)
	body = append(body, `,"checks":[`...)
	for i, c := range []check{data, current} {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, `{"name":"`+c.name+`","ok":`...)
		body = strconv.AppendBool(body, c.ok)
		body = append(body, `,"detail":`...)
		body = append(evaluator.String(c.detail).AppendJSON(body), '}')
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(body, "]}\n"...)) //nolint:errcheck // the prober is gone
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write([]byte(text)) //nolint:errcheck // the prober is gone
}

// checker answers the gRPC health protocol: serving means ready.
type checker struct {
	*Server
	services []string
}

func (c checker) Check(_ context.Context, r *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if r.Service != "" && !slices.Contains(c.services, r.Service) {
		return nil, connect.NewError(connect.CodeNotFound, nil)
	}
	if data, _ := c.checks(); !data.ok {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
