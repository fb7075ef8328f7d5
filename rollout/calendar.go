package rollout

import (
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// Calendar tells which instants a recurring schedule means: five fields of cron, read on the clocks of a time zone. A local
// time that the clocks leave out in spring means the first instant after the gap, one that they show twice in autumn its
// first; whatever falls on one instant happens once.
type Calendar struct {
	cron string
	zone *time.Location
}

// NewCalendar reads a cron line (minute, hour, day of month, month, day of week) and the IANA name of a zone; an empty one
// is UTC.
func NewCalendar(cron, zone string) (*Calendar, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return nil, fmt.Errorf("%q is no time zone; name one such as Europe/Berlin or UTC", zone)
	}
	if n := len(strings.Fields(cron)); n != 5 {
		return nil, fmt.Errorf("cron %q has %d fields; it takes five: minute, hour, day of month, month, day of week", cron, n)
	}
	if !gronx.IsValid(cron) {
		return nil, fmt.Errorf("cron %q cannot be read; it takes five fields such as 0 9 * * 1-5", cron)
	}
	c := &Calendar{cron: cron, zone: location}
	if _, err := gronx.NextTickAfter(cron, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), true); err != nil {
		return nil, fmt.Errorf("cron %q never comes", cron)
	}
	return c, nil
}

// Local is when the clocks of a zone show the given time: its first showing, or the end of the gap that swallows it.
func Local(shown time.Time, zone string) (time.Time, error) {
	location, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return time.Time{}, fmt.Errorf("%q is no time zone; name one such as Europe/Berlin or UTC", zone)
	}
	return instant(shown, location), nil
}

// Next is the first instant after t. It fails when there is none.
func (c *Calendar) Next(t time.Time) (time.Time, error) {
	local := wall(t, c.zone)
	for range 2048 { // as long as local times repeat or fall into a gap
		next, err := gronx.NextTickAfter(c.cron, local, false)
		if err != nil || !next.After(local) {
			return time.Time{}, fmt.Errorf("cron %q does not come after %s", c.cron, t)
		}
		if at := instant(next, c.zone); at.After(t) {
			return at, nil
		}
		local = next
	}
	return time.Time{}, fmt.Errorf("cron %q does not come after %s", c.cron, t)
}

// Newest is the newest instant from first on, itself one, that is not after now, and how many there were before it. A
// leader that was away for long counts the first thousand.
func (c *Calendar) Newest(first, now time.Time) (newest time.Time, before int, err error) {
	const most = 1000
	for newest = first; ; before++ {
		next, err := c.Next(newest)
		if err != nil || next.After(now) {
			return newest, before, nil //nolint:nilerr // it never comes again
		}
		if before == most {
			return c.previous(now), before, nil
		}
		newest = next
	}
}

// previous is the newest instant that is not after now.
func (c *Calendar) previous(now time.Time) time.Time {
	for back := time.Hour; ; back *= 4 {
		at, err := c.Next(now.Add(-back))
		if err != nil || at.After(now) {
			continue
		}
		for {
			next, err := c.Next(at)
			if err != nil || next.After(now) {
				return at
			}
			at = next
		}
	}
}

// wall is what the clocks of the zone show at t, as a time without a zone.
func wall(t time.Time, zone *time.Location) time.Time {
	l := t.In(zone)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), 0, time.UTC)
}

// instant is when the clocks of the zone show the given time first, or the end of the gap that swallows it.
func instant(shown time.Time, zone *time.Location) time.Time {
	at := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), 0, zone)
	start, end := at.ZoneBounds()
	switch w := wall(at, zone); {
	case w.After(shown): // a gap, and at lies behind it
		return start
	case w.Before(shown): // a gap, and at lies before it
		return end
	}
	if start.IsZero() {
		return at
	}
	_, before := start.Add(-time.Second).Zone()
	if earlier := shown.Add(-time.Duration(before) * time.Second); earlier.Before(start) { // shown before the clocks went back, too
		return earlier.In(zone)
	}
	return at
}
