package transport

import (
	"cmp"
	"embed"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/hoistflags/hoist/fsm"
)

// The description of everything under /api/v1 in OpenAPI 3.1. The files of openapi/ say of each operation what a reader
// cannot see from the route table: a summary, its parameters, the schemas of its body and answers. What all have in common
// (headers, problems, who may) is added here. A test compares both with the routes that are mounted.

//go:embed openapi/*.json
var openapiFiles embed.FS

// OpenAPIPath is where the description is served.
const OpenAPIPath = "/api/v1/openapi.json"

// chapter is one file of descriptions.
type chapter struct {
	Operations map[string]operation      `json:"operations"` // by "GET /path/{name}"
	Parameters map[string]jsontext.Value `json:"parameters"` // of the query, by name
	Schemas    map[string]jsontext.Value `json:"schemas"`
}

// operation says what one operation is.
type operation struct {
	Summary     string            `json:"summary"`
	Description string            `json:"description"`
	Query       []string          `json:"query"`       // names of Parameters
	Body        string            `json:"body"`        // name of a schema; empty: none
	Answers     map[string]string `json:"answers"`     // status to name of a schema
	Conditional bool              `json:"conditional"` // takes If-Match
}

// chapters reads every file.
func chapters() (chapter, error) {
	all := chapter{map[string]operation{}, map[string]jsontext.Value{}, map[string]jsontext.Value{}}
	files, err := openapiFiles.ReadDir("openapi")
	if err != nil {
		return all, err
	}
	for _, file := range files {
		data, err := openapiFiles.ReadFile("openapi/" + file.Name())
		if err != nil {
			return all, err
		}
		var one chapter
		if err := json.Unmarshal(data, &one, json.RejectUnknownMembers(true)); err != nil {
			return all, fmt.Errorf("transport: openapi/%s: %w", file.Name(), err)
		}
		for name := range one.Schemas {
			if _, twice := all.Schemas[name]; twice {
				return all, fmt.Errorf("transport: openapi/%s: schema %s is described twice", file.Name(), name)
			}
		}
		maps.Copy(all.Operations, one.Operations)
		maps.Copy(all.Parameters, one.Parameters)
		maps.Copy(all.Schemas, one.Schemas)
	}
	return all, nil
}

// document is a part of the description, as JSON.
type document = map[string]any

func ref(section, name string) document {
	return document{"$ref": "#/components/" + section + "/" + name}
}

// describeAPI makes the document of the operations that are mounted.
func (s *Server) describeAPI() ([]byte, error) {
	all, err := chapters()
	if err != nil {
		return nil, err
	}
	paths := map[string]document{}
	for name, op := range all.Operations {
		method, path, _ := strings.Cut(name, " ")
		asks, mounted := s.patternOf(method, path)
		if !mounted {
			continue
		}
		if paths[path] == nil {
			paths[path] = document{}
		}
		paths[path][strings.ToLower(method)] = op.render(method, path, asks)
	}
	return json.Marshal(document{
		"openapi":  "3.1.0",
		"info":     document{"title": "hoist", "version": cmp.Or(s.cfg.Version, "dev"), "description": "Feature flags, configs and rollouts over plain HTTP."},
		"servers":  []document{{"url": cmp.Or(s.cfg.PublicPrefix, "/")}},
		"security": []document{{"token": []string{}}},
		"paths":    paths,
		"components": document{
			"securitySchemes": document{"token": document{"type": "http", "scheme": "bearer", "description": "A token of hoist: hst_…"}},
			"parameters":      parameters(all.Parameters),
			"schemas":         all.Schemas,
			"responses": document{"Problem": document{"description": "Why not (RFC 9457)",
				"content": document{"application/problem+json": document{"schema": ref("schemas", "Problem")}}}},
		},
	}, json.Deterministic(true), jsontext.WithIndent("  "))
}

// patternOf finds the route that answers an operation.
func (s *Server) patternOf(method, path string) (right, bool) {
	r, err := http.NewRequest(method, pathName.ReplaceAllString(path, "x"), nil)
	if err != nil {
		return right{}, false
	}
	_, pattern := s.mux.Handler(r)
	asks, ok := s.asked[pattern]
	return asks, ok && pattern != "/"
}

