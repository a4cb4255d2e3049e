package wire

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// Every code has a status of its own meaning: only what is the server's fault is a 500.
func TestHTTPStatus(t *testing.T) {
	for _, code := range ErrorCodes {
		if status := code.HTTPStatus(); status < 400 || status > 599 || (status == http.StatusInternalServerError) != (code == CodeInternal) {
			t.Errorf("%s: %d", code, status)
		}
	}
}

func TestWriteProblem(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		problem *Error
		want    int
		after   string
		asks    string
		body    string
	}{
		{"the code's status", 0, Errorf(CodeNotFound, "nothing"), 404, "", "", `{"error":{"code":"not-found","message":"nothing"}}`},
		{"another status", 415, Errorf(CodeBadMessage, "send %q", "x"), 415, "", "", `{"error":{"code":"bad-message","message":"send \"x\""}}`},
		{"a wait, rounded up", 0, &Error{Code: CodeRateLimited, Text: "wait", RetryAfter: 1001 * time.Millisecond}, 429, "2", "", `{"error":{"code":"rate-limited","message":"wait"}}`},
		{"no token", 0, Errorf(CodeUnauthorized, "who?"), 401, "", "Bearer", `{"error":{"code":"unauthorized","message":"who?"}}`},
		{"a cause", 0, &Error{Code: CodeInternal, Text: "oops", Err: errors.New("secret")}, 500, "", "", `{"error":{"code":"internal","message":"oops"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteProblem(w, c.status, c.problem)
			h := w.Header()
			if w.Code != c.want || h.Get("Retry-After") != c.after || h.Get("WWW-Authenticate") != c.asks || w.Body.String() != c.body+"\n" {
				t.Errorf("%d %v %s", w.Code, h, w.Body)
			}
			if h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%v", h)
			}
		})
	}
}
