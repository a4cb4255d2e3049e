package resilient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/openai"
	"confab/bots/provider/providertest"
)

const secret = "sk-0123456789-very-secret"

// says answers with a text.
func says(text string) http.HandlerFunc {
	return providertest.Stream(chunk(text), providertest.Events(
		`{"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		`{"model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2}}`, "[DONE]"))
}

func chunk(text string) string {
	return providertest.Events(`{"model":"m","choices":[{"index":0,"delta":{"content":"` + text + `"}}]}`)
}

func fails(status int, headers ...string) http.HandlerFunc {
	return providertest.Status(status, `{"error":{"type":"x","message":"`+secret+`"}}`, headers...)
}

// A counted server tells how often it was asked, and when.
type counted struct {
	mu    sync.Mutex
	next  http.HandlerFunc
	begun time.Time
	asked []time.Duration
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, time.Since(c.begun))
	next := c.next
	c.mu.Unlock()
	next(w, r)
}

// answers changes what the server answers from now on.
func (c *counted) answers(next http.HandlerFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = next
}

func (c *counted) times() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Duration{}, c.asked...)
}

// A meter keeps what it is told.
type meter struct {
	mu       sync.Mutex
	attempts []Attempt
	breakers []string
}

func (m *meter) Asked(a Attempt) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attempts = append(m.attempts, a)
}

func (m *meter) Breaker(name string, open bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.breakers = append(m.breakers, fmt.Sprint(name, " ", open))
}

func (m *meter) outcomes() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, a := range m.attempts {
		list = append(list, a.Provider+":"+a.Outcome)
	}
	return strings.Join(list, " ")
}

// A bench is one provider over a fake server, with what it logs and tells.
type bench struct {
	*Provider
	server *counted
	meter  *meter
	log    *bytes.Buffer // of tests that wait for all their goroutines before they read it
}

func newBench(t *testing.T, name string, next http.HandlerFunc, change func(*Options)) *bench {
	b := &bench{server: &counted{next: next, begun: time.Now()}, meter: &meter{}, log: &bytes.Buffer{}}
	opts := Options{
		Name: name, Meter: b.meter, Logger: slog.New(slog.NewJSONHandler(b.log, nil)),
		Model: openai.NewChat(openai.Options{Model: "m", Endpoint: endpoint.Options{
			Provider: name, URL: "http://" + name + ".test/v1", Key: provider.NewKey(secret),
			Transport: providertest.Transport(t, b.server),
		}}),
	}
	if change != nil {
		change(&opts)
	}
	b.Provider = NewProvider(opts)
	return b
}

// builtIn answers without a server, as the engine does that is always there.
type builtIn struct{}

func (builtIn) Answer(_ context.Context, _ provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	emit(provider.Part{Text: "I do what I can."})
	return provider.Turn{Stop: provider.Stopped, Model: "built-in"}, nil
}

func ask(t *testing.T, m provider.Model) providertest.Answer {
	t.Helper()
	return providertest.Ask(t.Context(), t, m, provider.Request{})
}

