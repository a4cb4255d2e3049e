package bus

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	appendPatience = 15 * time.Second // after which an append without its confirmation is ErrUnavailable
	resendAfter    = 2 * time.Second  // a confirmation that takes so long is lost, or its stream has no leader
	echoAfter      = time.Second      // an echo that takes so long is lost, or the record is a duplicate, which has none
	resendRefused  = 250 * time.Millisecond
	sweepEvery     = 250 * time.Millisecond
)

// A pendingAppend is one append until its done is called.
type pendingAppend struct {
	// Set by Append, then constant.
	token   uint64 // last part of the reply subject; grows in the order of Append
	place   place
	id      string // escaped; never empty
	payload []byte
	done    func(rooms.Appended, error)
	since   time.Time

	// Guarded by appender.mu.
	resendAt time.Time
	refusal  error // what NATS said last, if anything
	echoes   bool  // no confirmation is asked for: the timeline is followed, and the record comes back when it is stored
}

// An attempt is one sending of an append.
type attempt struct {
	*pendingAppend
	confirm bool // ask for a confirmation
}

// A settled append waits for its done to be called.
type settled struct {
	done func(rooms.Appended, error)
	what rooms.Appended
	err  error
}

// An appender sends appends and matches their confirmations. One goroutine (send) writes to NATS, in the order of
// Append; another (settle) reads confirmations, sends again what was lost and calls every done. There is no
// goroutine and no timer for a single append.
type appender struct {
	// Set by newAppender, then constant.
	bus    *Bus
	inbox  string         // with the full stop; the token follows
	own    string         // begins the ids of records appended without one; different in each process
	acks   chan *nats.Msg // written by NATS, never closed
	queued chan struct{}  // a value: queue is not empty
	wake   chan struct{}  // a value: finished is not empty
	quiet  chan struct{}  // a value: pending has become empty

	mu sync.Mutex
	// Guarded by mu.
	patience time.Duration // appendPatience; tests have less
	next     uint64
	pending  map[uint64]*pendingAppend
	echoing  map[string]*pendingAppend // those of pending whose echoes is set, by id
	bytes    int
	queue    []attempt // to be sent, or sent again
	finished []settled // done is due
	closed   bool      // settle has ended: nothing is taken any more
}

func newAppender(b *Bus) (*appender, error) {
	a := &appender{
		bus:      b,
		patience: appendPatience,
		inbox:    nats.NewInbox() + ".",
		own:      string(ownID) + newEpoch() + ".",
		acks:     make(chan *nats.Msg, maxPendingAppends),
		queued:   make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		quiet:    make(chan struct{}, 1),
		pending:  make(map[uint64]*pendingAppend),
		echoing:  make(map[string]*pendingAppend),
	}
	if _, err := b.publish.ChanSubscribe(a.inbox+"*", a.acks); err != nil {
		return nil, fmt.Errorf("bus: subscribing to confirmations: %w", err)
	}
	if err := b.publish.FlushTimeout(requestTimeout); err != nil {
		return nil, fmt.Errorf("bus: subscribing to confirmations: %w", err)
	}
	return a, nil
}

// Append stores payload at the end of t; see rooms.Log. The confirmation of a timeline that is open here is its own
// echo, which spares NATS a message and this process two goroutines that would have to wake up. At most 16384 appends and 64 MiB wait at a time; beyond
// that the answer is ErrUnavailable at once.
func (b *Bus) Append(t rooms.Timeline, id string, payload []byte, done func(rooms.Appended, error)) {
	place, open, err := b.find(t)
	if err == nil && int64(len(payload)+3*len(id)) > b.maxPayload.Load()-1024 {
		err = fmt.Errorf("bus: a record of %d bytes is more than NATS takes", len(payload))
	}
	b.appender.add(&pendingAppend{
		place: place, id: escapeID(id), payload: payload, done: done, since: time.Now(), echoes: id != "" && open,
	}, err)
}

