package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// right is what a procedure or a route asks of its caller: the permission of a verb (fsm.PermissionOf), in the tenant of
// the request and in the environment that it names.
//
// A door asks it before anything is read. For a write it is the least that the write can be: fsm.Apply asks again, with the
// state of that entry, for what the write really does.
type right struct {
	verb string
	// byLaw leaves all but tenant and kind of the token to fsm.Apply, or to the procedure itself: it depends on the body.
	byLaw bool
	// tenant refuses requests without X-Tenant-ID (VAL_TENANT_REQUIRED).
	tenant bool
}

// public marks routes that need no token: they tell nothing about flags.
const public = "public"

// procedures is the one table of the rights of Connect procedures. It is never written to.
var procedures = map[string]right{
	hoistv1connect.FlagServiceListProcedure:        {verb: fsm.VerbReadConfig},
	hoistv1connect.FlagServiceGetProcedure:         {verb: fsm.VerbReadConfig},
	hoistv1connect.FlagServicePutProcedure:         {verb: fsm.PutFlag{}.Verb()},
	hoistv1connect.FlagServiceSetEnabledProcedure:  {verb: fsm.SetEnabled{}.Verb()},
	hoistv1connect.FlagServiceSetArchivedProcedure: {verb: fsm.SetArchived{}.Verb()},
	hoistv1connect.FlagServiceKillProcedure:        {verb: fsm.Kill{}.Verb()},
	hoistv1connect.FlagServiceUnkillProcedure:      {verb: fsm.Unkill{}.Verb()},
	hoistv1connect.FlagServiceDeleteProcedure:      {verb: fsm.DeleteFlag{}.Verb()},
	hoistv1connect.FlagServiceHistoryProcedure:     {verb: fsm.VerbReadConfig},
	hoistv1connect.FlagServiceStaleProcedure:       {verb: fsm.VerbReadConfig},
	hoistv1connect.FlagServiceRestoreProcedure:     {verb: fsm.Restore{}.Verb()},

	hoistv1connect.SegmentServiceListProcedure:    {verb: fsm.VerbReadConfig},
	hoistv1connect.SegmentServiceGetProcedure:     {verb: fsm.VerbReadConfig},
	hoistv1connect.SegmentServicePutProcedure:     {verb: fsm.PutSegment{}.Verb()},
	hoistv1connect.SegmentServiceDeleteProcedure:  {verb: fsm.DeleteSegment{}.Verb()},
	hoistv1connect.SegmentServiceHistoryProcedure: {verb: fsm.VerbReadConfig},
	hoistv1connect.SegmentServiceRestoreProcedure: {verb: fsm.Restore{Object: fsm.ObjectSegment}.Verb()},

	hoistv1connect.EnvironmentServiceListProcedure:   {verb: fsm.VerbReadTenant},
	hoistv1connect.EnvironmentServiceCreateProcedure: {verb: fsm.CreateEnvironment{}.Verb()},

	hoistv1connect.EnvironmentServiceSetPolicyProcedure: {verb: fsm.SetPolicy{}.Verb()},
	hoistv1connect.EnvironmentServiceOrderProcedure:     {verb: fsm.OrderEnvironments{}.Verb()},

	// Which environment a change or a promotion is in stands behind its id.
	hoistv1connect.ChangeServiceGetProcedure:        {verb: fsm.VerbReadConfig, byLaw: true},
	hoistv1connect.ChangeServiceListProcedure:       {verb: fsm.VerbReadConfig, byLaw: true},
	hoistv1connect.ChangeServiceMoveProcedure:       {verb: fsm.MoveChange{Move: fsm.ChangeMoveApprove}.Verb(), byLaw: true},
	hoistv1connect.PromotionServiceCreateProcedure:  {verb: fsm.OpenPromotion{}.Verb(), byLaw: true},
	hoistv1connect.PromotionServiceGetProcedure:     {verb: fsm.VerbReadConfig, byLaw: true},
	hoistv1connect.PromotionServiceListProcedure:    {verb: fsm.VerbReadConfig, byLaw: true},
	hoistv1connect.PromotionServiceMoveProcedure:    {verb: fsm.MoveChange{Move: fsm.ChangeMoveApprove}.Verb(), byLaw: true},
	hoistv1connect.PromotionServiceCompareProcedure: {verb: fsm.VerbReadConfig, byLaw: true},
	hoistv1connect.PromotionServiceDriftProcedure:   {verb: fsm.VerbReadConfig, byLaw: true},

	hoistv1connect.ManifestServiceApplyProcedure:  {verb: fsm.Batch{}.Verb()},
	hoistv1connect.ManifestServiceDiffProcedure:   {verb: fsm.VerbReadConfig},
	hoistv1connect.ManifestServiceExportProcedure: {verb: fsm.VerbReadConfig},

	hoistv1connect.ClusterServiceStatusProcedure:   {verb: fsm.VerbReadCluster},
	hoistv1connect.ClusterServiceMembersProcedure:  {verb: fsm.VerbReadCluster},
	hoistv1connect.ClusterServiceJoinProcedure:     {verb: fsm.VerbManageCluster},
	hoistv1connect.ClusterServiceRemoveProcedure:   {verb: fsm.VerbManageCluster},
	hoistv1connect.ClusterServiceTransferProcedure: {verb: fsm.VerbManageCluster},
	hoistv1connect.ClusterServiceSnapshotProcedure: {verb: fsm.VerbManageCluster},

	hoistv1connect.BackupServiceBackupProcedure:  {verb: fsm.VerbManageCluster},
	hoistv1connect.BackupServiceRestoreProcedure: {verb: fsm.VerbManageCluster},

	hoistv1connect.ScheduleServiceCreateProcedure: {verb: fsm.PutSchedule{}.Verb(), byLaw: true},
	hoistv1connect.ScheduleServiceListProcedure:   {verb: fsm.VerbReadConfig},
	hoistv1connect.ScheduleServiceGetProcedure:    {verb: fsm.VerbReadConfig},
	hoistv1connect.ScheduleServicePauseProcedure:  {verb: fsm.SwitchSchedule{}.Verb()},
	hoistv1connect.ScheduleServiceResumeProcedure: {verb: fsm.SwitchSchedule{Running: true}.Verb()},
	hoistv1connect.ScheduleServiceDeleteProcedure: {verb: fsm.DropSchedule{}.Verb()},

	hoistv1connect.AuditServiceListProcedure:   {verb: fsm.VerbReadAudit},
	hoistv1connect.AuditServiceVerifyProcedure: {verb: fsm.VerbReadAudit},

	hoistv1connect.RolloutServiceStartProcedure:     {verb: fsm.StartRollout{}.Verb(), byLaw: true},
	hoistv1connect.RolloutServiceGetProcedure:       {verb: fsm.VerbReadConfig},
	hoistv1connect.RolloutServiceHistoryProcedure:   {verb: fsm.VerbReadConfig},
	hoistv1connect.RolloutServiceGetBudgetProcedure: {verb: fsm.VerbReadConfig},
	hoistv1connect.RolloutServiceSetBudgetProcedure: {verb: fsm.PutBudget{}.Verb()},
	hoistv1connect.RolloutServiceListProcedure:      {verb: fsm.VerbReadConfig},
	hoistv1connect.RolloutServiceMoveProcedure:      {verb: fsm.MoveRollout{Move: fsm.MoveAbort}.Verb()},
	hoistv1connect.RolloutServiceWatchProcedure:     {verb: fsm.VerbReadConfig},
	hoistv1connect.RolloutServiceKillAllProcedure:   {verb: fsm.KillRollouts{}.Verb()},
	hoistv1connect.RolloutServiceFreezeProcedure:    {verb: fsm.Freeze{}.Verb()},
	hoistv1connect.RolloutServiceUnfreezeProcedure:  {verb: fsm.Unfreeze{}.Verb()},

	hoistv1connect.EvaluationServiceEvaluateProcedure:    {verb: fsm.VerbEvaluate},
	hoistv1connect.EvaluationServiceEvaluateAllProcedure: {verb: fsm.VerbEvaluate},
	hoistv1connect.EvaluationServiceWatchProcedure:       {verb: fsm.VerbEvaluate},
	hoistv1connect.EvaluationServiceExplainProcedure:     {verb: fsm.VerbExplain},
	hoistv1connect.SyncServiceFollowProcedure:            {verb: fsm.VerbFollowConfig},
	hoistv1connect.SyncServiceReportUseProcedure:         {verb: fsm.VerbReportUse},

	hoistv1connect.TokenServiceBootstrapProcedure: {verb: fsm.BootstrapToken{}.Verb()},
	hoistv1connect.TokenServiceCreateProcedure:    {verb: fsm.CreateToken{}.Verb()},
	hoistv1connect.TokenServiceGetProcedure:       {verb: fsm.VerbReadTokens},
	hoistv1connect.TokenServiceListProcedure:      {verb: fsm.VerbReadTokens},
	hoistv1connect.TokenServiceRevokeProcedure:    {verb: fsm.RevokeToken{}.Verb(), byLaw: true}, // one's own may always be ended
	hoistv1connect.TokenServiceFollowProcedure:    {verb: fsm.VerbFollowTokens, byLaw: true},     // of the environments it names
}