// TestRetry holds what is asked again, and what comes of it.
func TestRetry(t *testing.T) {
	in := providertest.InOrder
	tests := map[string]struct {
		next     http.HandlerFunc
		said     string
		code     provider.Code
		outcomes string
		input    int
	}{
		"at once":             {in(says("a")), "a", "", "p:ok", 10},
		"500 once":            {in(fails(500), says("a")), "a", "", "p:unavailable p:ok", 10},
		"429 and 529":         {in(fails(429), fails(529), says("a")), "a", "", "p:rate-limited p:unavailable p:ok", 10},
		"cut before a piece":  {in(providertest.Stream(providertest.Cut{}), says("a")), "a", "", "p:broken p:ok", 10},
		"three times":         {in(fails(503)), "", provider.Unavailable, "p:unavailable p:unavailable p:unavailable", 0},
		"wrong key":           {in(fails(401), says("a")), "", provider.Unauthorized, "p:unauthorized", 0},
		"bad request":         {in(fails(400), says("a")), "", provider.BadRequest, "p:bad-request", 0},
		"too long":            {in(fails(413), says("a")), "", provider.ContextTooLong, "p:context-too-long", 0},
		"too slow":            {in(providertest.Stream(time.Hour), says("a")), "", provider.Timeout, "p:timeout", 0},
		"cut in mid-answer":   {in(providertest.Stream(chunk("a"), providertest.Cut{}), says("b")), "a", provider.Broken, "p:broken", 0},
		"stall in mid-answer": {in(providertest.Stream(chunk("a"), time.Hour), says("b")), "a", provider.Stalled, "p:stalled", 0},
		"usage of two": {in(providertest.Stream(providertest.Events(`{"choices":[],"usage":{"prompt_tokens":5}}`), providertest.Cut{}), says("a")),
			"a", "", "p:broken p:ok", 15},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "p", test.next, nil)
				a := ask(t, b)
				if a.Said != test.said || a.Code != test.code || a.Turn.Usage.Input != test.input || a.Turn.Degraded {
					t.Errorf("%+v", a)
				}
				if got := b.meter.outcomes(); got != test.outcomes {
					t.Errorf("told %s; want %s", got, test.outcomes)
				}
			})
		})
	}
}

// TestWaits: between attempts there is a time by chance that may be twice as long each time, and no longer.
func TestWaits(t *testing.T) {
	longest := make([]time.Duration, 6)
	for range 40 {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "p", fails(500), func(o *Options) { o.Attempts, o.Failures = 7, 100 })
			if a := ask(t, b); a.Code != provider.Unavailable {
				t.Fatalf("%+v", a)
			}
			times := b.server.times()
			if len(times) != 7 {
				t.Fatalf("asked %d times", len(times))
			}
			for i := range longest {
				longest[i] = max(longest[i], times[i+1]-times[i])
			}
		})
	}
	for i, got := range longest {
		bound := min(firstWait<<i, longWait)
		if got >= bound || got < bound/2 { // of 40, not one in the upper half: once in 10^12
			t.Errorf("wait %d: at most %v of 40; want nearly %v", i+1, got, bound)
		}
	}
}

// TestRetryAfter: a server that says when is asked then, if anybody can wait so long.
func TestRetryAfter(t *testing.T) {
	in := providertest.InOrder
	tests := map[string]struct {
		next   http.HandlerFunc
		said   string
		second time.Duration // when it was asked again; 0 = it was not
	}{
		"in time":     {in(fails(429, "Retry-After", "20"), says("a")), "a", 20 * time.Second},
		"503 as well": {in(fails(503, "Retry-After", "2"), says("a")), "a", 2 * time.Second},
		"too late":    {in(fails(429, "Retry-After", "30"), says("a")), "", 0},
		"much later":  {in(fails(429, "Retry-After", "100000"), says("a")), "", 0},
		"late by now": {in(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(15 * time.Second)
			fails(429, "Retry-After", "15")(w, r)
		}, says("a")), "", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "p", test.next, nil)
				begun := time.Now()
				a := ask(t, b)
				times := b.server.times()
				if a.Said != test.said {
					t.Errorf("%+v", a)
				}
				switch {
				case test.second == 0:
					if len(times) != 1 || a.Code != provider.RateLimited || time.Since(begun) > 20*time.Second {
						t.Errorf("asked at %v, %s after %v", times, a.Code, time.Since(begun))
					}
				case len(times) != 2 || times[1] < test.second || times[1] > test.second+firstWait:
					t.Errorf("asked at %v", times)
				}
			})
		})
	}
}

