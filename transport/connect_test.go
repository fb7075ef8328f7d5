package transport_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/hoistflags/hoist/fsm"
	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
	"github.com/hoistflags/hoist/transport/api/hoist/v1/hoistv1connect"
	"github.com/hoistflags/hoist/transport/client"
)

// connectTo opens a client of dev.
func connectTo(t testing.TB, url string) *client.Services {
	t.Helper()
	c, err := client.OpenServices(client.ServicesConfig{Address: url, UserID: "ann", UserEmail: "ann@example.com"})
	require.NoError(t, err)
	return c
}

// boolean is a flag message that serves true when it is on.
func boolean(key string) *hoistv1.Flag {
	return &hoistv1.Flag{
		Key: key, Type: "boolean", Enabled: true, Off: "off",
		Variants: []*hoistv1.Variant{{Key: "on", Value: structpb.NewBoolValue(true)}, {Key: "off", Value: structpb.NewBoolValue(false)}},
		Default:  &hoistv1.Serve{Variant: "on"},
	}
}

func TestFlagLifeOverEveryProtocol(t *testing.T) {
	for name, options := range map[string][]connect.ClientOption{
		"connect":          nil,
		"connect json":     {connect.WithProtoJSON()},
		"grpc":             {connect.WithGRPC()},
		"grpc-web":         {connect.WithGRPCWeb()},
		"connect and gzip": {connect.WithSendGzip()},
	} {
		t.Run(name, func(t *testing.T) {
			web, _ := serve(t, newNode(t))
			carrier := &http.Transport{Protocols: new(http.Protocols)}
			carrier.Protocols.SetUnencryptedHTTP2(true)
			carrier.Protocols.SetHTTP1(name != "grpc")
			if name == "grpc" { // gRPC needs HTTP/2
				carrier.Protocols.SetHTTP1(false)
			}
			web2 := &http.Client{Transport: carrier}
			t.Cleanup(carrier.CloseIdleConnections)
			flags := hoistv1connect.NewFlagServiceClient(web2, web.URL, options...)
			evaluation := hoistv1connect.NewEvaluationServiceClient(web2, web.URL, options...)
			ctx := t.Context()

			put, err := flags.Put(ctx, &hoistv1.PutFlagRequest{Flag: boolean("one")})
			require.NoError(t, err)
			require.True(t, put.GetReceipt().GetChanged())
			require.Equal(t, testEpoch, put.GetReceipt().GetEpoch())
			require.Equal(t, put.GetReceipt().GetObjectRevision(), put.GetState().GetRevision())
			require.NotEmpty(t, put.GetReceipt().GetRequestId())

			got, err := flags.Get(ctx, &hoistv1.GetFlagRequest{Key: "one", Read: &hoistv1.ReadOptions{MinRevision: put.GetReceipt().GetRevision()}})
			require.NoError(t, err)
			require.Equal(t, "boolean", got.GetState().GetFlag().GetType())

			killed, err := flags.Kill(ctx, &hoistv1.KillRequest{Key: "one", Reason: "on fire"})
			require.NoError(t, err)
			require.True(t, killed.GetState().GetKilled())
			require.Equal(t, "on fire", killed.GetState().GetExposures()[0].GetReason())
			answer, err := evaluation.Evaluate(ctx, &hoistv1.EvaluateRequest{Key: "one"})
			require.NoError(t, err)
			require.False(t, answer.GetEvaluation().GetValue().GetBoolValue(), "S4-08: killed")
			require.Equal(t, "STATIC", answer.GetEvaluation().GetReason())
			_, err = flags.Unkill(ctx, &hoistv1.UnkillRequest{Key: "one"})
			require.NoError(t, err)

			off, err := flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: false})
			require.NoError(t, err)
			require.False(t, off.GetState().GetFlag().GetEnabled())
			_, err = flags.SetArchived(ctx, &hoistv1.SetArchivedRequest{Key: "one", Archived: true})
			require.NoError(t, err)
			list, err := flags.List(ctx, &hoistv1.ListFlagsRequest{})
			require.NoError(t, err)
			require.Empty(t, list.GetFlags(), "archived flags are left out")
			_, err = flags.Delete(ctx, &hoistv1.DeleteFlagRequest{Key: "one"})
			require.NoError(t, err)
			history, err := flags.History(ctx, &hoistv1.HistoryRequest{Key: "one"})
			require.NoError(t, err)
			require.Empty(t, history.GetVersions()[0].GetRecord(), "the newest version is the deletion")
			restored, err := flags.Restore(ctx, &hoistv1.RestoreRequest{Key: "one", Revision: put.GetReceipt().GetRevision()})
			require.NoError(t, err)
			require.True(t, restored.GetState().GetFlag().GetEnabled())
		})
	}
}