// add takes p, or settles it with err or with the reason why it cannot be taken.
func (a *appender) add(p *pendingAppend, err error) {
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		// settle has ended, and the caller may hold what done needs: this is the one done with a goroutine of its own.
		go p.done(rooms.Appended{}, rooms.ErrLogClosed)
		return
	}
	switch {
	case err != nil:
	case a.bus.closing.Load():
		err = rooms.ErrLogClosed
	case len(a.pending) >= maxPendingAppends || a.bytes+len(p.payload) > maxPendingBytes:
		err = fmt.Errorf("%w: %d appends (%d bytes) wait already", rooms.ErrUnavailable, len(a.pending), a.bytes)
	}
	signal := a.wake
	if err != nil {
		a.finished = append(a.finished, settled{done: p.done, err: err})
	} else {
		a.next++
		p.token = a.next
		if p.id == "" {
			p.id = a.own + strconv.FormatUint(p.token, 36)
		}
		p.resendAt = p.since.Add(resendAfter)
		if p.echoes = p.echoes && a.echoing[p.id] == nil; p.echoes {
			p.resendAt = p.since.Add(echoAfter)
			a.echoing[p.id] = p
		}
		a.pending[p.token] = p
		a.bytes += len(p.payload)
		a.queue = append(a.queue, attempt{p, !p.echoes})
		signal = a.queued
	}
	a.mu.Unlock()
	poke(signal)
}

// poke leaves a value in a channel of one place, if there is none yet.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// send writes what is queued to NATS until the bus ends.
func (a *appender) send() {
	var (
		batch  []attempt
		ids    = make([]string, 1)
		msg    = &nats.Msg{Header: nats.Header{nats.MsgIdHdr: ids}}
		prefix = len(a.inbox)
		reply  = append(make([]byte, 0, prefix+16), a.inbox...)
		gather gatherer
		timer  = time.NewTimer(0)
	)
	defer timer.Stop()
	for {
		select {
		case <-a.bus.lifetime.Done():
			return
		case <-a.queued:
		}
		if wait := gather.wait(time.Now()); wait > 0 {
			timer.Reset(wait)
			select {
			case <-a.bus.lifetime.Done():
				return
			case <-timer.C:
			}
		}
		a.mu.Lock()
		batch, a.queue = a.queue, batch[:0]
		a.mu.Unlock()
		gather.sent(len(batch), time.Now())
		for i, p := range batch {
			batch[i] = attempt{}
			ids[0] = p.id
			msg.Subject, msg.Data, msg.Reply = p.place.subject, p.payload, ""
			if p.confirm {
				msg.Reply = string(strconv.AppendUint(reply[:prefix], p.token, 36))
			}
			if err := a.bus.publish.PublishMsg(msg); err != nil {
				a.refused(p.token, fmt.Errorf("sending to NATS: %w", err))
			}
		}
	}
}

// settle handles confirmations, retries and dones until the bus ends; then it settles the rest.
func (a *appender) settle() {
	sweep := time.NewTimer(sweepEvery)
	defer sweep.Stop()
	var due []settled
	for {
		select {
		case <-a.bus.lifetime.Done():
			a.close()
			return
		case msg := <-a.acks:
			a.confirm(msg)
		case <-a.wake:
			a.mu.Lock()
			due, a.finished = a.finished, due[:0]
			a.mu.Unlock()
			for i, s := range due {
				due[i] = settled{}
				s.done(s.what, s.err)
			}
		case <-sweep.C:
			a.sweep(time.Now())
			sweep.Reset(sweepEvery)
		}
	}
}

// confirm settles the append that msg answers, or notes why NATS refused it. Answers to what is settled already
// (a second confirmation after a retry) are dropped.
func (a *appender) confirm(msg *nats.Msg) {
	token, err := strconv.ParseUint(msg.Subject[len(a.inbox):], 36, 64)
	if err != nil {
		return // nobody else publishes here
	}
	ack, err := parseAck(msg)
	if err != nil {
		a.refused(token, err)
		return
	}
	a.mu.Lock()
	p := a.take(token)
	a.mu.Unlock()
	if p == nil {
		return
	}
	a.bus.parts[p.place.partition].saw(uint64(ack.Seq))
	p.done(ack, nil)
}

// echoed settles the append whose record a stream has repeated: it repeats what it has stored, so its word is as good
// as a confirmation. id is as in the header.
func (a *appender) echoed(id string, seq wire.Seq) {
	a.mu.Lock()
	p := a.echoing[id]
	if p != nil {
		a.take(p.token)
	}
	a.mu.Unlock()
	if p != nil {
		p.done(rooms.Appended{Seq: seq}, nil)
	}
}

// take removes the append from the table, nil when it is not there. mu is held.
func (a *appender) take(token uint64) *pendingAppend {
	p := a.pending[token]
	if p == nil {
		return nil
	}
	delete(a.pending, token)
	if p.echoes {
		delete(a.echoing, p.id)
	}
	a.bytes -= len(p.payload)
	if len(a.pending) == 0 {
		poke(a.quiet)
	}
	return p
}

