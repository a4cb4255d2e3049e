package bandwidth

import (
	"cmp"
	"math"
	"time"

	"confab/media/prefetch"
)

// Timing and shares of the estimator.
const (
	silence       = 500 * time.Millisecond // without feedback while packets are out: an outage
	ackedWindow   = 250 * time.Millisecond // the acknowledged rate is measured over it
	ackedPackets  = 20                     // or over the time that so many take
	stepWindow    = 500 * time.Millisecond // the same where little is sent: a path that becomes longer leaves a gap in what comes
	sentWindow    = time.Second            // the sent rate is measured over it
	limitedBelow  = 0.65                   // of the estimate is sent: too little to learn from
	limitedUntil  = 0.85                   // of the estimate is sent: enough again
	carriedAbove  = 0.9                    // of what was sent is acknowledged: the path carried it
	carriedFor    = 600 * time.Millisecond // after that it must have been seen again; feedback takes up to half of it
	collapsed     = 0.6                    // of what was sent is acknowledged: no need to look twice
	standingQueue = 100 * time.Millisecond // longer than what passes in a moment
	standingTime  = time.Second            // and lasting
	drowningQueue = 400 * time.Millisecond // so long, and lasting: what is sent does not fit; a probe would add to it
	drowningLoss  = 0.15                   // share of packets lost: the same
	drowningTime  = 2 * time.Second        // that either must be seen while the least is sent
	drowningEbb   = 150 * time.Millisecond // a queue that becomes so much shorter goes away: what is sent now does fit
	queueDrain    = time.Second            // after a drop it is emptied in about this time
	drainMost     = 0.5                    // of the estimate is held back for it at most
	drainTime     = 3 * time.Second        // for not longer than this
	largeDrop     = 0.66                   // of the rate before: the queue is emptied, and the old rate is tried again
	afterDrop     = 2 * time.Second        // not before this
	calmAfterOver = time.Second            // after the last overuse: not before, a probe would add to the queue
	provedShare   = 0.95                   // of what came: with all of it noise alone would raise the rate
	outageFactor  = 0.5                    // of the estimate, for each silence that passes
)

// Options bound an Estimator. A field that is 0 takes the default named beside it. All are bits a second.
type Options struct {
	Start int // 500 k: assumed until something is known
	Min   int // 30 k: no estimate is below; it keeps audio and the question whether the path is back going
	Max   int // 50 M: never above, whatever a receiver claims
}

// An Estimator works out how much the path to one receiver carries, from when its packets are said to have come.
// All packets of all streams to that receiver bear a number from Sent. Times given to it must not go back.
type Estimator struct {
	// Set by NewEstimator, then constant.
	opts Options

	epoch   time.Time // the first time seen; all times inside count from it
	history history
	prober  prober
	sending meter // by when packets were sent
	coming  meter // by when they came, on the receiver's clock
	groups  grouper
	trend   trendline
	rate    rateControl
	loss    lossModel
	queue   queueMeter

	clock     receiverClock
	outage    outage
	overused  time.Duration // the last overuse
	dropped   time.Duration // the last large drop
	rtt       time.Duration // smoothed, 0 = unknown
	remote    float64       // what the receiver allows, 0 = it has said nothing
	responded bool          // useful feedback has come at all
	limited   bool          // too little is sent to learn how much more the path carries
	carried   time.Duration // when all that is sent was last seen to come, 0 = it does not
	standing  time.Duration // since when there is a long queue, 0 = there is none
	drowning  time.Duration // since when there is one as long as drowningQueue that does not go away, 0 = there is none
	deepest   time.Duration // how long that one was at most since then
}

// An outage is what is known about silence: the last one, or the one that is.
type outage struct {
	firstOut time.Duration // when the oldest packet was sent since which nothing was heard, 0 = none
	heard    time.Duration // the last useful feedback
	silent   time.Duration // when the rate was last reduced for the outage that is, 0 = there is none
	before   float64       // the rate before it
	ended    time.Duration // packets sent before the end of the last one say nothing about loss
}

// NewEstimator makes an Estimator for one receiver.
func NewEstimator(opts Options) *Estimator {
	e := &Estimator{opts: Options{
		Start: cmp.Or(opts.Start, 500_000), Min: cmp.Or(opts.Min, 30_000), Max: cmp.Or(opts.Max, 50_000_000),
	}}
	e.rate.rate, e.rate.rtt = float64(e.opts.Start), 200*time.Millisecond
	return e
}

