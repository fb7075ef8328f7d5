package lane

import (
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// Limits of what the lane takes; beyond them net/http does.
const (
	maxHead    = 8 << 10
	maxBody    = 16 << 10
	maxHeaders = 48
)

// verdict says what the bytes at hand are.
type verdict int

const (
	more  verdict = iota // the beginning of a request that may be one for the lane
	taken                // a request for the lane
	other                // anything else
)

// request is the one request of a connection, used again and again. Its strings are valid as long as Go needs them; its
// body and the header's map are those of the request until the next one is parsed.
type request struct {
	http   *http.Request
	url    url.URL
	body   body
	values [maxHeaders]string
	length int // of the body; -1 until told
}

// body is the request's body, complete in memory.
type body struct{ rest []byte }

func (b *body) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) Close() error { return nil }

const start = "POST "

// begins tells whether data is, as far as it goes, a POST of a path with one of the prefixes.
func begins(data []byte, prefixes []string) bool {
	n := min(len(data), len(start))
	if string(data[:n]) != start[:n] {
		return false
	}
	for _, prefix := range prefixes {
		if m := min(len(data)-n, len(prefix)); string(data[n:n+m]) == prefix[:m] {
			return true
		}
	}
	return false
}

// parse looks at what has arrived. With taken, size is how many bytes the request has.
func (r *request) parse(data []byte, cfg *Config) (v verdict, size int) {
	if !begins(data, cfg.Prefixes) {
		return other, 0
	}
	end := bytes.Index(data[:min(len(data), maxHead)], []byte("\r\n\r\n"))
	if end < 0 {
		if len(data) >= maxHead {
			return other, 0
		}
		return more, 0
	}
	head := string(data[len(start) : end+2]) // the one allocation of most requests; everything else points into it
	line, rest, _ := strings.Cut(head, "\r\n")
	if !r.target(line) || !r.header(rest) || cfg.Takes != nil && !cfg.Takes(r.http) {
		return other, 0
	}
	size = end + 4 + r.length
	if len(data) < size {
		return more, 0
	}
	r.body.rest = data[end+4 : size]
	r.http.Body, r.http.ContentLength = &r.body, int64(r.length)
	return taken, size
}

// target reads what follows the method.
func (r *request) target(line string) bool {
	target, ok := strings.CutSuffix(line, " HTTP/1.1")
	if !ok {
		return false
	}
	path, query, asked := strings.Cut(target, "?")
	if asked && query == "" || !all(path, isPath) || !all(query, isQuery) {
		return false
	}
	r.url = url.URL{Path: path, RawQuery: query}
	r.http.URL, r.http.RequestURI = &r.url, target
	return true
}

// header reads the lines of the header; each has its end.
func (r *request) header(lines string) bool {
	clear(r.http.Header)
	r.http.Host, r.length = "", -1
	for count := 0; lines != ""; count++ {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok || count == maxHeaders || name == "" || !all(name, isToken) {
			return false
		}
		value = strings.Trim(value, " \t")
		if !all(value, isValue) || !r.field(textproto.CanonicalMIMEHeaderKey(name), value, count) {
			return false
		}
	}
	return r.http.Host != "" && r.length >= 0
}

// field takes one line of the header. False leaves the request to net/http: the line means something for the connection
// or the body that the lane does not do, or that only one line may say.
func (r *request) field(name, value string, place int) bool {
	switch name {
	case "Host":
		if r.http.Host != "" || !all(value, isHost) {
			return false
		}
		r.http.Host = value
		return true
	case "Content-Length":
		if r.length >= 0 {
			return false
		}
		r.length = number(value)
		if r.length < 0 {
			return false
		}
	case "Connection":
		if !strings.EqualFold(value, "keep-alive") {
			return false
		}
	case "Transfer-Encoding", "Expect", "Upgrade", "Trailer", "Te", "Pragma", "Http2-Settings":
		return false
	}
	if before := r.http.Header[name]; before != nil {
		r.http.Header[name] = append(before[:len(before):len(before)], value)
		return true
	}
	r.values[place] = value
	r.http.Header[name] = r.values[place : place+1 : place+1]
	return true
}

// number reads a length within the limit; -1 for anything else.
func number(text string) int {
	n := 0
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return -1
		}
		if n = n*10 + int(text[i]-'0'); n > maxBody {
			return -1
		}
	}
	if text == "" {
		return -1
	}
	return n
}

// What bytes may stand where. The sets are narrower than the standard's: the rest is net/http's.
const (
	isPath byte = 1 << iota
	isQuery
	isToken
	isHost
	isValue
)

var class = classes()

func classes() (c [256]byte) {
	for b := range 256 {
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
		if letter || strings.IndexByte("-._~/", byte(b)) >= 0 {
			c[b] |= isPath
		}
		if b > ' ' && b < 0x7f && b != '#' {
			c[b] |= isQuery
		}
		if letter || strings.IndexByte("!#$%&'*+-.^_`|~", byte(b)) >= 0 {
			c[b] |= isToken
		}
		if letter || strings.IndexByte("-.:[]", byte(b)) >= 0 {
			c[b] |= isHost
		}
		if b >= ' ' && b != 0x7f || b == '\t' {
			c[b] |= isValue
		}
	}
	return c
}

func all(text string, of byte) bool {
	for i := range len(text) {
		if class[text[i]]&of == 0 {
			return false
		}
	}
	return true
}