// refused notes that an attempt failed; the sweep makes the next one soon.
func (a *appender) refused(token uint64, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p := a.pending[token]; p != nil {
		p.refusal = err
		p.resendAt = time.Now().Add(resendRefused)
	}
}

// sweep queues what must be sent again, in the order of Append, and gives up what has waited too long.
func (a *appender) sweep(now time.Time) {
	var again []attempt
	a.mu.Lock()
	for token, p := range a.pending {
		switch {
		case now.Sub(p.since) >= a.patience:
			a.take(token)
			err := rooms.ErrUnavailable
			if p.refusal != nil {
				err = fmt.Errorf("%w: %w", err, p.refusal)
			}
			a.finished = append(a.finished, settled{done: p.done, err: err})
		case !p.resendAt.After(now):
			p.resendAt = now.Add(resendAfter)
			again = append(again, attempt{p, true})
		}
	}
	slices.SortFunc(again, byToken)
	a.queue = append(a.queue, again...)
	expired := len(a.finished) > 0
	a.mu.Unlock()
	if len(again) > 0 {
		poke(a.queued)
	}
	if expired {
		poke(a.wake)
	}
}

func byToken(x, y attempt) int { return cmp.Compare(x.token, y.token) }

// again sends everything that waits once more, in order: the connection was lost and is back.
func (a *appender) again() {
	a.mu.Lock()
	a.queue = a.queue[:0]
	resendAt := time.Now().Add(resendAfter)
	for _, p := range a.pending {
		p.resendAt = resendAt
		a.queue = append(a.queue, attempt{p, true})
	}
	slices.SortFunc(a.queue, byToken)
	a.mu.Unlock()
	poke(a.queued)
}

// oldest is how long the append that waits longest has waited, 0 when none does.
func (a *appender) oldest() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first time.Time
	for _, p := range a.pending {
		if first.IsZero() || p.since.Before(first) {
			first = p.since
		}
	}
	if first.IsZero() {
		return 0
	}
	return time.Since(first)
}

// drain waits until nothing is pending, at most limit. Append takes nothing any more when it is called.
func (a *appender) drain(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		a.mu.Lock()
		left := len(a.pending)
		a.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-a.quiet:
		case <-timer.C:
			return
		}
	}
}

// close settles everything left with ErrLogClosed.
func (a *appender) close() {
	a.mu.Lock()
	due := a.finished
	for _, p := range a.pending {
		due = append(due, settled{done: p.done, err: rooms.ErrLogClosed})
	}
	a.finished, a.queue, a.closed = nil, nil, true
	clear(a.pending)
	clear(a.echoing)
	a.bytes = 0
	a.mu.Unlock()
	for _, s := range due {
		s.done(s.what, s.err)
	}
}

// errNoStream: nothing listens on the subject; its stream has no leader now, or NATS is starting.
var errNoStream = errors.New("no stream took the record")

// parseAck reads a publish confirmation. An error is what NATS refused it with.
func parseAck(msg *nats.Msg) (rooms.Appended, error) {
	if len(msg.Data) == 0 {
		if msg.Header.Get("Status") == "503" {
			return rooms.Appended{}, errNoStream
		}
		return rooms.Appended{}, fmt.Errorf("an empty confirmation, status %q", msg.Header.Get("Status"))
	}
	return parseAckBody(msg.Data)
}

// ackSeq stands before the sequence in every confirmation of a stored record; after the digits comes the end, or
// what tells a duplicate.
const ackSeq = `"seq":`

// parseAckBody is by hand because it runs once for each append. The server writes {"stream":"ROOMS_1","seq":7} with
// ,"duplicate":true for a duplicate; whatever looks otherwise is decoded in full.
func parseAckBody(data []byte) (rooms.Appended, error) {
	text := string(data) // short; does not escape
	if i := indexAfter(text, ackSeq); i > 0 {
		var seq uint64
		j := i
		for j < len(text) && text[j] == ' ' {
			j++
		}
		for ; j < len(text) && text[j] >= '0' && text[j] <= '9'; j++ {
			seq = seq*10 + uint64(text[j]-'0')
		}
		if seq > 0 && j < len(text) && text[j] == '}' {
			return rooms.Appended{Seq: wire.Seq(seq)}, nil
		}
	}
	return decodeAck(data)
}
