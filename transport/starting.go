package transport

import (
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"github.com/hoistflags/hoist/fsm"
)

// Starting is behind the door of a node that still reads its data. It refuses everything at once, NOT_READY, so that who
// knows other nodes goes there: a door that is open and silent would hold its callers until the node is there. Only
// /healthz says that the process lives.
func Starting() http.Handler {
	s := &Server{source: core{store: fsm.NewStore()}}
	answer := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close") // the next request is for the node itself
		err := &fsm.Error{Kind: KindNotReady, Detail: "this node is starting and reads its data: ask another node, or this one in a moment"}
		switch {
		case r.URL.Path == "/healthz":
			s.healthz(w, r)
		case strings.HasPrefix(r.URL.Path, "/hoist.v1.") && answer.IsSupported(r):
			_ = answer.Write(lastWords{w}, r, s.connectError(err)) // the client may be gone
		default:
			s.writeProblem(w, r, err)
		}
	})
}
