package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// busQueue is the queue that the server uses.
type busQueue struct{ *bus.Outbox }

func (busQueue) Lanes() int           { return bus.OutboxLanes }
func (busQueue) Lane(room string) int { return bus.OutboxLane(room) }

func (q busQueue) Put(ctx context.Context, destination string, lane int, id string, body []byte) error {
	err := q.Outbox.Put(ctx, destination, lane, id, body)
	if errors.Is(err, bus.ErrOutboxFull) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (q busQueue) Next(ctx context.Context, destination string, lane int) (Parcel, error) {
	p, err := q.Outbox.Next(ctx, destination, lane)
	if err != nil {
		return Parcel{}, err
	}
	return Parcel{Body: p.Payload, Stored: p.Stored, Attempt: p.Attempt, Done: p.Done, Retry: p.Retry}, nil
}

// newQueue opens a queue in a folder of its own.
func newQueue(t *testing.T) busQueue {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Options{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	o, err := b.OpenOutbox(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return busQueue{o}
}

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// A listener is a receiver that remembers what it has taken.
type listener struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	taken    []Event                        // answered 2xx; guarded by mu
	attempts int                            // guarded by mu
	answer   func(attempt int, e Event) int // a status; nil = 204
	header   http.Header                    // of answers that are not 2xx
}

func newListener(t *testing.T, answer func(attempt int, e Event) int) *listener {
	l := &listener{t: t, answer: answer, header: http.Header{}}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender did not wait
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || r.Header.Get("webhook-id") != e.ID {
		l.t.Errorf("%v: %s", err, body)
	}
	checkSignature(l.t, r.Header, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attempts++
	status := http.StatusNoContent
	if l.answer != nil {
		status = l.answer(l.attempts, e)
	}
	if status/100 == 2 {
		l.taken = append(l.taken, e)
	} else {
		for name, values := range l.header {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(status)
}

// checkSignature verifies a request as Standard Webhooks says.
func checkSignature(t *testing.T, h http.Header, body []byte) {
	t.Helper()
	mac := hmac.New(sha256.New, testSecret)
	fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if !slices.Contains(strings.Fields(h.Get("webhook-signature")), want) {
		t.Errorf("signature %q, want %q among them", h.Get("webhook-signature"), want)
	}
}

// of returns what was taken of one room.
func (l *listener) of(room wire.RoomID) []wire.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []wire.Seq
	for _, e := range l.taken {
		if e.Room == room {
			all = append(all, e.Message.Seq)
		}
	}
	return all
}

func open(t *testing.T, opts Options) *Sender {
	t.Helper()
	opts.Secrets, opts.Logger = [][]byte{testSecret}, slog.New(slog.DiscardHandler)
	if opts.firstPause == 0 {
		opts.firstPause = 10 * time.Millisecond
	}
	s := Open(opts)
	t.Cleanup(func() { closeSender(t, s) })
	return s
}

func closeSender(t *testing.T, s *Sender) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	select {
	case <-s.closing:
	default:
		s.Close(ctx)
	}
}

func said(room wire.RoomID, seq wire.Seq) rooms.Event {
	return rooms.Event{
		Kind: rooms.MessageCreated, Room: room, Time: time.Now(),
		Message: &rooms.Message{Seq: seq, Author: wire.Author{User: "ann", Name: "Ann", Kind: wire.Human}, Text: "words"},
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		if ok() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			tick.Stop()
			t.Fatalf("never happened: %s", what)
		}
	}
}

// seqs are 1 to n.
func seqs(n int) []wire.Seq {
	all := make([]wire.Seq, n)
	for i := range all {
		all[i] = wire.Seq(i + 1)
	}
	return all
}

func TestDeliveredInOrderByAReceiverThatFails(t *testing.T) {
	const each = 20
	flaky := newListener(t, func(attempt int, _ Event) int {
		return []int{204, 500, 200, 302, 202, 404}[attempt%6]
	})
	flaky.header.Set("Location", "/elsewhere")
	steady := newListener(t, nil)
	s := open(t, Options{Queue: newQueue(t), URLs: []string{flaky.URL, steady.URL + "/secret-path"}})
	all := []wire.RoomID{"a", "b", "c"}
	for i := range each {
		for _, room := range all {
			s.Tell(said(room, wire.Seq(i+1)))
		}
	}
	for _, l := range []*listener{flaky, steady} {
		for _, room := range all {
			eventually(t, "everything is delivered", func() bool { return len(l.of(room)) >= each })
			if got := l.of(room); !slices.Equal(got, seqs(each)) {
				t.Errorf("room %s got %v", room, got)
			}
		}
	}
	if flaky.taken[0].Message.Text != "" || flaky.taken[0].Message.Author.User != "ann" {
		t.Errorf("%+v", flaky.taken[0].Message)
	}
	eventually(t, "the counts", func() bool {
		stats := s.Stats(1)
		return stats.Outcomes[Delivered] == 3*each && stats.Outcomes[Failed] > 0 && stats.Oldest == 0 && s.Stats(2).Outcomes[Failed] == 0
	})
	if s.Dropped() != 0 {
		t.Errorf("%d dropped", s.Dropped())
	}
}

func TestTextAndRepeats(t *testing.T) {
	ids := map[string]int{}
	l := newListener(t, func(attempt int, e Event) int {
		ids[e.ID]++
		return map[bool]int{true: 503, false: 204}[attempt < 3]
	})
	s := open(t, Options{Queue: newQueue(t), URLs: []string{l.URL}, Text: true})
	s.Tell(said("a", 1))
	eventually(t, "the event is delivered", func() bool { return len(l.of("a")) == 1 })
	if l.taken[0].Message.Text != "words" || len(ids) != 1 || ids[l.taken[0].ID] != 3 {
		t.Errorf("%+v after %v", l.taken[0], ids)
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	var first, second time.Time
	l := newListener(t, func(attempt int, _ Event) int {
		if attempt == 1 {
			first = time.Now()
			return http.StatusTooManyRequests
		}
		second = time.Now()
		return 204
	})
	l.header.Set("Retry-After", "1")
	s := open(t, Options{Queue: newQueue(t), URLs: []string{l.URL}})
	s.Tell(said("a", 1))
	eventually(t, "the event is delivered", func() bool { return len(l.of("a")) == 1 })
	if pause := second.Sub(first); pause < 900*time.Millisecond {
		t.Errorf("tried again after %v", pause)
	}
}

func TestAReceiverThatIsGone(t *testing.T) {
	l := newListener(t, func(int, Event) int { return http.StatusGone })
	q := newQueue(t)
	s := open(t, Options{Queue: q, URLs: []string{l.URL}})
	s.Tell(said("a", 1))
	eventually(t, "it is disabled", func() bool { return s.Stats(1).Gone })
	s.Tell(said("a", 2))
	eventually(t, "nothing waits", func() bool {
		waiting, err := q.Waiting(t.Context())
		return err == nil && len(waiting) == 0
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.attempts != 1 {
		t.Errorf("%d attempts", l.attempts)
	}
}

func TestAReceiverThatStallsHoldsNobody(t *testing.T) {
	stuck := make(chan struct{})
	stalled := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	t.Cleanup(stalled.Close)
	defer close(stuck)
	l := newListener(t, nil)
	s := open(t, Options{Queue: newQueue(t), URLs: []string{stalled.URL, l.URL}, Timeout: 200 * time.Millisecond})
	const all = 300
	began := time.Now()
	for i := range all {
		s.Tell(said("a", wire.Seq(i+1)))
		if i%64 == 63 { // so fast no room is
			eventually(t, "the backlog is taken", func() bool { return len(s.backlogs[bus.OutboxLane("a")]) < 64 })
		}
	}
	eventually(t, "the other receiver has everything", func() bool { return len(l.of("a")) == all })
	if s.Stats(1).Outcomes[Delivered] != 0 {
		t.Error("a receiver that never answers has got something")
	}
	eventually(t, "the one that stalls is seen to", func() bool { return s.Stats(1).Outcomes[Failed] > 0 && s.Stats(1).Oldest > 0 })
	t.Logf("%d events beside a receiver that stalls: %v", all, time.Since(began))
}

func TestAFullBacklogDrops(t *testing.T) {
	s := &Sender{opts: Options{Queue: busQueue{}}, closing: make(chan struct{}), backlogs: make([]chan rooms.Event, bus.OutboxLanes)}
	for i := range s.backlogs {
		s.backlogs[i] = make(chan rooms.Event, maxBacklog)
	}
	for i := range maxBacklog + 10 {
		s.Tell(said("a", wire.Seq(i+1)))
	}
	if s.Dropped() != 10 {
		t.Errorf("%d dropped", s.Dropped())
	}
}

// fullQueue takes nothing more for one destination.
type fullQueue struct {
	busQueue
	destination string
}

func (q *fullQueue) Put(ctx context.Context, destination string, lane int, id string, body []byte) error {
	if destination == q.destination {
		return ErrFull
	}
	return q.busQueue.Put(ctx, destination, lane, id, body)
}

func TestAFullQueueDropsForOneReceiver(t *testing.T) {
	full, other := newListener(t, nil), newListener(t, nil)
	q := &fullQueue{newQueue(t), newReceiver(1, full.URL, 1).name}
	s := open(t, Options{Queue: q, URLs: []string{full.URL, other.URL}})
	for i := range 3 {
		s.Tell(said("a", wire.Seq(i+1)))
	}
	eventually(t, "the other receiver has everything", func() bool { return len(other.of("a")) == 3 })
	if s.Dropped() != 3 || len(full.of("a")) != 0 {
		t.Errorf("%d dropped", s.Dropped())
	}
}

func TestGivenUpAfterADay(t *testing.T) {
	status, asked := http.StatusInternalServerError, ""
	l := newListener(t, func(int, Event) int { return status })
	l.header.Set("Retry-After", "")
	s := open(t, Options{Queue: newQueue(t), URLs: []string{l.URL}})
	try := func(age time.Duration) (done bool, retry time.Duration) {
		l.header.Set("Retry-After", asked)
		s.handle(s.receivers[0], Parcel{
			Body: []byte(`{"id":"evt_1","type":"room.ended"}`), Stored: time.Now().Add(-age), Attempt: 200,
			Done:  func(context.Context) error { done = true; return nil },
			Retry: func(after time.Duration) error { retry = after; return nil },
		})
		return done, retry
	}
	if done, retry := try(23 * time.Hour); done || retry < maxPause/2 || retry > maxPause {
		t.Errorf("after 23 hours: done %t, again in %v", done, retry)
	}
	if done, _ := try(25 * time.Hour); !done || s.Stats(1).Outcomes[Expired] != 1 {
		t.Errorf("after 25 hours: done %t, %v", done, s.Stats(1).Outcomes)
	}
	asked = "7200"
	if done, retry := try(time.Hour); done || retry != 2*time.Hour {
		t.Errorf("asked to wait two hours: done %t, again in %v", done, retry)
	}
}

func TestWhatWaitsOutlivesTheSender(t *testing.T) {
	down := true // guarded by the listener's mu
	l := newListener(t, func(int, Event) int {
		if down {
			return http.StatusServiceUnavailable
		}
		return 204
	})
	q := newQueue(t)
	s := open(t, Options{Queue: q, URLs: []string{l.URL}})
	for i := range 10 {
		s.Tell(said("a", wire.Seq(i+1)))
	}
	closeSender(t, s) // stores what is in the backlog
	if waiting, err := q.Waiting(t.Context()); err != nil || waiting[s.receivers[0].name] != 10 {
		t.Fatalf("waiting: %v, %v", waiting, err)
	}
	l.mu.Lock()
	down = false
	l.mu.Unlock()
	open(t, Options{Queue: q, URLs: []string{l.URL}})
	eventually(t, "everything is delivered", func() bool { return len(l.of("a")) >= 10 })
	if got := l.of("a"); !slices.Equal(got, seqs(10)) {
		t.Errorf("got %v", got)
	}
}

// TestSignatureOfTheSpecification is the example of Standard Webhooks.
func TestSignatureOfTheSpecification(t *testing.T) {
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := sign([][]byte{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("signed %s, want %s", got, want)
	}
	if two := sign([][]byte{secret, testSecret}, "a", time.Unix(1, 0), nil); len(strings.Fields(two)) != 2 {
		t.Errorf("with two secrets: %s", two)
	}
	for _, bad := range []string{"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!"} {
		if _, err := ParseSecret(bad); err == nil || len(bad) > len(secretPrefix) && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPauses(t *testing.T) {
	for attempt, most := range map[int]time.Duration{2: time.Second, 3: 2 * time.Second, 8: 64 * time.Second, 12: maxPause, 500: maxPause} {
		for range 100 {
			if pause := pauseBefore(attempt, firstPause); pause < most/2 || pause > most {
				t.Errorf("before attempt %d: %v", attempt, pause)
			}
		}
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("Retry-After %q: %v, want %v", text, got, want)
		}
	}
}

// BenchmarkRoom is how fast the events of one room, the least that can be done at a time, reach a receiver.
func BenchmarkRoom(b *testing.B) {
	log, err := bus.Open(b.Context(), bus.Options{DataDir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	outbox, err := log.OpenOutbox(b.Context(), time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	taken := make(chan struct{}, maxBacklog)
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken <- struct{}{} }))
	defer receiver.Close()
	s := Open(Options{Queue: busQueue{outbox}, URLs: []string{receiver.URL}, Secrets: [][]byte{testSecret}})
	defer s.Close(b.Context())
	window := make(chan struct{}, 64) // told and not taken
	b.ResetTimer()
	go func() {
		for i := range b.N {
			window <- struct{}{}
			s.Tell(said("a", wire.Seq(i+1)))
		}
	}()
	for range b.N {
		<-taken
		<-window
	}
}
