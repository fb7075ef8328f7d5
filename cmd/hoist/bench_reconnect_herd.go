package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/client"
)

// herd is many subscribers that come back when the server they follow is restarted.
type herd struct {
	server    *child
	key       string // of the flag that changes
	on        bool   // how the flag was last set
	all       []*returning
	running   sync.WaitGroup
	snapshots atomic.Int64
	refused   atomic.Int64
	fail      context.CancelCauseFunc // ends everything when a subscriber was told what cannot be
}

// returning is a subscriber that keeps its position, as a client.Replica does, and nothing else.
type returning struct {
	herd     *herd
	parts    bool // the last frame was part of a snapshot
	mu       sync.Mutex
	epoch    string
	revision uint64
	since    time.Time // when revision was reached
}

// errRefused is what a server answers that takes no more streams at the moment.
var errRefused = errors.New("the server takes no more streams now")

// reached returns when the subscriber held revision, or the zero time.
func (s *returning) reached(revision uint64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revision < revision {
		return time.Time{}
	}
	return s.since
}

func (s *returning) reach(epoch string, revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.epoch || revision > s.revision {
		s.epoch, s.revision, s.since = epoch, revision, time.Now()
	}
}

// run follows until ctx ends, with the pauses of the Go client.
func (s *returning) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		progressed, pause, err := s.follow(ctx)
		if progressed {
			failures = 0
		}
		if err != nil {
			if errors.Is(err, errRefused) {
				s.herd.refused.Add(1)
			}
			pause = client.Backoff(failures)
			failures++
		}
		sleepUntil(ctx, time.Now().Add(pause))
	}
}

// position follows from nothing until the first mark: what it leaves behind is a position that others may begin at.
func (s *returning) position(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	frames, stop, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for {
		kind, _, err := s.take(frames)
		if err != nil || kind == tagProgress {
			return err
		}
	}
}

// follow reads one stream to its end. A nil error is a go-away; pause is how long to wait before the next stream.
func (s *returning) follow(ctx context.Context) (progressed bool, pause time.Duration, err error) {
	frames, stop, err := s.open(ctx)
	if err != nil {
		return false, 0, err
	}
	defer stop()
	for {
		kind, away, err := s.take(frames)
		if err != nil {
			return progressed, 0, err
		}
		if kind == tagGoAway {
			return progressed, rand.N(max(away, time.Millisecond)), nil
		}
		progressed = true
	}
}

// open sends the request and reads the head of the answer.
func (s *returning) open(ctx context.Context) (frames *bufio.Reader, stop func(), err error) {
	request, err := followPost(s.epoch, s.revision)
	if err != nil {
		return nil, nil, err
	}
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp", s.herd.server.http)
	if err != nil {
		return nil, nil, err
	}
	unwatch := context.AfterFunc(ctx, func() { _ = connection.Close() }) // ends what is read
	stop = func() { unwatch(); _ = connection.Close() }                  // a stream that is over
	if _, err = connection.Write(request); err == nil {
		frames, err = openFrames(connection)
	}
	if err != nil {
		stop()
	}
	return frames, stop, err
}

// take reads one message and moves the position. away is the time that a go-away asks to spread over.
func (s *returning) take(frames *bufio.Reader) (kind byte, away time.Duration, err error) {
	var head [6]byte // the envelope and the first byte of the message
	if _, err := io.ReadFull(frames, head[:]); err != nil {
		return 0, 0, err
	}
	rest := int64(binary.BigEndian.Uint32(head[1:5])) - 1
	kind = head[5]
	another := kind == tagSnapshot && !s.parts
	s.parts = kind == tagSnapshot
	if s.parts { // a mark follows it and says where that leads
		if another {
			s.herd.snapshots.Add(1)
		}
		_, err := io.CopyN(io.Discard, frames, rest)
		return kind, 0, err
	}
	body := append(make([]byte, 0, rest+1), kind)
	body = body[:rest+1]
	if _, err := io.ReadFull(frames, body[1:]); err != nil {
		return 0, 0, err
	}
	if head[0]&lastEnvelope != 0 {
		return kind, 0, ended(string(body))
	}
	var m hoistv1.FollowResponse
	if err := proto.Unmarshal(body, &m); err != nil {
		return 0, 0, err
	}
	return kind, time.Duration(m.GetGoAway().GetRetryWithinMs()) * time.Millisecond, s.apply(&m)
}

// ended is what the last message of a stream says.
func ended(text string) error {
	if strings.Contains(text, `"resource_exhausted"`) {
		return errRefused
	}
	return errors.New("the server ended the stream: " + text)
}

// apply moves the position by a difference or a mark, and stops everything when that does not continue it.
func (s *returning) apply(m *hoistv1.FollowResponse) error {
	if d := m.GetDifference(); d != nil {
		if s.epoch != "" && (d.GetEpoch() != s.epoch || d.GetFrom() > s.revision) {
			err := fmt.Errorf("a difference from revision %d to %d was sent to a subscriber at %d", d.GetFrom(), d.GetTo(), s.revision)
			s.herd.fail(err)
			return err
		}
		if !d.GetMore() && s.epoch != "" {
			s.reach(d.GetEpoch(), d.GetTo())
		}
	}
	if p := m.GetProgress(); p != nil {
		s.reach(p.GetEpoch(), p.GetRevision())
	}
	return nil
}
