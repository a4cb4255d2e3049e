package provider

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

const secret = "sk-secret-0123456789"

// TestKeyIsNeverPrinted prints a key by itself and within other things, in every way that this program prints.
func TestKeyIsNeverPrinted(t *testing.T) {
	key := NewKey(secret)
	type open struct{ Key Key }
	type hidden struct{ key Key }
	values := map[string]any{
		"key": key, "pointer": &key, "list": []Key{key}, "map": map[string]Key{"k": key}, "key of a map": map[any]int{&key: 1},
		"exported": open{key}, "unexported": hidden{key}, "pointer to unexported": &hidden{key}, "any": []any{hidden{key}},
		"error": fmt.Errorf("with %v and %+v", key, hidden{key}),
	}
	for name, value := range values {
		t.Run(name, func(t *testing.T) {
			printed := map[string]string{}
			for verb := byte('A'); verb <= 'z'; verb++ {
				for _, flags := range []string{"", "+", "#", " ", "0", "-20", ".3"} {
					printed["%"+flags+string(verb)] = fmt.Sprintf("%"+flags+string(verb), value)
				}
			}
			printed["print"] = fmt.Sprint(value) + fmt.Sprintln(value)
			text, _ := json.Marshal(value) // what cannot be written is not printed
			printed["JSON"] = string(text)
			if !strings.Contains(name, "key of") { // which yaml panics at
				text, _ = yaml.Marshal(value)
				printed["YAML"] = string(text)
			}
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", value)
			slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", value)
			printed["slog"] = log.String()
			for how, text := range printed {
				for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprintf("% x", secret), secret[3:9]} {
					if strings.Contains(text, form) {
						t.Errorf("%s prints %s", how, text)
					}
				}
			}
		})
	}
}

func TestKey(t *testing.T) {
	key, none := NewKey(secret), NewKey("")
	if key.Reveal() != secret || key.IsZero() || none.Reveal() != "" || !none.IsZero() || !(Key{}).IsZero() {
		t.Error("a key is not what it was made of")
	}
	if got := fmt.Sprintf("%v|%q|%v|", key, key, none); got != "***|***||" {
		t.Errorf("printed as %s", got)
	}
	text, err := json.Marshal(map[string]Key{"a": key, "b": none})
	if err != nil || string(text) != `{"a":"***","b":""}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestErrorText(t *testing.T) {
	for want, err := range map[string]*Error{
		"provider p: timeout":                       {Code: Timeout, Provider: "p"},
		"provider p: rate-limited (status 429): x":  {Code: RateLimited, Provider: "p", Status: 429, Err: errors.New("x"), RetryAfter: time.Second},
		"provider : broken: the stream was cut off": {Code: Broken, Err: errors.New("the stream was cut off")},
	} {
		if err.Error() != want || !errors.Is(err, err.Err) && err.Err != nil {
			t.Errorf("%s; want %s", err, want)
		}
	}
}

func TestRetryable(t *testing.T) {
	for code, want := range map[Code]bool{
		Timeout: true, Stalled: true, RateLimited: true, Unavailable: true, Broken: true,
		Unauthorized: false, BadRequest: false, ContextTooLong: false, CircuitOpen: false,
	} {
		if got := (&Error{Code: code}).Retryable(); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
}
