package bus

import (
	"cmp"
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

	// Set by add, then constant.
	echoes bool   // no confirmation is asked for: the timeline is followed, and the record comes back when it is stored
	reply  string // where the first attempt is confirmed, of the shard's replySet; empty = as any other attempt

	// Guarded by appender.mu.
	resendAt time.Time
	refusal  error // what NATS said last, if anything
}

// An attempt is one sending of an append.
type attempt struct {
	*pendingAppend
	again bool // it is not the first
}

// A settled append waits for its done to be called.
type settled struct {
	done func(rooms.Appended, error)
	what rooms.Appended
	err  error
}

// An appender sends appends and matches their confirmations. One goroutine (send) writes to NATS, in the order of
// Append; another (settle) reads confirmations, sends again what was lost and calls done. Where nobody else writes, the
// shards read confirmations and call done for what they confirm. There is no goroutine and no timer for a single append.
type appender struct {
	// Set by newAppender, then constant.
	bus    *Bus
	inbox  string         // of all confirmations, with the full stop; the shard's number follows
	own    string         // begins the ids of records appended without one; different in each process
	acks   chan *nats.Msg // confirmations that no shard reads; written by NATS, never closed
	queued chan struct{}  // a value: queue is not empty
	wake   chan struct{}  // a value: finished is not empty
	quiet  chan struct{}  // a value: pending has become empty

	mu sync.Mutex
	// Guarded by mu.
	patience time.Duration // appendPatience; tests have less
	next     uint64
	pending  map[uint64]*pendingAppend
	echoing  map[string]*pendingAppend // those of pending whose echoes is set, by id
	replies  [shardCount]replySet
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
		queued:   make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		quiet:    make(chan struct{}, 1),
		pending:  make(map[uint64]*pendingAppend),
		echoing:  make(map[string]*pendingAppend),
	}
	if !b.alone() {
		a.acks = make(chan *nats.Msg, maxPendingAppends)
	}
	for i, s := range b.shards {
		a.replies[i].open(a.inbox + strconv.Itoa(i) + ".")
		to := a.acks
		if b.alone() {
			to = s.acks
		}
		if _, err := b.publish.ChanSubscribe(a.replies[i].prefix+"*", to); err != nil {
			return nil, fmt.Errorf("bus: subscribing to confirmations: %w", err)
		}
	}
	if err := b.publish.FlushTimeout(requestTimeout); err != nil {
		return nil, fmt.Errorf("bus: subscribing to confirmations: %w", err)
	}
	return a, nil
}

// Append stores payload at the end of t; see rooms.Log. It costs one message from NATS: where a timeline that is open
// here is repeated to its followers, the echo is the confirmation, and where it is not, the confirmation is the echo.
// At most 16384 appends and 64 MiB wait at a time; beyond that the answer is ErrUnavailable at once.
func (b *Bus) Append(t rooms.Timeline, id string, payload []byte, done func(rooms.Appended, error)) {
	place, open, err := b.find(t)
	if err == nil && int64(len(payload)+3*len(id)) > b.maxPayload.Load()-1024 {
		err = fmt.Errorf("bus: a record of %d bytes is more than NATS takes", len(payload))
	}
	b.appender.add(&pendingAppend{
		place: place, id: escapeID(id), payload: payload, done: done, since: time.Now(),
		echoes: id != "" && open && !b.alone(),
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
		a.bus.counts.failed.Add(1)
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
		} else {
			p.reply = a.replies[p.place.shard()].lend(p)
		}
		a.pending[p.token] = p
		a.bytes += len(p.payload)
		a.queue = append(a.queue, attempt{p, false})
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
		at     stamp
		msg    = &nats.Msg{Header: nats.Header{nats.MsgIdHdr: ids}}
		gather gatherer
		timer  = time.NewTimer(0)
	)
	defer timer.Stop()
	if a.bus.alone() {
		msg.Header[headerTaken] = at.value[:]
	}
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
			if nodes := a.bus.nodes; nodes != nil && !nodes.MayAct() { // looked at for each: the process may be paused at any time
				a.refused(p.pendingAppend, errLeaseEnded)
				continue
			}
			ids[0] = p.id
			at.set(p.since)
			msg.Subject, msg.Data, msg.Reply = p.place.subject, p.payload, a.replyTo(p)
			if err := a.bus.publish.PublishMsg(msg); err != nil {
				a.refused(p.pendingAppend, fmt.Errorf("sending to NATS: %w", err))
			}
		}
	}
}

