package cluster

import (
	"slices"
	"time"
)

// maxClockSkew is how far the leader's wall clock may be from the members' median before the median is believed.
const maxClockSkew = 2 * time.Second

// clock is the leader's time within one term: a base taken once, plus monotonic elapsed time. A jump of the wall clock
// inside a term changes nothing.
type clock struct {
	base  time.Time // wall, without its monotonic reading
	start time.Time // monotonic
}

// newClock takes the base: the wall clock, corrected by the members' median when it is far off, never before floor (the
// time the state has already reached, unix milliseconds).
func newClock(wall time.Time, correction time.Duration, floor int64) clock {
	base := wall.Round(0)
	if correction.Abs() > maxClockSkew {
		base = base.Add(correction)
	}
	if low := time.UnixMilli(floor); base.Before(low) {
		base = low
	}
	return clock{base: base, start: time.Now()}
}

// now is the time in unix milliseconds.
func (c clock) now() int64 { return c.base.Add(time.Since(c.start)).UnixMilli() }

// medianOffset is the median of the members' clocks relative to this node's, itself counted as 0. It needs a majority
// of the voters, since fewer could be the wrong ones; otherwise it says 0. Of two in the middle the earlier counts: two
// clocks an hour apart do not say who is right, and what waits may end late but never early.
func medianOffset(peers []time.Duration, voters int) time.Duration {
	all := append([]time.Duration{0}, peers...)
	if len(all) < voters/2+1 {
		return 0
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}
