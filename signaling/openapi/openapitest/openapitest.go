// Package openapitest holds what crosses HTTP against an OpenAPI document, in tests.
package openapitest

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// A Document is a valid OpenAPI document. It may be used from any goroutine.
type Document struct {
	*openapi3.T
	router routers.Router
}

// Load reads a document and fails the test when it is not valid.
func Load(t testing.TB, text []byte) *Document {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("the document cannot be read: %v", err)
	}
	router, err := legacy.NewRouter(doc) // validates it
	if err != nil {
		t.Fatalf("the document is not valid: %v", err)
	}
	return &Document{doc, router}
}

// An Exchange is a request and its answer, with their bodies, which have been read.
type Exchange struct {
	Request  *http.Request
	Sent     []byte
	Response *http.Response
	Received []byte
}

// Check fails the test when the exchange is not as the document says. A request that was refused as wrong may be.
func (d *Document) Check(t testing.TB, e Exchange) {
	t.Helper()
	what := e.Request.Method + " " + e.Request.URL.Path
	route, params, err := d.router.FindRoute(e.Request)
	if err != nil {
		t.Errorf("%s: not in the document: %v", what, err)
		return
	}
	options := &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}
	e.Request.Body = io.NopCloser(bytes.NewReader(e.Sent))
	input := &openapi3filter.RequestValidationInput{Request: e.Request, PathParams: params, Route: route, Options: options}
	err = openapi3filter.ValidateRequest(t.Context(), input)
	if wrong := e.Response.StatusCode >= 400 && e.Response.StatusCode < 500; err != nil && !wrong {
		t.Errorf("%s: answered %d to a request that is not as the document says: %v", what, e.Response.StatusCode, err)
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: e.Response.StatusCode, Header: e.Response.Header,
		Body: io.NopCloser(bytes.NewReader(e.Received)), Options: options,
	})
	if err != nil {
		t.Errorf("%s: the answer is not as the document says: %v\n%d %s", what, err, e.Response.StatusCode, e.Received)
	}
}
