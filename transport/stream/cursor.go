package stream

import (
	"context"
	"io"
	"time"
)

// Cursor is one follower's place. It is used by one goroutine at a time.
type Cursor struct {
	feed    *feed
	at      *node    // the newest node that was taken into account
	pending []*Frame // to be given before the list is walked on
	own     uint64   // what the follower holds after everything given so far
	epoch   string
	again   bool // after pending: catch up from the snapshot's revision
	greet   bool // the first catch-up ends with a progress mark
	age     *time.Timer
	leaving bool
	closed  bool
}

// Position is what the follower holds after applying every frame it was given.
func (c *Cursor) Position() Position { return Position{Epoch: c.epoch, Revision: c.own} }

// Next waits for the next frame. After a go-away frame it returns io.EOF. Other errors are the context's, ErrRestored
// when the follower has to start anew, and ErrClosed.
func (c *Cursor) Next(ctx context.Context) (*Frame, error) {
	for {
		if len(c.pending) > 0 {
			frame := c.pending[0]
			c.pending = c.pending[1:]
			if frame.last && frame.to > c.own {
				c.own = frame.to
			}
			return frame, nil
		}
		switch {
		case c.leaving:
			return nil, io.EOF
		case c.again:
			if err := c.catchUp(ctx); err != nil {
				return nil, err
			}
		default:
			if err := c.step(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// step takes the next node into account, waiting for it if need be.
func (c *Cursor) step(ctx context.Context) error {
	next := c.at.next.Load()
	if next == nil {
		if c.at.cut.Load() {
			return c.catchUp(ctx)
		}
		return c.wait(ctx)
	}
	c.at = next
	switch {
	case next.epoch != c.epoch:
		return ErrRestored
	case next.from > c.own: // a gap
		return c.catchUp(ctx)
	case next.to > c.own, next.mark && next.to == c.own:
		c.pending = next.frames
		c.feed.hub.cfg.Observe.Sent(max(c.feed.tail.Load().to, c.own) - c.own)
	}
	return nil
}

func (c *Cursor) wait(ctx context.Context) error {
	var aged <-chan time.Time
	if c.age != nil {
		aged = c.age.C
	}
	select {
	case <-c.at.ready:
		if c.at.next.Load() == nil && !c.at.cut.Load() {
			return ErrClosed // woken without a next node: the feed has stopped
		}
		return nil
	case <-aged:
		return c.goAway("the stream has reached its age")
	case <-c.feed.hub.drained:
		return c.goAway("the node is shutting down")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Cursor) goAway(reason string) error {
	frame, err := encodeGoAway(reason, retryWithin.Milliseconds())
	c.pending, c.leaving = []*Frame{frame}, true
	return err
}

// catchUp makes pending what leads from the follower's revision to the present. The tail is taken before the snapshot:
// nodes that follow it may repeat what the snapshot holds, but nothing lies between.
func (c *Cursor) catchUp(ctx context.Context) error {
	f := c.feed
	c.at = f.tail.Load()
	given := c.again
	c.again = false
	applied := f.hub.cfg.Applied(f.place.tenant, f.place.environment)
	now := f.live.Snapshot()
	if c.epoch != "" && c.epoch != now.Epoch() {
		return ErrRestored
	}
	if c.epoch != "" {
		frames, ok, err := f.since(now, c.own, given)
		if err != nil {
			return err
		}
		if ok {
			c.pending = frames
			return c.welcome(max(applied, now.Revision()))
		}
	}
	b, err := f.everything(ctx)
	if err != nil {
		return err
	}
	if c.epoch != "" && c.epoch != b.snapshot.Epoch() {
		return ErrRestored
	}
	c.epoch, c.own = b.snapshot.Epoch(), b.snapshot.Revision()
	c.pending, c.again = b.frames, true
	return nil
}

// welcome ends the first catch-up with a mark, so that a follower knows at once that it is current.
func (c *Cursor) welcome(revision uint64) error {
	if !c.greet {
		return nil
	}
	c.greet = false
	frame, err := encodeProgress(c.epoch, max(revision, c.own), c.feed.hub.cfg.Age(c.feed.place.tenant, c.feed.place.environment).Milliseconds())
	if err != nil {
		return err
	}
	c.pending = append(append([]*Frame{}, c.pending...), frame)
	return nil
}

// Close gives the place back. It may be called twice.
func (c *Cursor) Close() {
	if c.closed {
		return
	}
	c.closed = true
	if c.age != nil {
		c.age.Stop()
	}
	c.feed.hub.leave(c.feed)
}
