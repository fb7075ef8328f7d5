package transport

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/fsm"
)

// A stream token opens the event stream of one scope and nothing else: an EventSource cannot send credentials. It is
// stateless, and the same for all who ask within a slot, so that URLs stay stable and every client gets a new one before
// the old one dies.
type streamToken struct {
	id         string // of the token that asked; "open" while there are none
	scope      fsm.Scope
	visibility string // srv sees every flag
	slot       int64  // since 1970, in slotLength
}

const (
	slotLength     = 15 * time.Minute
	slotTolerance  = time.Minute // between the clocks of nodes
	openID         = "open"
	seesEverything = "srv"
	tokenForm      = "1"
)

// token is the stream token of a scope at a time. The epoch is part of the key, not of the token.
func (o *ofrep) token(scope fsm.Scope, _ string, now time.Time) streamToken {
	return streamToken{id: openID, scope: scope, visibility: seesEverything, slot: now.Unix() / int64(slotLength/time.Second)}
}

// ends is when the token stops working: at the end of the slot after its own.
func (t streamToken) ends() time.Time { return time.Unix((t.slot+2)*int64(slotLength/time.Second), 0) }

// begins is the start of its slot.
func (t streamToken) begins() time.Time { return time.Unix(t.slot*int64(slotLength/time.Second), 0) }

func (t streamToken) payload() string {
	return strings.Join([]string{
		tokenForm, t.id, t.scope.Tenant, t.scope.Environment, t.visibility,
		strconv.FormatInt(t.slot, 10), strconv.FormatInt(t.ends().Unix(), 10),
	}, "\x00")
}

// sign renders the token: base64url(payload) "." base64url(HMAC-SHA256).
func (t streamToken) sign(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(t.payload()))
	return base64.RawURLEncoding.EncodeToString([]byte(t.payload())) + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// verify reads a token and checks it against the key of its scope and the clock.
func (o *ofrep) verify(text string, now time.Time) (streamToken, bool) {
	head, _, ok := strings.Cut(text, ".")
	payload, err := base64.RawURLEncoding.DecodeString(head)
	if !ok || err != nil {
		return streamToken{}, false
	}
	parts := strings.Split(string(payload), "\x00")
	if len(parts) != 7 || parts[0] != tokenForm {
		return streamToken{}, false
	}
	slot, err := strconv.ParseInt(parts[5], 10, 64)
	if err != nil {
		return streamToken{}, false
	}
	t := streamToken{id: parts[1], scope: fsm.Scope{Tenant: parts[2], Environment: parts[3]}, visibility: parts[4], slot: slot}
	epoch, _ := o.server.source.At(t.scope)
	expected := t.sign(o.key(t.scope, epoch))
	if !hmac.Equal([]byte(expected), []byte(text)) {
		return streamToken{}, false
	}
	return t, now.After(t.begins().Add(-slotTolerance)) && now.Before(t.ends().Add(slotTolerance))
}

// key signs the tokens of one scope, the same on every node and edge. It is derived from the epoch, which is no secret:
// until tokens exist the stream shows no more than the open door beside it. With tokens, a random key per
// environment takes its place in the replicated state.
func (o *ofrep) key(scope fsm.Scope, epoch string) []byte {
	mac := hmac.New(sha256.New, []byte(epoch))
	mac.Write([]byte("stream token\x00" + scope.Tenant + "\x00" + scope.Environment))
	return mac.Sum(nil)
}
