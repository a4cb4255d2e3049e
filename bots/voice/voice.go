package voice

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"confab/signaling/wire"
)

// A Microphone is how a bot is heard in a call.
type Microphone interface {
	// Write sends one Opus packet, which is so long, when it is due. It does not block.
	Write(packet []byte, length time.Duration)
	// Heard says when the people in the room were heard last, and since when without a pause; zero = nobody was.
	Heard() (since, last time.Time)
	Close()
}

// Options of a Service.
type Options struct {
	Speech      *Speech
	Microphones func(wire.RoomID, wire.ParticipantID) (Microphone, error)
	Logger      *slog.Logger // nil = slog.Default()
}

// A Service gives bots their voices. Its methods may be called concurrently.
type Service struct {
	// Set by New, then constant.
	opts    Options
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // floors

	mu     sync.Mutex
	closed bool                   // guarded by mu
	floors map[wire.RoomID]*floor // guarded by mu
}

// New returns a Service.
func New(opts Options) *Service {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	s := &Service{opts: opts, floors: map[wire.RoomID]*floor{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Open gives a bot its voice in a room, by the name that the speech endpoint has for it; empty = the usual one. tell is called with what the room is to hear of it, wire.AgentSpeaking and
// wire.Caption, in order and by one goroutine at a time; it may block for a while. The error is that of the microphone.
func (s *Service) Open(room wire.RoomID, bot wire.ParticipantID, voice string, tell func(wire.ServerMessage)) (*Speaker, error) {
	microphone, err := s.opts.Microphones(room, bot)
	if err != nil {
		return nil, fmt.Errorf("voice: opening the microphone of %s: %w", bot, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.floors[room]
	if f == nil {
		f = newFloor(s, room)
		s.floors[room] = f
		if !s.closed {
			s.running.Go(f.run)
		}
	}
	f.speakers++
	return &Speaker{floor: f, bot: bot, voice: voice, microphone: microphone, tell: tell}, nil
}

// Close ends all speech and waits for its goroutines.
func (s *Service) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// A Speaker is the voice of one bot in one room. Its methods may be called concurrently; those of a nil one do nothing.
type Speaker struct {
	floor      *floor
	bot        wire.ParticipantID
	voice      string
	microphone Microphone
	tell       func(wire.ServerMessage)
	closing    sync.Once
	closed     bool // guarded by floor.mu
}

// Answer begins to speak an answer, after those that wait; its text comes by Write. nil: too many wait, and this one is
// not spoken; or the voice is closed.
func (s *Speaker) Answer(run wire.RunID) *Answer {
	if s == nil {
		return nil
	}
	a := &Answer{speaker: s, run: run, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	if !s.floor.queue(a) {
		return nil
	}
	return a
}

// Close takes the voice away; what is being said breaks off. It may be called more than once.
func (s *Speaker) Close() {
	if s == nil {
		return
	}
	s.closing.Do(func() {
		s.floor.drop(s)
		s.microphone.Close()
		service := s.floor.service
		service.mu.Lock()
		defer service.mu.Unlock()
		if s.floor.speakers--; s.floor.speakers == 0 {
			delete(service.floors, s.floor.room)
			s.floor.cancel()
		}
	})
}

// maxSentences bounds what of one answer waits to be spoken; what is more is not.
const maxSentences = 256

// An Answer is one that is spoken. Its methods may be called concurrently, never block, and do nothing on a nil one.
type Answer struct {
	// Set by Speaker.Answer, then constant.
	speaker *Speaker
	run     wire.RunID
	wake    chan struct{} // there is something new; holds one
	stopped chan struct{} // closed by Stop
	stop    sync.Once

	mu       sync.Mutex
	splitter splitter   // guarded by mu
	waiting  []sentence // guarded by mu
	whole    bool       // guarded by mu: no more text comes
}

// Write takes the next piece of the answer.
func (a *Answer) Write(text string) {
	if a != nil {
		a.add(func() []sentence { return a.splitter.write(text) })
	}
}

// End says that the answer is whole. It is spoken to its end.
func (a *Answer) End() {
	if a != nil {
		a.add(func() []sentence {
			a.whole = true
			return a.splitter.end()
		})
	}
}

// Stop breaks off: the answer was cancelled.
func (a *Answer) Stop() {
	if a != nil {
		a.stop.Do(func() { close(a.stopped) })
	}
}

func (a *Answer) add(more func() []sentence) {
	a.mu.Lock()
	if !a.whole {
		some := more()
		a.waiting = append(a.waiting, some[:min(len(some), maxSentences-len(a.waiting))]...)
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// next takes the next sentence. over: none is there, and none will come.
func (a *Answer) next() (next sentence, ok, over bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 {
		return sentence{}, false, a.whole
	}
	next, a.waiting = a.waiting[0], a.waiting[1:]
	return next, true, false
}
