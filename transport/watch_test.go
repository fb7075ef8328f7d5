package transport_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
)

func TestWatchSendsOnlyWhatChangesForItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := golden(t)
		web, _, stop := bubble(t, n)
		defer stop()
		who, err := structpb.NewStruct(map[string]any{"targetingKey": "user-1", "country": "FR"})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stream, err := hoistv1connect.NewEvaluationServiceClient(web, "http://node").Watch(ctx, &hoistv1.WatchRequest{Context: who, Keys: []string{"theme", "later", "hidden"}})
		require.NoError(t, err)
		next := func() *hoistv1.WatchResponse {
			t.Helper()
			require.True(t, stream.Receive(), stream.Err())
			return stream.Msg()
		}
		first := next()
		require.True(t, first.GetReset_())
		require.Len(t, first.GetEvaluations(), 1)
		require.Equal(t, "blue", first.GetEvaluations()[0].GetValue().GetStringValue())

		// Neither another flag, nor a change of the watched one that gives this context the same answer.
		n.write(t, fsm.SetEnabled{Scope: dev, Key: "banner", Enabled: false})
		theme := n.flag(t, "theme")
		theme.Rules[0].If[0].Values = append(theme.Rules[0].If[0].Values, evaluator.String("IT"))
		n.write(t, fsm.PutFlag{Scope: dev, Flag: theme})
		synctest.Wait()
		n.put(t, simple("later", "on"))
		require.Equal(t, "later", next().GetEvaluations()[0].GetKey())
		n.write(t, fsm.SetEnabled{Scope: dev, Key: "theme", Enabled: false})
		require.Equal(t, "DISABLED", next().GetEvaluations()[0].GetReason())
		gone := n.write(t, fsm.DeleteFlag{Scope: dev, Key: "later"})
		m := next()
		require.Equal(t, []string{"later"}, m.GetRemoved())
		require.Equal(t, gone.Revision, m.GetPosition().GetRevision())

		began := time.Now()
		require.Empty(t, next().GetEvaluations(), "a sign of life")
		require.Equal(t, 15*time.Second, time.Since(began))
		cancel()
		stream.Close()
	})
}
