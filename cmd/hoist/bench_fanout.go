package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

// subscribePace keeps below the 2,000 new streams per second that a node takes.
const subscribePace = 1500

func (a *app) benchFanoutCommand() *cobra.Command {
	var sizes []int
	var flags, rounds int
	c := &cobra.Command{
		Use: "fanout", Short: "Change a flag and wait for all who follow",
		Long: `Start a server in a process of its own, let subscribers follow an environment, each over a connection of its own, and change one flag again
and again. A time runs from just before the write is sent to the moment a subscriber has read its frame, so it contains the write. LAST is
the slowest subscriber of a change. CPU and memory are those of the server, as its metrics say. Two file descriptors are needed per
subscriber on this machine, one in each process: raise "ulimit -n" for many.`,
		Example: "  hoist bench fanout\n  hoist bench fanout --subscribers 1,10000 --flags 100000", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			last := 0
			for _, size := range sizes {
				if size <= last {
					return usage(cmd, "--subscribers must grow and begin above 0")
				}
				last = size
			}
			if flags < 1 || rounds < 1 {
				return usage(cmd, "--flags and --rounds must be at least 1")
			}
			return a.benchFanout(cmd.Context(), sizes, flags, rounds)
		},
	}
	c.Flags().IntSliceVar(&sizes, "subscribers", []int{1, 1000, 5000}, "how many follow, separated by commas")
	c.Flags().IntVar(&flags, "flags", 100, "flags in the environment")
	c.Flags().IntVar(&rounds, "rounds", 30, "changes")
	return a.printing(c, "table", "json", "yaml")
}

// fanned is what one number of subscribers measured.
type fanned struct {
	Subscribers int     `json:"subscribers"`
	Flags       int     `json:"flags"`
	P50         float64 `json:"p50Ms"` // of all arrivals
	P99         float64 `json:"p99Ms"`
	LastP50     float64 `json:"lastP50Ms"` // of the last arrival of each change
	LastP99     float64 `json:"lastP99Ms"`
	CPU         float64 `json:"cpuMicrosPerSubscriber"` // of the server, per change
	Memory      float64 `json:"kibPerSubscriber"`       // resident, over what the server had without any
}

func (a *app) benchFanout(ctx context.Context, sizes []int, flags, rounds int) (err error) {
	children, stop, err := startBenchServers(1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	server := children[0]
	key, err := a.loadMany(ctx, server.node, flags)
	if err != nil {
		return err
	}
	alone, err := server.usage(ctx)
	if err != nil {
		return err
	}
	crowd := &crowd{addr: server.http, key: key, on: true}
	defer crowd.leave()
	var all []fanned
	for _, size := range sizes {
		a.talk("%d subscriber(s) …", size)
		if err := crowd.grow(ctx, size); err != nil {
			return err
		}
		one, err := crowd.measure(ctx, server, rounds)
		if err != nil {
			return err
		}
		one.Flags = flags
		now, err := server.usage(ctx)
		if err != nil {
			return err
		}
		one.Memory = (now.memory - alone.memory) / 1024 / float64(size)
		all = append(all, one)
	}
	return a.showFanned(all)
}

func (a *app) showFanned(all []fanned) error {
	if a.output != "table" {
		return a.showJSON(map[string]any{"results": all})
	}
	v := view{header: []string{"SUBSCRIBERS", "FLAGS", "P50 MS", "P99 MS", "LAST P50 MS", "LAST P99 MS", "CPU µS EACH", "KIB EACH"}}
	for _, m := range all {
		cost := []string{"-", "-"} // of a few, it drowns in what else the server does
		if m.Subscribers >= 100 {
			cost = []string{fmt.Sprintf("%.1f", m.CPU), fmt.Sprintf("%.1f", m.Memory)}
		}
		v.rows = append(v.rows, append([]string{fmt.Sprint(m.Subscribers), fmt.Sprint(m.Flags), fmt.Sprintf("%.2f", m.P50), fmt.Sprintf("%.2f", m.P99),
			fmt.Sprintf("%.2f", m.LastP50), fmt.Sprintf("%.2f", m.LastP99)}, cost...))
	}
	return a.show(v)
}

// loadMany fills the environment and returns the key of its first flag.
func (a *app) loadMany(ctx context.Context, n *node, count int) (first string, err error) {
	content := manyFlags(count)
	return content.Flags[0].Key, a.loadContent(ctx, n, content)
}

// used is what a server has used so far.
type used struct{ cpu, memory float64 } // seconds, bytes

// usage reads the server's own metrics.
func (c *child) usage(ctx context.Context) (used, error) {
	response, err := c.node.get(ctx, "/metrics")
	if err != nil {
		return used{}, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end
	var u used
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		for name, into := range map[string]*float64{"process_cpu_seconds_total ": &u.cpu, "process_resident_memory_bytes ": &u.memory} {
			if text, ok := strings.CutPrefix(lines.Text(), name); ok {
				if _, err := fmt.Sscan(text, into); err != nil {
					return used{}, fmt.Errorf("reading %s: %w", name, err)
				}
			}
		}
	}
	return u, lines.Err()
}

// crowd is many subscribers. Each reads its own connection and parses no more than it must, because it shares the
// machine with the server that is measured.
type crowd struct {
	addr    string
	all     []*subscriber
	running sync.WaitGroup
	now     atomic.Pointer[spread]
	key     string // of the flag that changes
	on      bool   // how the flag was last set
}

// spread is one change on its way to all.
type spread struct {
	sent    time.Time
	times   []time.Duration // by subscriber
	pending atomic.Int64
	arrived chan struct{}
}

type subscriber struct {
	connection net.Conn
	once       sync.Once
	ready      chan error
}

// grow adds subscribers until there are size, and waits until all are current.
func (c *crowd) grow(ctx context.Context, size int) error {
	request, err := followPost("", 0)
	if err != nil {
		return err
	}
	pace := time.NewTicker(time.Second / subscribePace)
	defer pace.Stop()
	from := len(c.all)
	for i := from; i < size; i++ {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", i, err)
		}
		s := &subscriber{connection: connection, ready: make(chan error, 1)}
		c.all = append(c.all, s)
		if _, err := connection.Write(request); err != nil {
			return fmt.Errorf("subscriber %d: %w", i, err)
		}
		c.running.Go(func() { s.say(s.read(func() { c.arrive(i) })) })
	}
	for i, s := range c.all[from:] {
		if err := <-s.ready; err != nil {
			return fmt.Errorf("subscriber %d: %w", from+i, err)
		}
	}
	return nil
}

