package transport_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/transport"
)

// Every route is described, and nothing is described that is not there.
func TestEveryRouteIsDescribed(t *testing.T) {
	_, server := serve(t, newNode(t))
	described, err := transport.Operations()
	require.NoError(t, err)
	answered := map[string]bool{}
	for _, name := range described {
		method, path, _ := strings.Cut(name, " ")
		pattern := server.PatternOf(method, path)
		if !strings.HasPrefix(pattern, method+" /api/v1/") {
			t.Errorf("%s is described, but no route answers it: mount it, or take it out of transport/openapi", name)
		}
		answered[pattern] = true
	}
	for _, pattern := range server.Patterns() {
		if !answered[pattern] {
			t.Errorf("%s is served, but not described: add it to \"operations\" of a file in transport/openapi, with a summary and the schemas of its body and answers", pattern)
		}
	}
}

func description(t *testing.T) (string, map[string]any) {
	t.Helper()
	web, _ := serve(t, newNode(t), withCalendars)
	got := do(t, "GET", web.URL+transport.OpenAPIPath, "")
	require.Equal(t, http.StatusOK, got.status)
	var document map[string]any
	require.NoError(t, json.Unmarshal([]byte(got.body), &document))
	return web.URL, document
}

func TestTheDescriptionHoldsTogether(t *testing.T) {
	_, document := description(t)
	require.Equal(t, "3.1.0", document["openapi"])
	ids := map[string]bool{}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if to, ok := v["$ref"].(string); ok {
				require.NotNil(t, resolve(document, to), "%s refers to %s, which is not there", at, to)
			}
			if id, ok := v["operationId"].(string); ok {
				require.False(t, ids[id], "%s is there twice", id)
				ids[id] = true
				require.NotEmpty(t, v["summary"], id)
			}
			for name, inner := range v {
				walk(at+"/"+name, inner)
			}
		case []any:
			for i, inner := range v {
				walk(fmt.Sprintf("%s/%d", at, i), inner)
			}
		}
	}
	walk("", document)
	require.Greater(t, len(ids), 30)
}

func resolve(document map[string]any, to string) any {
	var at any = document
	for _, name := range strings.Split(strings.TrimPrefix(to, "#/"), "/") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[name]
	}
	return at
}

// complaints says where a value is not as a schema says. It knows the few words that our schemas use.
func complaints(document map[string]any, schema, value any, at string) []string {
	rules, _ := schema.(map[string]any)
	if to, ok := rules["$ref"].(string); ok {
		return complaints(document, resolve(document, to), value, at)
	}
	if allowed, ok := rules["enum"].([]any); ok && !slices.Contains(allowed, value) {
		return []string{fmt.Sprintf("%s: %v is none of %v", at, value, allowed)}
	}
	var out []string
	switch kind, _ := rules["type"].(string); kind {
	case "":
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return []string{at + ": no object"}
		}
		return membersOf(document, rules, object, at)
	case "array":
		list, ok := value.([]any)
		if !ok {
			return []string{at + ": no list"}
		}
		for i, item := range list {
			out = append(out, complaints(document, rules["items"], item, fmt.Sprintf("%s/%d", at, i))...)
		}
	case "string", "boolean":
		if have := fmt.Sprintf("%T", value); have != map[string]string{"string": "string", "boolean": "bool"}[kind] {
			return []string{fmt.Sprintf("%s: %s, not %s", at, have, kind)}
		}
	case "integer", "number":
		if n, ok := value.(float64); !ok || kind == "integer" && n != float64(int64(n)) {
			return []string{fmt.Sprintf("%s: %v is no %s", at, value, kind)}
		}
	}
	return out
}

func membersOf(document, rules, object map[string]any, at string) (out []string) {
	known, _ := rules["properties"].(map[string]any)
	required, _ := rules["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			out = append(out, fmt.Sprintf("%s: %s is missing", at, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		schema, ok := known[name]
		switch {
		case ok:
			out = append(out, complaints(document, schema, object[name], at+"/"+name)...)
		case rules["additionalProperties"] == false:
			out = append(out, fmt.Sprintf("%s: %s is not described", at, name))
		}
	}
	return out
}