var pathName = regexp.MustCompile(`\{([^}]+)\}`)

func parameters(query map[string]jsontext.Value) document {
	header := func(name, text string) document {
		return document{"in": "header", "name": name, "description": text, "schema": document{"type": "string"}}
	}
	out := document{
		"Tenant":      header("X-Tenant-ID", "The tenant; that of the token when it is left out, where the operation does not ask for it."),
		"UserID":      header("X-User-ID", "Whom a token that may act for people acts for."),
		"UserEmail":   header("X-User-Email", "Likewise, their address."),
		"Idempotency": header("Idempotency-Key", "At most 64 bytes. The same key on the same path with the same body is the same request: it happens once."),
		"Correlation": header("X-Correlation-ID", "Names the caller's whole undertaking; kept in the audit rows. At most 128 bytes."),
		"Comment":     header("Hoist-Comment", "Why; kept in the audit rows. At most 512 bytes."),
		"Match":       header("If-Match", "The ETag of the object; another one is answered with 412."),
		"Minimum":     document{"in": "query", "name": "minRevision", "description": "Answer from a state at least this new; waits 2 s at most.", "schema": document{"type": "integer"}},
		"DryRun":      document{"in": "query", "name": "dryRun", "description": "true: say what would happen and change nothing.", "schema": document{"type": "boolean"}},
	}
	for name, value := range query {
		out["query."+name] = value
	}
	return out
}

func (op operation) render(method, path string, asks right) document {
	params := []document{}
	for _, name := range pathName.FindAllStringSubmatch(path, -1) {
		params = append(params, document{"in": "path", "name": name[1], "required": true, "schema": document{"type": "string"}})
	}
	for _, name := range op.Query {
		params = append(params, ref("parameters", "query."+name))
	}
	common := []string{"Tenant", "Minimum"}
	if method != http.MethodGet {
		common = []string{"Tenant", "UserID", "UserEmail", "Idempotency", "Correlation", "Comment", "DryRun"}
	}
	if op.Conditional {
		common = append(common, "Match")
	}
	for _, name := range common {
		params = append(params, ref("parameters", name))
	}
	answers := document{"default": ref("responses", "Problem")}
	for status, schema := range op.Answers {
		answers[status] = document{"description": op.Summary, "content": document{"application/json": document{"schema": ref("schemas", schema)}},
			"headers": document{"Hoist-Epoch": stringHeader(), "Hoist-Revision": stringHeader(), "ETag": stringHeader()}}
	}
	out := document{"summary": op.Summary, "operationId": operationID(method, path), "tags": []string{tagOf(path)},
		"parameters": params, "responses": answers, "x-hoist-permission": asks.describe()}
	if op.Description != "" {
		out["description"] = op.Description
	}
	if op.Body != "" {
		out["requestBody"] = document{"content": document{"application/json": document{"schema": ref("schemas", op.Body)}}}
	}
	if asks.verb == public {
		out["security"] = []document{}
	}
	return out
}

func stringHeader() document { return document{"schema": document{"type": "string"}} }

// describe says in one object who may.
func (asks right) describe() document {
	p, ok := fsm.PermissionOf(asks.verb)
	if !ok {
		return document{"verb": asks.verb}
	}
	return document{"verb": asks.verb, "role": string(p.Role)}
}

// operationID is made of the path: listing feature flags is get_config_feature-flags.
func operationID(method, path string) string {
	path = strings.TrimPrefix(path, "/api/v1")
	return strings.ToLower(method) + strings.NewReplacer("/", "_", "{", "", "}", "").Replace(path)
}

func tagOf(path string) string {
	parts := slices.DeleteFunc(strings.Split(strings.TrimPrefix(path, "/api/v1"), "/"), func(p string) bool { return p == "" || p == "config" })
	if len(parts) == 0 {
		return "hoist"
	}
	return parts[0]
}

// openapi serves the document, which is made once.
func (s *Server) openapi(w http.ResponseWriter, r *http.Request) {
	body, err := s.described()
	if err != nil {
		s.writeProblem(w, r, asError(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '\n')) //nolint:errcheck // the client is gone; nobody is left to tell
}