// demand is what a route asks besides the permission of its verb.
type demand int

// The demands of routes.
const (
	asksTenant demand = iota + 1 // X-Tenant-ID must be sent
	asksLaw                      // it depends on the body: fsm.Apply judges
)

func rightOf(verb string, demands []demand) right {
	return right{verb: verb, byLaw: slices.Contains(demands, asksLaw), tenant: slices.Contains(demands, asksTenant)}
}

// routeTable is the mux together with what every route on it asks. Nothing gets onto the mux past it.
type routeTable struct {
	server *Server
	mux    *http.ServeMux
	routes map[string]right // by pattern
	broken []error
}

func newRouteTable(s *Server) *routeTable {
	return &routeTable{server: s, mux: http.NewServeMux(), routes: map[string]right{}}
}

// service mounts a Connect service, of which every procedure must have a right.
func (d *routeTable) service(path string, h http.Handler) {
	name := protoreflect.FullName(strings.Trim(path, "/"))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	service, ok := found.(protoreflect.ServiceDescriptor)
	if err != nil || !ok {
		d.broken = append(d.broken, fmt.Errorf("transport: %s is no service of the schema", path))
		return
	}
	for i := range service.Methods().Len() {
		procedure := path + string(service.Methods().Get(i).Name())
		d.record(procedure, procedures[procedure])
	}
	d.mux.Handle(path, d.server.admitted(h))
}