// requireError checks the code and the machine code of an error and returns its detail.
func requireError(t *testing.T, err error, code connect.Code, machine string) *hoistv1.ErrorInfo {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, connect.CodeOf(err), err)
	info := client.Info(err)
	require.NotNil(t, info, err)
	require.Equal(t, machine, info.GetCode(), err)
	require.Equal(t, testEpoch, info.GetEpoch())
	return info
}

func TestWritesThatAreRefused(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n)
	c := connectTo(t, web.URL)
	ctx := t.Context()
	first, err := c.Flags.Put(ctx, &hoistv1.PutFlagRequest{Flag: boolean("one")})
	require.NoError(t, err)

	t.Run("an invalid definition never reaches the log and names its field", func(t *testing.T) {
		before := len(n.seen)
		bad := boolean("bad")
		bad.Default = &hoistv1.Serve{Variant: "nope"}
		_, err := c.Flags.Put(ctx, &hoistv1.PutFlagRequest{Flag: bad})
		info := requireError(t, err, connect.CodeInvalidArgument, "INVALID")
		require.Equal(t, "/default/variant", info.GetProblems()[0].GetField())
		require.Len(t, n.seen, before)
	})
	t.Run("an expected revision that moved", func(t *testing.T) {
		stale := first.GetReceipt().GetObjectRevision()
		_, err := c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Write: &hoistv1.WriteOptions{ExpectedRevision: &stale}})
		require.NoError(t, err)
		_, err = c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: true, Write: &hoistv1.WriteOptions{ExpectedRevision: &stale}})
		info := requireError(t, err, connect.CodeAborted, "CONFLICT")
		got, err := c.Flags.Get(ctx, &hoistv1.GetFlagRequest{Key: "one"})
		require.NoError(t, err)
		require.Equal(t, got.GetState().GetRevision(), info.GetRevision())
		_, err = c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: true})
		require.NoError(t, err)
	})
	t.Run("create what exists", func(t *testing.T) {
		zero := uint64(0)
		_, err := c.Flags.Put(ctx, &hoistv1.PutFlagRequest{Flag: boolean("one"), Write: &hoistv1.WriteOptions{ExpectedRevision: &zero}})
		require.Contains(t, []connect.Code{connect.CodeAborted, connect.CodeAlreadyExists}, connect.CodeOf(err))
	})
	t.Run("the same request id twice", func(t *testing.T) {
		opts := &hoistv1.WriteOptions{RequestId: "once", Comment: "for the test"}
		a, err := c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: false, Write: opts})
		require.NoError(t, err)
		b, err := c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: false, Write: opts})
		require.NoError(t, err)
		require.True(t, b.GetReceipt().GetReplayed())
		require.Equal(t, a.GetReceipt().GetRevision(), b.GetReceipt().GetRevision())
		_, err = c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: true, Write: opts})
		info := requireError(t, err, connect.CodeInvalidArgument, "VAL_REQUEST_REUSED")
		require.Equal(t, "once", info.GetRequestId())
	})
	t.Run("a replay shows the flag as it was then", func(t *testing.T) {
		opts := &hoistv1.WriteOptions{RequestId: "then"}
		_, err := c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: true, Write: opts})
		require.NoError(t, err)
		_, err = c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: false})
		require.NoError(t, err)
		again, err := c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Enabled: true, Write: opts})
		require.NoError(t, err)
		require.True(t, again.GetState().GetFlag().GetEnabled())
	})
	t.Run("a dry run changes nothing and finds what the law finds", func(t *testing.T) {
		before := n.store.State().FullHash()
		r, err := c.Flags.Put(ctx, &hoistv1.PutFlagRequest{Flag: boolean("two"), Write: &hoistv1.WriteOptions{DryRun: true}})
		require.NoError(t, err)
		require.True(t, r.GetReceipt().GetDryRun())
		dangling := boolean("three")
		dangling.Prerequisites = []*hoistv1.Prerequisite{{Flag: "nowhere", Variants: []string{"on"}}}
		_, err = c.Flags.Put(ctx, &hoistv1.PutFlagRequest{Flag: dangling, Write: &hoistv1.WriteOptions{DryRun: true}})
		requireError(t, err, connect.CodeInvalidArgument, "INVALID")
		require.Equal(t, before, n.store.State().FullHash())
	})
	t.Run("what cannot be read", func(t *testing.T) {
		_, err := c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Write: &hoistv1.WriteOptions{RequestId: strings.Repeat("x", 65)}})
		requireError(t, err, connect.CodeInvalidArgument, "MALFORMED")
		_, err = c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one", Write: &hoistv1.WriteOptions{Comment: "a\x00b"}})
		requireError(t, err, connect.CodeInvalidArgument, "MALFORMED")
		_, err = c.Flags.Put(ctx, &hoistv1.PutFlagRequest{})
		requireError(t, err, connect.CodeInvalidArgument, "INVALID")
		_, err = c.Flags.List(ctx, &hoistv1.ListFlagsRequest{PageSize: 1001})
		requireError(t, err, connect.CodeInvalidArgument, "MALFORMED")
	})
	t.Run("more than a management body may hold", func(t *testing.T) {
		big := boolean("big")
		big.Description = strings.Repeat("x", 1<<20)
		_, err := c.Flags.Put(ctx, &hoistv1.PutFlagRequest{Flag: big})
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
	})
	t.Run("no quorum", func(t *testing.T) {
		n.fail = &fsm.Error{Kind: fsm.KindNoQuorum, Detail: "no leader; evaluations keep working"}
		defer func() { n.fail = nil }()
		_, err := c.Flags.SetEnabled(ctx, &hoistv1.SetEnabledRequest{Key: "one"})
		info := requireError(t, err, connect.CodeUnavailable, "NO_QUORUM")
		require.Contains(t, err.Error(), "evaluations keep working")
		require.Positive(t, info.GetRetryAfterMs())
		require.NotEmpty(t, info.GetRequestId())
		_, err = c.Evaluation.Evaluate(ctx, &hoistv1.EvaluateRequest{Key: "one"})
		require.NoError(t, err)
	})
	t.Run("an environment that does not exist", func(t *testing.T) {
		_, err := c.Flags.Get(ctx, &hoistv1.GetFlagRequest{Environment: "nowhere", Key: "one"})
		requireError(t, err, connect.CodeNotFound, "NOT_FOUND")
	})
	t.Run("a revision that does not come, and one of another epoch", func(t *testing.T) {
		_, err := c.Flags.Get(ctx, &hoistv1.GetFlagRequest{Key: "one", Read: &hoistv1.ReadOptions{Epoch: "other"}})
		requireError(t, err, connect.CodeAborted, "RESTORED")
	})
	t.Run("the audit names who and why", func(t *testing.T) {
		rows, err := c.Audit.List(ctx, &hoistv1.ListAuditRequest{Newest: true, Limit: 100})
		require.NoError(t, err)
		var found bool
		for _, row := range rows.GetRows() {
			found = found || row.GetRequestId() == "once" && row.GetActor().GetId() == "ann" && row.GetReason() == "for the test"
		}
		require.True(t, found)
	})
}

