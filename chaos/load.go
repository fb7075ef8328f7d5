package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// Load is what clients do to a world all the time. It is drawn from Seed.
type Load struct {
	World   World
	History *History
	Seed    uint64
	Clients int           // that write and read flags; 0: 3
	Pause   time.Duration // between the bursts of a client, at most; 0: 1.2 s
	Follow  int           // followers per environment; 0: none
	Control bool          // rollouts, freezes, schedules and promotions as well
}

// The environments, by what happens there. The reference model knows every command of the first.
const (
	Registers  = "dev"
	Rollouts   = "staging"    // and schedules
	Production = "production" // promotions, and nothing else
)

// registerKeys are the flags that see puts, compare-and-set and kills only, so that porcupine can search their order;
// mixedKeys see everything.
var (
	registerKeys = []string{"a", "b", "c", "d", "e", "f"}
	mixedKeys    = []string{"m", "n", "o"}
)

// callTime is how long a client waits for an answer.
const callTime = 3 * time.Second

// Start begins the load. The returned function ends it and waits until every operation under way has returned.
func (l Load) Start(ctx context.Context) (stop func()) {
	if l.Clients == 0 {
		l.Clients = 3
	}
	if l.Pause == 0 {
		l.Pause = 1200 * time.Millisecond
	}
	ctx, cancel := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for i := range l.Clients {
		c := l.caller(i + 1)
		clients.Go(func() { c.run(ctx) })
	}
	number := 100
	for _, environment := range []string{Registers, Rollouts, Production} {
		for range l.Follow {
			number++
			own := number
			clients.Go(func() { Follow(ctx, l.World, l.History, own, environment, l.World.Nodes()) })
		}
	}
	if l.Control {
		c := l.caller(50)
		clients.Go(func() { c.steer(ctx) })
		p := l.caller(60)
		clients.Go(func() { p.promote(ctx) })
	}
	return func() {
		cancel()
		clients.Wait()
	}
}

func (l Load) caller(number int) *caller {
	return &caller{load: l, number: number, chance: rand.New(rand.NewPCG(l.Seed, uint64(number)))}
}

// caller is one sequential client.
type caller struct {
	load   Load
	number int
	chance *rand.Rand
	made   int
	known  map[string]uint64 // revisions of flags as last seen
	epoch  string
	newest uint64 // the highest revision it was told of in this epoch
}

func (c *caller) run(ctx context.Context) {
	c.known = map[string]uint64{}
	for ctx.Err() == nil {
		for range 1 + c.chance.IntN(5) {
			if ctx.Err() != nil {
				return
			}
			c.one(ctx, c.draw(), c.node())
		}
		pause(ctx, time.Duration(c.chance.Int64N(int64(c.load.Pause))))
	}
}

func (c *caller) node() string { return pick(c.chance, c.load.World.Nodes()) }

// draw chooses what to do next.
func (c *caller) draw() Input {
	in := Input{Environment: Registers, Key: pick(c.chance, registerKeys)}
	c.made++
	value := fmt.Sprintf("v%d-%d", c.number, c.made)
	switch n := c.chance.IntN(100); {
	case n < 14:
		in.Kind, in.Value = Put, value
	case n < 30:
		in.Kind, in.Value = CAS, value
		expected := c.known[in.Key]
		in.Expected = &expected
	case n < 34:
		in.Kind = Kill
	case n < 38:
		in.Kind = Unkill
	case n < 46:
		c.mix(&in, value)
	case n < 66:
		in.Kind = Read
	case n < 86:
		in.Kind = Stale
	default:
		in.Kind, in.Min, in.Epoch = Bounded, c.newest, c.epoch
	}
	return in
}

// mix draws from the operations that a register of porcupine does not know.
func (c *caller) mix(in *Input, value string) {
	in.Key = pick(c.chance, mixedKeys)
	switch c.chance.IntN(6) {
	case 0:
		in.Kind = Delete
	case 1:
		in.Kind = Enable
	case 2:
		in.Kind = Disable
	case 3:
		in.Kind, in.Value = Put, value
	default:
		in.Kind = Batch
		for i, key := range mixedKeys {
			part := Input{Kind: Put, Environment: Registers, Key: key, Value: fmt.Sprint(value, "-", i)}
			if c.chance.IntN(4) == 0 {
				part = Input{Kind: Disable, Environment: Registers, Key: key}
			}
			in.Parts = append(in.Parts, part)
		}
		if c.chance.IntN(3) == 0 {
			in.Parts = in.Parts[:1]
			expected := c.known[mixedKeys[0]]
			in.Expected = &expected
		}
		in.Key = ""
	}
}

// one does an operation, and repeats a write under its id when nobody knows what came of it.
func (c *caller) one(ctx context.Context, in Input, node string) Op {
	request := ""
	if !in.Kind.Reads() {
		request = c.request()
	}
	op := c.call(ctx, in, request, node)
	again := op.Outcome == Unknown && c.chance.IntN(3) > 0 || op.Outcome == OK && c.chance.IntN(20) == 0
	if request != "" && again && ctx.Err() == nil {
		return c.call(ctx, in, request, c.node())
	}
	return op
}

// request makes an id: mostly opaque, sometimes with its time inside.
func (c *caller) request() string {
	c.made++
	if c.chance.IntN(4) > 0 {
		return fmt.Sprintf("chaos-%d-%d", c.number, c.made)
	}
	var random [16]byte
	for i := range random {
		random[i] = byte(c.chance.Uint32())
	}
	return fsm.NewRequestID(time.Now().UnixMilli(), random)
}

// call does one attempt and records it.
func (c *caller) call(ctx context.Context, in Input, request, node string) Op {
	c.made++
	op := Op{Client: c.number, ID: c.made, Request: request, Node: node, Input: in, Call: c.load.History.Now()}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	c.load.World.Client(node).Do(bounded, &op)
	op.Return = c.load.History.Now()
	c.load.History.Add(op)
	c.learn(op)
	return op
}

// learn keeps what the next operations build on.
func (c *caller) learn(op Op) {
	if op.Outcome == Fail && op.Result.Current > 0 && c.known != nil {
		c.known[op.Input.Key] = op.Result.Current
	}
	if op.Outcome != OK {
		return
	}
	if op.Epoch != c.epoch {
		c.epoch, c.newest = op.Epoch, 0
	}
	c.newest = max(c.newest, op.Revision)
	if c.known != nil && op.Input.Key != "" {
		c.known[op.Input.Key] = op.Result.Object
	}
}
