package transport

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// How often a node reports, and in what pieces. A flag is reported at most once a day, whatever is asked.
const (
	useEvery = 10 * time.Minute
	useRoom  = 500
	useDay   = 24 * time.Hour
)

// keepUse starts reporting, once, on a server that has a log.
func (s *Server) keepUse() {
	if s.cfg.Store == nil || s.cfg.Node == nil {
		return
	}
	s.useOnce.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		s.endUse = func() { cancel(); <-done }
		go func() {
			defer close(done)
			s.reportUse(ctx)
		}()
	})
}

// reportUse tells the log which flags are in use, until ctx ends.
func (s *Server) reportUse(ctx context.Context) {
	tick := time.NewTicker(useEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.noteUse(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// noteUse reports every environment once. What cannot be reported is found again with the next evaluation.
func (s *Server) noteUse(ctx context.Context) {
	state := s.cfg.Store.State()
	for scope, p := range *s.scopes.known.Load() {
		env, ok := state.Environment(scope.Tenant, scope.Environment)
		if !ok {
			continue
		}
		today := state.Now() - state.Now()%useDay.Milliseconds()
		old := func(flag string) bool {
			day, ok := env.Used(flag)
			return !ok || day < today
		}
		flags, whole := p.use.Take()
		flags = slices.DeleteFunc(flags, func(flag string) bool { return !old(flag) })
		day, read := env.ReadWhole()
		c := fsm.NoteUse{Scope: scope, Whole: whole && (!read || day < today)}
		for len(flags) > 0 || c.Whole {
			n := min(len(flags), useRoom)
			c.Flags, flags = flags[:n], flags[n:]
			if err := s.proposeUse(ctx, c); err != nil {
				s.logger.Debug("the use of flags is reported later", "environment", scope.Environment, "error", err)
				break
			}
			c.Whole = false
		}
	}
}

func (s *Server) proposeUse(ctx context.Context, c fsm.NoteUse) error {
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	command, err := fsm.EncodeCommand(c)
	if err != nil {
		return err
	}
	_, err = s.cfg.Node.Propose(ctx, &fsm.Proposal{Actor: fsm.Actor{Kind: fsm.ActorSystem, ID: "use"}, Command: command})
	return err
}

// maxReported is how many flags one report names.
const maxReported = 10_000

// reportedUse takes in what a follower says was evaluated by it, or by those who follow it. From here it goes the way of
// what is evaluated here.
func (s *Server) reportedUse(ctx context.Context, r *hoistv1.ReportUseRequest) (*hoistv1.ReportUseResponse, error) {
	who, err := s.callerFrom(ctx)
	if err != nil {
		return nil, err
	}
	if len(r.GetFlags()) > maxReported {
		return nil, malformedQuery("flags", "at most 10,000 keys in one report; send the rest in another")
	}
	scope := who.scope(r.GetEnvironment())
	p := s.scopes.find(scope)
	if p == nil {
		return nil, s.source.Missing(scope)
	}
	known := p.live.Snapshot()
	for _, key := range r.GetFlags() {
		if flag, _, ok := known.Flag(key); ok {
			p.use.Named(flag)
		}
	}
	if r.GetWhole() {
		p.use.Whole()
	}
	return &hoistv1.ReportUseResponse{}, nil
}

// reports tells whether a follower will say which flags it evaluates. One that has not the right to cannot, whatever it says.
func (s *Server) reports(who caller, r *hoistv1.FollowRequest) bool {
	return r.GetReportsUse() && who.may(procedures[hoistv1connect.SyncServiceReportUseProcedure], r.GetEnvironment()) == nil
}

const (
	staleDays    = 30
	maxStaleDays = 3650
)

// stale lists what may be taken away.
func (s *Server) stale(state *fsm.State, env *fsm.Environment, days int32) (*hoistv1.StaleResponse, error) {
	if days == 0 {
		days = staleDays
	}
	if days < 0 || days > maxStaleDays {
		return nil, malformedQuery("days", "must be between 1 and 3650")
	}
	now := max(state.Now(), time.Now().UnixMilli())
	out := &hoistv1.StaleResponse{Position: s.position(state)}
	whole, read := env.ReadWhole()
	out.ReadWhole = read && whole > now-int64(days)*useDay.Milliseconds()
	for _, f := range env.Stale(now, int(days)) {
		out.Flags = append(out.Flags, &hoistv1.StaleFlag{Key: f.Flag.Key, Owner: f.Flag.Owner, Reasons: f.Reasons, Since: timestamppb.New(time.UnixMilli(f.Since)),
			Expires: f.Flag.Expires, Temporary: f.Flag.Temporary})
	}
	return out, nil
}

func (s flagService) Stale(ctx context.Context, r *hoistv1.StaleRequest) (*hoistv1.StaleResponse, error) {
	state, env, err := s.open(ctx, r.GetEnvironment(), r.GetRead())
	if err != nil {
		return nil, err
	}
	return s.stale(state, env, r.GetDays())
}

// staleList is Stale over plain HTTP.
func (s rest) staleList(_ context.Context, r *call) (*reply, error) {
	env, err := environment(r.state, r.scope)
	if err != nil {
		return nil, err
	}
	days, err := smallNumber(r.http.URL.Query(), "days", maxStaleDays)
	if err != nil {
		return nil, err
	}
	found, err := s.stale(r.state, env, days)
	if err != nil {
		return nil, err
	}
	var list [][]byte
	for _, f := range found.GetFlags() {
		reasons := []evaluator.Value{}
		for _, text := range f.GetReasons() {
			reasons = append(reasons, evaluator.String(text))
		}
		list = append(list, object([]byte("{}"), member("key", evaluator.String(f.GetKey())), member("owner", evaluator.String(f.GetOwner())),
			member("reasons", evaluator.List(reasons)), member("since", evaluator.String(timestampText(f.GetSince()))),
			member("expires", evaluator.String(f.GetExpires())), member("temporary", evaluator.Bool(f.GetTemporary()))))
	}
	return &reply{body: items(list, "", append(s.position(r.state), member("readWhole", evaluator.Bool(found.GetReadWhole())))...)}, nil
}