// since turns a time into one since the epoch, never 0.
func (e *Estimator) since(now time.Time) time.Duration {
	if e.epoch.IsZero() {
		e.epoch = now.Add(-time.Millisecond)
	}
	return now.Sub(e.epoch)
}

// Sent notes that a packet of size bytes is sent now, as part of the probe with that ID (0 = none), and returns the
// transport-wide number that it must bear. It allocates nothing but to make the history larger.
func (e *Estimator) Sent(now time.Time, size int, probe uint16) uint16 {
	at := e.since(now)
	if e.outage.firstOut == 0 {
		e.outage.firstOut = at
	}
	e.sending.add(at, size)
	if probe != 0 {
		e.prober.sent(probe)
	}
	return e.history.add(at, size, probe)
}

// Prefetch asks the processor for what Sent will look at, as far as that is in e. It looks at nothing, so it needs no lock.
func (e *Estimator) Prefetch() {
	prefetch.Of(&e.epoch)
	prefetch.Of(&e.history)
	prefetch.Of(&e.sending.newest)
	prefetch.Of(&e.outage)
}

// PrefetchNext asks for the rest of it.
func (e *Estimator) PrefetchNext() {
	prefetch.Of(e.sending.last())
	if e.history.packets != nil {
		prefetch.Of(e.history.slot(e.history.next))
	}
}

// SetRemote sets the upper bound that the receiver gives by REMB, in bits a second; 0 takes it back. Where no
// transport-wide feedback has ever come it is the estimate.
func (e *Estimator) SetRemote(bitrate int) { e.remote = float64(max(bitrate, 0)) }

// Feedback takes what a receiver reports and returns whether the target went down by it. What it says about packets
// that were never sent, are forgotten or were reported before changes nothing. It allocates nothing.
func (e *Estimator) Feedback(now time.Time, f *Feedback) (down bool) {
	at, before := e.since(now), e.target()
	n := e.take(at, f)
	if n.came == 0 {
		return false
	}
	e.hear(at, n)
	e.update(at, n)
	return e.target() < before
}

// news is what one feedback says that was not known.
type news struct {
	came   int           // packets
	newest time.Duration // when the newest of them was sent
	least  time.Duration // smallest one-way delay among them, on two clocks
	probed proof         // of a probe
	over   bool          // the detector was in overuse after one of them
}

// take hands the reports to everything that learns from single packets.
func (e *Estimator) take(at time.Duration, f *Feedback) (n news) {
	var base time.Duration
	missed := e.history.skip(f.Base, f.Count)
	n.least = math.MaxInt64
	for r, ok := f.Next(); ok; r, ok = f.Next() {
		p := e.history.find(r.Seq)
		if p == nil || p.fate == received || p.fate == lost && !r.Received {
			continue
		}
		if r.Received {
			if r.At > clockJump || r.At < -clockJump {
				continue
			}
			if n.came == 0 { // not before: a feedback that says nothing new is not believed about the clock
				base = e.readClock(at, f.Reference)
			}
			e.coming.spread(base+r.At, missed)
			missed = 0
			e.arrived(p, base+r.At, &n)
			continue
		}
		p.fate = lost
		if p.at >= e.outage.ended {
			p.span = e.loss.add(p.at, int(p.size), true)
		}
	}
	return n
}

// readClock returns a reference as a time on the receiver's clock. When that has jumped, times before it and times
// after it can't be compared, and what was learnt from them is forgotten.
func (e *Estimator) readClock(at time.Duration, reference int32) time.Duration {
	base, jumped := e.clock.base(at, reference)
	if jumped {
		e.coming, e.groups, e.trend, e.queue = meter{}, grouper{}, trendline{}, queueMeter{}
	}
	return base
}

// arrived notes that p came.
func (e *Estimator) arrived(p *sentPacket, came time.Duration, n *news) {
	switch {
	case p.at < e.outage.ended:
	case p.fate == lost:
		e.loss.found(p.span)
	default:
		e.loss.add(p.at, int(p.size), false)
	}
	if p.fate != skipped {
		e.coming.add(came, int(p.size)) // else it is counted
	}
	p.fate = received
	n.came++
	n.newest = max(n.newest, p.at)
	n.least = min(n.least, came-p.at)
	if p.probe != 0 {
		if proof := e.prober.received(p, came); proof.rate > 0 {
			n.probed = proof
		}
	}
	if sent, later, ok := e.groups.add(p.at, came); ok {
		e.trend.add(sent, later, came)
		n.over = n.over || e.trend.state == overuse
	}
}

