// Package openapi describes HTTP routes as an OpenAPI 3.1 document. Operations stand beside the handlers that serve
// them, bodies are Go types, and their schemas are made from these: there is no second description that could differ.
//
// The package has no state and starts no goroutine.
package openapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"confab/signaling/wire"
)

// Auth is what a request must show.
type Auth string

// The ways.
const (
	None     Auth = ""
	Token    Auth = "token"    // a token of a person or program, as Bearer
	AdminKey Auth = "adminKey" // one of the keys of --admin-key, as Bearer
	Ticket   Auth = "ticket"   // of a session, as Bearer
)

// An Operation is one method of one path.
type Operation struct {
	Method   string
	Path     string // with {name} for what varies, which becomes a parameter; without a / it is the name of a webhook, a request that the server makes
	ID       string // unique; the name of the operation
	Tag      string
	Summary  string
	Auth     Auth
	Query    []Parameter
	Body     *Body
	Answers  []Answer
	Problems []wire.ErrorCode // that it answers with, besides those of Auth
}

// IsWebhook reports whether the server makes the request.
func (op Operation) IsWebhook() bool { return !strings.HasPrefix(op.Path, "/") }

// A Parameter stands in the query or, with In, elsewhere.
type Parameter struct {
	Name    string
	Type    any // a value of its type; nil = string
	Summary string
	In      string // empty = query
}

// A Body is what is sent.
type Body struct {
	Media    string // empty = application/json
	Type     any    // a value of its Go type; nil = anything
	Optional bool
}

// An Answer is one status with what comes with it.
type Answer struct {
	Status  int
	Summary string
	Media   string // empty = application/json, where there is a Type
	Type    any    // nil = no body, or with Media anything
	Headers []string
}

// Problem is the body of an answer that is an error.
type Problem struct {
	Error ProblemError `json:"error"`
}

// ProblemError says what went wrong.
type ProblemError struct {
	Code    wire.ErrorCode `json:"code"`
	Message string         `json:"message"`
}

type object map[string]any

// Document is the OpenAPI document of operations, as JSON. It panics when two operations have one name, or one method
// and path: a mistake in a table, which every start would show.
func Document(title, version string, operations []Operation) []byte {
	s := &schemas{named: object{}, types: map[string]reflect.Type{}}
	paths, hooks, seen := map[string]object{}, map[string]object{}, map[string]bool{}
	for _, op := range operations {
		for _, name := range []string{op.ID, op.Method + " " + op.Path} {
			if seen[name] {
				panic("openapi: " + name + " is described twice")
			}
			seen[name] = true
		}
		in := paths
		if op.IsWebhook() {
			in = hooks
		}
		if in[op.Path] == nil {
			in[op.Path] = object{}
		}
		in[op.Path][strings.ToLower(op.Method)] = s.operation(op)
	}
	s.ref(reflect.TypeFor[Problem]())
	doc, err := json.Marshal(object{
		"openapi": "3.1.0",
		"info": object{
			"title": title, "version": version,
			"description": "Errors are {\"error\":{\"code\",\"message\"}}. Ignore fields that you do not know: versions add some.",
		},
		"paths": paths, "webhooks": hooks,
		"components": object{
			"schemas": s.named,
			"securitySchemes": object{
				string(Token):    bearer("A token of this server, or of an issuer that it trusts, which is good for the room.", "JWT"),
				string(AdminKey): bearer("A key of --admin-key.", ""),
				string(Ticket):   bearer("The ticket of the session, from connected.", ""),
			},
		},
	})
	if err != nil {
		panic("openapi: " + err.Error()) // maps of plain values
	}
	return doc
}

func bearer(summary, format string) object {
	scheme := object{"type": "http", "scheme": "bearer", "description": summary}
	if format != "" {
		scheme["bearerFormat"] = format
	}
	return scheme
}

// operation describes one operation.
func (s *schemas) operation(op Operation) object {
	out := object{"operationId": op.ID, "summary": op.Summary, "tags": []string{op.Tag}, "responses": s.responses(op), "security": []object{}}
	if op.Auth != None {
		out["security"] = []object{{string(op.Auth): []string{}}}
	}
	if params := s.parameters(op); len(params) > 0 {
		out["parameters"] = params
	}
	if op.Body != nil {
		out["requestBody"] = object{"required": !op.Body.Optional, "content": s.content(op.Body.Media, op.Body.Type)}
	}
	return out
}

// patterns are the rules of what stands in paths, by parameter.
var patterns = map[string]string{
	"room":   fmt.Sprintf("^[a-z0-9_-]{1,%d}$", wire.MaxNameLength),
	"thread": fmt.Sprintf("^[a-z0-9_-]{1,%d}$", wire.MaxNameLength),
}

func (s *schemas) parameters(op Operation) []object {
	var all []object
	for part := range strings.SplitSeq(op.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			schema := object{"type": "string"}
			if pattern := patterns[name]; pattern != "" {
				schema["pattern"] = pattern
			}
			all = append(all, object{"name": name, "in": "path", "required": true, "schema": schema})
		}
	}
	for _, p := range op.Query {
		schema := object{"type": "string"}
		if p.Type != nil {
			schema = s.schema(reflect.TypeOf(p.Type))
		} else if pattern := patterns[p.Name]; pattern != "" {
			schema["pattern"] = pattern
		}
		in := "query"
		if p.In != "" {
			in = p.In
		}
		all = append(all, object{"name": p.Name, "in": in, "description": p.Summary, "schema": schema})
	}
	return all
}

func (s *schemas) responses(op Operation) object {
	all := object{}
	for _, a := range op.Answers {
		answer := object{"description": a.Summary}
		if a.Summary == "" {
			answer["description"] = http.StatusText(a.Status)
		}
		if a.Type != nil || a.Media != "" {
			answer["content"] = s.content(a.Media, a.Type)
		}
		if len(a.Headers) > 0 {
			headers := object{}
			for _, name := range a.Headers {
				headers[name] = object{"schema": object{"type": "string"}}
			}
			answer["headers"] = headers
		}
		all[strconv.Itoa(a.Status)] = answer
	}
	for status, codes := range problemsOf(op) {
		slices.Sort(codes)
		all[strconv.Itoa(status)] = object{
			"description": strings.Join(slices.Compact(codes), ", "),
			"content":     object{"application/json": object{"schema": s.ref(reflect.TypeFor[Problem]())}},
		}
	}
	return all
}

// problemsOf lists the codes of an operation's errors by their status.
func problemsOf(op Operation) map[int][]string {
	codes := slices.Clone(op.Problems)
	if op.Auth != None {
		codes = append(codes, wire.CodeUnauthorized)
	}
	if op.Auth == AdminKey {
		codes = append(codes, wire.CodeRateLimited, wire.CodeNotFound)
	}
	if op.IsWebhook() {
		return nil
	}
	if op.Body != nil {
		codes = append(codes, wire.CodeBadMessage, wire.CodeTooLarge)
	}
	codes = append(codes, wire.CodeInternal)
	all := map[int][]string{}
	for _, code := range codes {
		all[code.HTTPStatus()] = append(all[code.HTTPStatus()], string(code))
	}
	return all
}

func (s *schemas) content(media string, body any) object {
	if media == "" {
		media = "application/json"
	}
	schema := object{}
	switch {
	case body != nil:
		schema = s.schema(reflect.TypeOf(body))
	case !strings.HasSuffix(media, "json"):
		schema = object{"type": "string"}
	}
	return object{media: object{"schema": schema}}
}