// A stamp is a time as a header bears it. Most records of a batch have the same.
type stamp struct {
	milli int64
	value [1]string
}

func (s *stamp) set(t time.Time) {
	if milli := t.UnixMilli(); milli != s.milli {
		s.milli, s.value[0] = milli, strconv.FormatInt(milli, 10)
	}
}

// replyTo is where an attempt is confirmed, empty when it is not to be.
func (a *appender) replyTo(p attempt) string {
	switch {
	case p.again:
	case p.echoes:
		return ""
	case p.reply != "":
		return p.reply
	}
	return a.replies[p.place.shard()].own(p.token)
}

// settle handles retries, and what no shard does, until the bus ends; then it settles the rest.
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
			a.bus.shards[msg.Subject[len(a.inbox)]-'0'].confirm(msg)
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

// answered takes in what NATS has answered at a reply subject of shard: nil, or why it refused. It returns the append,
// nil when that is not known any more, and whether its done is due; it is not when an answer to another attempt came
// before.
func (a *appender) answered(shard int, subject string, refusal error) (p *pendingAppend, due bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	replies := &a.replies[shard]
	if token, ok := replies.tokenOf(subject); ok {
		p = a.pending[token]
	} else {
		p = replies.giveBack(subject)
	}
	if p == nil {
		return nil, false
	}
	if refusal != nil {
		a.refuse(p, refusal)
		return p, false
	}
	return p, a.take(p)
}

// echoed settles the append whose record a stream has repeated: it repeats what it has stored, so its word is as good
// as a confirmation. id is as in the header.
func (a *appender) echoed(id string, seq wire.Seq) {
	a.mu.Lock()
	p := a.echoing[id]
	if p != nil {
		a.take(p)
	}
	a.mu.Unlock()
	if p != nil {
		a.bus.stored(p)
		p.done(rooms.Appended{Seq: seq}, nil)
	}
}

// take removes the append from the table, and reports whether it was there. mu is held.
func (a *appender) take(p *pendingAppend) bool {
	if a.pending[p.token] != p {
		return false
	}
	delete(a.pending, p.token)
	if p.echoes {
		delete(a.echoing, p.id)
	}
	a.bytes -= len(p.payload)
	if len(a.pending) == 0 {
		poke(a.quiet)
	}
	return true
}

// refused notes that an attempt failed; the sweep makes the next one soon.
func (a *appender) refused(p *pendingAppend, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refuse(p, err)
}

// refuse is refused with mu held.
func (a *appender) refuse(p *pendingAppend, err error) {
	p.refusal = err
	p.resendAt = time.Now().Add(resendRefused)
}

// sweep queues what must be sent again, in the order of Append, and gives up what has waited too long.
func (a *appender) sweep(now time.Time) {
	var again []attempt
	a.mu.Lock()
	for _, p := range a.pending {
		switch {
		case now.Sub(p.since) >= a.patience:
			a.take(p)
			err := rooms.ErrUnavailable
			if p.refusal != nil {
				err = fmt.Errorf("%w: %w", err, p.refusal)
			}
			a.finished = append(a.finished, settled{done: p.done, err: err})
			a.bus.counts.failed.Add(1)
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
	a.forgetReplies()
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

// forgetReplies awaits no answers any more to what was sent: some were lost. What is pending is sent again in time.
func (a *appender) forgetReplies() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.replies {
		a.replies[i].renew()
	}
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