// hear notes that the receiver is there: round trip, queue, and the end of an outage.
func (e *Estimator) hear(at time.Duration, n news) {
	o := &e.outage
	e.responded, o.heard, o.firstOut = true, at, 0
	if rtt := at - n.newest; e.rtt == 0 {
		e.rtt = rtt
	} else {
		e.rtt += (rtt - e.rtt) / 8
	}
	e.rate.rtt = e.rtt
	e.queue.add(at, n.least)
	if o.silent != 0 {
		o.silent, o.ended = 0, at
		e.groups, e.trend, e.coming = grouper{}, trendline{}, meter{}
		e.loss.restart(at)
		e.rate.capacity.known = false
		e.prober.dropped(o.before, at)
	}
}

// update works out the new rate.
func (e *Estimator) update(at time.Duration, n news) {
	m := measurement{usage: e.trend.state, measured: at}
	if n.over {
		m.usage, e.overused = overuse, at
	}
	e.sending.advance(at)
	sent, steady := e.sending.rate(sentWindow, 0)
	e.limited = steady && e.isLimited(sent)
	m.limited = e.limited
	m.acked, m.known = e.coming.rate(ackedWindow, ackedPackets)
	m.carried = m.known && steady && m.acked >= carriedAbove*sent
	if lately, ok := e.coming.rate(stepWindow, 0); ok && m.limited {
		m.acked = max(m.acked, lately)
	}
	before := e.rate.rate
	if n.probed.rate > before && m.usage != overuse {
		e.rate.prove(n.probed, at)
		e.loss.raise(n.probed.rate)
	} else if e.rate.update(m) && e.rate.rate < largeDrop*before {
		e.dropped = at
		e.prober.dropped(before, at+afterDrop)
	}
	e.proved(m, at)
	e.noteCarried(sent, steady, at)
	if m.known && !m.limited && m.usage == normal {
		switch e.queue.stays(at) {
		case nobodys:
		case ours:
			e.rate.empty(m.acked, at)
		case others:
			e.rate.capacity.known = false // what was taken for it was a path that became longer, or the queue of others
		}
	}
	e.clamp()
	acked := 0.0
	if m.known && !m.limited {
		acked = m.acked
	}
	e.loss.update(e.rate.rate, acked)
}

// proved raises the rate to what came in the last second without making a queue. A sender of fixed layers does not
// follow each step down, and if that does no harm there was no need for it.
func (e *Estimator) proved(m measurement, at time.Duration) {
	if m.usage != normal || e.overused != 0 && at-e.overused < calmAfterOver {
		return
	}
	if acked, ok := e.coming.rate(sentWindow, 0); ok && m.known {
		e.rate.rate = max(e.rate.rate, provedShare*min(acked, m.acked))
	}
}

// noteCarried finds out whether what is sent comes: about as much in the last second, and without a queue that lasts.
func (e *Estimator) noteCarried(sent float64, steady bool, at time.Duration) {
	since(&e.standing, at, e.queue.length >= standingQueue)
	e.noteDrowning(at)
	acked, known := e.coming.rate(sentWindow, 0)
	switch {
	case !steady || !known || acked < collapsed*sent || e.standing != 0 && at-e.standing >= standingTime:
		e.carried = 0
	case acked >= carriedAbove*sent:
		e.carried = at
	}
}

// since keeps in t since when something holds, 0 = it does not.
func since(t *time.Duration, at time.Duration, holds bool) {
	if !holds {
		*t = 0
	} else if *t == 0 {
		*t = at
	}
}

// noteDrowning finds out whether there is a long queue that does not go away.
func (e *Estimator) noteDrowning(at time.Duration) {
	length := e.queue.length
	if length < drowningQueue || length+drowningEbb <= e.deepest {
		e.drowning, e.deepest = 0, 0
	}
	since(&e.drowning, at, length >= drowningQueue)
	e.deepest = max(e.deepest, length)
}