func TestListPages(t *testing.T) {
	n := newNode(t)
	web, _ := serve(t, n)
	c := connectTo(t, web.URL)
	for i := range 25 {
		f := boolean(fmt.Sprintf("flag-%02d", i))
		f.Tags = []string{[]string{"even", "odd"}[i%2]}
		_, err := c.Flags.Put(t.Context(), &hoistv1.PutFlagRequest{Flag: f})
		require.NoError(t, err)
	}
	var keys []string
	token := ""
	for {
		page, err := c.Flags.List(t.Context(), &hoistv1.ListFlagsRequest{PageSize: 4, PageToken: token, Tags: []string{"odd"}})
		require.NoError(t, err)
		for _, f := range page.GetFlags() {
			keys = append(keys, f.GetFlag().GetKey())
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Len(t, keys, 12)
	require.IsIncreasing(t, keys)
	found, err := c.Flags.List(t.Context(), &hoistv1.ListFlagsRequest{Query: "FLAG-1"})
	require.NoError(t, err)
	require.Len(t, found.GetFlags(), 10)
}

func TestEnvironmentsAndSegments(t *testing.T) {
	web, _ := serve(t, newNode(t))
	c := connectTo(t, web.URL)
	ctx := t.Context()
	list, err := c.Environments.List(ctx, &hoistv1.ListEnvironmentsRequest{})
	require.NoError(t, err)
	require.Len(t, list.GetEnvironments(), 3)
	require.Equal(t, "dev", list.GetEnvironments()[0].GetKey())
	_, err = c.Environments.Create(ctx, &hoistv1.CreateEnvironmentRequest{Key: "canary", Name: "Canary"})
	require.NoError(t, err)

	_, err = c.Segments.Put(ctx, &hoistv1.PutSegmentRequest{Environment: "canary", Segment: &hoistv1.Segment{Key: "beta", Include: []string{"u1", "u2"}}})
	require.NoError(t, err)
	user := boolean("uses-beta")
	user.Rules = []*hoistv1.Rule{{Id: "beta", If: []*hoistv1.Clause{{Operator: "segment", Values: []*structpb.Value{structpb.NewStringValue("beta")}}}, Then: &hoistv1.Serve{Variant: "off"}}}
	_, err = c.Flags.Put(ctx, &hoistv1.PutFlagRequest{Environment: "canary", Flag: user})
	require.NoError(t, err)
	segments, err := c.Segments.List(ctx, &hoistv1.ListSegmentsRequest{Environment: "canary"})
	require.NoError(t, err)
	require.EqualValues(t, 2, segments.GetSegments()[0].GetIncluded())
	require.Empty(t, segments.GetSegments()[0].GetState().GetSegment().GetInclude())
	got, err := c.Segments.Get(ctx, &hoistv1.GetSegmentRequest{Environment: "canary", Key: "beta"})
	require.NoError(t, err)
	require.Equal(t, []string{"u1", "u2"}, got.GetState().GetSegment().GetInclude())
	require.NotEmpty(t, got.GetState().GetReferrers())
	_, err = c.Segments.Delete(ctx, &hoistv1.DeleteSegmentRequest{Environment: "canary", Key: "beta"})
	require.Error(t, err, "something refers to it")

	member, err := structpb.NewStruct(map[string]any{"targetingKey": "u1"})
	require.NoError(t, err)
	why, err := c.Evaluation.Explain(ctx, &hoistv1.ExplainRequest{Environment: "canary", Key: "uses-beta", Context: member})
	require.NoError(t, err)
	require.Equal(t, "beta", why.GetEvaluation().GetRuleId())
	require.Equal(t, "match", why.GetSteps()[0].GetOutcome())
}

func TestEvaluateErrors(t *testing.T) {
	web, _ := serve(t, golden(t))
	c := connectTo(t, web.URL)
	_, err := c.Evaluation.Evaluate(t.Context(), &hoistv1.EvaluateRequest{Key: "nope"})
	requireError(t, err, connect.CodeNotFound, "FLAG_NOT_FOUND")
	_, err = c.Evaluation.Evaluate(t.Context(), &hoistv1.EvaluateRequest{Key: "split"})
	requireError(t, err, connect.CodeInvalidArgument, "TARGETING_KEY_MISSING")
	wrong, err := structpb.NewStruct(map[string]any{"targetingKey": 7})
	require.NoError(t, err)
	_, err = c.Evaluation.Evaluate(t.Context(), &hoistv1.EvaluateRequest{Key: "banner", Context: wrong})
	requireError(t, err, connect.CodeInvalidArgument, "INVALID_CONTEXT")
	all, err := c.Evaluation.EvaluateAll(t.Context(), &hoistv1.EvaluateAllRequest{})
	require.NoError(t, err)
	require.Len(t, all.GetEvaluations(), 5)
	for _, e := range all.GetEvaluations() {
		require.Equal(t, e.GetKey() == "split", e.GetErrorCode() != "")
	}
}
