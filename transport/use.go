package transport

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

// use is what was asked for in an environment since the last report: flags by name, or everything at once.
type use struct {
	flags sync.Map // *evaluator.Compiled to nothing: a pointer as key costs no allocation
	whole atomic.Bool
}

// named notes a flag that was asked for by name. Noting it again costs one look-up.
func (u *use) named(flag *evaluator.Compiled) {
	if _, noted := u.flags.Load(flag); !noted {
		u.flags.Store(flag, struct{}{})
	}
}

func (u *use) all() {
	if !u.whole.Load() {
		u.whole.Store(true)
	}
}

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
		var flags []string
		p.use.flags.Range(func(key, _ any) bool {
			p.use.flags.Delete(key)
			if flag := key.(*evaluator.Compiled).Key(); old(flag) {
				flags = append(flags, flag)
			}
			return true
		})
		slices.Sort(flags)
		flags = slices.Compact(flags)
		day, read := env.ReadWhole()
		c := fsm.NoteUse{Scope: scope, Whole: p.use.whole.Swap(false) && (!read || day < today)}
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
