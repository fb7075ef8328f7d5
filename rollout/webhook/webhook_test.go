package webhook_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hoistflags/hoist/fsm"
	"github.com/hoistflags/hoist/rollout"
	"github.com/hoistflags/hoist/rollout/webhook"
)

const secret = "0123456789abcdef0123456789abcdef"

func notice() *fsm.Notice {
	return &fsm.Notice{ID: "e.7", Seq: 7, To: "releases", Kind: "rollout.paused", At: 1_795_000_000_000, Tenant: "default", Environment: "dev",
		Subject: "rollout/p-3", Revision: 12, Actor: fsm.Actor{Kind: "system", ID: "pilot"}, Data: []byte(`{"phase":"paused"}`)}
}

// post is one request as the receiver saw it.
type post struct {
	header http.Header
	body   []byte
}

// receiver answers with a status and keeps what it got.
func receiver(t *testing.T, status int) (book *webhook.Book, got *[]post) {
	t.Helper()
	got = &[]post{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			*got = append(*got, post{r.Header, body})
		}
		w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return book1(t, server.URL+"/hook?token=in-the-address", secret), got
}

func book1(t *testing.T, url, keys string) *webhook.Book {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(keys), 0o600))
	book, err := webhook.Parse(fmt.Appendf(nil, "releases: {url: %q, secret_file: %q}\n", url, path))
	require.NoError(t, err)
	return book
}

func TestANoticeIsSignedAndVerifies(t *testing.T) {
	book, got := receiver(t, http.StatusNoContent)
	require.NoError(t, book.Deliver(t.Context(), notice()))
	require.NoError(t, book.Deliver(t.Context(), notice()))
	first, second := (*got)[0], (*got)[1]
	require.JSONEq(t, `{"type":"rollout.paused","timestamp":"2026-11-18T11:06:40Z","id":"e.7","tenant":"default","environment":"dev",
		"subject":"rollout/p-3","revision":12,"actor":{"kind":"system","id":"pilot"},"data":{"phase":"paused"}}`, string(first.body))
	require.Equal(t, first.body, second.body)
	require.Equal(t, "e.7", second.header.Get(webhook.HeaderID), "a repeat has the same id")

	secrets, err := webhook.ParseSecrets(secret)
	require.NoError(t, err)
	now := time.Now()
	require.NoError(t, webhook.Verify(secrets, first.header, first.body, now))
	other, err := webhook.ParseSecrets("another secret of enough bytes")
	require.NoError(t, err)
	require.Error(t, webhook.Verify(other, first.header, first.body, now))
	require.Error(t, webhook.Verify(secrets, first.header, append(first.body, ' '), now))
	require.ErrorContains(t, webhook.Verify(secrets, first.header, first.body, now.Add(6*time.Minute)), "5m0s")
	first.header.Set(webhook.HeaderID, "e.8")
	require.Error(t, webhook.Verify(secrets, first.header, first.body, now), "the id is signed too")
}

// The example of the Standard Webhooks specification: the scheme is theirs, so that their libraries verify.
func TestSignaturesAreThoseOfStandardWebhooks(t *testing.T) {
	secrets, err := webhook.ParseSecrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	h := http.Header{}
	h.Set(webhook.HeaderID, "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set(webhook.HeaderTimestamp, "1614265330")
	h.Set(webhook.HeaderSignature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	require.NoError(t, webhook.Verify(secrets, h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)))
}

// The line of the manual, with the tool everybody has.
func TestOpensslVerifies(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("there is no openssl here")
	}
	book, got := receiver(t, http.StatusOK)
	require.NoError(t, book.Deliver(t.Context(), notice()))
	p := (*got)[0]
	c := exec.CommandContext(t.Context(), "openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:"+hex.EncodeToString([]byte(secret)), "-binary")
	c.Stdin = strings.NewReader(p.header.Get(webhook.HeaderID) + "." + p.header.Get(webhook.HeaderTimestamp) + "." + string(p.body))
	mac, err := c.Output()
	require.NoError(t, err)
	require.Equal(t, p.header.Get(webhook.HeaderSignature), "v1,"+base64.StdEncoding.EncodeToString(mac))
}

// While a secret is being changed, notices carry both signatures.
func TestTwoSecretsSignBoth(t *testing.T) {
	var header http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	t.Cleanup(server.Close)
	require.NoError(t, book1(t, server.URL, secret+"\n"+strings.Repeat("n", 32)+"\n").Deliver(t.Context(), notice()))
	for _, one := range []string{secret, strings.Repeat("n", 32)} {
		secrets, err := webhook.ParseSecrets(one)
		require.NoError(t, err)
		require.NoError(t, webhook.Verify(secrets, header, body, time.Now()))
	}
}

func TestOnlyA2xxIsADelivery(t *testing.T) {
	for status, final := range map[int]bool{200: false, 202: false, 302: false, 307: false, 400: true, 401: false, 404: false, 410: false, 413: true,
		422: true, 429: false, 500: false, 503: false} {
		book, got := receiver(t, status)
		err := book.Deliver(t.Context(), notice())
		require.Len(t, *got, 1, "a redirect is not followed")
		if status/100 == 2 {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, fmt.Sprint(status))
		require.Equal(t, final, isRefused(err), status)
	}
}

func isRefused(err error) bool { return strings.Contains(err.Error(), rollout.ErrRefused.Error()) }

// What goes into the log when a delivery fails holds neither the address nor the secret.
func TestErrorsHoldNoAddressAndNoSecret(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL + "/hook/in-the-path?token=in-the-query"
	server.Close()
	book := book1(t, url, secret)
	err := book.Deliver(t.Context(), notice())
	require.Error(t, err)
	for _, hidden := range []string{"in-the-path", "in-the-query", secret} {
		require.NotContains(t, err.Error(), hidden)
	}
	unknown := notice()
	unknown.To = "alerts"
	require.ErrorContains(t, book.Deliver(t.Context(), unknown), "does not name")
}

func TestTheFileIsReadStrictly(t *testing.T) {
	t.Setenv("HOOK_SECRET", secret)
	t.Setenv("HOOK_SHORT", "short")
	book, err := webhook.Parse([]byte("b: {url: \"https://x.example/\", secret_env: HOOK_SECRET}\na: {url: \"http://10.0.0.1/\", secret_env: HOOK_SECRET}\n"))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, book.Names())
	for document, words := range map[string]string{
		`a: {url: "https://x.example/"}`:                                           "secret_file or secret_env",
		`a: {url: "https://x.example/", secret_env: HOOK_SECRET, secret_file: /x}`: "one of them",
		`a: {url: "ftp://x.example/", secret_env: HOOK_SECRET}`:                    "http or https",
		`a: {url: "https://x.example/", secret_env: HOOK_SECRET, retries: 3}`:      "retries",
		`a: {url: "https://x.example/", secret_env: HOOK_NONE}`:                    "no secret",
		`a: {url: "https://x.example/", secret_env: HOOK_SHORT}`:                   "at least 16",
		`a: {url: "https://x.example/", secret_file: /does/not/exist}`:             "secret_file",
		`[a, b]`: "receivers",
		"a: {url: \"https://x.example/\", secret_env: HOOK_SECRET}\na: {url: \"https://y.example/\"}": "already",
	} {
		_, err := webhook.Parse([]byte(document))
		require.ErrorContains(t, err, words, document)
		require.NotContains(t, err.Error(), "short\"")
	}
	none, err := webhook.Parse(nil)
	require.NoError(t, err)
	require.Empty(t, none.Names())
}
