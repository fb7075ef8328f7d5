package transport

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport/client"
)

// Five thousand that lost the same node at the same moment come to another one: it lets in no more than its pace, and with
// the pauses of the client all are in within ten seconds.
func TestAStormIsLetInAtTheNodesPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd = 5000
		m, err := newMeters(prometheus.NewRegistry(), "test")
		require.NoError(t, err)
		a := newAdmission(20_000, time.Hour, m)
		defer a.drain()
		began := time.Now()
		var entered [60]atomic.Int64 // by second
		var refused atomic.Int64
		var all sync.WaitGroup
		for range crowd {
			all.Go(func() {
				for failures := 0; ; failures++ {
					time.Sleep(client.Backoff(failures))
					if _, err := a.enter("follow"); err == nil {
						break
					}
					refused.Add(1)
				}
				entered[min(int(time.Since(began)/time.Second), len(entered)-1)].Add(1)
			})
		}
		all.Wait()
		require.LessOrEqual(t, time.Since(began), 10*time.Second)
		require.LessOrEqual(t, entered[0].Load(), int64(2*streamRate), "a second's worth at once, and a second's worth in the second")
		require.Positive(t, refused.Load())
		require.EqualValues(t, crowd, a.open.Load())
	})
}
