// Package lane serves the plainest of HTTP/1.1 requests faster than net/http does: one read, one write, no goroutine, timer
// or map made per request. It takes POSTs under some prefixes with a short body of known length. Every other connection, and
// a connection from its first other request on, goes to net/http with all of its bytes.
//
// Invariant: a request the lane takes is one that net/http would hand to the same handler, field by field the same; a fuzz
// test holds the two against each other. The lane never judges: whatever it does not fully understand, well formed
// or not, net/http reads from the first byte, and answers.
//
//	listener := lane.Listen(inner, lane.Config{Handler: h, Prefixes: []string{"/ofrep/v1/evaluate/flags"}})
//	go server.Serve(listener) // an http.Server with the same handler
//	…
//	server.Shutdown(ctx)
//	listener.Shutdown(ctx)
package lane
