package voice

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"confab/bots/provider"
	"confab/signaling/wire"
)

const (
	ahead      = 2                      // sentences that are made while one is heard
	step       = 10 * time.Millisecond  // between two looks at who speaks
	silence    = 300 * time.Millisecond // of all people, before a bot speaks
	assent     = 500 * time.Millisecond // speech that is shorter is no interruption
	patience   = 30 * time.Second       // an answer that nobody lets be heard for so long is not spoken
	maxAgain   = 3                      // times that one sentence is begun again
	maxWaiting = 8                      // answers that wait for the floor of one room
	maxLate    = 60 * time.Millisecond  // the sound did not come in time: there is a pause, and nothing is caught up with
)

// A floor is who may speak in one room.
type floor struct {
	// Set by newFloor, then constant.
	service *Service
	room    wire.RoomID
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{} // something waits; holds one

	speakers int // guarded by service.mu

	mu      sync.Mutex
	waiting []*Answer // guarded by mu
	current *Answer   // guarded by mu
}

func newFloor(s *Service, room wire.RoomID) *floor {
	f := &floor{service: s, room: room, wake: make(chan struct{}, 1)}
	f.ctx, f.cancel = context.WithCancel(s.ctx)
	return f
}

// queue puts an answer behind the others. False: too many wait, or its speaker is closed.
func (f *floor) queue(a *Answer) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) >= maxWaiting || a.speaker.closed {
		return false
	}
	f.waiting = append(f.waiting, a)
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return true
}

// drop takes away all that a speaker says.
func (f *floor) drop(s *Speaker) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.closed = true
	f.waiting = slices.DeleteFunc(f.waiting, func(a *Answer) bool { return a.speaker == s })
	if f.current != nil && f.current.speaker == s {
		f.current.Stop()
	}
}

// run gives the floor to one answer after the other.
func (f *floor) run() {
	defer f.cancel()
	for {
		f.mu.Lock()
		f.current = nil
		if len(f.waiting) > 0 {
			f.current, f.waiting = f.waiting[0], f.waiting[1:]
		}
		next := f.current
		f.mu.Unlock()
		if next != nil {
			newPerformance(f, next).run()
			continue
		}
		select {
		case <-f.wake:
		case <-f.ctx.Done():
			return
		}
		if f.ctx.Err() != nil {
			return
		}
	}
}

// A performance is one answer that has the floor. It is owned by the floor's goroutine.
type performance struct {
	floor   *floor
	answer  *Answer
	ctx     context.Context
	cancel  context.CancelFunc
	loading sync.WaitGroup
	timer   *time.Timer

	clips   []*clip // the first is heard next; the others are being made
	over    bool    // the answer has no more sentences
	started time.Time
	spoken  int // UTF-16 code units of the answer that were heard whole
}

func newPerformance(f *floor, a *Answer) *performance {
	p := &performance{floor: f, answer: a, timer: time.NewTimer(time.Hour)}
	p.ctx, p.cancel = context.WithCancel(f.ctx)
	return p
}

// What becomes of a sentence, or an answer.
type outcome string

const (
	heard       outcome = "heard"
	broken      outcome = "broken" // somebody has begun to speak
	interrupted outcome = "interrupted"
	ended       outcome = "ended" // it was stopped, nobody let it be heard, or there is no sound of it
)

// run speaks the answer, as far as it gets.
func (p *performance) run() {
	end := p.perform()
	p.cancel()
	p.loading.Wait()
	p.timer.Stop()
	p.answer.Stop()
	if p.started.IsZero() {
		return
	}
	state := wire.SpeakingStopped
	if end == interrupted {
		state = wire.SpeakingInterrupted
	}
	p.tell(wire.AgentSpeaking{Run: p.answer.run, State: state, Spoken: p.spoken})
}

