package voice

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/providertest"
	"confab/bots/provider/resilient"
)

const secret = "sk-0123456789-very-secret"

func speechBy(t *testing.T, handler http.HandlerFunc) *Speech { return meteredSpeech(t, nil, handler) }

func meteredSpeech(t *testing.T, meter resilient.Meter, handler http.HandlerFunc) *Speech {
	return NewSpeech(SpeechOptions{
		Endpoint: endpoint.Options{
			Provider: "speech", URL: "http://fake.test/v1/audio/speech", Key: provider.NewKey(secret), Transport: providertest.Transport(t, handler),
		},
		Model: "tts", Voice: "ash", Speed: 1.25, Meter: meter, Logger: slog.New(slog.DiscardHandler),
	})
}

// say reads all that comes.
func say(t *testing.T, s *Speech) ([]byte, error) {
	t.Helper()
	var all []byte
	err := s.Say(t.Context(), "", "Hello, “world”.", func(sound io.Reader) (err error) {
		all, err = io.ReadAll(sound)
		return err
	})
	return all, err
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

// A meter notes what it is told.
type meter struct {
	outcomes []string
	first    time.Duration // of the last one
	breaker  []bool
}

func (m *meter) Asked(a resilient.Attempt) {
	m.outcomes, m.first = append(m.outcomes, a.Outcome), a.First
}
func (m *meter) Breaker(_ string, open bool) { m.breaker = append(m.breaker, open) }

// TestSayAgain: what fails before the first sound is asked again, what fails after it is not, and what is no sound counts
// as a failure.
func TestSayAgain(t *testing.T) {
	for name, test := range map[string]struct {
		handlers []http.HandlerFunc
		sound    string
		outcomes []string
	}{
		"before the first sound": {
			[]http.HandlerFunc{providertest.Status(http.StatusServiceUnavailable, "{}"), sounds(time.Second, "Ogg")}, "Ogg", []string{"unavailable", "ok"},
		},
		"after it": {[]http.HandlerFunc{stops("Ogg"), sounds(0, "Ogg")}, "Ogg", []string{"broken"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, asked := &meter{}, 0
				sound, err := say(t, meteredSpeech(t, m, func(w http.ResponseWriter, r *http.Request) {
					asked++
					test.handlers[asked-1](w, r)
				}))
				if string(sound) != test.sound || (err == nil) != (m.outcomes[len(m.outcomes)-1] == resilient.OutcomeOK) {
					t.Errorf("%q, %v", sound, err)
				}
				if !slices.Equal(m.outcomes, test.outcomes) || err == nil && m.first != time.Second {
					t.Errorf("counted: %v, the first sound after %v", m.outcomes, m.first)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m := &meter{}
		c := &clip{}
		err := c.load(t.Context(), meteredSpeech(t, m, sounds(0, "no Ogg at all, however long one listens to it")))
		if problem, ok := errors.AsType[*provider.Error](err); !ok || problem.Code != provider.Broken || !slices.Equal(m.outcomes, []string{"broken"}) {
			t.Errorf("%v, counted: %v", err, m.outcomes)
		}
	})
}

// TestSpeechRests: a server that fails is not asked for a while.
func TestSpeechRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, asked := &meter{}, 0
		s := meteredSpeech(t, m, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.WriteHeader(http.StatusBadGateway)
		})
		for range 4 {
			_, _ = say(t, s)
		}
		if asked != resilient.DefaultFailures || !slices.Equal(m.breaker, []bool{true}) {
			t.Errorf("asked %d times, the breaker: %v", asked, m.breaker)
		}
		if _, err := say(t, s); !strings.Contains(err.Error(), string(provider.CircuitOpen)) {
			t.Errorf("while it rests: %v", err)
		}
		time.Sleep(resilient.DefaultOpen + time.Second)
		if _, err := say(t, s); err == nil || asked != resilient.DefaultFailures+1 {
			t.Errorf("after its rest: asked %d times, %v", asked, err)
		}
	})
}

// sounds answers after a while.
func sounds(d time.Duration, sound string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(d)
		_, _ = io.WriteString(w, sound)
	}
}

// stops breaks off after its beginning.
func stops(sound string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, sound)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}
