package transport_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// The case files are the contract of evaluation: the core runs them, and here the same files go through OFREP.
func TestCaseFilesThroughOFREP(t *testing.T) {
	files, err := filepath.Glob("../evaluator/testdata/cases/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			var file struct {
				Flags, Segments []json.RawMessage
				Cases           []struct {
					Name, Flag string
					Context    json.RawMessage
					Expect     map[string]any
				}
			}
			require.NoError(t, json.Unmarshal(data, &file))
			n := newNode(t)
			n.load(t, file.Flags, file.Segments)
			web, _ := serve(t, n)
			behind := edgeOf(t, web.URL)
			for _, c := range file.Cases {
				body := `{"context":` + string(c.Context) + `}`
				a := post(t, web.URL+"/ofrep/v1/evaluate/flags/"+url.PathEscape(c.Flag), body)
				require.Equal(t, c.Expect, seen(t, a), "%s: %d %s", c.Name, a.status, a.body)
				b := post(t, behind+"/ofrep/v1/evaluate/flags/"+url.PathEscape(c.Flag), body)
				require.Equal(t, a.body, b.body, "%s at an edge", c.Name)
			}
		})
	}
}

// load writes definitions in one atomic step, through the parts of a big write where they are many.
func (n *node) load(t *testing.T, flags, segments []json.RawMessage) {
	t.Helper()
	batch := fsm.Batch{Scope: dev}
	for _, data := range segments {
		s, err := evaluator.DecodeSegment(data)
		require.NoError(t, err)
		batch.Commands = append(batch.Commands, fsm.PutSegment{Scope: dev, Segment: s})
	}
	for _, data := range flags {
		f, err := evaluator.DecodeFlag(data)
		require.NoError(t, err)
		batch.Commands = append(batch.Commands, fsm.PutFlag{Scope: dev, Flag: f})
	}
	parts, err := fsm.Split(batch, "load")
	require.NoError(t, err)
	for _, p := range parts {
		n.write(t, p)
	}
}

// seen turns an OFREP answer into what a case expects.
func seen(t *testing.T, a answer) map[string]any {
	t.Helper()
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &body), a.body)
	if code, failed := body["errorCode"]; failed {
		require.NotEqual(t, 200, a.status)
		return map[string]any{"reason": "ERROR", "errorCode": code}
	}
	require.Equal(t, 200, a.status)
	out := map[string]any{"reason": body["reason"]}
	for _, name := range []string{"value", "variant"} {
		if v, ok := body[name]; ok {
			out[name] = v
		}
	}
	metadata := body["metadata"].(map[string]any)
	for name, key := range map[string]string{"ruleId": "hoist.rule", "label": "hoist.label"} {
		if v, ok := metadata[key]; ok {
			out[name] = v
		}
	}
	return out
}
