package transport_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
)

// S4-11: what is evaluated by name is reported coarsely: one entry, however often it is asked.
func TestUseIsReportedOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t)
		n.put(t, flagBody)
		web, _, stop := bubble(t, n)
		defer stop()
		ask := func() {
			t.Helper()
			res, err := web.Post("http://hoist/ofrep/v1/evaluate/flags/checkout", "application/json", strings.NewReader(`{"context":{"targetingKey":"u"}}`))
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusOK, res.StatusCode)
		}
		used := func() bool {
			env, _ := n.store.State().Environment("default", "dev")
			_, ok := env.Used("checkout")
			return ok
		}
		reports := func() (count int) {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, p := range n.seen {
				if c, err := fsm.DecodeCommand(p.Command); err == nil {
					if _, ok := c.(fsm.NoteUse); ok {
						count++
					}
				}
			}
			return count
		}
		for range 20 {
			ask()
		}
		require.False(t, used())
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		require.True(t, used())
		for range 3 {
			ask()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
		}
		require.Equal(t, 1, reports(), "once a day is enough")
		env, _ := n.store.State().Environment("default", "dev")
		require.Empty(t, env.Stale(n.store.State().Now(), 30))
	})
}
