package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"confab/rooms"
)

const (
	// DefaultTimeout is how long a receiver may take to answer.
	DefaultTimeout = 10 * time.Second

	giveUp     = 24 * time.Hour   // after this an event is not tried any more
	firstPause = time.Second      // before the second attempt
	maxPause   = 10 * time.Minute // between two attempts
	maxBacklog = 1024             // events of a lane that are not in the queue yet
	maxAnswer  = 64 << 10         // bytes of an answer that are read, so that its connection can be used again
	countEvery = 2 * time.Second
	queuePause = time.Second // before a queue that fails is asked again
)

// A Queue keeps events until they are delivered. It may be used from any goroutine.
type Queue interface {
	// Lanes is how many events of one destination can be on their way at a time.
	Lanes() int
	// Lane is the lane of a room.
	Lane(room string) int
	// Put stores an event at the end of a lane of a destination, and waits for that. Errors: ErrFull, others that may pass,
	// ctx's cause.
	Put(ctx context.Context, destination string, lane int, id string, body []byte) error
	// Next waits for the next event of a lane, which comes when the one before is done. Errors: those that may pass,
	// ctx's cause.
	Next(ctx context.Context, destination string, lane int) (Parcel, error)
	// Waiting counts the events of each destination that are not done.
	Waiting(ctx context.Context) (map[string]uint64, error)
	// Discard takes all events of a destination out.
	Discard(ctx context.Context, destination string) error
}

// A Parcel is an event on its way.
type Parcel struct {
	Body    []byte
	Stored  time.Time
	Attempt int                             // from 1 on
	Done    func(ctx context.Context) error // takes it out
	Retry   func(after time.Duration) error // has it come again
}

// ErrFull says that a queue takes no more for a destination.
var ErrFull = errors.New("webhook: the queue is full")

// Options of Open. Queue, URLs and Secrets are required.
type Options struct {
	Queue   Queue
	URLs    []string // of the receivers; each one is trusted, and may be in a private network
	Secrets [][]byte
	Text    bool              // messages bear their text
	Timeout time.Duration     // of a request; 0 = DefaultTimeout
	Client  http.RoundTripper // nil = one with sensible limits
	Logger  *slog.Logger      // nil = slog.Default()

	firstPause time.Duration // 0 = the constant; tests have no seconds
}

// A Sender delivers events.
type Sender struct {
	// Set by Open, then constant.
	opts      Options
	client    *http.Client
	receivers []*receiver
	backlogs  []chan rooms.Event // by lane; never closed
	lifetime  context.Context    // of deliveries
	end       context.CancelFunc
	puts      context.Context // of what is put into the queue
	endPuts   context.CancelFunc
	closing   chan struct{}  // closed by Close: the backlogs are emptied, and that is all
	running   sync.WaitGroup // deliveries, and count
	storing   sync.WaitGroup // the lanes' backlogs
	dropped   atomic.Uint64
}

// A receiver is one URL.
type receiver struct {
	// Set by Open, then constant.
	number int    // from 1 on, in the order of the settings
	name   string // in the queue
	url    string
	host   string         // for the log: the path may hold a secret
	heads  []atomic.Int64 // by lane: when the event was stored that is tried, Unix time in milliseconds; 0 = none is

	outcomes [outcomes]atomic.Uint64
	waiting  atomic.Uint64
	gone     atomic.Bool // it has answered 410
}

// An Outcome is what became of an attempt, or of an event.
type Outcome int

// The outcomes.
const (
	Delivered Outcome = iota // answered 2xx
	Failed                   // an attempt: no answer, or another one; it is tried again
	Expired                  // given up after a day
	Disabled                 // answered 410
	outcomes
)

// Outcomes are the names of the outcomes.
var Outcomes = [outcomes]string{"delivered", "failed", "expired", "disabled"}

