package main

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	hoistv1 "github.com/hoistflags/hoist/transport/api/hoist/v1"
)

func refusal(t *testing.T, code string) error {
	t.Helper()
	err := connect.NewError(connect.CodeUnavailable, io.ErrUnexpectedEOF)
	detail, wrong := connect.NewErrorDetail(&hoistv1.ErrorInfo{Code: code})
	require.NoError(t, wrong)
	err.AddDetail(detail)
	return err
}

func TestRetriesOfAWrite(t *testing.T) {
	for name, c := range map[string]struct {
		answers []string // codes, "" is success; the last one repeats
		code    string
		took    time.Duration
	}{
		"a refusal that nothing was written ends at once":                     {[]string{"NO_QUORUM"}, "NO_QUORUM", 0},
		"a leader that has just gone is waited for":                           {[]string{"NOT_LEADER", ""}, "", 50 * time.Millisecond},
		"an unknown outcome is asked again under the same id":                 {[]string{"UNKNOWN_OUTCOME", ""}, "", 50 * time.Millisecond},
		"a later attempt that was not written says nothing about the unknown": {[]string{"UNKNOWN_OUTCOME", "NO_QUORUM"}, "UNKNOWN_OUTCOME", 10 * time.Second},
		"a conflict after an unknown outcome is an answer":                    {[]string{"UNKNOWN_OUTCOME", "CONFLICT"}, "CONFLICT", 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, calls, ids := time.Now(), 0, map[string]bool{}
				a := &app{stdout: io.Discard, stderr: io.Discard, timeout: 10 * time.Second}
				_, err := send(t.Context(), a, &writing{}, func(_ context.Context, o *hoistv1.WriteOptions) (*hoistv1.FlagReceipt, error) {
					code := c.answers[min(calls, len(c.answers)-1)]
					calls++
					ids[o.GetRequestId()] = true
					if code == "" {
						return &hoistv1.FlagReceipt{}, nil
					}
					return nil, refusal(t, code)
				})
				require.Equal(t, c.code, errorInfo(err).GetCode())
				require.Equal(t, c.code == "", err == nil)
				require.Equal(t, c.took, time.Since(began))
				require.Len(t, ids, 1)
			})
		})
	}
}
