package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/providertest"
	"confab/bots/provider/sse"
)

const secret = "sk-0123456789-very-secret"

// plain is an API whose events are pieces of text, but for "ping", "stop" and "end".
type plain struct{}

func (plain) Event(c *Collector, event sse.Event) error {
	switch text := string(event.Data); text {
	case "ping":
	case "stop":
		c.Stop(provider.Stopped)
	case "end":
		c.End(provider.Stopped)
	case "error":
		return &Failure{Type: "overloaded_error", Message: secret}
	case "nonsense":
		return ErrUnreadable
	default:
		c.Text(Raw(text))
	}
	return nil
}

func ask(ctx context.Context, e *Endpoint, emit func(string)) (said string, err error) {
	_, err = e.Stream(ctx, map[string]string{"q": "?"}, plain{}, func(p provider.Part) {
		said += p.Text
		if emit != nil {
			emit(p.Text)
		}
	})
	return said, err
}

func open(t testing.TB, handler http.HandlerFunc) *Endpoint {
	return New(Options{
		Provider: "fake", URL: "http://fake.test/v1/ask", Key: provider.NewKey(secret),
		Transport: providertest.Transport(t, handler),
	})
}

func events(data ...string) string { return providertest.Events(data...) }

// wantError checks an error and that it holds no secret.
func wantError(t *testing.T, err error, code provider.Code, status int) *provider.Error {
	t.Helper()
	e, ok := errors.AsType[*provider.Error](err)
	if !ok || e.Code != code || e.Status != status || e.Provider != "fake" {
		t.Fatalf("%v (%T); want %s with status %d", err, err, code, status)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, e, errors.Unwrap(err)); strings.Contains(text, "secret") {
		t.Errorf("the error says %s", text)
	}
	return e
}

// TestTimes runs each wait to its end: what is said until then, and when it ends.
func TestTimes(t *testing.T) {
	const long = time.Hour
	tests := map[string]struct {
		steps []any
		times Times
		said  string
		code  provider.Code // empty = none
		ends  time.Duration
	}{
		"in time":             {steps: []any{29 * time.Second, events("a"), 14 * time.Second, events("b", "end")}, said: "ab", ends: 43 * time.Second},
		"no first piece":      {steps: []any{long}, code: provider.Timeout, ends: 30 * time.Second},
		"pings alone":         {steps: []any{20 * time.Second, events("ping"), 20 * time.Second, events("a")}, code: provider.Timeout, ends: 30 * time.Second},
		"stall":               {steps: []any{time.Second, events("a"), long}, said: "a", code: provider.Stalled, ends: 16 * time.Second},
		"stall with pings":    {steps: []any{events("a"), 10 * time.Second, events("ping"), 10 * time.Second, events("b")}, said: "a", code: provider.Stalled, ends: 15 * time.Second},
		"stall, comments":     {steps: []any{events("a"), 10 * time.Second, ": still here\n\n", 10 * time.Second}, said: "a", code: provider.Stalled, ends: 15 * time.Second},
		"stall within a line": {steps: []any{events("a"), "data: b", long}, said: "a", code: provider.Stalled, ends: 15 * time.Second},
		"own times":           {steps: []any{2 * time.Second, events("a"), long}, times: Times{First: 3 * time.Second, Stall: time.Second}, said: "a", code: provider.Stalled, ends: 3 * time.Second},
		"no mark of the end":  {steps: []any{events("a", "stop"), long}, said: "a", ends: afterStop},
		"a late mark":         {steps: []any{events("a", "stop"), time.Second, events("ping"), time.Second / 2, events("end"), long}, said: "a", ends: 3 * time.Second / 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := open(t, providertest.Stream(test.steps...))
				if test.times != (Times{}) {
					e.times = test.times.orDefaults()
				}
				begun := time.Now()
				said, err := ask(t.Context(), e, nil)
				if took := time.Since(begun); said != test.said || took != test.ends {
					t.Errorf("%q after %v; want %q after %v", said, took, test.said, test.ends)
				}
				if test.code == "" && err != nil {
					t.Error(err)
				} else if test.code != "" {
					wantError(t, err, test.code, statusOf(test.said))
				}
			})
		})
	}
}

// statusOf is the status in the error of a stream: 200 once it was read from.
func statusOf(string) int { return http.StatusOK }

