package transport

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// preflight answers a browser's question before the real request. No credentials are looked at.
func (o *ofrep) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Vary"] = o.fixed.origin
	if o.allowOrigin(h, r) {
		h.Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS")
		h.Set("Access-Control-Allow-Headers",
			"Content-Type, Authorization, X-API-Key, If-None-Match, Last-Event-ID, Cache-Control, Hoist-Min-Revision, X-Hoist-Environment, X-Tenant-ID")
		h.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}

// allowOrigin names the origin of the request in the answer if it is on the list of a cli token of this cluster; whether
// the request itself is let in is its own token's matter. At an open door those are pages of this machine, on any port.
func (o *ofrep) allowOrigin(h http.Header, r *http.Request) bool {
	origin := r.Header["Origin"]
	if len(origin) != 1 || !o.knowsOrigin(origin[0]) {
		return false
	}
	h["Access-Control-Allow-Origin"] = origin
	h["Access-Control-Expose-Headers"] = o.fixed.expose
	return true
}

func (o *ofrep) knowsOrigin(origin string) bool {
	if o.server.cfg.NoAuth {
		return isLoopback(origin)
	}
	return listsOrigin(o.server.gate.current().origins, origin)
}

// listsOrigin compares exactly; only the port of this machine's own pages may be left open, as http://localhost:*.
func listsOrigin(list map[string]bool, origin string) bool {
	if list[origin] {
		return true
	}
	colon := strings.LastIndexByte(origin, ':')
	return colon > 0 && isLoopback(origin) && list[origin[:colon]+":*"]
}

// isLoopback tells whether an origin is a page served from this machine: http(s)://localhost, 127.0.0.0/8 or [::1].
func isLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	if u.Hostname() == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback()
}
