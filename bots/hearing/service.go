package hearing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"confab/signaling/wire"
)

// ErrClosed is what Open returns once the Service is closed.
var ErrClosed = errors.New("hearing: closed")

// A Listener is who wants to know what is said in a room. Its methods may be called from any goroutine, and do not block.
type Listener interface {
	// Hears reports whether what this participant sends now may be heard.
	Hears(wire.ParticipantID) bool
	// Heard brings what somebody has said. What one person says comes in its order.
	Heard(Utterance)
}

// An Utterance is what somebody has said without a long pause.
type Utterance struct {
	Participant wire.ParticipantID
	Text        string    // one line
	Began       time.Time // to be heard
}

// An Outcome is what became of a segment of speech.
type Outcome string

// The outcomes.
const (
	Written Outcome = "written"
	Empty   Outcome = "empty"   // there are no words in it
	Short   Outcome = "short"   // it was not asked about
	Dropped Outcome = "dropped" // too much waited
	Failed  Outcome = "failed"  // the Transcriber could not
)

// Outcomes are all of them.
var Outcomes = []Outcome{Written, Empty, Short, Dropped, Failed}

// Metrics are told what happens. The methods may be called from any goroutine.
type Metrics interface {
	// Segment has become something. length is that of what is said, took the time from its end to its text; 0 for what
	// was not asked about.
	Segment(outcome Outcome, length, took time.Duration)
}

// Options of a Service.
type Options struct {
	Transcriber *Transcriber
	// Tap brings what is sent into a room's microphones to ear, until stop is called, which waits.
	Tap     func(room wire.RoomID, ear *Ear) (stop func(), err error)
	Metrics Metrics      // nil = nobody counts
	Logger  *slog.Logger // nil = slog.Default()
}

// A Service hears rooms. Its methods may be called concurrently.
type Service struct {
	// Set by New, then constant.
	opts    Options
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // of ears, and of their transcriptions

	mu     sync.Mutex
	closed bool // guarded by mu
}

// New returns a Service.
func New(opts Options) *Service {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	s := &Service{opts: opts}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Open begins to hear a room, until the Ear is closed. Errors: ErrClosed, and those of the tap.
func (s *Service) Open(room wire.RoomID, to Listener) (*Ear, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	e := &Ear{service: s, room: room, to: to, tracks: map[*Track]bool{}}
	e.ctx, e.cancel = context.WithCancel(s.ctx)
	stop, err := s.opts.Tap(room, e)
	if err != nil {
		e.cancel()
		return nil, err
	}
	s.running.Go(func() { e.run(stop) })
	return e, nil
}

// Close ends all hearing and waits for its goroutines.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

func (s *Service) count(outcome Outcome, length, took time.Duration) {
	if s.opts.Metrics != nil {
		s.opts.Metrics.Segment(outcome, length, took)
	}
}