// TestRest: while a server wants to be left alone, others do not ask it either; who can wait does.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "p", providertest.InOrder(fails(429, "Retry-After", "60"), says("a")), nil)
		if a := ask(t, b); a.Code != provider.RateLimited {
			t.Fatalf("%+v", a)
		}
		time.Sleep(10 * time.Second)
		begun := time.Now()
		if a := ask(t, b); a.Code != provider.CircuitOpen || time.Since(begun) != 0 {
			t.Errorf("with 50 s to go: %+v after %v", a, time.Since(begun))
		}
		time.Sleep(40 * time.Second)
		if a := ask(t, b); a.Said != "a" {
			t.Errorf("with 10 s to go: %+v", a)
		}
		if times := b.server.times(); len(times) != 2 || times[1] < time.Minute {
			t.Errorf("asked at %v", times)
		}
	})
}

// TestRestIsBounded: a server cannot have itself left alone for good.
func TestRestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "p", providertest.InOrder(fails(429, "Retry-After", "3600"), says("a")), nil)
		ask(t, b)
		time.Sleep(maxRest)
		if a := ask(t, b); a.Said != "a" {
			t.Errorf("%+v", a)
		}
	})
}

// TestBreaker: after failures in a row a provider is not asked; then one request tries it.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "p", fails(500), func(o *Options) { o.Attempts = 1 })
		for range DefaultFailures {
			if a := ask(t, b); a.Code != provider.Unavailable {
				t.Fatalf("%+v", a)
			}
		}
		if a := ask(t, b); a.Code != provider.CircuitOpen {
			t.Errorf("%+v", a)
		}
		time.Sleep(DefaultOpen + time.Second)
		if a := ask(t, b); a.Code != provider.Unavailable { // the one that tries
			t.Errorf("%+v", a)
		}
		if a := ask(t, b); a.Code != provider.CircuitOpen {
			t.Errorf("%+v", a)
		}
		if n := len(b.server.times()); n != DefaultFailures+1 {
			t.Errorf("asked %d times", n)
		}
		b.server.answers(providertest.Stream(10*time.Second, chunk("a"), providertest.Events(`{"choices":[{"delta":{},"finish_reason":"stop"}]}`, "[DONE]")))
		time.Sleep(DefaultOpen + time.Second)
		var trying sync.WaitGroup
		trying.Go(func() {
			if a := ask(t, b); a.Said != "a" {
				t.Errorf("%+v", a)
			}
		})
		synctest.Wait()
		if a := ask(t, b); a.Code != provider.CircuitOpen { // one tries already
			t.Errorf("%+v", a)
		}
		trying.Wait()
		if a := ask(t, b); a.Said != "a" {
			t.Errorf("%+v", a)
		}
		if got := fmt.Sprint(b.meter.breakers); got != "[p true p false]" {
			t.Errorf("told %s", got)
		}
	})
}

// TestBreakerShare: it also opens when more fail than succeed, though never five in a row.
func TestBreakerShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "p", says("a"), func(o *Options) { o.Attempts = 1 })
		for n := range 40 {
			next := fails(500)
			if n%4 == 3 {
				next = says("a")
			}
			b.server.answers(next)
			if a := ask(t, b); a.Code == provider.CircuitOpen {
				if n != 13 { // ten failures and three answers
					t.Errorf("open before request %d", n)
				}
				return
			}
		}
		t.Error("never open")
	})
}

// TestBreakerCounts: requests that are wrong by themselves, or were cancelled, do not open it.
func TestBreakerCounts(t *testing.T) {
	stopped := errors.New("the asker left")
	for name, test := range map[string]struct {
		next http.HandlerFunc
		code provider.Code
	}{
		"bad request":      {fails(400), provider.BadRequest},
		"context too long": {fails(413), provider.ContextTooLong},
		"cancelled":        {providertest.Stream(time.Hour), ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "p", test.next, nil)
				for range 3 * windowMin {
					ctx, cancel := context.WithCancelCause(t.Context())
					time.AfterFunc(time.Second, func() { cancel(stopped) })
					_, err := b.Answer(ctx, provider.Request{}, func(provider.Part) {})
					if e, ok := errors.AsType[*provider.Error](err); test.code == "" && !errors.Is(err, stopped) || test.code != "" && (!ok || e.Code != test.code) {
						t.Fatal(err)
					}
				}
				if got := b.meter.attempts[len(b.meter.attempts)-1].Outcome; test.code == "" && got != OutcomeCancelled {
					t.Errorf("told %s", got)
				}
			})
		})
	}
}

