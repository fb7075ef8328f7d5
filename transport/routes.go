package transport

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// routes mounts every door except OFREP, which ServeHTTP reaches without a mux.
func (s *Server) routes(d *routeTable) {
	common := s.common()
	d.service(hoistv1connect.NewFlagServiceHandler(flagService{s}, common...))
	d.service(hoistv1connect.NewSegmentServiceHandler(segmentService{s}, withBody(common, maxManifestBody)...))
	d.service(hoistv1connect.NewEnvironmentServiceHandler(environmentService{s}, common...))
	d.service(hoistv1connect.NewManifestServiceHandler(manifestService{s}, withBody(common, maxManifestBody)...))
	d.service(hoistv1connect.NewClusterServiceHandler(clusterService{s}, common...))
	path, backups := hoistv1connect.NewBackupServiceHandler(backupService{s}, common...)
	d.service(path, paced(backups))
	d.service(hoistv1connect.NewAuditServiceHandler(auditService{s}, common...))
	d.service(hoistv1connect.NewScheduleServiceHandler(scheduleService{s}, common...))
	path, rollouts := hoistv1connect.NewRolloutServiceHandler(rolloutService{s}, common...)
	d.service(path, rollouts)
	d.procedure(hoistv1connect.RolloutServiceWatchProcedure, paced(rollouts))
	path, tokens := hoistv1connect.NewTokenServiceHandler(tokenService{s}, common...)
	d.service(path, tokens)
	d.procedure(hoistv1connect.TokenServiceFollowProcedure, paced(tokens))
	s.mountRollouts(d)
	s.mountConfig(d)
	s.mountAudit(d)
	s.mountSchedules(d)
	d.open("GET "+OpenAPIPath, http.HandlerFunc(s.openapi))
	s.mountPromotions(d)
	s.mountApprovals(d)
	d.service(hoistv1connect.NewChangeServiceHandler(changeService{s}, common...))
	d.service(hoistv1connect.NewPromotionServiceHandler(promotionService{s}, common...))
	s.evaluating(d, []string{
		hoistv1connect.FlagServiceName, hoistv1connect.SegmentServiceName, hoistv1connect.EnvironmentServiceName,
		hoistv1connect.ManifestServiceName, hoistv1connect.ClusterServiceName, hoistv1connect.AuditServiceName,
		hoistv1connect.EvaluationServiceName, hoistv1connect.SyncServiceName, hoistv1connect.RolloutServiceName,
		hoistv1connect.TokenServiceName, hoistv1connect.BackupServiceName,
		hoistv1connect.ChangeServiceName, hoistv1connect.PromotionServiceName,
		hoistv1connect.TokenServiceName, hoistv1connect.ScheduleServiceName, hoistv1connect.BackupServiceName,
	})
	d.open("/", http.HandlerFunc(s.notFound))
}

// edgeRoutes are those of a server that only evaluates and streams.
func (s *Server) edgeRoutes(d *routeTable, k *Keyring) {
	_, tokens := hoistv1connect.NewTokenServiceHandler(edgeTokens{server: s, keyring: k}, s.common()...)
	d.procedure(hoistv1connect.TokenServiceFollowProcedure, paced(tokens))
	s.evaluating(d, []string{hoistv1connect.EvaluationServiceName, hoistv1connect.SyncServiceName})
	d.open("/", http.HandlerFunc(s.notHere))
}

// evaluating mounts what servers and edges share. names are all services of the server.
func (s *Server) evaluating(d *routeTable, names []string) {
	common := s.common()
	path, evaluation := hoistv1connect.NewEvaluationServiceHandler(evaluationService{s}, common...)
	d.service(path, evaluation)
	d.procedure(hoistv1connect.EvaluationServiceWatchProcedure, paced(evaluation))
	d.procedure(hoistv1connect.SyncServiceFollowProcedure, paced(s.plainFollow(s.followHandler(common...))))
	d.procedure(hoistv1connect.SyncServiceReportUseProcedure, connect.NewUnaryHandlerSimple(hoistv1connect.SyncServiceReportUseProcedure, s.reportedUse,
		append(common, connect.WithSchema(hoistv1.File_hoist_v1_sync_proto.Services().ByName("SyncService").Methods().ByName("ReportUse")))...))
	reflector := grpcreflect.NewStaticReflector(append(names, grpchealth.HealthV1ServiceName)...)
	d.open(grpcreflect.NewHandlerV1(reflector))
	d.open(grpcreflect.NewHandlerV1Alpha(reflector))
	d.open(grpchealth.NewHandler(checker{s, names}))

	d.open("GET /healthz", http.HandlerFunc(s.healthz))
	d.open("GET /readyz", http.HandlerFunc(s.readyz))
	d.open("GET /metrics", promhttp.HandlerFor(s.cfg.Registry, promhttp.HandlerOpts{Registry: nil}))
}

// compressFrom is the size from which answers are compressed for those who accept it.
const compressFrom = 1 << 10

// common are the options of every Connect handler.
func (s *Server) common() []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithInterceptors(interceptor{s}),
		connect.WithRecover(s.recovered),
		connect.WithReadMaxBytes(maxManagementBody),
		connect.WithCompressMinBytes(compressFrom),
	}
}

// withBody replaces the limit of request messages; the last option wins.
func withBody(common []connect.HandlerOption, limit int) []connect.HandlerOption {
	return append(append([]connect.HandlerOption{}, common...), connect.WithReadMaxBytes(limit))
}

// paced serves a stream: no deadline as a whole, 10 s for each write.
func paced(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := newPacedWriter(w)
		defer p.end()
		h.ServeHTTP(p, r)
	})
}

// recovered turns a panic into an internal error; the process and its other requests go on.
func (s *Server) recovered(_ context.Context, spec connect.Spec, _ http.Header, panicked any) error {
	return &fsm.Error{Kind: fsm.KindInternal, Op: "serve", Target: spec.Procedure, Detail: "internal error",
		Err: fmt.Errorf("panic: %v", panicked)}
}

// notHere answers at an edge for what only servers do.
func (s *Server) notHere(w http.ResponseWriter, r *http.Request) {
	err := &fsm.Error{Kind: KindUnimplemented, Detail: "this is an edge: it evaluates and streams; manage flags at a server"}
	if answer := connect.NewErrorWriter(); strings.HasPrefix(r.URL.Path, "/hoist.v1.") && answer.IsSupported(r) {
		_ = answer.Write(lastWords{w}, r, s.connectError(err)) // the client may be gone
		return
	}
	s.writeProblem(w, r, err)
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	detail := "there is nothing here; the API is hoist.v1 over Connect or gRPC, and OFREP under " + ofrepPrefix
	if strings.HasPrefix(r.URL.Path, "/hoist.v1.") {
		detail = "hoist.v1 has no such service or method; its names are in the reflection service"
	}
	s.writeProblem(w, r, &fsm.Error{Kind: fsm.KindNotFound, Detail: detail})
}