// Drowned reports whether the path proves, by what it loses or by a long queue that stays, that it does not carry the
// least that can be sent, which is all that has been sent since a time; zero: more is sent. What became of packets sent
// before that is no proof: when a path narrows, most of what was sent until then is lost, or makes the queue, and
// less may fit. An estimate alone proves nothing, nor does silence.
func (e *Estimator) Drowned(now, least time.Time) bool {
	if least.IsZero() {
		return false
	}
	at, from := e.since(now), least.Sub(e.epoch)
	if e.drowning != 0 && at-max(e.drowning, from+e.queue.length) >= drowningTime {
		return true // what came last was sent that long ago
	}
	lost, span := e.loss.after(from)
	return span >= drowningTime && lost >= drowningLoss
}

// Carries reports whether all that is sent now comes, so that no part of it need be taken down, whatever the target is:
// a receiver that stands still for a moment lowers the target, but not what its path carries.
func (e *Estimator) Carries(now time.Time) bool {
	return e.carried != 0 && e.outage.silent == 0 && e.since(now)-e.carried < carriedFor
}

// isLimited reports whether what is sent is too little to learn from, with hysteresis.
func (e *Estimator) isLimited(sent float64) bool {
	if e.limited {
		return sent < limitedUntil*e.target()
	}
	return sent < limitedBelow*e.target()
}

func (e *Estimator) clamp() {
	e.rate.rate = min(max(e.rate.rate, float64(e.opts.Min)), float64(e.opts.Max))
}

// target is the estimate with all bounds, without what is held back to empty a queue.
func (e *Estimator) target() float64 {
	rate := max(min(e.rate.rate, e.loss.limit()), float64(e.opts.Min))
	switch {
	case e.remote == 0:
		return rate
	case !e.responded:
		return min(e.remote, float64(e.opts.Max))
	default:
		return min(rate, e.remote)
	}
}

// Target returns how many bits a second to send now. It also notices an outage, so ask at least every 200 ms.
func (e *Estimator) Target(now time.Time) int {
	at := e.since(now)
	e.listen(at)
	rate := e.target()
	if e.dropped != 0 && at-e.dropped < drainTime {
		excess := max(e.queue.length-queueLong, 0)
		rate *= 1 - min(excess.Seconds()/queueDrain.Seconds(), drainMost)
	}
	return int(rate)
}

// listen reduces the rate while packets are out and nothing is heard about any.
func (e *Estimator) listen(at time.Duration) {
	o := &e.outage
	if !e.responded || o.firstOut == 0 || at-o.firstOut < silence+e.rtt || at-max(o.heard, o.silent) < silence {
		return
	}
	if o.silent == 0 {
		o.before = e.target()
	}
	o.silent = at
	e.rate.rate = outageFactor * min(e.rate.rate, e.target())
	e.clamp()
}

// Probe returns a probe that is to be sent now, if one is due. Wanted is how many bits a second would be sent if the
// path carried everything; nothing is probed beyond what that needs. Ask about every 20 ms while a probe may be due:
// results come within a round trip.
func (e *Estimator) Probe(now time.Time, wanted int) (Probe, bool) {
	at := e.since(now)
	e.listen(at)
	return e.prober.next(situation{
		now: at, estimate: e.target(), wanted: float64(wanted), most: e.most(), limited: e.limited, near: e.rate.near(),
		queued: e.queue.length >= queueLong,
		troubled: e.outage.silent != 0 || e.trend.state == overuse || e.overused != 0 && at-e.overused < calmAfterOver ||
			e.queue.length >= drowningQueue,
	})
}

// most is the highest rate that may be the target.
func (e *Estimator) most() float64 {
	if e.remote > 0 {
		return min(e.remote, float64(e.opts.Max))
	}
	return float64(e.opts.Max)
}

// Stats are an Estimator's findings, for people and for metrics.
type Stats struct {
	Target  int           // bits a second, as Target last would have been
	Acked   int           // bits a second that came lately
	Loss    float64       // share of packets lost lately, 0 to 1
	RTT     time.Duration // smoothed, with the receiver's wait before it reports; 0 = unknown
	Queue   time.Duration // that packets seem to wait on the path
	Limited bool          // too little is sent to learn how much more the path carries
	Outage  bool          // nothing is heard
}

// Stats returns the findings.
func (e *Estimator) Stats() Stats {
	acked, _ := e.coming.rate(ackedWindow, ackedPackets)
	return Stats{
		Target: int(e.target()), Acked: int(acked), Loss: e.loss.ratio(), RTT: e.rtt, Queue: e.queue.length,
		Limited: e.limited, Outage: e.outage.silent != 0,
	}
}
