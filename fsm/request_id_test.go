package fsm_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

func TestRequestIDsAreUUIDsOfTheirOwnTime(t *testing.T) {
	later := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{later, later.Add(-time.Hour)} { // the clock was set back
		id, err := uuid.Parse(fsm.NewRequestID(at.UnixMilli(), uuid.New()))
		require.NoError(t, err)
		require.Equal(t, uuid.Version(7), id.Version())
		require.Equal(t, uuid.RFC4122, id.Variant())
		seconds, nanos := id.Time().UnixTime()
		require.Equal(t, at.UnixMilli(), time.Unix(seconds, nanos).UnixMilli())
	}
	require.NotEqual(t, fsm.NewRequestID(1, uuid.New()), fsm.NewRequestID(1, uuid.New()))
}
