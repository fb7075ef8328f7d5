package transport_test

import (
	"fmt"
	"net/http"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func TestReflectionAndHealth(t *testing.T) {
	web, _ := serve(t, golden(t))
	carrier := &http.Transport{Protocols: new(http.Protocols)}
	carrier.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(carrier.CloseIdleConnections)
	reflection := grpcreflect.NewClient(&http.Client{Transport: carrier}, web.URL).NewStream(t.Context())
	names, err := reflection.ListServices()
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(names), "hoist.v1.FlagService")
	_, err = reflection.Close()
	require.NoError(t, err)
	a := post(t, web.URL+"/grpc.health.v1.Health/Check", `{"service":"hoist.v1.SyncService"}`)
	require.Contains(t, a.body, `"SERVING_STATUS_SERVING"`)

	require.Equal(t, 200, do(t, "GET", web.URL+"/healthz", "").status)
	require.Equal(t, 200, do(t, "GET", web.URL+"/readyz", "").status)
	verbose := do(t, "GET", web.URL+"/readyz?current&verbose", "")
	require.Equal(t, 200, verbose.status)
	require.Equal(t, true, field(t, verbose.body, "ready"))
	post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", `{}`)
	metrics := do(t, "GET", web.URL+"/metrics", "")
	require.Contains(t, metrics.body, `hoist_evaluations_total{door="ofrep",environment="dev",reason="STATIC"} 1`)
	lost := do(t, "GET", web.URL+"/nowhere", "")
	require.Equal(t, 404, lost.status)
	require.Equal(t, "application/problem+json", lost.header.Get("Content-Type"))
	require.Equal(t, "NOT_FOUND", field(t, lost.body, "code"))
}

func TestNodeWithoutStateIsAliveButNotReady(t *testing.T) {
	web, _ := serve(t, &node{store: fsm.NewStore()})
	require.Equal(t, 200, do(t, "GET", web.URL+"/healthz", "").status)
	require.Equal(t, 503, do(t, "GET", web.URL+"/readyz", "").status)
	a := post(t, web.URL+"/ofrep/v1/evaluate/flags/banner", `{}`)
	require.Equal(t, 503, a.status)
	require.Equal(t, "GENERAL", field(t, a.body, "errorCode"))
	require.Equal(t, "1", a.header.Get("Retry-After"))
	c := connectTo(t, web.URL)
	_, err := c.Evaluation.Evaluate(t.Context(), &hoistv1.EvaluateRequest{Key: "x"})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
}
