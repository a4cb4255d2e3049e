package record

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"confab/signaling/wire"
)

// byHeader lets whoever names a room see that room, "*" all of them, and "@user" what that user has started.
func byHeader(r *http.Request) (Caller, error) {
	who := r.Header.Get("Authorization")
	if who == "" {
		return Caller{}, wire.Errorf(wire.CodeUnauthorized, "a token is needed")
	}
	user, _ := strings.CutPrefix(who, "@")
	return Caller{User: wire.UserID(user), Moderates: func(room wire.RoomID) bool { return who == "*" || who == string(room) }}, nil
}

type api struct {
	t *testing.T
	h http.Handler
}

func (a api) do(method, path, who string, header ...string) *http.Response {
	a.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if who != "" {
		r.Header.Set("Authorization", who)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHandler(t *testing.T) {
	r := newTestRecorder(t, Limits{})
	a := api{t, r.Handler(byHeader)}
	rec := start(t, r, "alpha")
	rec.Chat([]byte(`{"type":"chat","seq":1,"data":{"text":"0123456789"}}`))
	w := rec.Track(Track{Participant: "p1", Source: wire.Microphone, Codec: "opus"})
	feed(t, w, encoded(t, "opus"), rec.manifest.Started)
	m := stop(t, rec)
	live := start(t, r, "alpha-beta") // a room whose name contains the other's
	sound := "/api/v1/recordings/" + rec.id + "/" + m.Tracks[0].File
	if err := os.WriteFile(filepath.Join(r.opts.Dir, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}

	t.Run("list", func(t *testing.T) {
		for who, want := range map[string]string{
			"alpha": rec.id, "alpha-beta": live.id, "gamma": "", "*": live.id + " " + rec.id, "@mo": live.id + " " + rec.id, "@jo": "",
		} {
			path := "/api/v1/recordings"
			if who == "alpha" || who == "alpha-beta" {
				path += "?room=" + who
			}
			var list List
			if err := json.Unmarshal([]byte(body(t, a.do("GET", path, who))), &list); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, s := range list.Recordings {
				ids = append(ids, s.ID)
				if (s.Ended == "") != (s.ID == live.id) {
					t.Errorf("%s ended %q", s.ID, s.Ended)
				}
			}
			got := strings.Join(ids, " ")
			if got != want && (len(want) < 2*len(rec.id) || got != rec.id+" "+live.id) { // in one second the names decide
				t.Errorf("%s sees %s, want %s", who, got, want)
			}
		}
	})
	t.Run("download", func(t *testing.T) {
		whole := a.do("GET", sound, "alpha")
		if content := body(t, whole); int64(len(content)) != m.Tracks[0].Bytes || whole.Header.Get("Content-Type") != "video/webm" {
			t.Errorf("%d bytes of %s", len(content), whole.Header.Get("Content-Type"))
		}
		if got := whole.Header.Get("Content-Disposition"); got != "attachment; filename="+m.Tracks[0].File {
			t.Errorf("disposition %q", got)
		}
		part := a.do("GET", sound, "alpha", "Range", "bytes=0-3")
		if got := body(t, part); part.StatusCode != http.StatusPartialContent || got != "\x1a\x45\xdf\xa3" {
			t.Errorf("%d %q", part.StatusCode, got)
		}
		if got := body(t, a.do("GET", "/api/v1/recordings/"+rec.id+"/"+chatName, "alpha")); !strings.Contains(got, "0123456789") {
			t.Errorf("chat %q", got)
		}
		var read Manifest
		if err := json.Unmarshal([]byte(body(t, a.do("GET", "/api/v1/recordings/"+rec.id, "alpha"))), &read); err != nil || read.ID != rec.id {
			t.Errorf("manifest %+v, %v", read, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		const base = "/api/v1/recordings"
		for _, test := range []struct {
			method, path, who string
			want              int
		}{
			{"GET", base, "", 401},
			{"GET", base + "?room=../x", "*", 400},
			{"GET", base + "/" + rec.id, "", 401},
			{"GET", base + "/" + rec.id, "alpha-beta", 404},
			{"GET", base + "/" + rec.id, "@jo", 404},
			{"GET", base + "/" + rec.id, "@mo", 200},
			{"GET", base + "/20260101-000000-alpha-00000000", "", 401},
			{"GET", base + "/20260101-000000-alpha-00000000", "alpha", 404},
			{"GET", sound, "alpha-beta", 404},
			{"GET", base + "/" + rec.id + "/../secret", "*", 307}, // cleaned by the mux
			{"GET", base + "/" + rec.id + "/..%2fsecret", "*", 404},
			{"GET", base + "/..%2f/secret", "*", 404},
			{"GET", base + "/%2e%2e/secret", "*", 404},
			{"GET", base + "/" + rec.id + "/manifest.json.tmp", "*", 404},
			{"GET", base + "/" + rec.id + "/none.webm", "*", 404},
			{"DELETE", base + "/" + rec.id, "alpha-beta", 404},
			{"DELETE", base + "/" + live.id, "*", 409},
			{"DELETE", base, "*", 405},
			{"POST", base, "*", 405},
		} {
			got := a.do(test.method, test.path, test.who)
			text := body(t, got)
			if got.StatusCode != test.want || strings.Contains(text, "secret\n") || test.want >= 400 && test.want < 405 && !strings.HasPrefix(text, `{"error":{"code":"`) {
				t.Errorf("%s %s for %q: %d %s, want %d", test.method, test.path, test.who, got.StatusCode, text, test.want)
			}
		}
	})
	t.Run("delete", func(t *testing.T) {
		if got := a.do("DELETE", "/api/v1/recordings/"+rec.id, "alpha"); got.StatusCode != http.StatusNoContent {
			t.Errorf("%d %s", got.StatusCode, body(t, got))
		}
		if _, err := os.Stat(rec.dir); !os.IsNotExist(err) {
			t.Errorf("the folder: %v", err)
		}
		if got := a.do("GET", sound, "alpha"); got.StatusCode != http.StatusNotFound {
			t.Errorf("%d", got.StatusCode)
		}
	})
}

// TestManifestNamesNoOtherFiles has a manifest that was tampered with name a file elsewhere.
func TestManifestNamesNoOtherFiles(t *testing.T) {
	r := newTestRecorder(t, Limits{})
	a := api{t, r.Handler(byHeader)}
	rec := start(t, r, "room")
	m := stop(t, rec)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(rec.dir, "link.webm")); err != nil {
		t.Fatal(err)
	}
	m.Tracks = []TrackEntry{{File: "link.webm"}}
	if err := m.write(rec.dir); err != nil {
		t.Fatal(err)
	}
	got := a.do("GET", "/api/v1/recordings/"+rec.id+"/link.webm", "*")
	if text := body(t, got); got.StatusCode != http.StatusInternalServerError || strings.Contains(text, "secret") {
		t.Errorf("%d %s", got.StatusCode, text)
	}
}
