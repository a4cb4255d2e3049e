package hearing

import (
	"context"
	"errors"
	"sync"
	"time"

	"confab/bots/provider"
	"confab/signaling/wire"
)

// What one room may have at a time. Beyond it the oldest segment that waits is dropped.
const (
	maxAsked   = 4 // segments that are being written down
	maxWaiting = 16
	maxBytes   = 4 << 20 // of both

	look = 100 * time.Millisecond // between two looks at who has fallen silent
)

// An Ear hears one room. Its methods may be called concurrently.
type Ear struct {
	// Set by Service.Open, then constant.
	service *Service
	room    wire.RoomID
	to      Listener
	ctx     context.Context
	cancel  context.CancelFunc

	mu      sync.Mutex
	tracks  map[*Track]bool // guarded by mu; those that are not closed
	waiting []*job          // guarded by mu; oldest first
	asked   int             // guarded by mu: jobs that are worked at
	bytes   int             // guarded by mu: of all jobs
}

// A Track is the microphone of one participant. It is for one goroutine.
type Track struct {
	// Set by Ear.Track, then constant.
	ear         *Ear
	participant wire.ParticipantID

	detector detector        // guarded by ear.mu
	at       time.Time       // guarded by ear.mu: of the last packet
	began    time.Time       // guarded by ear.mu: the segment that has not ended
	last     <-chan struct{} // guarded by ear.mu: closed once the last segment is done with; nil = there was none
}

// A job is a segment on its way to its text.
type job struct {
	// Set by Ear.queue, then constant.
	participant wire.ParticipantID
	speech      *segment
	began       time.Time
	ended       time.Time
	after       <-chan struct{} // closed once the segment before, of the same person, is done with; nil = there was none
	done        chan struct{}   // closed once this one is: its text is told, or it has none
}

// Track begins to hear a participant.
func (e *Ear) Track(participant wire.ParticipantID) *Track {
	t := &Track{ear: e, participant: participant}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tracks[t] = true
	return t
}

// Write takes a packet, which is copied. Packets may come out of order, and twice.
func (t *Track) Write(p Packet) {
	may := t.ear.to.Hears(t.participant)
	t.ear.mu.Lock()
	defer t.ear.mu.Unlock()
	t.at = time.Now()
	if !may {
		t.ear.queue(t, t.detector.end())
		t.detector = detector{}
		return
	}
	was := t.detector.current
	t.ear.queue(t, t.detector.take(p))
	if t.detector.current != was {
		t.began = t.at
	}
}

// Close says that nothing more comes.
func (t *Track) Close() {
	t.ear.mu.Lock()
	defer t.ear.mu.Unlock()
	t.ear.queue(t, t.detector.end())
	delete(t.ear.tracks, t)
}

// Close ends the hearing. What was not written down yet will not be. It does not wait, and may be called more than once;
// of a nil Ear it does nothing.
func (e *Ear) Close() {
	if e != nil {
		e.cancel()
	}
}

// run ends the speech of those of whom nothing more comes, until the Ear is closed.
func (e *Ear) run(stop func()) {
	defer stop()
	defer e.cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case now := <-tick.C:
			e.lookAround(now)
		}
	}
}

func (e *Ear) lookAround(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for t := range e.tracks {
		if now.Sub(t.at) >= silence.duration() {
			e.queue(t, t.detector.end())
		}
	}
}

// queue has a segment written down, if there is one that is worth it. mu is held.
func (e *Ear) queue(t *Track, c *segment) {
	if c == nil || c.heard == 0 || e.ctx.Err() != nil {
		return
	}
	if c.heard < shortest {
		e.service.count(Short, c.length(), 0)
		return
	}
	j := &job{participant: t.participant, speech: c, began: t.began, ended: time.Now(), after: t.last, done: make(chan struct{})}
	t.last = j.done
	e.bytes += c.bytes
	e.waiting = append(e.waiting, j)
	if e.asked < maxAsked {
		e.asked++
		e.service.running.Go(e.work)
	}
	for len(e.waiting) > 0 && (len(e.waiting) > maxWaiting || e.bytes > maxBytes) {
		e.drop()
	}
}

// drop drops the oldest segment that waits. mu is held.
func (e *Ear) drop() {
	j := e.waiting[0]
	e.waiting = e.waiting[1:]
	e.bytes -= j.speech.bytes
	e.service.count(Dropped, j.speech.length(), 0)
	close(j.done)
}

// work writes down one segment after the other until none waits.
func (e *Ear) work() {
	for {
		e.mu.Lock()
		if len(e.waiting) == 0 || e.ctx.Err() != nil {
			e.asked--
			e.mu.Unlock()
			return
		}
		j := e.waiting[0]
		e.waiting = e.waiting[1:]
		e.mu.Unlock()
		e.write(j)
		e.mu.Lock()
		e.bytes -= j.speech.bytes
		e.mu.Unlock()
	}
}

// write has one segment written down, and tells of it after those before it.
func (e *Ear) write(j *job) {
	defer close(j.done)
	text, err := e.transcribe(j.speech)
	if j.after != nil {
		select {
		case <-j.after:
		case <-e.ctx.Done():
		}
	}
	length, took := j.speech.length(), time.Since(j.ended)
	switch {
	case e.ctx.Err() != nil:
	case err != nil:
		e.failed(err)
		e.service.count(Failed, length, took)
	case text == "":
		e.service.count(Empty, length, took)
	default:
		e.service.count(Written, length, took)
		e.to.Heard(Utterance{Participant: j.participant, Text: text, Began: j.began})
	}
}

func (e *Ear) transcribe(c *segment) (string, error) {
	sound, err := c.encode()
	if err != nil {
		return "", err
	}
	return e.service.opts.Transcriber.Transcribe(e.ctx, sound)
}

// failed logs what its Transcriber does not.
func (e *Ear) failed(err error) {
	if _, known := errors.AsType[*provider.Error](err); !known {
		e.service.opts.Logger.Error("speech cannot be written down", "room", string(e.room), "error", err)
	}
}
