package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"confab/signaling"
	"confab/signaling/openapi"
	"confab/signaling/openapi/openapitest"
	"confab/signaling/wire"
)

const testKeyOfAdmin = "a-key-of-the-admin-api-for-tests-alone"

// undescribed are the routes of a browser's own questions and of methods that have an address' usual answer.
var undescribed = []string{http.MethodOptions, http.MethodHead, http.MethodConnect, http.MethodTrace}

// TestEveryRouteIsDescribed holds the OpenAPI document against the routes of a server that has everything, both ways.
func TestEveryRouteIsDescribed(t *testing.T) {
	h, _ := openWhole(t, "--turn", "off", "--guests", "on", "--admin-key", "ops:"+testKeyOfAdmin)
	asked := 0
	answer := func(method, path string) *httptest.ResponseRecorder {
		asked++
		request := httptest.NewRequest(method, path, nil)
		request.RemoteAddr = fmt.Sprintf("198.51.100.%d:1234", asked) // each its own: an address may fail only so often
		w := httptest.NewRecorder()
		h.socket.Handler().ServeHTTP(w, request)
		return w
	}
	doc := openapitest.Load(t, answer(http.MethodGet, "/api/v1/openapi.json").Body.Bytes())
	checkRoutes(t, doc, h.socket.Handler().(*gin.Engine).Routes())
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Security == nil || len(*op.Security) == 0 {
				continue
			}
			address := strings.NewReplacer("{", "", "}", "").Replace(path)
			w := answer(method, address)
			if w.Code != http.StatusUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s without a token: %d %s", method, path, w.Code, w.Body)
			}
			doc.Check(t, openapitest.Exchange{Request: httptest.NewRequest(method, address, nil), Response: w.Result(), Received: w.Body.Bytes()})
		}
	}
}

// checkRoutes fails the test when a route is in no operation, or an operation of the tables is not in the document.
func checkRoutes(t *testing.T, doc *openapitest.Document, routes gin.RoutesInfo) {
	t.Helper()
	var described []openapi.Operation
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, openapi.Operation{Method: method, Path: path})
		}
	}
	takesAll := map[string]bool{} // paths whose handler looks at the method itself
	for _, route := range routes {
		takesAll[route.Path] = takesAll[route.Path] || route.Method == http.MethodTrace
	}
	for _, route := range routes {
		found := slices.ContainsFunc(described, func(op openapi.Operation) bool {
			if takesAll[route.Path] {
				route.Method = op.Method
			}
			return signaling.Describes(op, route)
		})
		if !found && !slices.Contains(undescribed, route.Method) {
			t.Errorf("%s %s is not described; see operations.go", route.Method, route.Path)
		}
	}
	for _, op := range operations() {
		if op.IsWebhook() {
			if doc.Webhooks[op.Path] == nil {
				t.Errorf("the webhook %s is not in the document", op.Path)
			}
			continue
		}
		if item := doc.Paths.Value(op.Path); item == nil || item.GetOperation(op.Method) == nil {
			t.Errorf("%s %s is described and not mounted", op.Method, op.Path)
		}
	}
}

// TestAdminOfAProcess uses the API of a real server, and looks at what its audit log says after it has ended.
func TestAdminOfAProcess(t *testing.T) {
	data := t.TempDir()
	server := start(t, data, "--admin-key", "ops:"+testKeyOfAdmin, "--log-level", "debug")
	call := func(method, path, body string) (int, string) { return callAdmin(t, server.url, method, path, body) }
	status, text := call(http.MethodPost, "/api/v1/tokens", `{"user":"boss","rooms":["r"],"role":"moderator"}`)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(text), &made); err != nil || status != http.StatusCreated {
		t.Fatalf("%d %s %v", status, text, err)
	}
	boss := dialTalker(t, server.url)
	boss.send(authFrame(made.Token))
	boss.send(`{"type":"join","id":"2","room":"r"}`)
	boss.answer("2")
	boss.send(`{"type":"moderate","id":"3","room":"r","data":{"action":"lock"}}`)
	boss.answer("3")
	if status, text := call(http.MethodPut, "/api/v1/rooms/r/bots/scribe", `{"enabled":true}`); status != http.StatusNoContent {
		t.Errorf("a bot: %d %s", status, text)
	}
	if status, text := call(http.MethodPost, "/api/v1/rooms/r/messages", `{"text":"words of a service"}`); status != http.StatusCreated {
		t.Errorf("a message: %d %s", status, text)
	}
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
	kept, err := os.ReadFile(filepath.Join(data, auditName))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"key":"ops","address":"127.0.0.1","action":"createToken","targetUser":"boss"`, `"user":"boss","session":"`, `"action":"lock","room":"r","outcome":"ok"`,
		`"action":"setBot"`, `"action":"createMessage"`,
	} {
		if !bytes.Contains(kept, []byte(want)) {
			t.Errorf("the audit log lacks %s in\n%s", want, kept)
		}
	}
	for what, text := range map[string][]byte{"the audit log": kept, "the log": []byte(server.err.String())} {
		for _, hidden := range []string{testKeyOfAdmin, made.Token, "words of a service"} {
			if bytes.Contains(text, []byte(hidden)) {
				t.Errorf("%s holds %q", what, hidden)
			}
		}
	}
}

// callAdmin sends a request with the key.
func callAdmin(t *testing.T, base, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+testKeyOfAdmin)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// testAdminAtAnyNode asks each node for a room that one of them runs.
func testAdminAtAnyNode(t *testing.T, f *fleet) {
	ada := visit(t, f.nodes[0].url, mintToken(t, "ada", "*"), "", "asked")
	for i, node := range f.nodes {
		body := fmt.Sprintf(`{"text":"from %d","id":"m%d"}`, i, i)
		for _, want := range []int{http.StatusCreated, http.StatusOK} { // the second is a repeat
			if status, text := callAdmin(t, node.url, http.MethodPost, "/api/v1/rooms/asked/messages", body); status != want {
				t.Errorf("node %d: %d %s, want %d", i, status, text, want)
			}
		}
		ada.hears(fmt.Sprint("from ", i))
		if status, text := callAdmin(t, node.url, http.MethodGet, "/api/v1/rooms/asked", ""); status != http.StatusOK || !strings.Contains(text, `"user":"ada"`) {
			t.Errorf("node %d: %d %s", i, status, text)
		}
		if status, text := callAdmin(t, node.url, http.MethodGet, "/api/v1/rooms?limit=200", ""); status != http.StatusOK || strings.Count(text, `"room":"asked"`) != 1 {
			t.Errorf("node %d lists %d %s", i, status, text)
		}
		if status, text := callAdmin(t, node.url, http.MethodDelete, "/api/v1/rooms/asked/participants/nobody", ""); status != http.StatusNotFound {
			t.Errorf("node %d: %d %s", i, status, text)
		}
	}
	if status, text := callAdmin(t, f.nodes[2].url, http.MethodDelete, "/api/v1/rooms/asked", ""); status != http.StatusNoContent {
		t.Errorf("ending: %d %s", status, text)
	}
	if code := closeOf(&ada); code != wire.CloseRoomEnded {
		t.Errorf("ada's connection was closed with %d", code)
	}
}
