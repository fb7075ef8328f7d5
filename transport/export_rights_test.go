package transport

import (
	"net/http"

	"github.com/hoistflags/hoist/fsm"
)

// Asked is the verb of every procedure and route of the server.
func (s *Server) Asked() map[string]string {
	out := map[string]string{}
	for pattern, asks := range s.asked {
		out[pattern] = asks.verb
	}
	return out
}

// ByLaw tells whether the door leaves a procedure or route to fsm.Apply.
func (s *Server) ByLaw(pattern string) bool { return s.asked[pattern].byLaw }

// AsksTenant tells whether a route refuses requests without X-Tenant-ID.
func (s *Server) AsksTenant(pattern string) bool { return s.asked[pattern].tenant }

// TryRoutes says why a server with this route is not built.
func TryRoutes(store *fsm.Store, n Node, pattern, verb string) error {
	s, err := newServer(Config{Store: store, Node: n}, core{store, n}, stateKeys{store})
	if err != nil {
		return err
	}
	return s.mount(func(t *routeTable) {
		t.plain(pattern, verb, func(http.ResponseWriter, *http.Request, caller) {})
	})
}

// TryService says why a server with this service is not built.
func TryService(store *fsm.Store, n Node, path string) error {
	s, err := newServer(Config{Store: store, Node: n}, core{store, n}, stateKeys{store})
	if err != nil {
		return err
	}
	return s.mount(func(t *routeTable) { t.service(path, http.NotFoundHandler()) })
}