// procedure mounts a handler of its own for one procedure of a service.
func (d *routeTable) procedure(procedure string, h http.Handler) {
	d.record(procedure, procedures[procedure])
	d.mux.Handle(procedure, d.server.admitted(h))
}

// admitted turns away who has no token that counts before a byte of the body is read. What the token may is asked when
// the request is there.
func (s *Server) admitted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := fsm.PermissionOf(procedures[r.URL.Path].verb)
		if _, err := s.callerOf(r.Header); err != nil && p.Reach != fsm.ReachOpen {
			s.denied(caller{}, r.URL.Path, err)
			failed := s.connectError(err)
			s.meters.requests.WithLabelValues(r.URL.Path, failed.Code().String()).Inc()
			if answer := connect.NewErrorWriter(); answer.IsSupported(r) {
				_ = answer.Write(lastWords{w}, r, failed) // the client may be gone
				return
			}
			s.writeProblem(w, r, asError(err))
			return
		}
		h.ServeHTTP(w, r)
	})
}

// open mounts what needs no token.
func (d *routeTable) open(pattern string, h http.Handler) {
	d.record(pattern, right{verb: public})
	d.mux.Handle(pattern, h)
}

// rest mounts a route of plain HTTP.
func (d *routeTable) rest(pattern, verb string, route func(context.Context, *call) (*reply, error), demands ...demand) {
	asks := rightOf(verb, demands)
	d.record(pattern, asks)
	d.mux.HandleFunc(pattern, rest{d.server}.handle(asks, route))
}

// plain mounts a route that answers by itself.
func (d *routeTable) plain(pattern, verb string, serve func(http.ResponseWriter, *http.Request, caller), demands ...demand) {
	asks := rightOf(verb, demands)
	d.record(pattern, asks)
	d.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		who, err := d.server.enter(r.Header, asks, r.URL.Query().Get("environment"))
		if err != nil {
			rest{d.server}.failed(w, r, err)
			return
		}
		serve(w, r, who)
	})
}

func (d *routeTable) record(pattern string, asks right) {
	if _, known := fsm.PermissionOf(asks.verb); !known && asks.verb != public {
		d.broken = append(d.broken, fmt.Errorf("transport: %s declares no permission", pattern))
	}
	d.routes[pattern] = asks
}

// done is the mux, or why the server must not be built.
func (d *routeTable) done() (*http.ServeMux, error) { return d.mux, errors.Join(d.broken...) }

// enter finds out who calls and whether they may, in the environment they name.
func (s *Server) enter(h http.Header, asks right, environment string) (caller, error) {
	if p, _ := fsm.PermissionOf(asks.verb); p.Reach == fsm.ReachOpen {
		return s.stranger(h)
	}
	who, err := s.callerOf(h)
	if err != nil {
		return caller{}, err
	}
	if asks.tenant && len(h[headerTenant]) == 0 {
		return who, &fsm.Error{Kind: KindTenantRequired, Op: "read", Target: headerTenant, Detail: "name the tenant in X-Tenant-ID"}
	}
	return who, who.may(asks, environment)
}

// may asks whether the caller has the right; nil means yes.
func (c caller) may(asks right, environment string) error {
	if c.pass == nil { // an open door
		return nil
	}
	scope := c.scope(environment)
	err := c.pass.token.Allows(asks.verb, fsm.Target{Tenant: scope.Tenant, Environment: scope.Environment})
	var refused *fsm.Error
	if asks.byLaw && errors.As(err, &refused) && refused.Kind == fsm.KindDenied && c.mayKnock(asks.verb) {
		return nil
	}
	return err
}

// mayKnock tells whether the judgement of such a token is left to the law at all: the tokens of people, those of kinds that
// the verb is for, and any that ends itself. A browser's or a backend's token gets no further.
func (c caller) mayKnock(verb string) bool {
	p, _ := fsm.PermissionOf(verb)
	switch c.pass.token.Kind {
	case fsm.TokenAdmin, fsm.TokenBreakGlass:
		return true
	}
	return verb == fsm.RevokeToken{}.Verb() || slices.Contains(p.Also, c.pass.token.Kind)
}
