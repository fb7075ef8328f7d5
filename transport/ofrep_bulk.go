package transport

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// configWait is how long a bulk request waits for the revision that an event told it of.
const configWait = 5 * time.Second

// bulk answers for all flags of the environment.
func (o *ofrep) bulk(w http.ResponseWriter, r *http.Request, v visitor) {
	j := o.jobs.Get().(*job)
	defer o.jobs.Put(j)
	scope := v.scope
	if err := j.read(r, maxBulkBody); err != nil {
		o.refuse(w, scope, "", err)
		return
	}
	if r.URL.RawQuery != "" {
		if err := o.awaitEvent(r, scope); err != nil {
			o.unavailable(w, scope, "", err)
			return
		}
	}
	p, err := o.ready(r, scope)
	if err != nil {
		o.unavailable(w, scope, "", err)
		return
	}
	snapshot := p.live.Snapshot()
	token := streamTokenOf(v, time.Now())
	tag := o.tag(j, token, snapshot)
	w.Header()["Etag"] = []string{tag}
	if matches(r.Header["If-None-Match"], tag) {
		o.stampHeaders(w.Header(), scope)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	j.out = o.appendBulk(j, p, snapshot, v, token)
	o.answer(w, scope, http.StatusOK, j.out)
}

// awaitEvent waits until this node has applied the revision of the event that made the client ask. An unreadable value
// and another epoch are ignored.
func (o *ofrep) awaitEvent(r *http.Request, scope fsm.Scope) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil // not ours to judge: evaluation does not depend on it
	}
	epoch, revision, ok := parsePosition(strings.Trim(query.Get("flagConfigEtag"), `"`))
	if now, _ := o.server.source.At(scope); !ok || epoch != now {
		return nil
	}
	return o.server.awaitRevision(r.Context(), scope, revision, configWait)
}

// tagVersion is hashed into every ETag; it changes with the form of the body.
const tagVersion = 1

// tag is the ETag of the answer: made from everything the answer depends on and before evaluating, so that a match costs
// a hash. Equal tags mean equal bodies.
func (o *ofrep) tag(j *job, token streamToken, s *evaluator.Snapshot) string {
	b := append(j.scratch[:0], tagVersion)
	b = appendSized(b, s.Epoch())
	b = binary.BigEndian.AppendUint64(b, s.ScopeRevision(token.client()))
	b = appendSized(b, token.scope.Tenant)
	b = appendSized(b, token.scope.Environment)
	b = appendSized(b, token.id)
	b = appendSized(b, token.visibility)
	b = binary.BigEndian.AppendUint64(b, uint64(token.slot))
	b = j.context.AppendCanonical(b) // last, so it needs no length
	j.scratch = b
	sum := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

func appendSized(dst []byte, text string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...)
}

// matches compares If-None-Match weakly: a list, *, W/ and tags without quotes are understood.
func matches(header []string, tag string) bool {
	for _, line := range header {
		for entry := range strings.SplitSeq(line, ",") {
			entry = strings.TrimPrefix(strings.TrimSpace(entry), "W/")
			if entry == "*" || entry == tag || entry == tag[1:len(tag)-1] {
				return true
			}
		}
	}
	return false
}

// appendBulk appends {"flags","metadata","eventStreams"}. One flag that fails fails nothing else.
func (o *ofrep) appendBulk(j *job, p *place, s *evaluator.Snapshot, v visitor, token streamToken) []byte {
	p.use.Whole()
	revision := s.ScopeRevision(v.client)
	dst := append(j.out[:0], `{"flags":[`...)
	if page := p.page(s, v); page != nil {
		dst = page.append(dst, p, &j.context)
	} else {
		dst = appendOneByOne(dst, p, s, v, &j.context)
	}
	dst = append(dst, `],"metadata":{"hoist.revision":`...)
	dst = strconv.AppendUint(dst, revision, 10)
	dst = append(dst, `},"eventStreams":[{"type":"sse","endpoint":{"requestUri":`...)
	uri := o.server.cfg.PublicPrefix + ofrepPrefix + streamPath + "?st=" + o.signed(v, token, s.Epoch()) +
		"&since=" + s.Epoch() + "." + strconv.FormatUint(revision, 10)
	dst = evaluator.String(uri).AppendJSON(dst)
	return append(dst, `},"inactivityDelaySec":120}]}`...)
}

// signing is a stream token and its signed text. Everybody who asks with one credential within a slot gets the same.
type signing struct {
	pass        *pass
	token       streamToken
	epoch, text string
}

func (o *ofrep) signed(v visitor, token streamToken, epoch string) string {
	if last := o.lastSigned.Load(); last != nil && last.pass == v.pass && last.token == token && last.epoch == epoch {
		return last.text
	}
	made := &signing{v.pass, token, epoch, token.sign(o.key(v.pass, token.scope, epoch))}
	o.lastSigned.Store(made)
	return made.text
}
