package hearing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sk-0123456789-very-secret"

// askedOf returns a Transcriber whose server is handler.
func askedOf(t *testing.T, handler http.HandlerFunc, log io.Writer) *Transcriber {
	t.Helper()
	return NewTranscriber(TranscriberOptions{
		Endpoint: endpoint.Options{
			Provider: "hearing", URL: "http://fake.test/v1/audio/transcriptions", Key: provider.NewKey(secret),
			Transport: providertest.Transport(t, handler),
		},
		Model: "whisper-1", Language: "en", Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
}

// TestTranscribe shows what an endpoint is asked, and that its text comes in one line.
func TestTranscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sound := bytes.Repeat([]byte("OggS\r\n--"), 1000)
		s := askedOf(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != "/v1/audio/transcriptions" || r.Header.Get("Authorization") != "Bearer "+secret {
				t.Errorf("%s %s with %v", r.Method, r.URL, r.Header)
			}
			for field, want := range map[string]string{"model": "whisper-1", "response_format": "json", "language": "en"} {
				if got := r.FormValue(field); got != want {
					t.Errorf("%s is %q", field, got)
				}
			}
			file, head, err := r.FormFile("file")
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(file)
			if err != nil || !bytes.Equal(got, sound) || head.Filename != "speech.ogg" || head.Header.Get("Content-Type") != "audio/ogg" {
				t.Errorf("%d bytes of %+v, %v", len(got), head, err)
			}
			fmt.Fprint(w, `{"text":" Hello,\n world.\u2028 ","usage":{"seconds":1}}`)
		}, io.Discard)
		if text, err := s.Transcribe(t.Context(), sound); text != "Hello, world." || err != nil {
			t.Errorf("%q, %v", text, err)
		}
	})
}

// TestTranscribeFails: each failure has its code, in its time; it is asked again where that may help, and no text of it
// has the key.
func TestTranscribeFails(t *testing.T) {
	status := func(code int, headers ...string) http.HandlerFunc {
		return providertest.Status(code, `{"error":{"message":"`+secret+`"}}`, headers...)
	}
	stalls := func(parts string) http.HandlerFunc { return providertest.Stream(parts, time.Hour) }
	says := providertest.Status(http.StatusOK, `{"text":"Hello."}`)
	in := providertest.InOrder
	for name, test := range map[string]struct {
		handler     http.HandlerFunc
		text        string
		code        provider.Code
		asked       int
		after, most time.Duration
	}{
		"a wrong key":           {status(401), "", provider.Unauthorized, 1, 0, 0},
		"too often, for good":   {status(429), "", provider.RateLimited, 3, 0, time.Second},
		"too often, once":       {in(status(429, "Retry-After", "5"), says), "Hello.", "", 2, 5 * time.Second, 6 * time.Second},
		"too often, too long":   {in(status(429, "Retry-After", "60"), says), "", provider.RateLimited, 1, 0, 0},
		"a failing server":      {status(500), "", provider.Unavailable, 3, 0, time.Second},
		"it fails once":         {in(status(500), says), "Hello.", "", 2, 0, time.Second},
		"it takes no such file": {status(400), "", provider.BadRequest, 1, 0, 0},
		"no answer":             {stalls(""), "", provider.Timeout, 1, firstWithin, firstWithin},
		"it stops":              {in(stalls(`{"text":`), says), "Hello.", "", 2, stallWithin, stallWithin + time.Second},
		"a page of HTML":        {in(providertest.Status(200, "<html>"), says), "Hello.", "", 2, 0, time.Second},
		"no text":               {providertest.Status(200, `{"error":"x"}`), "", provider.Broken, 3, 0, time.Second},
		"no end":                {providertest.Status(200, `{"text":"`+strings.Repeat("a", 2*maxAnswer)+`"}`), "", provider.Broken, 3, 0, time.Second},
		"a long text":           {providertest.Status(200, `{"text":"`+strings.Repeat("ä", maxText)+`"}`), strings.Repeat("ä", maxText/2), "", 1, 0, 0},
		"no words":              {providertest.Status(200, `{"text":" \n"}`), "", "", 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				var log bytes.Buffer
				s := askedOf(t, func(w http.ResponseWriter, r *http.Request) {
					asked++
					_, _ = io.Copy(io.Discard, r.Body) // else it would not be told that nobody waits any more
					test.handler(w, r)
				}, &log)
				began := time.Now()
				text, err := s.Transcribe(t.Context(), []byte("OggS"))
				problem, _ := errors.AsType[*provider.Error](err)
				if text != test.text || (err != nil) != (test.code != "") || problem != nil && (problem.Code != test.code || problem.Provider != "hearing") {
					t.Errorf("%q, %v", text, err)
				}
				if after := time.Since(began); asked != test.asked || after < test.after || after > test.most {
					t.Errorf("asked %d times, in %v", asked, after)
				}
				if strings.Contains(fmt.Sprint(err, log.String()), secret) {
					t.Errorf("the key is told: %v, %s", err, &log)
				}
			})
		})
	}
}

// TestBreaker: a server that fails on and on is left alone for a while.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, down := 0, true
		s := askedOf(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if asked++; down {
				http.Error(w, "{}", http.StatusBadGateway)
				return
			}
			fmt.Fprint(w, `{"text":"Hello."}`)
		}, io.Discard)
		for range 20 {
			if text, err := s.Transcribe(t.Context(), nil); err == nil {
				t.Fatalf("%q", text)
			}
		}
		if asked != 5 {
			t.Errorf("asked %d times", asked)
		}
		down = false
		time.Sleep(31 * time.Second)
		if text, err := s.Transcribe(t.Context(), nil); text != "Hello." || err != nil {
			t.Errorf("a while later: %q, %v", text, err)
		}
	})
}
