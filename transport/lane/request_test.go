package lane

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var config = &Config{Prefixes: []string{"/flags", "/rpc/"}, Takes: func(r *http.Request) bool { return r.Header.Get("X-Strange") == "" }}

func fresh() *request { return &request{http: &http.Request{Header: http.Header{}}} }

const plain = "POST /flags/a HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

func TestWhatTheLaneTakes(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want verdict
	}{
		"the plainest request":             {plain, taken},
		"lower case, tabs and repetitions": {"POST /flags HTTP/1.1\r\nhost:x:1\r\nx-a:\t1 \r\nX-A: 2\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n", taken},
		"a query":                          {"POST /flags?a=%22b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", taken},
		"two requests at once":             {plain + plain, taken},
		"another prefix":                   {strings.Replace(plain, "/flags", "/rpc/x", 1), taken},
		"half of another prefix":           {"POST /rp", more},
		"what the config leaves to others": {strings.Replace(plain, "Host", "x-strange: 1\r\nHost", 1), other},
		"nothing yet":                      {"", more},
		"half a method":                    {"PO", more},
		"half a header":                    {plain[:30], more},
		"half a body":                      {plain[:len(plain)-1], more},
		"another method":                   {"GET /flags HTTP/1.1\r\nHost: x\r\n\r\n", other},
		"another path":                     {"POST /other HTTP/1.1\r\n", other},
		"HTTP/2":                           {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", other},
		"HTTP/1.0":                         {strings.Replace(plain, "1.1", "1.0", 1), other},
		"an escaped key":                   {strings.Replace(plain, "/a", "/%61", 1), other},
		"no host":                          {strings.Replace(plain, "Host: x\r\n", "", 1), other},
		"two hosts":                        {strings.Replace(plain, "Host: x\r\n", "Host: x\r\nHost: x\r\n", 1), other},
		"no length":                        {strings.Replace(plain, "Content-Length: 2\r\n", "", 1), other},
		"two lengths":                      {strings.Replace(plain, "Content-Length: 2\r\n", "Content-Length: 2\r\nContent-Length: 2\r\n", 1), other},
		"a length with a sign":             {strings.Replace(plain, "Length: 2", "Length: +2", 1), other},
		"a long body":                      {strings.Replace(plain, "Length: 2", "Length: 16385", 1), other},
		"chunks":                           {strings.Replace(plain, "Host", "Transfer-Encoding: chunked\r\nHost", 1), other},
		"a client that wants to be asked":  {strings.Replace(plain, "Host", "Expect: 100-continue\r\nHost", 1), other},
		"a client that will leave":         {strings.Replace(plain, "Host", "Connection: close\r\nHost", 1), other},
		"a name with a space":              {strings.Replace(plain, "Host", "A : 1\r\nHost", 1), other},
		"a folded line":                    {strings.Replace(plain, "Host", "A: 1\r\n 2\r\nHost", 1), other},
		"a bare line feed":                 {strings.Replace(plain, "Host", "A: 1\nHost", 1), other},
		"a zero byte":                      {strings.Replace(plain, "Host", "A: \x00\r\nHost", 1), other},
		"an endless header":                {"POST /flags HTTP/1.1\r\nA: " + strings.Repeat("a", maxHead), other},
		"too many lines":                   {strings.Replace(plain, "Host", strings.Repeat("A: 1\r\n", maxHeaders)+"Host", 1), other},
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := fresh().parse([]byte(c.data), config)
			require.Equal(t, c.want, v)
		})
	}
}

// FuzzRequest holds what the lane takes against what net/http reads from the same bytes.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte("POST /flags/a/b?c=d HTTP/1.1\r\nhost: [::1]:80\r\nX-API-Key: k\r\nx-api-key: l\r\nContent-Length: 3\r\n\r\n123POST"))
	r := fresh()
	f.Fuzz(func(t *testing.T, data []byte) {
		v, size := r.parse(data, config)
		if v != taken {
			return
		}
		in := bufio.NewReader(bytes.NewReader(data))
		want, err := http.ReadRequest(in)
		require.NoError(t, err)
		wantBody, err := io.ReadAll(want.Body)
		require.NoError(t, err)
		body, err := io.ReadAll(r.http.Body)
		require.NoError(t, err)
		require.Equal(t, string(wantBody), string(body))
		require.Equal(t, len(data)-size, in.Buffered(), "the next request begins at the same byte")
		require.Equal(t, want.Header, r.http.Header)
		require.Equal(t, want.URL, r.http.URL)
		require.Equal(t, []any{want.Host, want.RequestURI, want.ContentLength, false}, []any{r.http.Host, r.http.RequestURI, r.http.ContentLength, want.Close})
	})
}
