package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// The headers of a notice.
const (
	HeaderID        = "Webhook-Id" // the same however often it is sent
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// tolerance is how old or young a signature may be.
const tolerance = 5 * time.Minute

// message is the body of a notice.
type message struct {
	Type        string          `json:"type"`
	Timestamp   time.Time       `json:"timestamp"`
	ID          string          `json:"id"`
	Tenant      string          `json:"tenant"`
	Environment string          `json:"environment,omitempty"`
	Subject     string          `json:"subject"`
	Revision    uint64          `json:"revision"`
	Actor       fsm.Actor       `json:"actor"`
	Data        json.RawMessage `json:"data,omitempty"`
}

// Body is what a receiver gets: the same bytes each time.
func Body(n *fsm.Notice) ([]byte, error) {
	body, err := json.Marshal(message{Type: n.Kind, Timestamp: time.UnixMilli(n.At).UTC(), ID: n.ID, Tenant: n.Tenant, Environment: n.Environment,
		Subject: n.Subject, Revision: n.Revision, Actor: n.Actor, Data: json.RawMessage(n.Data)})
	if err != nil {
		return nil, fmt.Errorf("notice %s: %w", n.ID, err)
	}
	return body, nil
}

// secrets reads the keys anew for every notice, so that they are changed without a restart: one per line, and while
// there are two, every notice is signed with both.
func (r receiver) secrets() ([][]byte, error) {
	text, from := os.Getenv(r.SecretEnv), "the variable "+r.SecretEnv
	if r.SecretFile != "" {
		data, err := os.ReadFile(r.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("secret_file: %w", err)
		}
		text, from = string(data), "the file "+r.SecretFile
	}
	secrets, err := ParseSecrets(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	return secrets, nil
}

// ParseSecrets reads one key per line: whsec_ and base64, or any text of at least 16 bytes. Errors do not hold the keys.
func ParseSecrets(text string) ([][]byte, error) {
	var out [][]byte
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key := []byte(line)
		if encoded, ok := strings.CutPrefix(line, "whsec_"); ok {
			var err error
			if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
				return nil, errors.New("what follows whsec_ is no base64")
			}
		}
		if len(key) < 16 {
			return nil, errors.New("a secret has at least 16 bytes; `openssl rand -hex 32` makes one")
		}
		out = append(out, key)
	}
	if len(out) == 0 {
		return nil, errors.New("there is no secret in it")
	}
	return out, nil
}

// sign gives one signature per key, separated by spaces: v1, and the HMAC-SHA256 of "ID.TIMESTAMP.BODY" in base64.
func sign(secrets [][]byte, id, timestamp string, body []byte) string {
	var all []string
	for _, key := range secrets {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}

// Verify judges a notice on the receiver's side: any of the signatures by any of the keys, made within five minutes of
// now. It returns why not.
func Verify(secrets [][]byte, header http.Header, body []byte, now time.Time) error {
	sent, err := strconv.ParseInt(header.Get(HeaderTimestamp), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is no time", HeaderTimestamp)
	}
	if age := now.Sub(time.Unix(sent, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("it was signed %s from now, more than %s", age.Round(time.Second), tolerance)
	}
	for given := range strings.FieldsSeq(header.Get(HeaderSignature)) {
		for _, key := range secrets {
			want := sign([][]byte{key}, header.Get(HeaderID), header.Get(HeaderTimestamp), bytes.Clone(body))
			if hmac.Equal([]byte(given), []byte(want)) {
				return nil
			}
		}
	}
	return errors.New("no signature fits: another secret, or the body, id or time was changed")
}