// TestCancelBetween: who waits for the next attempt can be called off.
func TestCancelBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("the asker left")
		b := newBench(t, "p", fails(429, "Retry-After", "20"), nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(10*time.Second, func() { cancel(stopped) })
		if _, err := b.Answer(ctx, provider.Request{}, nil); !errors.Is(err, stopped) {
			t.Error(err)
		}
		if n := len(b.server.times()); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestChain holds who answers in the end.
func TestChain(t *testing.T) {
	tests := map[string]struct {
		first, second http.HandlerFunc
		last          provider.Model
		want          providertest.Answer
		asked         [2]int
	}{
		"the first":    {says("a"), says("b"), builtIn{}, providertest.Answer{Said: "a", Turn: turn("m", 10, false)}, [2]int{1, 0}},
		"the second":   {fails(401), says("b"), builtIn{}, providertest.Answer{Said: "b", Turn: turn("m", 10, true)}, [2]int{1, 1}},
		"bad request":  {fails(404), says("b"), builtIn{}, providertest.Answer{Said: "b", Turn: turn("m", 10, true)}, [2]int{1, 1}},
		"after 429":    {fails(429, "Retry-After", "90"), says("b"), builtIn{}, providertest.Answer{Said: "b", Turn: turn("m", 10, true)}, [2]int{1, 1}},
		"after 500s":   {fails(500), says("b"), builtIn{}, providertest.Answer{Said: "b", Turn: turn("m", 10, true)}, [2]int{3, 1}},
		"the last":     {fails(500), fails(413), builtIn{}, providertest.Answer{Said: "I do what I can.", Turn: turn("built-in", 0, true)}, [2]int{3, 1}},
		"no last":      {fails(403), fails(500), nil, providertest.Answer{Code: provider.Unauthorized}, [2]int{1, 3}},
		"a broken one": {providertest.Stream(chunk("a"), providertest.Cut{}), says("b"), builtIn{}, providertest.Answer{Said: "a", Turn: provider.Turn{Model: "m"}, Code: provider.Broken}, [2]int{1, 0}},
		"the second broken": {fails(401), providertest.Stream(chunk("b"), time.Hour), builtIn{},
			providertest.Answer{Said: "b", Turn: provider.Turn{Model: "m", Degraded: true}, Code: provider.Stalled}, [2]int{1, 1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, second := newBench(t, "p1", test.first, nil), newBench(t, "p2", test.second, nil)
				got := ask(t, NewChain([]*Provider{first.Provider, second.Provider}, test.last))
				providertest.Compare(t, got, test.want)
				if asked := [2]int{len(first.server.times()), len(second.server.times())}; asked != test.asked {
					t.Errorf("asked %v; want %v", asked, test.asked)
				}
			})
		})
	}
}

func turn(model string, input int, degraded bool) provider.Turn {
	t := provider.Turn{Stop: provider.Stopped, Model: model, Degraded: degraded}
	if input > 0 {
		t.Usage = provider.Usage{Input: input, Output: 2}
	}
	return t
}

// TestChainOfNone: with no provider configured the built-in engine is what was wished for.
func TestChainOfNone(t *testing.T) {
	if a := ask(t, NewChain(nil, builtIn{})); a.Turn.Degraded || a.Said == "" {
		t.Errorf("%+v", a)
	}
	if a := ask(t, NewChain(nil, nil)); a.Code != provider.Unavailable {
		t.Errorf("%+v", a)
	}
}

