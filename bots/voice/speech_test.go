package voice

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/providertest"
)

const secret = "sk-0123456789-very-secret"

func speechBy(t *testing.T, handler http.HandlerFunc) *Speech {
	return NewSpeech(SpeechOptions{
		Endpoint: endpoint.Options{
			Provider: "speech", URL: "http://fake.test/v1/audio/speech", Key: provider.NewKey(secret), Transport: providertest.Transport(t, handler),
		},
		Model: "tts", Voice: "ash", Speed: 1.25,
	})
}

// say reads all that comes.
func say(t *testing.T, s *Speech) ([]byte, error) {
	t.Helper()
	sound, err := s.Say(t.Context(), "Hello, “world”.")
	if err != nil {
		return nil, err
	}
	defer sound.Close()
	return io.ReadAll(sound)
}

// TestSay shows what a speech endpoint is asked, and that its answer comes as it is.
func TestSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked map[string]any
		s := speechBy(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+secret || r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost {
				t.Errorf("%s with %v", r.Method, r.Header)
			}
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			for range 3 {
				_, _ = w.Write([]byte("Ogg"))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(speechStall - time.Second)
			}
		})
		if sound, err := say(t, s); string(sound) != "OggOggOgg" || err != nil {
			t.Errorf("%q, %v", sound, err)
		}
		want := map[string]any{"model": "tts", "input": "Hello, “world”.", "voice": "ash", "response_format": "opus", "speed": 1.25}
		for field, value := range want {
			if asked[field] != value {
				t.Errorf("%s is %v, not %v", field, asked[field], value)
			}
		}
	})
}

// TestSayFails: each failure has its code, in its time, and no text of it has the key.
func TestSayFails(t *testing.T) {
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		code    provider.Code
		after   time.Duration
	}{
		"a wrong key": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":{"message":"`+secret+`","code":"invalid_api_key"}}`, http.StatusUnauthorized)
		}, provider.Unauthorized, 0},
		"too often":        {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusTooManyRequests) }, provider.RateLimited, 0},
		"a failing server": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, secret, http.StatusBadGateway) }, provider.Unavailable, 0},
		"another place": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.test/", http.StatusFound)
		}, provider.BadRequest, 0},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else it would not be told that nobody waits any more
			<-r.Context().Done()
		}, provider.Timeout, speechFirst},
		"it stops": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write([]byte("Ogg"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, provider.Stalled, speechStall},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := say(t, speechBy(t, test.handler))
				problem, ok := errors.AsType[*provider.Error](err)
				if !ok || problem.Code != test.code || problem.Provider != "speech" {
					t.Fatalf("%v", err)
				}
				if after := time.Since(began); after < test.after || after > test.after+time.Second {
					t.Errorf("after %v", after)
				}
				if text := err.Error(); text == "" || len(text) > 200 || strings.Contains(text, secret) {
					t.Errorf("it says %q", text)
				}
			})
		})
	}
}
