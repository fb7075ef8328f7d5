package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const shop = "../../examples/shop"

func TestTheShopAnswersOverOFREPAndTheCommandLine(t *testing.T) {
	url := dev(t, shop)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/ofrep/v1/evaluate/flags/new-checkout",
		strings.NewReader(`{"context":{"targetingKey":"user-7"}}`))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+os.Getenv("TEST_SERVER_TOKEN"))
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	var answer struct {
		Value  bool
		Reason string
	}
	require.NoError(t, json.NewDecoder(response.Body).Decode(&answer))
	require.True(t, answer.Value)
	require.Equal(t, "TARGETING_MATCH", answer.Reason)

	require.Contains(t, does(t, "eval", "new-checkout", "-c", "targetingKey=user-7"), "TARGETING_MATCH  beta")
	require.Contains(t, does(t, "eval", "banner-text", "-c", "app_version:string=3.1"), "old-apps")
	require.Contains(t, does(t, "eval", "search-page", "-c", "screen_width=1920"), "large-screens")
	require.Contains(t, does(t, "eval", "checkout.timeout"), "15s")
	require.Contains(t, does(t, "eval", "gift-cards"), "DISABLED")

	does(t, "flag", "kill", "payments-v2")
	require.Contains(t, does(t, "eval", "new-checkout", "-c", "targetingKey=user-7"), "PREREQUISITE_FAILED")
}

func TestExplainSaysWhyAndWhyNot(t *testing.T) {
	dev(t, shop)
	got := does(t, "eval", "new-checkout", "-c", "targetingKey=user-1", "-c", "email=a@other.example", "--explain")
	require.Contains(t, got, "prerequisite payments-v2")
	require.Contains(t, got, "no-match     rule staff")
	require.Contains(t, got, `if email ends-with ["@shop.example"]: no-match (saw "a@other.example")`)
	require.Contains(t, got, `if segment ["beta-testers"]`)
	require.Contains(t, got, "match        default")

	got = does(t, "eval", "buy-button", "-c", "targetingKey=user-1", "--explain")
	require.Contains(t, got, `salt "buy-button/default"`)
	refuses(t, exitUsage, "--explain needs a KEY", "eval", "--explain")
}

func TestAnOlderRevisionAnswersAsItDid(t *testing.T) {
	dev(t, shop)
	var killed struct{ Receipt struct{ Revision string } }
	require.NoError(t, json.Unmarshal([]byte(does(t, "flag", "kill", "payments-v2", "-o", "json")), &killed))
	revision := killed.Receipt.Revision
	does(t, "flag", "unkill", "payments-v2")
	ask := []string{"eval", "new-checkout", "-c", "targetingKey=user-7"}
	require.Contains(t, does(t, ask...), "TARGETING_MATCH")
	require.Contains(t, does(t, append(ask, "--at", revision)...), "PREREQUISITE_FAILED")
	require.Contains(t, does(t, append(ask, "--at", revision, "--explain")...), "prerequisite payments-v2")
	refuses(t, exitNotFound, "the oldest version held", append(ask, "--at", "1")...)
	refuses(t, exitTimeout, "has not come yet", append(ask, "--at", "99999999")...)
	refuses(t, exitUsage, "--at needs a KEY", "eval", "--at", revision)
}

func TestAllFlagsForAContextFromAFile(t *testing.T) {
	dev(t, shop)
	path := file(t, "context.yaml", "targetingKey: user-1\ncountry: DE\n")
	got := does(t, "eval", "--context-file", path, "-c", "country=US", "-o", "json")
	var all struct {
		Evaluations []struct{ Key, Variant string }
	}
	require.NoError(t, json.Unmarshal([]byte(got), &all))
	require.Len(t, all.Evaluations, 9)
	for _, e := range all.Evaluations {
		if e.Key == "banner-text" {
			require.Equal(t, "winter", e.Variant, "-c wins over the file")
		}
	}
}

func TestPairsAreTyped(t *testing.T) {
	for pair, want := range map[string]string{
		"a=text":               `"text"`,
		"a=5":                  `5`,
		"a=true":               `true`,
		"a=3.0.1":              `"3.0.1"`,
		`a=["x","y"]`:          `["x","y"]`,
		"a=null":               `null`,
		"a:string=5":           `"5"`,
		"a:number=5":           `5`,
		"a=":                   `""`,
		"targetingKey=42":      `"42"`,
		"urn:x=1":              `1`,
		"a=k=v":                `"k=v"`,
		"rox.distinct_id=true": `true`,
	} {
		_, value, err := parsePair(pair)
		require.NoError(t, err, pair)
		data, err := messageJSON(value)
		require.NoError(t, err)
		require.Equal(t, want, string(data), pair)
	}
	for _, bad := range []string{"a", "=1", "a:number=x", "a:boolean=1", "a:json={"} {
		_, _, err := parsePair(bad)
		require.Error(t, err, bad)
	}
}

// A watcher gets the state first, then only what changed for its context.
func TestWatchPrintsEveryChange(t *testing.T) {
	dev(t, shop)
	lines := watching(t, "eval", "gift-cards", "--watch")
	require.Contains(t, lines(), "gift-cards\tfalse\toff\tDISABLED")
	does(t, "flag", "enable", "gift-cards")
	require.Contains(t, lines(), "gift-cards\ttrue\ton\tSTATIC")

	events := watching(t, "flag", "list", "--watch", "-o", "json")
	for range 9 + 1 { // the flags and the segment
		require.Contains(t, events(), `"action":"present"`)
	}
	does(t, "flag", "disable", "gift-cards")
	event := events()
	require.Contains(t, event, `"action":"changed"`)
	require.Contains(t, event, `"key":"gift-cards"`)
	does(t, "flag", "delete", "gift-cards")
	require.Contains(t, events(), `"action":"removed"`)
}

// watching runs a command that goes on until the test ends, and returns a way to read its next line.
func watching(t *testing.T, args ...string) func() string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, stdout := io.Pipe()
	var stderr synced
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, args, stdout, &stderr)
		_ = stdout.Close() // a pipe's Close cannot fail
	}()
	lines := bufio.NewScanner(out)
	t.Cleanup(func() {
		stop()
		require.NoError(t, out.Close())
		require.Zero(t, <-done, "%s", &stderr)
	})
	return func() string {
		require.True(t, lines.Scan(), "no more lines: %s", &stderr)
		return lines.Text()
	}
}
