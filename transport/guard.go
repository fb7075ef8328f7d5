package transport

import (
	"context"
	"sync"
	"time"
)

// sweepEvery is how often the tokens of open streams are looked at: well within the 5 s after which a stream of a token
// that ended must be closed.
const sweepEvery = time.Second

// streamsOfTokens ends the streams of tokens that were revoked or have expired. While there are streams, a timer looks at
// the tokens; without streams there is no timer and nothing to close.
type streamsOfTokens struct {
	ended func(id string) error // nil while the token counts

	mu     sync.Mutex
	byID   map[string]map[*guarded]struct{}
	ticker *time.Timer
}

// guarded is one stream.
type guarded struct{ cancel context.CancelCauseFunc }

// guard bounds the context of a stream by the life of its token; the cause is why it ended. Call leave when it ends.
func (s *streamsOfTokens) guard(ctx context.Context, p *pass) (bounded context.Context, leave func()) {
	if p == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	g, id := &guarded{cancel}, p.token.ID
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[string]map[*guarded]struct{}{}
	}
	if s.byID[id] == nil {
		s.byID[id] = map[*guarded]struct{}{}
	}
	s.byID[id][g] = struct{}{}
	if s.ticker == nil {
		s.ticker = time.AfterFunc(sweepEvery, s.sweep)
	}
	return ctx, func() {
		cancel(nil)
		s.leave(id, g)
	}
}

func (s *streamsOfTokens) leave(id string, g *guarded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID[id], g)
	if len(s.byID[id]) > 0 {
		return
	}
	delete(s.byID, id)
	if len(s.byID) == 0 && s.ticker != nil {
		s.ticker.Stop()
		s.ticker = nil
	}
}

// sweep closes what has to be closed, and comes again while streams are open.
func (s *streamsOfTokens) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, streams := range s.byID {
		if why := s.ended(id); why != nil {
			for g := range streams {
				g.cancel(why)
			}
		}
	}
	if s.ticker != nil {
		s.ticker.Reset(sweepEvery)
	}
}