// TestConnect: a server that does not take the connection is given up before one that does not answer.
func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{Provider: "fake", URL: "http://fake.test/", Key: provider.NewKey(secret), Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				select { // the Transport's own context, which outlives the request
				case <-ctx.Done():
					return nil, ctx.Err()
				case <-time.After(MaxConnect):
					return nil, errors.New("nobody there")
				}
			},
		}})
		begun := time.Now()
		_, err := ask(t.Context(), e, nil)
		wantError(t, err, provider.Timeout, 0)
		if took := time.Since(begun); took != DefaultConnect {
			t.Errorf("given up after %v", took)
		}
		time.Sleep(MaxConnect) // connecting ends, too
	})
}

// TestFirstBy: who asks may want the first piece earlier than the endpoint would wait.
func TestFirstBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, providertest.Stream(7*time.Second, events("a", "end")))
		begun := time.Now()
		_, err := ask(provider.WithFirstBy(t.Context(), begun.Add(5*time.Second)), e, nil)
		wantError(t, err, provider.Timeout, http.StatusOK)
		if took := time.Since(begun); took != 5*time.Second {
			t.Errorf("given up after %v", took)
		}
		if said, err := ask(provider.WithFirstBy(t.Context(), time.Now().Add(time.Hour)), e, nil); err != nil || said != "a" {
			t.Errorf("%q, %v", said, err)
		}
	})
}

// TestSlowReader: the time that emit takes is not the server's.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, providertest.Stream(events("a"), events("b"), 10*time.Second, events("c", "end")))
		said, err := ask(t.Context(), e, func(string) { time.Sleep(time.Minute) })
		if err != nil || said != "abc" {
			t.Errorf("%q, %v", said, err)
		}
	})
}

// TestCancel: who asked gets back the cause that the context was ended with.
func TestCancel(t *testing.T) {
	stopped := errors.New("the asker left")
	tests := map[string][]any{
		"before the first piece": {time.Hour},
		"in mid-answer":          {events("a"), time.Hour},
		"after the stop":         {events("a", "stop"), time.Second, time.Hour},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(stopped) })
				if _, err := ask(ctx, open(t, providertest.Stream(steps...)), nil); !errors.Is(err, stopped) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// TestBroken has streams that end before the answer does, or cannot be read.
func TestBroken(t *testing.T) {
	long := strings.Repeat("x", sse.MaxLine+1)
	tests := map[string]struct {
		steps []any
		said  string
	}{
		"end of the stream":  {[]any{events("a")}, "a"},
		"cut":                {[]any{events("a"), providertest.Cut{}}, "a"},
		"cut within a line":  {[]any{events("a"), "data: b", providertest.Cut{}}, "a"},
		"cut before a byte":  {[]any{providertest.Cut{}}, ""},
		"nothing":            {nil, ""},
		"unreadable":         {[]any{events("a", "nonsense", "b")}, "a"},
		"a line too long":    {[]any{events("a"), "data: " + long}, "a"},
		"an event too long":  {[]any{strings.Repeat("data: "+long[:sse.MaxEvent/2]+"\n", 3) + "\n"}, ""},
		"no end of the line": {[]any{events("a"), long}, "a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				said, err := ask(t.Context(), open(t, providertest.Stream(test.steps...)), nil)
				wantError(t, err, provider.Broken, http.StatusOK)
				if said != test.said {
					t.Errorf("%q; want %q", said, test.said)
				}
			})
		})
	}
}

// TestCutAfterTheStop: what comes behind the end of an answer is not needed.
func TestCutAfterTheStop(t *testing.T) {
	for name, steps := range map[string][]any{
		"cut": {events("a", "stop"), providertest.Cut{}},
		"end": {events("a", "stop")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if said, err := ask(t.Context(), open(t, providertest.Stream(steps...)), nil); err != nil || said != "a" {
					t.Errorf("%q, %v", said, err)
				}
			})
		})
	}
}