// leave ends all subscriptions.
func (c *crowd) leave() {
	for _, s := range c.all {
		_ = s.connection.Close() // ends its reader
	}
	c.running.Wait()
}

func (c *crowd) arrive(i int) {
	now := c.now.Load()
	if now == nil || now.times[i] != 0 {
		return // a newcomer catches up
	}
	now.times[i] = time.Since(now.sent)
	if now.pending.Add(-1) == 0 {
		close(now.arrived)
	}
}

// The kinds of frames by the tag of the message that a FollowResponse holds.
const (
	tagSnapshot   = 1<<3 | 2
	tagDifference = 2<<3 | 2
	tagProgress   = 3<<3 | 2
	tagGoAway     = 4<<3 | 2
	lastEnvelope  = 2 // of an envelope's flags
)

// say tells grow, once, that the subscriber is current or why not.
func (s *subscriber) say(err error) { s.once.Do(func() { s.ready <- err }) }

// read calls arrived for every difference. The error before the first progress mark goes to ready; later ones end it.
func (s *subscriber) read(arrived func()) error {
	frames, err := openFrames(s.connection)
	if err != nil {
		return err
	}
	for {
		var head [6]byte // the envelope and the first byte of the message
		if _, err := io.ReadFull(frames, head[:]); err != nil {
			return err
		}
		if head[0]&lastEnvelope != 0 {
			return errors.New("the server ended the stream; are there more subscribers than it takes?")
		}
		if _, err := io.CopyN(io.Discard, frames, int64(binary.BigEndian.Uint32(head[1:5]))-1); err != nil {
			return err
		}
		switch head[5] {
		case tagDifference:
			arrived()
		case tagProgress:
			s.say(nil)
		}
	}
}

// openFrames reads the head of the answer to a Follow. What it returns reads the stream's envelopes.
func openFrames(connection net.Conn) (*bufio.Reader, error) {
	plain := bufio.NewReaderSize(connection, 4<<10)
	for first := true; ; first = false {
		line, err := plain.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		text := strings.TrimSpace(string(line))
		if first && !strings.HasPrefix(text, "HTTP/1.1 200") {
			return nil, fmt.Errorf("the server answered %s", text)
		}
		if text == "" {
			return bufio.NewReaderSize(httputil.NewChunkedReader(plain), 512), nil
		}
	}
}

// followPost is a complete request to follow the default environment from a position.
func followPost(epoch string, revision uint64) ([]byte, error) {
	body, err := proto.Marshal(&hoistv1.FollowRequest{Environment: defaultEnvironment, Epoch: epoch, Revision: revision})
	if err != nil {
		return nil, err
	}
	envelope := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	return rawPost(hoistv1connect.SyncServiceFollowProcedure, "application/connect+proto", envelope), nil
}

// measure changes one flag again and again and waits for everybody each time.
func (c *crowd) measure(ctx context.Context, server *child, rounds int) (fanned, error) {
	before, err := server.usage(ctx)
	if err != nil {
		return fanned{}, err
	}
	var times, last []time.Duration
	for range rounds {
		_, arrived, err := c.change(ctx, server)
		if err != nil {
			return fanned{}, err
		}
		times, last = append(times, arrived...), append(last, slices.Max(arrived))
	}
	after, err := server.usage(ctx)
	if err != nil {
		return fanned{}, err
	}
	each, lasts := quantilesOf(times), quantilesOf(last)
	return fanned{Subscribers: len(c.all), P50: each.P50, P99: each.P99, LastP50: lasts.P50, LastP99: lasts.P99,
		CPU: (after.cpu - before.cpu) * 1e6 / float64(rounds*len(c.all))}, nil
}
