package openapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"confab/signaling/openapi"
	"confab/signaling/openapi/openapitest"
	"confab/signaling/wire"
)

type item struct {
	Name  string               `json:"name" doc:"What it is called."`
	Room  wire.RoomID          `json:"room"`
	Role  wire.Role            `json:"role,omitempty"`
	At    time.Time            `json:"at"`
	Parts []item               `json:"parts,omitempty"` // of its own kind
	Count map[string]int       `json:"count,omitempty"`
	Any   json.RawMessage      `json:"any,omitempty"`
	Mine  *bool                `json:"mine,omitempty"`
	Kind  wire.ParticipantKind `json:"-"`
}

func (item) Sealed() bool { return true }

func operation() openapi.Operation {
	return openapi.Operation{
		Method: "PUT", Path: "/items/{room}", ID: "setItem", Tag: "items", Summary: "Sets it.", Auth: openapi.Token,
		Query: []openapi.Parameter{{Name: "limit", Type: 0}},
		Body:  &openapi.Body{Type: item{}}, Answers: []openapi.Answer{{Status: 200, Type: item{}}}, Problems: []wire.ErrorCode{wire.CodeConflict},
	}
}

func TestDocument(t *testing.T) {
	hook := openapi.Operation{Method: "POST", Path: "event", ID: "event", Body: &openapi.Body{Type: item{}}, Answers: []openapi.Answer{{Status: 204}}}
	doc := openapitest.Load(t, openapi.Document("Test", "v1", []openapi.Operation{operation(), hook}))
	if doc.Webhooks["event"] == nil || doc.Paths.Value("/items/{room}") == nil || doc.Paths.Len() != 1 {
		t.Error("paths or webhooks are missing")
	}
	schema := doc.Components.Schemas["Item"].Value
	if got := schema.Required; !slices.Equal(got, []string{"name", "room", "at"}) || schema.Properties["Kind"] != nil {
		t.Errorf("required %v of %v", got, schema.Properties)
	}
	put := doc.Paths.Value("/items/{room}").Put
	for _, status := range []string{"200", "400", "401", "409", "413", "500"} {
		if put.Responses.Value(status) == nil {
			t.Errorf("no answer %s", status)
		}
	}
}

// TestExchangesThatAreWrong makes sure that the check of exchanges can fail.
func TestExchangesThatAreWrong(t *testing.T) {
	doc := openapitest.Load(t, openapi.Document("Test", "v1", []openapi.Operation{operation()}))
	const good = `{"name":"a","room":"r","at":"2026-01-02T03:04:05Z","role":"member","parts":[],"any":[1],"mine":true}`
	for _, c := range []struct {
		name, path, sent, received string
		status                     int
		right                      bool
	}{
		{"good", "/items/r?limit=3", good, good, 200, true},
		{"a problem", "/items/r", `{"name":7}`, `{"error":{"code":"bad-message","message":"no"}}`, 400, true},
		{"another path", "/things/r", good, good, 200, false},
		{"a request that should have been refused", "/items/r", `{"name":"a","room":"r","at":"2026-01-02T03:04:05Z","more":1}`, good, 200, false},
		{"a query that should have been refused", "/items/r?limit=x", good, good, 200, false},
		{"a room that should have been refused", "/items/R", good, good, 200, false},
		{"an answer without a field", "/items/r", good, `{"name":"a","room":"r"}`, 200, false},
		{"a value that is not one of few", "/items/r", good, `{"name":"a","room":"r","at":"2026-01-02T03:04:05Z","role":"owner"}`, 200, false},
		{"a code that is none", "/items/r", good, `{"error":{"code":"no","message":"no"}}`, 409, false},
		{"a status that is not described", "/items/r", good, good, 201, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			request := httptest.NewRequest(http.MethodPut, c.path, bytes.NewReader([]byte(c.sent)))
			request.Header.Set("Content-Type", "application/json")
			watched := &watchedTest{TB: t}
			doc.Check(watched, openapitest.Exchange{
				Request: request, Sent: []byte(c.sent), Received: []byte(c.received),
				Response: &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {"application/json"}}},
			})
			if watched.failed == c.right {
				t.Errorf("found wrong: %t", watched.failed)
			}
		})
	}
}

// A watchedTest notes failures.
type watchedTest struct {
	testing.TB
	failed bool
}

func (t *watchedTest) Errorf(string, ...any) { t.failed = true }

func TestTablesThatAreWrong(t *testing.T) {
	same, path := operation(), operation()
	same.Path, path.ID = "/elsewhere", "another"
	for name, other := range map[string]openapi.Operation{"one name twice": same, "one path twice": path} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("taken")
				}
			}()
			openapi.Document("Test", "v1", []openapi.Operation{operation(), other})
		})
	}
}
