package bandwidth

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A link carries packets one after another: a queue in front of a rate, then a delay. Time is virtual.
type link struct {
	capacity func(time.Duration) float64 // bits a second, 0 = nothing comes through
	delay    time.Duration
	limit    time.Duration // the queue's length beyond which packets are dropped
	loss     float64       // share of packets lost by chance
	jitter   time.Duration // added to the delay, evenly spread
	inOrder  bool          // no packet overtakes another
	changes  time.Duration // from then on delay and jitter are the next two, 0 = never
	farther  time.Duration
	rougher  time.Duration
	stall    time.Duration // for so long nothing comes out, every 3 s
	random   *rand.Rand
	free     time.Duration // when the last packet is through the rate
	last     time.Duration // when the last packet comes
}

// send returns when a packet comes out at the other end, and how long it waited; ok is false if it does not.
func (l *link) send(now time.Duration, size int) (came, waited time.Duration, ok bool) {
	capacity := l.capacity(now)
	waited = max(l.free-now, 0)
	begin := now + waited
	if capacity == 0 || l.capacity(begin) == 0 || waited > l.limit {
		return 0, waited, false
	}
	l.free = begin + time.Duration(float64(8*size)/l.capacity(begin)*float64(time.Second))
	if l.random.Float64() < l.loss {
		return 0, waited, false
	}
	came = l.free + l.latency(now)
	if l.inOrder {
		came = max(came, l.last)
	}
	l.last = came
	if into := came % (3 * time.Second); into < l.stall {
		came += l.stall - into
	}
	return came, waited, true
}

// latency is how long a packet takes that never waits.
func (l *link) latency(now time.Duration) time.Duration {
	delay, jitter := l.delay, l.jitter
	if l.changes != 0 && now >= l.changes {
		delay, jitter = l.farther, l.rougher
	}
	if jitter > 0 {
		delay += time.Duration(l.random.Int64N(int64(jitter)))
	}
	return delay
}

func constant(rate float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return rate }
}

// A crossing is a packet on its way.
type crossing struct {
	came time.Duration
	seq  uint16
	size int
}

// A trial runs a sender with all parts of this package over a link to a receiver.
type trial struct {
	link     link
	opts     Options
	back     time.Duration                     // delay of the feedback; -1 = as the link's
	frame    time.Duration                     // between two frames; 0 = 33 ms
	media    func(now, target float64) float64 // bits a second of video, now in seconds
	wanted   int                               // bits a second; 0 = all
	mangle   func(i int, body []byte) []spoilt // what becomes of a feedback packet, nil = it arrives
	tcp      *tcp                              // a flow that shares the link
	noProbes bool
	length   time.Duration
	seed     uint64

	now       time.Duration
	est       *Estimator
	receiver  *receiver
	crossings []crossing
	feedback  []spoilt
	bodies    int
	frames    []int // packets of video that wait
	probe     Probe
	probeNext time.Duration
	probeSent int // bytes
	probeOut  int // packets
	pacer     Pacer
	random    *rand.Rand
	samples   []sample
	due       sample // the one under way
}

// spoilt is a feedback packet and when it comes.
type spoilt struct {
	at   time.Duration
	body []byte
}

// A sample is what happened in 100 ms.
type sample struct {
	at      time.Duration
	target  float64       // bits a second
	carried float64       // bits a second that came
	tcp     float64       // bits a second of the other flow
	waited  time.Duration // longest time in the queue
	dropped int
}

const (
	trialTick   = time.Millisecond
	trialSample = 100 * time.Millisecond
	videoPacket = 1200
	audioPacket = 120
)

// trialStart is when virtual time begins.
var trialStart = time.Unix(1_700_000_000, 0)

func (s *trial) run() []sample {
	s.random = rand.New(rand.NewPCG(7, s.seed))
	s.link.random = rand.New(rand.NewPCG(1, s.seed))
	s.est, s.receiver = NewEstimator(s.opts), newReceiver()
	if s.media == nil {
		s.media = func(_, target float64) float64 { return target }
	}
	s.wanted = cmp.Or(s.wanted, 1e9)
	for s.now = 0; s.now < s.length; s.now += trialTick {
		s.step()
	}
	return s.samples
}

func (s *trial) step() {
	now := trialStart.Add(s.now)
	s.arrive()
	if s.now%(200*time.Millisecond) == 0 {
		s.pacer.SetRate(now, s.est.Target(now), len(s.frames)*videoPacket)
	}
	if s.now%(20*time.Millisecond) == 0 {
		s.packet(audioPacket, 0)
		if p, due := s.est.Probe(now, s.wanted); due && !s.noProbes {
			s.probe, s.probeNext, s.probeSent, s.probeOut = p, s.now+ProbeWait, 0, 0
		}
	}
	if frame := cmp.Or(s.frame, 33*time.Millisecond); s.now%frame == 0 {
		target := float64(s.est.Target(now))
		bytes := (s.media(s.now.Seconds(), target) - audioPacket*8*50) * frame.Seconds() / 8 * (0.8 + 0.4*s.random.Float64())
		for ; bytes > 0; bytes -= videoPacket {
			s.frames = append(s.frames, int(min(bytes, videoPacket)))
		}
	}
	for len(s.frames) > 0 && s.pacer.Open(now) {
		s.pacer.Sent(now, s.frames[0])
		s.packet(s.frames[0], s.probe.ID)
		s.probed(s.frames[0])
		s.frames = s.frames[1:]
	}
	s.probing()
	if s.tcp != nil {
		s.tcp.step(s)
	}
	if s.now%trialSample == trialSample-trialTick {
		s.due.at, s.due.target = s.now, float64(s.est.Target(now))
		s.samples = append(s.samples, s.due)
		s.due = sample{}
	}
}

