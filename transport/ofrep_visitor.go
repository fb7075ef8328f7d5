package transport

import (
	"net/http"
	"strconv"
	"time"

	"github.com/hoistflags/hoist/evaluator"
	"github.com/hoistflags/hoist/fsm"
)

// visitor is who asks OFREP, and about which environment. Nothing in the request can widen it.
type visitor struct {
	scope  fsm.Scope
	pass   *pass // nil: an open door
	client bool  // sees client-visible flags only
}

// visitor lets a request in, or answers it: 401 and 403 have no body and are the same for every reason.
func (o *ofrep) visitor(w http.ResponseWriter, r *http.Request) (visitor, bool) {
	if o.server.cfg.NoAuth {
		return visitor{scope: fsm.Scope{
			Tenant:      first(r.Header, headerTenant, fsm.DefaultTenant),
			Environment: first(r.Header, headerEnvironment, defaultEnvironment),
		}}, true
	}
	p, err := o.server.gate.admit(r.Header)
	if err != nil {
		o.server.denied(caller{}, "OFREP", err)
		o.unauthorized(w)
		return visitor{}, false
	}
	if p.token.Kind != fsm.TokenServer && p.token.Kind != fsm.TokenClient {
		o.server.denied(caller{actor: p.token.Actor("", "")}, "OFREP", &fsm.Error{Kind: fsm.KindDenied, Op: fsm.VerbEvaluate,
			Target: "OFREP", Detail: "tokens of kind " + string(p.token.Kind) + " do not evaluate here; srv and cli tokens do"})
		o.stampHeaders(w.Header(), fsm.Scope{})
		w.WriteHeader(http.StatusForbidden)
		return visitor{}, false
	}
	if p.rate != nil {
		if wait, ok := p.rate.take(time.Now()); !ok {
			o.stampHeaders(w.Header(), p.scope)
			w.Header()["Retry-After"] = []string{strconv.Itoa(wait)}
			w.WriteHeader(http.StatusTooManyRequests)
			return visitor{}, false
		}
	}
	return visitor{scope: p.scope, pass: p, client: p.client}, true
}

func (o *ofrep) unauthorized(w http.ResponseWriter) {
	o.stampHeaders(w.Header(), fsm.Scope{})
	w.Header()["Www-Authenticate"] = o.fixed.bearer
	w.WriteHeader(http.StatusUnauthorized)
}

// sees tells whether there is such a flag for the visitor.
func (v *visitor) sees(flag *evaluator.Compiled) bool {
	return !flag.Archived() && (!v.client || flag.ClientVisible())
}

// shown is the result as the visitor may know it.
func (v *visitor) shown(r evaluator.Result) evaluator.Result {
	if v.client {
		return forClient(r)
	}
	return r
}
