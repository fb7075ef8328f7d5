package chaos

import (
	"context"
	"time"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/cluster/clustertest"
	"github.com/hoistflags/hoist/fsm"
)

// World is a cluster that can be broken. What a world cannot do returns errors.ErrUnsupported, and the nemesis that
// asked for it does nothing.
type World interface {
	Nodes() []string                    // every machine, running or not, in the order of their coming
	Up(node string) bool                // a process runs there
	Leader() string                     // who leads an established term; empty: nobody, or not known
	Client(node string) Client          // talks to one node only
	Address(node string) string         // of the node's public door, for followers
	HTTP(client int) connect.HTTPClient // reaches the doors
	Line(from, to string, l Line) error
	Crash(node string) error
	Restart(node string) error // of a node that is down; it finds the others by itself
	Pause(node string) error   // stands still until Resume or Heal
	Resume(node string) error
	Disk(node string, d Disk) error
	Clock(node string, offset time.Duration, drift float64) error // of the wall clock; drift 0.05 gains 3 s a minute
	Metrics(m Metric) error                                       // what rollouts are told
	Join(ctx context.Context) (string, error)                     // one more machine
	Remove(ctx context.Context, node string) error                // for ever
	Heal()                                                        // ends every fault and starts who is down; clocks are set right
	Dump() Dump                                                   // after Heal, when everything is quiet
}

// Client does operations on one node.
type Client interface {
	// Do carries op.Input out and fills in Outcome, Epoch, Revision and Result. It returns when ctx ends at the latest.
	Do(ctx context.Context, op *Op)
}

// Line is the state of one direction between two nodes; the zero Line is a healthy one.
type Line = clustertest.Fault

// Disk is the state of one node's storage; the zero Disk is a healthy one.
type Disk struct {
	Hang bool          // syncs wait until the disk is healthy again
	Sync time.Duration // how long a sync takes; 0: as ever
	Err  error         // what writes of the log answer
	Torn bool          // with Err: half of a batch lands all the same
}

// Metric is how the provider of rollouts' metrics behaves; the zero Metric is healthy and says that nothing fails.
type Metric struct {
	Value float64       // the share of failures
	NaN   bool          // not a number
	Empty bool          // no series
	Down  bool          // no answer but an error
	Delay time.Duration // before any answer
}

// Dump is what the nodes themselves know in the end.
type Dump struct {
	Entries   []Entry    // the committed log, from index 1 (or from the first kept), without gaps
	Nodes     []Standing // of every running node
	Sightings []Sighting // hashes taken on the way; may be empty
	Clashes   []string   // two nodes applied different entries at one index; may be empty
}

// Entry is one committed log entry.
type Entry struct {
	fsm.Entry
	Applied int64    // when the first node applied it, on the history's clock; 0: not known
	Voters  []string // of a configuration entry: the server ids that vote
	Members []string // of a configuration entry: all server ids
	Config  bool     // it is a configuration entry
}

// Standing is where one node stands.
type Standing struct {
	Node, ServerID string
	Epoch          string
	Index          uint64
	Domain, Full   string // hashes, hex
	AuditSeq       uint64
	AuditHead      string
}

// Sighting is the hash of one node's state at one index.
type Sighting struct {
	Node   string
	Epoch  string
	Index  uint64
	Domain string
	Full   string
}