// TestChainCancelled: a cancelled answer goes to nobody else.
func TestChainCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("the asker left")
		first := newBench(t, "p1", providertest.Stream(time.Hour), nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(stopped) })
		_, err := NewChain([]*Provider{first.Provider}, builtIn{}).Answer(ctx, provider.Request{}, func(p provider.Part) {
			t.Errorf("said %q", p)
		})
		if !errors.Is(err, stopped) {
			t.Error(err)
		}
	})
}

// TestWarnings: the operator reads of each kind of failure once a minute, and of no key.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "p", fails(401), func(o *Options) { o.Failures = 1000 })
		for range 5 {
			ask(t, b)
		}
		b.server.answers(fails(404))
		ask(t, b)
		time.Sleep(warnEvery)
		b.server.answers(fails(401))
		ask(t, b)
		log := b.log.String()
		if strings.Count(log, `"code":"unauthorized"`) != 2 || strings.Count(log, `"code":"bad-request"`) != 1 ||
			!strings.Contains(log, `"alike":4`) || !strings.Contains(log, "look at its key") {
			t.Error(log)
		}
		if strings.Contains(log, "secret") {
			t.Errorf("the key is in the log: %s", log)
		}
	})
}

// TestMeter: what is told of an attempt.
func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "p", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			providertest.Stream(chunk("a"), 3*time.Second, providertest.Events(`{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":1}}`, "[DONE]"))(w, r)
		}, nil)
		ask(t, b)
		want := Attempt{Provider: "p", Outcome: OutcomeOK, First: 2 * time.Second, Took: 5 * time.Second, Usage: provider.Usage{Input: 7, Output: 1}}
		if got := b.meter.attempts; len(got) != 1 || got[0] != want {
			t.Errorf("%+v; want %+v", got, want)
		}
	})
}

// panics is a Model with a defect.
type panics struct{}

func (panics) Answer(context.Context, provider.Request, func(provider.Part)) (provider.Turn, error) {
	panic("a defect")
}

// TestPanic: a Model that panics does not keep the breaker waiting for its one request.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "p", fails(500), func(o *Options) { o.Attempts, o.Failures = 1, 1 })
		ask(t, b)
		time.Sleep(DefaultOpen + time.Second)
		model := b.opts.Model
		b.opts.Model = panics{}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic came through")
				}
			}()
			ask(t, b)
		}()
		b.opts.Model = model
		b.server.answers(says("a"))
		time.Sleep(DefaultOpen + time.Second)
		if a := ask(t, b); a.Said != "a" {
			t.Errorf("%+v", a)
		}
	})
}

// TestDo: a request that is no turn is asked again, behind the same breaker, and told of as one.
func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &meter{}
		p := NewProvider(Options{Name: "p", Meter: m, Failures: 4})
		asked := 0
		do := func(errs ...error) error {
			_, err := p.Do(t.Context(), func(_ context.Context, began func()) (provider.Usage, error) {
				asked++
				err := errs[0]
				errs = append(errs[1:], errs[0])
				time.Sleep(time.Second)
				if err == nil {
					began()
				}
				return provider.Usage{}, err
			})
			return err
		}
		down := &provider.Error{Code: provider.Unavailable, Provider: "p"}
		if err := do(down, nil); err != nil || asked != 2 {
			t.Errorf("%v after %d", err, asked)
		}
		for _, want := range []error{down, down} {
			if err := do(down); !errors.Is(err, want) {
				t.Errorf("%v", err)
			}
		}
		if asked != 2+4 {
			t.Errorf("asked %d times: the breaker did not open", asked)
		}
		if got, want := m.outcomes(), "p:unavailable p:ok p:unavailable p:unavailable p:unavailable p:unavailable p:circuit-open"; got != want {
			t.Errorf("told %s; want %s", got, want)
		}
		if got := m.attempts[1].First; got != time.Second {
			t.Errorf("the answer came after %v", got)
		}
	})
}
