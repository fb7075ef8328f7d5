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
	id         string // of the token that asked; "open" at an open door
	scope      fsm.Scope
	visibility string // the kind of that token: srv sees every flag, cli those that are client-visible
	slot       int64  // since 1970, in slotLength
}

const (
	slotLength     = 15 * time.Minute
	slotTolerance  = time.Minute // between the clocks of nodes
	openID         = "open"
	seesEverything = "srv"
	tokenForm      = "1"
)

// streamTokenOf is the stream token of a visitor at a time. The epoch is part of the key, not of the token.
func streamTokenOf(v visitor, now time.Time) streamToken {
	t := streamToken{id: openID, scope: v.scope, visibility: seesEverything, slot: now.Unix() / int64(slotLength/time.Second)}
	if v.pass != nil {
		t.id = v.pass.token.ID
	}
	if v.client {
		t.visibility = string(fsm.TokenClient)
	}
	return t
}

// client tells whether the stream is about client-visible flags only.
func (t streamToken) client() bool { return t.visibility == string(fsm.TokenClient) }

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

// verify reads a token and checks it: that the token it was made for still counts, the key, and the clock.
func (o *ofrep) verify(text string, now time.Time) (streamToken, *pass, bool) {
	head, _, ok := strings.Cut(text, ".")
	payload, err := base64.RawURLEncoding.DecodeString(head)
	if !ok || err != nil {
		return streamToken{}, nil, false
	}
	parts := strings.Split(string(payload), "\x00")
	if len(parts) != 7 || parts[0] != tokenForm {
		return streamToken{}, nil, false
	}
	slot, err := strconv.ParseInt(parts[5], 10, 64)
	if err != nil {
		return streamToken{}, nil, false
	}
	t := streamToken{id: parts[1], scope: fsm.Scope{Tenant: parts[2], Environment: parts[3]}, visibility: parts[4], slot: slot}
	var p *pass
	if !o.server.cfg.NoAuth {
		if p = o.server.gate.current().passes[t.id]; p == nil || p.counts(now) != nil || p.scope != t.scope || string(p.token.Kind) != t.visibility {
			return streamToken{}, nil, false
		}
	}
	epoch, _ := o.server.source.At(t.scope)
	expected := t.sign(o.key(p, t.scope, epoch))
	if !hmac.Equal([]byte(expected), []byte(text)) {
		return streamToken{}, nil, false
	}
	return t, p, now.After(t.begins().Add(-slotTolerance)) && now.Before(t.ends().Add(slotTolerance))
}

// key signs the stream tokens of one token, the same on every node and edge: it is made of what they keep of that token, so
// it goes when the token goes. At an open door it is made of the epoch, which is no secret, as the stream shows no more
// than the door beside it.
func (o *ofrep) key(p *pass, scope fsm.Scope, epoch string) []byte {
	secret := []byte(epoch)
	if p != nil {
		secret = append(secret, p.digest[:]...)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("stream token\x00" + scope.Tenant + "\x00" + scope.Environment))
	return mac.Sum(nil)
}
