package transport

import (
	"sync/atomic"
	"time"
)

// allowance meters the evaluations of one token on this node: so many per second, and at most those of one second at once. It is
// the generic cell rate algorithm (ITU-T I.371): one number, the time at which the meter is empty again.
type allowance struct {
	each  int64 // ns between two evaluations
	empty atomic.Int64
}

func newAllowance(perSecond uint32) *allowance {
	return &allowance{each: int64(time.Second) / int64(perSecond)}
}

// take counts one evaluation, or says after how many whole seconds the next is taken.
func (r *allowance) take(now time.Time) (retrySeconds int, ok bool) {
	for {
		old, at := r.empty.Load(), now.UnixNano()
		next := max(old, at) + r.each
		if over := next - at - max(int64(time.Second), r.each); over > 0 {
			return int((over + int64(time.Second) - 1) / int64(time.Second)), false
		}
		if r.empty.CompareAndSwap(old, next) {
			return 0, true
		}
	}
}