// TestStatuses holds what each status and each body of an error means, and what is told of it.
func TestStatuses(t *testing.T) {
	message := func(kind, code, text string) string {
		return fmt.Sprintf(`{"error":{"message":%q,"type":%q,"code":%q,"param":null}}`, text, kind, code)
	}
	tests := map[string]struct {
		status int
		body   string
		header []string
		code   provider.Code
		after  time.Duration
		told   string // the whole of it
	}{
		"wrong key":            {401, message("invalid_request_error", "invalid_api_key", "Incorrect API key: "+secret), nil, provider.Unauthorized, 0, "invalid_api_key, invalid_request_error"},
		"the key as a code":    {401, message("x", secret, ""), nil, provider.Unauthorized, 0, "***, x"},
		"part of the key":      {401, message("x", secret[3:13], ""), nil, provider.Unauthorized, 0, "***, x"},
		"forbidden":            {403, `{"type":"error","error":{"type":"permission_error","message":"secret"}}`, nil, provider.Unauthorized, 0, "permission_error"},
		"not paid":             {429, message("insufficient_quota", "insufficient_quota", ""), nil, provider.Unauthorized, 0, "insufficient_quota, insufficient_quota"},
		"payment required":     {402, ``, nil, provider.Unauthorized, 0, ""},
		"wrong model":          {404, message("invalid_request_error", "model_not_found", "the model secret"), nil, provider.BadRequest, 0, "model_not_found, invalid_request_error, the url or the model is not known there"},
		"bad request":          {400, message("invalid_request_error", "", ""), nil, provider.BadRequest, 0, "invalid_request_error"},
		"FastAPI":              {422, `{"detail":[{"loc":["body"],"msg":"secret"}]}`, nil, provider.BadRequest, 0, ""},
		"too long, OpenAI":     {400, message("invalid_request_error", "context_length_exceeded", ""), nil, provider.ContextTooLong, 0, "context_length_exceeded, invalid_request_error"},
		"too long, vLLM":       {400, `{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}`, nil, provider.ContextTooLong, 0, "400, BadRequestError"},
		"too long, llama.cpp":  {400, `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`, nil, provider.ContextTooLong, 0, "400, exceed_context_size_error"},
		"too long, Anthropic":  {400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 215000 tokens > 200000 maximum"}}`, nil, provider.ContextTooLong, 0, "invalid_request_error"},
		"too large":            {413, `{"type":"error","error":{"type":"request_too_large"}}`, nil, provider.ContextTooLong, 0, "request_too_large"},
		"rate":                 {429, message("requests", "rate_limit_exceeded", ""), []string{"Retry-After", "7"}, provider.RateLimited, 7 * time.Second, "rate_limit_exceeded, requests"},
		"rate in ms":           {429, ``, []string{"Retry-After", "1", "Retry-After-Ms", "250"}, provider.RateLimited, 250 * time.Millisecond, ""},
		"rate by date":         {429, ``, []string{"Retry-After", "Sat, 01 Jan 2000 00:01:40 GMT"}, provider.RateLimited, 100 * time.Second, ""},
		"rate by a past date":  {429, ``, []string{"Retry-After", "Fri, 31 Dec 1999 00:00:00 GMT"}, provider.RateLimited, 0, ""},
		"rate for ever":        {429, ``, []string{"Retry-After", "1e300"}, provider.RateLimited, maxRetryAfter, ""},
		"rate, nonsense":       {429, ``, []string{"Retry-After", "-5"}, provider.RateLimited, 0, ""},
		"overloaded":           {529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, nil, provider.Unavailable, 0, "overloaded_error"},
		"internal":             {500, message("server_error", "", ""), nil, provider.Unavailable, 0, "server_error"},
		"bad gateway in HTML":  {502, `<html>secret</html>`, nil, provider.Unavailable, 0, ""},
		"unavailable, later":   {503, `{"error":"loading the secret model"}`, []string{"Retry-After", "3"}, provider.Unavailable, 3 * time.Second, ""},
		"timeout":              {408, ``, nil, provider.Unavailable, 0, ""},
		"conflict":             {409, ``, nil, provider.Unavailable, 0, ""},
		"redirect":             {307, ``, []string{"Location", "http://elsewhere.test/secret"}, provider.BadRequest, 0, "redirects are not followed; set url to the address it leads to"},
		"no content":           {204, ``, nil, provider.Unavailable, 0, ""},
		"words that are none":  {400, message("a secret sentence", strings.Repeat("x", maxWord+1), ""), nil, provider.BadRequest, 0, ""},
		"a body without bound": {500, strings.Repeat("secret ", MaxErrorBody), nil, provider.Unavailable, 0, ""},
		"null":                 {500, `null`, nil, provider.Unavailable, 0, ""},
		"a list":               {500, `[1]`, nil, provider.Unavailable, 0, ""},
		"nested wrongly":       {400, `{"error":{"type":{"a":1},"code":[1],"message":7}}`, nil, provider.BadRequest, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // it is the year 2000
				asked := 0
				e := open(t, func(w http.ResponseWriter, r *http.Request) {
					asked++
					providertest.Status(test.status, test.body, test.header...)(w, r)
				})
				_, err := ask(t.Context(), e, nil)
				got := wantError(t, err, test.code, test.status)
				if got.RetryAfter != test.after {
					t.Errorf("retry after %v; want %v", got.RetryAfter, test.after)
				}
				told := ""
				if got.Err != nil {
					told = got.Err.Error()
				}
				if told != test.told || asked != 1 {
					t.Errorf("told %q by %d requests; want %q by 1", told, asked, test.told)
				}
			})
		})
	}
}

