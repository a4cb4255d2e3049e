package providertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"confab/bots/provider"
)

// An Answer is what a turn comes to.
type Answer struct {
	Said     string
	Thinking string
	Turn     provider.Turn
	Code     provider.Code // empty = no error
}

// A NewModel makes a Model that asks over a transport.
type NewModel func(http.RoundTripper) provider.Model

// Ask runs one turn. It fails the test for a Part that does not set exactly one of its fields or is no UTF-8, and for
// an error that is no *provider.Error.
func Ask(ctx context.Context, t testing.TB, m provider.Model, r provider.Request) Answer {
	t.Helper()
	var a Answer
	turn, err := m.Answer(ctx, r, func(p provider.Part) {
		if (p.Text == "") == (p.Thinking == "") || !utf8.ValidString(p.Text+p.Thinking) {
			t.Errorf("a part with text %q and thinking %q", p.Text, p.Thinking)
		}
		a.Said += p.Text
		a.Thinking += p.Thinking
	})
	a.Turn = turn
	if e, ok := errors.AsType[*provider.Error](err); ok {
		a.Code = e.Code
	} else if err != nil {
		t.Errorf("%v is a %T", err, err)
	}
	return a
}

// Compare fails the test when the two differ.
func Compare(t testing.TB, got, want Answer) {
	t.Helper()
	if got.Said != want.Said || got.Thinking != want.Thinking || got.Code != want.Code {
		t.Errorf("%q, thinking %q, error %q; want %q, %q, %q", got.Said, got.Thinking, got.Code, want.Said, want.Thinking, want.Code)
	}
	if !reflect.DeepEqual(got.Turn, want.Turn) {
		t.Errorf("%+v; want %+v", got.Turn, want.Turn)
	}
}

// EachWay runs a stream whole and byte by byte, which splits lines and characters everywhere.
func EachWay(t *testing.T, stream string, model NewModel, want Answer) {
	t.Helper()
	for how, steps := range map[string][]any{"whole": {stream}, "bytewise": Bytewise(stream)} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				Compare(t, Ask(t.Context(), t, model(Transport(t, Stream(steps...))), provider.Request{}), want)
			})
		})
	}
}

// Requested returns the URL, as a server sees it, and the body that a Model sends for r. The stream is what it gets.
func Requested(t *testing.T, model NewModel, r provider.Request, stream string) (url, body string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		transport := Transport(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			url, body = r.URL.String(), string(text)
			Stream(stream)(w, r)
		}))
		if a := Ask(t.Context(), t, model(transport), r); a.Code != "" {
			t.Errorf("%+v", a)
		}
	})
	return url, body
}

// SameJSON compares two texts but for white space and the order of fields.
func SameJSON(t testing.TB, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Check runs any bytes as the stream of an answer, and holds what Models promise whatever a server sends.
func Check(t testing.TB, stream []byte, model NewModel) {
	t.Helper()
	a := Ask(context.Background(), t, model(body(stream)), provider.Request{})
	if a.Code == "" && a.Turn.Stop == "" {
		t.Errorf("no error, and no reason for the end: %+v", a.Turn)
	}
	if (len(a.Turn.Calls) > 0) != (a.Code == "" && a.Turn.Stop == provider.Tools) {
		t.Errorf("error %q beside %+v", a.Code, a.Turn)
	}
	ids := map[string]bool{}
	for _, c := range a.Turn.Calls {
		var object map[string]json.RawMessage
		if c.ID == "" || ids[c.ID] || c.Name == "" || json.Unmarshal(c.Input, &object) != nil {
			t.Errorf("%+v", c)
		}
		ids[c.ID] = true
	}
}

// body is a Transport that answers with a stream, without connections.
type body []byte

func (b body) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}},
		Body: io.NopCloser(bytes.NewReader(b)), Request: r,
	}, nil
}