// Open starts to deliver what is in the queue. Close ends it.
func Open(opts Options) *Sender {
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	if opts.firstPause <= 0 {
		opts.firstPause = firstPause
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Client == nil {
		opts.Client = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: opts.Timeout}).DialContext,
			MaxIdleConnsPerHost: opts.Queue.Lanes(), IdleConnTimeout: time.Minute, TLSHandshakeTimeout: opts.Timeout, MaxResponseHeaderBytes: maxAnswer,
		}
	}
	s := &Sender{opts: opts, client: &http.Client{
		Transport: opts.Client, Timeout: opts.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	s.lifetime, s.end = context.WithCancel(context.Background())
	s.puts, s.endPuts = context.WithCancel(context.Background())
	s.closing = make(chan struct{})
	for i, address := range opts.URLs {
		s.receivers = append(s.receivers, newReceiver(i+1, address, opts.Queue.Lanes()))
	}
	for lane := range opts.Queue.Lanes() {
		backlog := make(chan rooms.Event, maxBacklog)
		s.backlogs = append(s.backlogs, backlog)
		s.storing.Go(func() { s.store(lane, backlog) })
		for _, r := range s.receivers {
			s.running.Go(func() { s.serve(r, lane) })
		}
	}
	s.running.Go(s.count)
	return s
}

func newReceiver(number int, address string, lanes int) *receiver {
	sum := sha256.Sum256([]byte(address))
	r := &receiver{number: number, name: hex.EncodeToString(sum[:8]), url: address, heads: make([]atomic.Int64, lanes)}
	if u, err := url.Parse(address); err == nil {
		r.host = u.Host
	}
	return r
}

// Tell takes an event. It never waits: one that finds the queue far behind is dropped, and counted.
func (s *Sender) Tell(e rooms.Event) {
	select {
	case <-s.closing:
	case s.backlogs[s.opts.Queue.Lane(string(e.Room))] <- e:
		return
	default:
	}
	s.dropped.Add(1)
}

// Close puts what was told into the queue, as long as ctx lasts, and ends the deliveries. Those under way are made again
// by the next process. What is told from now on is lost.
func (s *Sender) Close(ctx context.Context) {
	close(s.closing)
	s.end()
	stop := context.AfterFunc(ctx, s.endPuts)
	defer stop()
	s.storing.Wait()
	s.endPuts()
	s.running.Wait()
	s.client.CloseIdleConnections()
}

// store puts the events of a lane into the queue, in order, until Close, and then what is left of them.
func (s *Sender) store(lane int, backlog chan rooms.Event) {
	for {
		select {
		case e := <-backlog:
			s.put(lane, e)
			continue
		case <-s.closing:
		}
		select {
		case e := <-backlog:
			s.put(lane, e)
		default:
			return
		}
	}
}

// put stores an event once for each receiver.
func (s *Sender) put(lane int, e rooms.Event) {
	event := eventOf(e, s.opts.Text)
	body, err := json.Marshal(event)
	if err != nil {
		s.opts.Logger.Error("an event cannot be written", "type", string(e.Kind), "err", err)
		return
	}
	for _, r := range s.receivers {
		if r.gone.Load() {
			continue
		}
		if err := s.putFor(r, lane, event.ID, body); err != nil {
			s.dropped.Add(1)
			s.opts.Logger.Warn("an event for a webhook is lost", "receiver", r.number, "type", string(e.Kind), "err", err)
		}
	}
}

// putFor stores an event for a receiver, however long the queue does not answer: the backlog holds what comes meanwhile.
// A full queue is not waited for, which would hold back the other receivers.
func (s *Sender) putFor(r *receiver, lane int, id string, body []byte) error {
	for {
		err := s.opts.Queue.Put(s.puts, r.name, lane, id, body)
		select {
		case <-s.closing:
			return err
		default:
		}
		if err == nil || errors.Is(err, ErrFull) {
			return err
		}
		s.sleep(queuePause)
	}
}

// serve delivers the events of a lane to a receiver, one after another.
func (s *Sender) serve(r *receiver, lane int) {
	for s.lifetime.Err() == nil && !r.gone.Load() {
		p, err := s.opts.Queue.Next(s.lifetime, r.name, lane)
		if err != nil {
			if s.lifetime.Err() == nil {
				s.opts.Logger.Warn("the queue of webhooks does not answer", "err", err)
				s.sleep(queuePause)
			}
			continue
		}
		r.heads[lane].Store(p.Stored.UnixMilli())
		if s.handle(r, p) {
			r.heads[lane].Store(0)
		}
	}
	r.heads[lane].Store(0)
}

// handle makes one attempt, and reports whether the event is done with.
func (s *Sender) handle(r *receiver, p Parcel) bool {
	if r.gone.Load() {
		return true // discarded with the others
	}
	status, after, err := s.post(r, p)
	switch {
	case err == nil && status/100 == 2:
		return s.finish(r, p, Delivered)
	case s.lifetime.Err() != nil:
		_ = p.Retry(0) // whether it has arrived is not known; when this fails too, it comes again by itself
		return false
	case status == http.StatusGone:
		s.disable(r)
		return true
	}
	r.outcomes[Failed].Add(1)
	pause := max(after, pauseBefore(p.Attempt+1, s.opts.firstPause))
	if left := giveUp - time.Since(p.Stored); left <= 0 || pause > left && after <= 0 {
		s.opts.Logger.Warn("an event was not delivered by webhook in a day", "receiver", r.number, "host", r.host, "attempts", p.Attempt)
		return s.finish(r, p, Expired)
	}
	s.opts.Logger.Debug("a webhook failed", "receiver", r.number, "host", r.host, "attempt", p.Attempt, "status", status, "err", withoutURL(err), "again", pause)
	if err := p.Retry(min(pause, giveUp)); err != nil {
		s.opts.Logger.Warn("the queue of webhooks does not answer", "err", err)
	}
	return false
}

// finish takes an event out of the queue.
func (s *Sender) finish(r *receiver, p Parcel, outcome Outcome) bool {
	r.outcomes[outcome].Add(1)
	if err := p.Done(context.WithoutCancel(s.lifetime)); err != nil {
		s.opts.Logger.Warn("a webhook may be repeated: the queue does not answer", "err", err)
	}
	return true
}

// disable ends the deliveries to a receiver that wants none.
func (s *Sender) disable(r *receiver) {
	if r.gone.Swap(true) {
		return
	}
	r.outcomes[Disabled].Add(1)
	s.opts.Logger.Warn("a receiver of webhooks has answered 410 and gets no more until the next start", "receiver", r.number, "host", r.host)
	if err := s.opts.Queue.Discard(s.lifetime, r.name); err != nil {
		s.opts.Logger.Warn("what waits for it is kept for a day", "receiver", r.number, "err", err)
	}
}

// post sends an event and returns the status of the answer, and how long the receiver asks to be left alone.
func (s *Sender) post(r *receiver, p Parcel) (status int, after time.Duration, err error) {
	var head struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(p.Body, &head); err != nil {
		return 0, 0, err
	}
	request, err := http.NewRequestWithContext(s.lifetime, http.MethodPost, r.url, bytes.NewReader(p.Body))
	if err != nil {
		return 0, 0, err
	}
	now := time.Now()
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "confab-webhook/1")
	h.Set("webhook-id", head.ID)
	h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set("webhook-signature", sign(s.opts.Secrets, head.ID, now, p.Body))
	response, err := s.client.Do(request)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer) // what it says is of no interest
	return response.StatusCode, retryAfter(response.Header.Get("Retry-After"), now), nil
}