// Answers of every sort are as described: the table is a session over everything, in order.
func TestAnswersAreAsDescribed(t *testing.T) {
	url, document := description(t)
	const flags, configs, segments, schedules = "/api/v1/config/feature-flags", "/api/v1/config/configs", "/api/v1/config/segments", "/api/v1/config/schedules"
	split := `{"key":"search","type":"string","variants":[{"key":"new","value":"n"},{"key":"old"}],"off":"old","metadata":{"tier":1},
		"rules":[{"id":"beta","if":[{"attribute":"plan","operator":"in","values":["pro"]}],"then":{"variant":"new"}}],
		"default":{"split":{"weights":[{"variant":"new","weight":25000},{"variant":"old","weight":75000}]}}}`
	for _, c := range []struct {
		operation, path, body string
		status                int
	}{
		{"POST " + flags, flags, flagBody, 201},
		{"POST " + flags, flags, split, 201},
		{"POST " + flags, flags, `{"key":"checkout"}`, 422},
		{"POST " + flags, flags, `{"nope":1}`, 400},
		{"POST " + flags, flags, flagBody, 409},
		{"GET " + flags, flags, "", 200},
		{"GET " + flags + "/{key}", flags + "/search", "", 200},
		{"GET " + flags + "/{key}", flags + "/none", "", 404},
		{"GET " + flags + "/tag/{tag}", flags + "/tag/shop", "", 200},
		{"GET " + flags + "/{key}/enabled", flags + "/checkout/enabled", "", 200},
		{"POST " + flags + "/{key}/evaluate", flags + "/checkout/evaluate", `{"context":{"targetingKey":"u"}}`, 200},
		{"POST " + flags + "/{key}/toggle", flags + "/checkout/toggle", "", 200},
		{"POST " + flags + "/{key}/kill", flags + "/checkout/kill", `{"reason":"r"}`, 200},
		{"POST " + flags + "/{key}/unkill", flags + "/checkout/unkill", "", 200},
		{"GET " + flags + "/{key}/versions", flags + "/checkout/versions", "", 200},
		{"GET " + flags + "/{key}/versions/diff", flags + "/checkout/versions/diff?from=2&to=5", "", 200},
		{"POST " + flags + "/{key}/rollback", flags + "/checkout/rollback", `{"version":2}`, 200},
		{"DELETE " + flags + "/{key}", flags + "/search", "", 200},
		{"POST " + configs, configs, `{"key":"query.timeout","value":"180s"}`, 201},
		{"PUT " + configs + "/{key}", configs + "/query.timeout", `{"value":"60s"}`, 200},
		{"GET " + configs, configs, "", 200},
		{"GET " + configs + "/export", configs + "/export", "", 200},
		{"POST " + configs + "/import", configs + "/import", `{"items":[{"key":"a","value":1}]}`, 200},
		{"POST " + segments, segments, `{"key":"beta","include":["user-1"],"rules":[{"if":[{"attribute":"plan","operator":"in","values":["pro"]}]}]}`, 201},
		{"GET " + segments, segments, "", 200},
		{"POST " + schedules + "/one-time", schedules + "/one-time", `{"flagId":"checkout","action":"ENABLE","startTime":"2190-01-01T00:00:00Z","name":"n","metadata":{"a":"b"}}`, 201},
		{"POST " + schedules + "/window", schedules + "/window", `{"flagId":"checkout","action":"SET_PERCENTAGE","targetPercentage":12.5,"startTime":"2190-01-01T00:00","endTime":"2190-01-02T00:00","timezone":"Europe/Berlin"}`, 201},
		{"POST " + schedules + "/recurring", schedules + "/recurring", `{"flagId":"query.timeout","action":"SET_VALUE","targetValue":"1s","cron":"0 9 * * 1-5","timezone":"Europe/Berlin"}`, 201},
		{"GET " + schedules, schedules, "", 200},
		{"GET /api/v1/config/audit", "/api/v1/config/audit", "", 200},
		{"GET /api/v1/config/audit", "/api/v1/config/audit?page=-1", "", 400},
		{"GET /api/v1/config/audit/flags/{key}", "/api/v1/config/audit/flags/checkout", "", 200},
		{"GET /api/v1/config/audit/config/{key}", "/api/v1/config/audit/config/query.timeout", "", 200},
		{"GET /api/v1/config/audit/user/{id}", "/api/v1/config/audit/user/nobody", "", 200},
		{"GET /api/v1/config/audit/range", "/api/v1/config/audit/range?start=2020-01-01T00:00:00Z", "", 200},
		{"GET /api/v1/config/audit/search", "/api/v1/config/audit/search?key=query.*", "", 200},
		{"GET /api/v1/config/audit/versions/{key}", "/api/v1/config/audit/versions/beta", "", 200},
		{"GET /api/v1/config/audit/versions/{key}/diff", "/api/v1/config/audit/versions/checkout/diff?from=2&to=5", "", 200},
		{"GET /api/v1/config/audit/verify", "/api/v1/config/audit/verify", "", 200},
		{"GET /api/v1/config/environments", "/api/v1/config/environments", "", 200},
		{"POST /api/v1/config/environments", "/api/v1/config/environments", `{"key":"qa"}`, 201},
		{"GET /api/v1/config/environments/{key}", "/api/v1/config/environments/qa", "", 200},
	} {
		method, path, _ := strings.Cut(c.operation, " ")
		got := do(t, method, url+c.path, c.body)
		require.Equal(t, c.status, got.status, "%s: %s", c.operation, got.body)
		operation, ok := document["paths"].(map[string]any)[path].(map[string]any)[strings.ToLower(method)].(map[string]any)
		require.True(t, ok, c.operation)
		answers := operation["responses"].(map[string]any)
		schema := map[string]any{"$ref": "#/components/schemas/Problem"}
		if described, ok := answers[fmt.Sprint(c.status)].(map[string]any); ok {
			schema = described["content"].(map[string]any)["application/json"].(map[string]any)["schema"].(map[string]any)
		} else {
			require.GreaterOrEqual(t, c.status, 400, "%s: %d is not described", c.operation, c.status)
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
		}
		var value any
		require.NoError(t, json.Unmarshal([]byte(got.body), &value))
		require.Empty(t, complaints(document, schema, value, ""), "%s answers %s", c.operation, got.body)
		require.NotEmpty(t, got.header.Get("Hoist-Revision"), c.operation)
		require.NotEmpty(t, got.header.Get("Hoist-Epoch"), c.operation)
	}
}
