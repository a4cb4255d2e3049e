package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"

	"confab/signaling/wire"
)

// TestHeadersOfTheWholeServer asks a server that has everything for all that it serves: nothing passes by the headers.
func TestHeadersOfTheWholeServer(t *testing.T) {
	h, _ := openWhole(t, "--turn", "off", "--guests", "on", "--admin-key", "ops:"+testKeyOfAdmin)
	params := regexp.MustCompile(`[:*]\w+`)
	routes := h.socket.Handler().(*gin.Engine).Routes()
	if len(routes) < 30 {
		t.Fatalf("%d routes: the walk sees too little", len(routes))
	}
	for _, route := range routes {
		path := params.ReplaceAllString(route.Path, "x")
		for _, authorization := range []string{"", "Bearer " + testKeyOfAdmin, "Bearer nonsense"} {
			if authorization != "" && route.Path == "/api/v1/rooms/:room" { // a key would start rooms
				continue
			}
			r := httptest.NewRequest(route.Method, path, strings.NewReader("{"))
			if authorization != "" {
				r.Header.Set("Authorization", authorization)
			}
			w := httptest.NewRecorder()
			h.socket.Handler().ServeHTTP(w, r)
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s %s: %d, %s is %q", route.Method, path, w.Code, name, got)
				}
			}
			if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
				t.Errorf("%s %s: %d, the policy is %q", route.Method, path, w.Code, policy)
			}
		}
	}
}

// TestSecretsStaySecret runs a server whose secrets are known through what people and programs do with it, and looks for
// them in all that it writes: at the most talkative level, its answers and its audit log.
func TestSecretsStaySecret(t *testing.T) {
	const (
		secret   = "known-secret-of-the-server-0123456789abcdef"
		admin    = "known-key-of-the-admin-0123456789abcdef"
		password = "known-password-of-turn"
		query    = "known-query-of-the-jwks"
		login    = "known-login-of-the-jwks"
		said     = "known-words-of-a-person"
		badToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJrbm93bi1tYWxsb3J5In0.knownknownknownknownknownknownknown"
	)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	data := t.TempDir()
	c := start(t, data, "--log-level", "debug", "--auth-secret", secret, "--admin-key", "ops:"+admin, "--guests", "on", "--turn", "on", "--turn-port", "0",
		"--ice-servers", "turn:user:"+password+"@127.0.0.1:3478",
		"--auth-jwks", "http://user:"+login+"@"+closed.Addr().String()+"/keys?key="+query)
	secrets := map[string]string{"secret": secret, "admin key": admin, "password of TURN": password, "query of the JWKS": query,
		"login of the JWKS": login, "what was said": said, "a bad token": badToken, "its signature": badToken[strings.LastIndexByte(badToken, '.')+1:]}
	keep := func(name, value string) string {
		secrets[name], secrets["signature of "+name] = value, value[strings.LastIndexByte(value, '.')+1:]
		return value
	}
	var answers bytes.Buffer // that shall repeat nothing
	ask := func(method, path, authorization, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, c.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			request.Header.Set("Authorization", "Bearer "+authorization)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		answers.Write(text)
		_ = response.Header.Write(&answers)
	}

	token := keep("token of a guest", guestToken(t, c.url, "daily"))
	conn, first := connect(t, c.url, token)
	var hello wire.Connected
	if err := json.Unmarshal(first.Data, &hello); err != nil || hello.Ticket == "" {
		t.Fatalf("%s %v", first.Data, err)
	}
	keep("ticket", hello.Ticket)
	for _, line := range []string{
		`{"type":"join","id":"1","room":"daily"}`, `{"type":"chat","id":"2","room":"daily","data":{"text":"` + said + `"}}`,
		`{"type":"refresh","id":"3","data":{"token":"` + badToken + `"}}`, `{"type":"refresh","id":"4","data":{"token":"` + token + `"}}`,
		`{"type":"nonsense","id":"5","room":"daily","data":{"text":"` + said + `"}}`, `{"type":"ice-servers","id":"6","room":"daily"}`,
		`{"type":"webrtc-signal","id":"7","room":"daily","to":"sfu","data":{"description":{"type":"offer","sdp":"` + said + `"}}}`,
	} {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	for answered := false; !answered; {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		answered = bytes.Contains(frame, []byte(`"id":"7"`))
	}
	_ = conn.NetConn().Close()
	resumed, again := connectWith(t, c.url, wire.Auth{Token: token, Ticket: hello.Ticket})
	if !strings.Contains(string(again.Data), `"resumed":true`) {
		t.Errorf("the session was not resumed: %s", again.Data)
	}
	_ = resumed.Close()
	for _, old := range []string{token, badToken} { // the old way, with the token in the URL
		if conn, response, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(c.url, "http")+"/ws?token="+old, nil); err == nil {
			_ = response.Body.Close()
			_, _, _ = conn.ReadMessage()
			_ = conn.Close()
		}
	}
	ask("POST", "/session", "", `{"type":"auth","data":{"token":"`+badToken+`"}}`)
	ask("POST", "/send", hello.Ticket, `{"type":"chat","room":"daily","data":{"text":"`+said+`"}}`)
	ask("POST", "/whip/daily", badToken, "v=0\r\n"+said)
	ask("POST", "/whip/daily", token, "v=0\r\n"+said)
	ask("POST", "/whep/daily/somebody", badToken, "")
	ask("POST", "/api/v1/guest", "", `{"name":"`+said+`","token":"`+badToken+`",}`)
	ask("GET", "/api/v1/rooms?token="+token, admin, "")
	ask("POST", "/api/v1/tokens", admin, `{"sub":"`+said+`",`)
	ask("GET", "/api/v1/rooms/daily", badToken, "")
	ask("GET", "/r/daily?token="+badToken, "", "")
	ask("GET", "/nowhere?token="+token, token, "")
	ask("GET", "/metrics", "", "")

	var shown, wrong bytes.Buffer
	noEnvironment := func(string) (string, bool) { return "", false }
	settings := []string{"--auth-secret", secret, "--admin-key", admin, "--ice-servers", "turn:user:" + password + "@h:3478", "--auth-jwks", "http://user:" + login + "@h/keys?key=" + query}
	if code := run(append([]string{"config"}, settings...), noEnvironment, &shown, &wrong); code != exitOK {
		t.Errorf("config: %d %s", code, &wrong)
	}
	if code := run(append([]string{"config", "--ice-servers", "turn:user:" + password + "@", "--admin-key", "Bad Name:" + admin, "--nats", "ftp://user:" + login + "@h"}, settings[:2]...), noEnvironment, &shown, &wrong); code != exitSetting {
		t.Errorf("bad settings: %d", code)
	}
	if err := c.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("%v\n%s", err, c.err)
	}
	audit, err := os.ReadFile(filepath.Join(data, "audit.log"))
	if err != nil {
		t.Error(err)
	}
	log := c.err.String()
	if !strings.Contains(log, "level=DEBUG") || len(audit) == 0 {
		t.Fatalf("nothing was logged at debug, or audited:\n%s", log)
	}
	for where, text := range map[string]string{
		"log": log, "audit log": string(audit), "answers": answers.String(), "confab config": shown.String(), "errors of settings": wrong.String(),
	} {
		for name, value := range secrets {
			if at := strings.Index(text, value); at >= 0 {
				t.Errorf("the %s stands in the %s: …%s…", name, where, text[max(at-120, 0):min(at+len(value)+20, len(text))])
			}
		}
	}
}
