package signaling

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"confab/signaling/wire"
)

// FuzzBodies gives POST /session and POST /send bodies and numbers of every kind. Whatever they hold, the answer is one
// of those that are documented, and the next session begins.
func FuzzBodies(f *testing.F) {
	auth := `{"type":"auth","data":{"token":"ann"}}`
	for _, seed := range []struct{ begin, number, frame string }{
		{auth, "1", `{"type":"ping","id":"p"}`},
		{auth + "\n" + `{"type":"join","id":"j","room":"fuzz"}`, "", "{}\n\n{}"},
		{`{"type":"authenticate","token":"ann"}`, "0", "\xff"},
		{`{"type":"auth","data":{"token":"bad"}}`, "9007199254740992", ""},
		{"", "-1", "[]"},
		{auth + strings.Repeat("\n", wire.MaxAuthFrameBytes), "2", strings.Repeat(" ", wire.MaxFrameBytes+1)},
	} {
		f.Add(seed.begin, seed.number, seed.frame)
	}
	w := newWorld(f)
	post := func(t *testing.T, path, body string, header http.Header, allowed ...int) string {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		for k, v := range header {
			r.Header[k] = v
		}
		answer := httptest.NewRecorder()
		w.Handler().ServeHTTP(answer, r)
		for _, status := range allowed {
			if answer.Code == status {
				return answer.Body.String()
			}
		}
		t.Fatalf("%s: %d %s", path, answer.Code, answer.Body)
		return ""
	}
	begin := func(t *testing.T) http.Header {
		text := post(t, "/session", auth, nil, http.StatusOK)
		env, err := wire.DecodeEnvelope([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{"Authorization": {"Bearer " + body[wire.Connected](env).Ticket}}
	}
	f.Fuzz(func(t *testing.T, first, number, frame string) {
		text := post(t, "/session", first, nil, http.StatusOK, http.StatusBadRequest, http.StatusUnauthorized,
			http.StatusRequestEntityTooLarge, http.StatusInternalServerError, http.StatusServiceUnavailable)
		if strings.HasPrefix(text, `{"error":{"code":"internal"`) && !strings.Contains(first, "panic") {
			t.Errorf("%q: %s", first, text)
		}
		header := begin(t)
		header[frameHeader] = []string{number}
		post(t, "/send", frame, header, http.StatusNoContent, http.StatusBadRequest, http.StatusRequestEntityTooLarge)
		delete(header, frameHeader)
		w.CloseUser("ann", wire.CloseTryAgainLater, "enough") // or they would be too many
	})
}

// FuzzTicket reads tickets of every kind: what is one says the same when it is signed again.
func FuzzTicket(f *testing.F) {
	good := ticket{incarnation: 1, serial: 2, session: newSessionID(), user: "ann"}
	f.Add(good.sign(testKey))
	f.Add(good.sign([]byte("ffffffffffffffffffffffffffffffff")))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTicket(text, testKey)
		if err != nil {
			return
		}
		if again, err := parseTicket(got.sign(testKey), testKey); err != nil || again != got || len(got.session) != sessionIDLen {
			t.Errorf("%q is read as %+v, and that as %+v, %v", text, got, again, err)
		}
	})
}
