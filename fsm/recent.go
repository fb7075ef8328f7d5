package fsm

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/hoistflags/hoist/evaluator"
)

// recentFlags remembers what the flags that were changed last decode and compile to: who changes a flag often changes it
// again. Both follow from the record alone, so it does not matter to any result whether a flag is still remembered, nor
// which node remembers it. States share it, and a trial may use it beside Apply.
type recentFlags struct {
	slots [recentSlots]atomic.Pointer[recentFlag]
}

const (
	recentSlots = 1024
	// recentRecord keeps flags with large values out, so that the table stays small.
	recentRecord = 2 << 10
)

// recentFlag is immutable, and so is all it holds.
type recentFlag struct {
	digest   digest
	flag     *evaluator.Flag
	compiled *evaluator.Compiled // of the flag without exposures; nil: not known
}

func (r *recentFlags) slot(d digest) *atomic.Pointer[recentFlag] {
	return &r.slots[binary.BigEndian.Uint16(d[:])%recentSlots]
}

// of returns what is remembered about the record of that digest; the zero value for nothing.
func (r *recentFlags) of(d digest) recentFlag {
	if known := r.slot(d).Load(); known != nil && known.digest == d {
		return *known
	}
	return recentFlag{}
}

func (r *recentFlags) remember(known recentFlag) {
	if slot := r.slot(known.digest); slot.Load() == nil || *slot.Load() != known {
		slot.Store(&known)
	}
}

// Decode returns the declared flag of a record, which must not be changed: at once if it was changed lately.
func (s *State) Decode(r *FlagRecord) *evaluator.Flag {
	if known := s.recent.of(digestOf(r.Record)); known.flag != nil {
		return known.flag
	}
	return r.Flag()
}