// probing fills what the media leaves of a probe.
func (s *trial) probing() {
	for s.probe.ID != 0 && s.now >= s.probeNext {
		size := min(250, max(s.probe.Bytes/s.probe.Packets, 100)) // padding: no packet of it is larger
		s.packet(size, s.probe.ID)
		s.probed(size)
	}
}

// probed counts what is sent during a probe.
func (s *trial) probed(size int) {
	if s.probe.ID == 0 {
		return
	}
	if s.probeOut == 0 {
		s.probeNext = s.now
	}
	s.probeSent += size
	s.probeOut++
	s.probeNext += s.probe.Interval(size)
	if s.probeSent >= s.probe.Bytes && s.probeOut >= s.probe.Packets {
		s.probe = Probe{}
	}
}

// packet sends one packet.
func (s *trial) packet(size int, probe uint16) {
	seq := s.est.Sent(trialStart.Add(s.now), size, probe)
	came, waited, ok := s.link.send(s.now, size)
	if !ok {
		s.due.dropped++
		return
	}
	s.due.waited = max(s.due.waited, waited)
	i, _ := slices.BinarySearchFunc(s.crossings, came, func(c crossing, at time.Duration) int { return cmp.Compare(c.came, at) })
	s.crossings = slices.Insert(s.crossings, i, crossing{came, seq, size})
}

// arrive delivers what has come to the receiver, and its feedback to the sender.
func (s *trial) arrive() {
	for len(s.crossings) > 0 && s.crossings[0].came <= s.now {
		c := s.crossings[0]
		s.crossings = s.crossings[1:]
		s.receiver.arrived(c.seq, time.Hour+c.came)
		s.due.carried += float64(8*c.size) / trialSample.Seconds()
	}
	if s.now%(100*time.Millisecond) == 0 && s.link.capacity(s.now) > 0 {
		for _, body := range s.receiver.take() {
			s.bodies++
			list := []spoilt{{0, body}}
			if s.mangle != nil {
				list = s.mangle(s.bodies, body)
			}
			for _, f := range list {
				back := s.back
				if back < 0 {
					back = s.link.latency(s.now)
				}
				s.feedback = append(s.feedback, spoilt{s.now + back + f.at, f.body})
			}
		}
	}
	s.feedback = slices.DeleteFunc(s.feedback, func(f spoilt) bool {
		if f.at > s.now {
			return false
		}
		if parsed, err := ParseFeedback(f.body); err == nil {
			s.est.Feedback(trialStart.Add(s.now), &parsed)
		}
		return true
	})
}

// A tcp is a flow with the window of TCP Reno that always has something to send.
type tcp struct {
	begin    time.Duration
	window   float64 // packets
	out      []crossing
	slow     bool
	recovers time.Duration // a loss before it counts as the same one
}

func (c *tcp) step(s *trial) {
	if s.now < c.begin {
		return
	}
	if c.window == 0 {
		c.window, c.slow = 10, true
	}
	for len(c.out) > 0 && c.out[0].came+s.link.delay <= s.now {
		lostOne := c.out[0].size == 0
		if !lostOne {
			s.due.tcp += float64(8*c.out[0].size) / trialSample.Seconds()
		}
		c.out = c.out[1:]
		switch {
		case lostOne && s.now >= c.recovers:
			c.window, c.slow, c.recovers = max(c.window/2, 2), false, s.now+200*time.Millisecond
		case c.slow:
			c.window++
		default:
			c.window += 1 / c.window
		}
	}
	for float64(len(c.out)) < c.window {
		came, waited, ok := s.link.send(s.now, 1500)
		if !ok { // found out when the next packet is acknowledged
			c.out = append(c.out, crossing{came: s.now + waited + s.link.delay})
			break
		}
		c.out = append(c.out, crossing{came: came, size: 1500})
	}
}

// between returns the samples of that time.
func between(samples []sample, from, to time.Duration) []sample {
	return slices.Collect(func(yield func(sample) bool) {
		for _, s := range samples {
			if s.at >= from && s.at < to && !yield(s) {
				return
			}
		}
	})
}

func mean(samples []sample, value func(sample) float64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += value(s)
	}
	return sum / float64(max(len(samples), 1))
}

// quantile returns the value that the share q of the samples does not exceed.
func quantile(samples []sample, q float64, value func(sample) float64) float64 {
	list := make([]float64, len(samples))
	for i, s := range samples {
		list[i] = value(s)
	}
	slices.Sort(list)
	return list[min(int(q*float64(len(list))), len(list)-1)]
}

func target(s sample) float64  { return s.target }
func carried(s sample) float64 { return s.carried }
func waited(s sample) float64  { return float64(s.waited) / float64(time.Millisecond) }

// row prints what a trial did between two times.
func row(t *testing.T, name string, samples []sample) {
	t.Helper()
	t.Logf("%-34s target %6.0f (%6.0f..%6.0f) came %6.0f kb/s, queue p50 %4.0f p95 %4.0f max %4.0f ms", name,
		mean(samples, target)/1000, quantile(samples, 0, target)/1000, quantile(samples, 1, target)/1000,
		mean(samples, carried)/1000, quantile(samples, 0.5, waited), quantile(samples, 0.95, waited), quantile(samples, 1, waited))
}

// series prints a trial's course, one line each second.
func series(samples []sample) (text string) {
	for at := time.Duration(0); ; at += time.Second {
		part := between(samples, at, at+time.Second)
		if len(part) == 0 {
			return text
		}
		text += fmt.Sprintf("%3.0f s: target %5.0f came %5.0f tcp %5.0f queue %4.0f\n", at.Seconds(), mean(part, target)/1000,
			mean(part, carried)/1000, mean(part, func(s sample) float64 { return s.tcp })/1000, quantile(part, 1, waited))
	}
}