func (p *performance) perform() outcome {
	for {
		p.fill()
		switch {
		case len(p.clips) > 0:
		case p.over:
			return heard
		case !p.wait(p.answer.wake, time.Hour):
			return ended
		default:
			continue
		}
		c := p.clips[0]
		end := p.sentence(c)
		if end != heard {
			return end
		}
		p.spoken = c.end
		p.clips = p.clips[1:]
	}
}

// fill has the next sentences made.
func (p *performance) fill() {
	for !p.over && len(p.clips) < 1+ahead {
		next, ok, over := p.answer.next()
		if p.over = over; !ok {
			return
		}
		c := &clip{sentence: next, voice: p.answer.speaker.voice}
		p.clips = append(p.clips, c)
		p.loading.Go(func() {
			p.warn(c.load(p.ctx, p.floor.service.opts.Speech))
		})
	}
}

// warn logs why a sentence is not spoken. That the speech endpoint rests was logged when it began to.
func (p *performance) warn(err error) {
	problem, ok := errors.AsType[*provider.Error](err)
	if err == nil || errors.Is(err, context.Canceled) || ok && problem.Code == provider.CircuitOpen {
		return
	}
	p.floor.service.opts.Logger.Warn("a sentence cannot be spoken", "room", string(p.floor.room), "error", err)
}

// wait waits for a token, at most so long. False: the answer was stopped.
func (p *performance) wait(token <-chan struct{}, most time.Duration) bool {
	p.timer.Reset(most)
	select {
	case <-token:
	case <-p.timer.C:
	case <-p.answer.stopped:
		return false
	case <-p.ctx.Done():
		return false
	}
	return true
}

// sentence speaks one sentence, again when it is broken by a word of assent.
func (p *performance) sentence(c *clip) outcome {
	told := false
	defer func() {
		if told {
			p.caption(c, true)
		}
	}()
	for range 1 + maxAgain {
		if end := p.silence(); end != heard {
			return end
		}
		if end := p.play(c, &told); end != broken {
			return end
		}
	}
	return interrupted
}

// silence waits until nobody speaks. Once the answer has begun, a person who speaks on ends it.
func (p *performance) silence() outcome {
	for began := time.Now(); ; {
		since, last := p.answer.speaker.microphone.Heard()
		switch {
		case !p.started.IsZero() && last.After(p.started) && last.Sub(since) >= assent:
			return interrupted
		case time.Since(last) >= silence:
			return heard
		case time.Since(began) >= patience || !p.wait(nil, step):
			return ended
		}
		p.fill()
	}
}

// play sends a sentence's packets when they are due.
func (p *performance) play(c *clip, told *bool) outcome {
	began := time.Now()
	due := began
	for i := 0; ; {
		if _, last := p.answer.speaker.microphone.Heard(); last.After(began) {
			return broken
		}
		next, state := c.at(i)
		now := time.Now()
		pause := step
		switch {
		case now.Before(due):
			pause = min(step, due.Sub(now))
		case state == clipFailed:
			return ended
		case state == clipOver:
			return heard
		case state == clipHas:
			if i == 0 {
				p.begin(c, told)
			}
			if i == 0 || now.Sub(due) > maxLate {
				due = now
			}
			p.answer.speaker.microphone.Write(next.opus, next.length)
			due = due.Add(next.length)
			i++
			continue
		}
		if !p.wait(nil, pause) {
			return ended
		}
		p.fill()
	}
}

// begin tells that a sentence is heard from now on.
func (p *performance) begin(c *clip, told *bool) {
	if p.started.IsZero() {
		p.started = time.Now()
		p.tell(wire.AgentSpeaking{Run: p.answer.run, State: wire.SpeakingStarted})
	}
	if !*told {
		*told = true
		p.caption(c, false)
	}
}

func (p *performance) caption(c *clip, final bool) {
	p.tell(wire.Caption{
		Participant: p.answer.speaker.bot, Text: c.text, Final: final, Run: p.answer.run, Offset: c.begin,
	})
}

func (p *performance) tell(msg wire.ServerMessage) { p.answer.speaker.tell(msg) }
