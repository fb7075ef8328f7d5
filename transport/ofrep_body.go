package transport

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/evaluator"
)

// refusal is an answer of section 2 of the protocol notes: the request cannot be evaluated.
type refusal struct {
	status int
	code   evaluator.ErrorCode
	detail string
}

func (r *refusal) Error() string { return r.detail }

// gzipBody is a decompressor that stays with its job.
type gzipBody struct{ reader *gzip.Reader }

// read fills j.body and j.context from the request. Errors are *refusal.
func (j *job) read(r *http.Request, limit int64) error {
	if !isJSON(r.Header["Content-Type"]) {
		return &refusal{http.StatusUnsupportedMediaType, evaluator.ErrorParse, "Content-Type must be application/json"}
	}
	source := io.Reader(r.Body)
	if coding := r.Header["Content-Encoding"]; len(coding) > 0 && !strings.EqualFold(coding[0], "identity") {
		if len(coding) > 1 || !strings.EqualFold(coding[0], "gzip") {
			return &refusal{http.StatusUnsupportedMediaType, evaluator.ErrorParse, "Content-Encoding must be gzip or absent"}
		}
		if err := j.gzip.open(r.Body); err != nil {
			return &refusal{http.StatusBadRequest, evaluator.ErrorParse, "the body is not gzip"}
		}
		source = j.gzip.reader
	}
	if r.ContentLength > limit {
		return tooLarge(limit)
	}
	if err := j.fill(source, limit); err != nil {
		return err
	}
	return j.parse()
}

func tooLarge(limit int64) *refusal {
	return &refusal{http.StatusRequestEntityTooLarge, evaluator.ErrorInvalidContext,
		"the body is larger than " + size(limit)}
}

// size is a limit in KiB, as people write it.
func size(bytes int64) string {
	return string(evaluator.Number(float64(bytes>>10)).AppendJSON(nil)) + " KiB"
}

func (g *gzipBody) open(source io.Reader) error {
	if g.reader == nil {
		reader, err := gzip.NewReader(source)
		g.reader = reader
		return err
	}
	return g.reader.Reset(source)
}

// fill reads source into the job's buffer, at most limit bytes. The limit counts decompressed bytes.
func (j *job) fill(source io.Reader, limit int64) error {
	if cap(j.body) == 0 {
		j.body = make([]byte, 0, 1024)
	}
	j.body = j.body[:0]
	for {
		if len(j.body) == cap(j.body) {
			j.body = append(j.body, 0)[:len(j.body)]
		}
		n, err := source.Read(j.body[len(j.body):cap(j.body)])
		j.body = j.body[:len(j.body)+n]
		switch {
		case int64(len(j.body)) > limit:
			return tooLarge(limit)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &refusal{http.StatusBadRequest, evaluator.ErrorParse, "the body could not be read"}
		}
	}
}

// isJSON accepts application/json with any parameters.
func isJSON(header []string) bool {
	if len(header) != 1 {
		return false
	}
	if header[0] == "application/json" {
		return true
	}
	media, _, _ := strings.Cut(header[0], ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}

// parse finds the context in {"context": …} and reads it. Nearly every body has that one member: then what stands
// between the colon and the last brace is the context exactly if it parses, and the body is read once. Any other body
// takes the slow way, which also decides what is wrong with it.
func (j *job) parse() error {
	if raw, ok := onlyMember(j.body); ok && evaluator.ParseContext(raw, &j.context) == nil {
		return nil
	}
	raw, err := contextMember(j.body)
	if err != nil {
		return &refusal{http.StatusBadRequest, evaluator.ErrorParse, "the body is not a JSON object with unique members: " + err.Error()}
	}
	if raw == nil {
		raw = []byte("{}")
	}
	if err := evaluator.ParseContext(raw, &j.context); err != nil {
		var known *evaluator.ContextError
		if errors.As(err, &known) {
			return &refusal{http.StatusBadRequest, evaluator.ErrorCode(known.Code), known.Detail}
		}
		return &refusal{http.StatusBadRequest, evaluator.ErrorParse, err.Error()}
	}
	return nil
}

// onlyMember returns what may be the value of "context" when that is the only member of the object.
func onlyMember(body []byte) ([]byte, bool) {
	body = trim(body)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return nil, false
	}
	body, ok := bytes.CutPrefix(trim(body[1:len(body)-1]), []byte(`"context"`))
	if body = trim(body); !ok || len(body) == 0 || body[0] != ':' {
		return nil, false
	}
	return trim(body[1:]), true
}

// trim removes JSON's white space, which is less than Unicode's.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// contextMember reads the whole body strictly and returns the raw value of its member "context", nil when it has none.
func contextMember(body []byte) (context []byte, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	if start, err := d.ReadToken(); err != nil {
		return nil, err
	} else if start.Kind() != '{' {
		return nil, errors.New("it is not an object")
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		isContext := name.String() == "context"
		value, err := d.ReadValue()
		if err != nil {
			return nil, err
		}
		if deeper(value, maxDepth-1) {
			return nil, errors.New("it is nested deeper than 32")
		}
		if isContext {
			context = bytes.Clone(value)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return context, nil
}

// maxDepth is how deep a body may be nested.
const maxDepth = 32

// deeper tells whether a valid value is nested deeper than limit.
func deeper(value []byte, limit int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