// TestReported: an error within the stream comes after a 200.
func TestReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		said, err := ask(t.Context(), open(t, providertest.Stream(events("a", "error", "b"))), nil)
		if e := wantError(t, err, provider.Unavailable, http.StatusOK); said != "a" || e.Err.Error() != "overloaded_error" {
			t.Errorf("%q, %v", said, e.Err)
		}
	})
}

// TestReportedCodes holds what words mean where no status helps.
func TestReportedCodes(t *testing.T) {
	for text, want := range map[string]provider.Code{
		`{"type":"rate_limit_error"}`:                              provider.RateLimited,
		`{"type":"overloaded_error"}`:                              provider.Unavailable,
		`{"type":"authentication_error"}`:                          provider.Unauthorized,
		`{"code":"rate_limit_exceeded","message":"…"}`:             provider.RateLimited,
		`{"type":"error","error":{"type":"api_error"}}`:            provider.Unavailable,
		`{"error":{"code":429}}`:                                   provider.RateLimited,
		`{"error":{"code":"400","type":"BadRequestError"}}`:        provider.BadRequest,
		`{"error":{"message":"Prompt is too long"}}`:               provider.ContextTooLong,
		`{"error":"never heard of"}`:                               provider.Unavailable,
		`{}`:                                                       provider.Unavailable,
		`7`:                                                        provider.Unavailable,
		`{"code":"invalid_prompt","type":"invalid_request_error"}`: provider.BadRequest,
	} {
		var f Failure
		if err := f.UnmarshalJSON([]byte(text)); err != nil || f.code(http.StatusOK) != want {
			t.Errorf("%s is %s (%v); want %s", text, f.code(http.StatusOK), err, want)
		}
	}
}

// TestNoStream: a 200 that is something else, such as the page of a proxy.
func TestNoStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := ask(t.Context(), open(t, providertest.Status(200, `{"secret":1}`)), nil)
		wantError(t, err, provider.Broken, http.StatusOK)
	})
}

// TestNoConnection tells what was tried and no address of what is secret.
func TestNoConnection(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	e := New(Options{Provider: "fake", URL: "http://fake.test/?key=secret", Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused },
	}})
	_, err := ask(t.Context(), e, nil)
	if got := wantError(t, err, provider.Unavailable, 0); got.Err.Error() != "dial: connection refused" {
		t.Errorf("%v", got.Err)
	}
}

// TestRequest: what is sent along, and that a key goes in one header only.
func TestRequest(t *testing.T) {
	for name, opts := range map[string]Options{
		"bearer": {Key: provider.NewKey(secret)},
		"named":  {Key: provider.NewKey(secret), KeyHeader: "X-Api-Key", Header: map[string]string{"Version": "1"}},
		"none":   {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got http.Header
				var body string
				opts.URL = "http://fake.test/v1/x?y=z"
				opts.Transport = providertest.Transport(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					text, _ := io.ReadAll(r.Body)
					got, body = r.Header, r.Method+" "+r.URL.String()+" "+string(text)
					providertest.Stream(events("end"))(w, r)
				}))
				if _, err := ask(t.Context(), New(opts), nil); err != nil {
					t.Fatal(err)
				}
				want := map[string]string{
					"bearer": "Bearer " + secret + "||", "named": "|" + secret + "|1", "none": "||",
				}[name]
				if found := got.Get("Authorization") + "|" + got.Get("X-Api-Key") + "|" + got.Get("Version"); found != want {
					t.Errorf("%s; want %s", found, want)
				}
				if body != `POST /v1/x?y=z {"q":"?"}` || got.Get("Content-Type") != "application/json" {
					t.Errorf("%s as %s", body, got.Get("Content-Type"))
				}
			})
		})
	}
}