// retryAfter reads seconds or a date (RFC 9110 section 10.2.3); 0 = nothing that could be read.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// pauseBefore is the pause before an attempt: it doubles, and is spread over its upper half, so that receivers that come
// back are not run over.
func pauseBefore(attempt int, first time.Duration) time.Duration {
	pause := maxPause
	if doubled := attempt - 2; doubled < 16 {
		pause = min(first<<max(doubled, 0), maxPause)
	}
	return pause/2 + rand.N(pause/2)
}

// withoutURL is the cause of a failed request. The URL, which net/http names, may hold a secret.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// sleep waits, but not past the end.
func (s *Sender) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.lifetime.Done():
	}
}

// count asks the queue now and then what waits.
func (s *Sender) count() {
	for s.lifetime.Err() == nil {
		if waiting, err := s.opts.Queue.Waiting(s.lifetime); err == nil {
			for _, r := range s.receivers {
				r.waiting.Store(waiting[r.name])
			}
		}
		s.sleep(countEvery)
	}
}

// Stats are the counts of one receiver.
type Stats struct {
	Outcomes [outcomes]uint64
	Waiting  uint64        // in the queue, as of the last look
	Oldest   time.Duration // how long the event that is tried has waited; of the oldest lane
	Gone     bool
}

// Receivers is how many there are.
func (s *Sender) Receivers() int { return len(s.receivers) }

// Stats returns the counts of a receiver, by its number from 1 on.
func (s *Sender) Stats(number int) Stats {
	r := s.receivers[number-1]
	stats := Stats{Waiting: r.waiting.Load(), Gone: r.gone.Load()}
	for i := range r.outcomes {
		stats.Outcomes[i] = r.outcomes[i].Load()
	}
	for i := range r.heads {
		if at := r.heads[i].Load(); at != 0 {
			stats.Oldest = max(stats.Oldest, time.Since(time.UnixMilli(at)))
		}
	}
	return stats
}

// Dropped counts events that did not get into the queue.
func (s *Sender) Dropped() uint64 { return s.dropped.Load() }
