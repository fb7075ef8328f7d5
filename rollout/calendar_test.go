package rollout_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/rollout"
)

func utc(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at
}

// S1-16: the days on which clocks change, in Europe/Berlin (29 March and 25 October 2026) and America/New_York (8 March and
// 1 November 2026).
func TestLocalTimesOnDaysWhenClocksChange(t *testing.T) {
	for name, c := range map[string]struct {
		cron, zone, after string
		want              []string
	}{
		"Berlin, a time in the gap is the end of the gap": {"30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z",
			[]string{"2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		"Berlin, a time shown twice happens at the first": {"30 2 * * *", "Europe/Berlin", "2026-10-23T12:00:00Z",
			[]string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		"Berlin, nine o'clock stays nine o'clock": {"0 9 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
			[]string{"2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z"}},
		"Berlin, several times in the gap are one": {"*/20 2 * * *", "Europe/Berlin", "2026-03-28T23:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T00:20:00Z"}},
		"Berlin, quarters through the hour that comes twice": {"*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"}},
		"Berlin, asked within the second showing": {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z",
			[]string{"2026-10-26T01:30:00Z"}},
		"Berlin, the end of the gap itself": {"0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"}},
		"New York, a time in the gap is the end of the gap": {"30 2 * * *", "America/New_York", "2026-03-07T00:00:00Z",
			[]string{"2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"}},
		"New York, a time shown twice happens at the first": {"30 1 * * *", "America/New_York", "2026-10-31T00:00:00Z",
			[]string{"2026-10-31T05:30:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		"New York, working days": {"0 9 * * 1-5", "America/New_York", "2026-03-06T13:00:00Z",
			[]string{"2026-03-06T14:00:00Z", "2026-03-09T13:00:00Z"}},
		"Lord Howe, half an hour": {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		"UTC": {"0 0 29 2 *", "", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			calendar, err := rollout.NewCalendar(c.cron, c.zone)
			require.NoError(t, err)
			at := utc(t, c.after)
			for _, want := range c.want {
				at, err = calendar.Next(at)
				require.NoError(t, err)
				require.Equal(t, want, at.UTC().Format(time.RFC3339))
			}
		})
	}
}

func TestOfMissedInstantsTheNewestIsFound(t *testing.T) {
	calendar, err := rollout.NewCalendar("*/10 * * * *", "Europe/Berlin")
	require.NoError(t, err)
	first := utc(t, "2026-01-01T00:00:00Z")
	newest, before, err := calendar.Newest(first, utc(t, "2026-01-01T00:35:00Z"))
	require.NoError(t, err)
	require.Equal(t, 3, before)
	require.Equal(t, "2026-01-01T00:30:00Z", newest.UTC().Format(time.RFC3339))
	newest, before, err = calendar.Newest(first, utc(t, "2026-06-01T00:35:00Z"))
	require.NoError(t, err)
	require.Equal(t, 1000, before, "more are not counted")
	require.Equal(t, "2026-06-01T00:30:00Z", newest.UTC().Format(time.RFC3339))
}

func TestNonsensicalCalendarsAreRefused(t *testing.T) {
	for _, c := range [][2]string{{"@daily", "UTC"}, {"* * * *", "UTC"}, {"0 0 * * * *", "UTC"}, {"61 * * * *", "UTC"},
		{"0 0 31 2 *", "UTC"}, {"0 9 * * *", "Europe/Nowhere"}, {"0 9 * * *", "Local"}, {"a b c d e", "UTC"}} {
		_, err := rollout.NewCalendar(c[0], c[1])
		require.Error(t, err, "%v", c)
	}
}
