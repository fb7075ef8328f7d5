package main

import (
	"time"
	_ "time/tzdata" // zones are part of the program, so that every machine knows the same

	"github.com/hoistflags/hoist/rollout"
)

// calendars reads times for the door, which knows no calendar.
type calendars struct{}

func (calendars) Next(cron, zone string, t time.Time) (time.Time, error) {
	c, err := rollout.NewCalendar(cron, zone)
	if err != nil {
		return time.Time{}, err
	}
	return c.Next(t)
}

func (calendars) Local(shown time.Time, zone string) (time.Time, error) {
	return rollout.Local(shown, zone)
}
