package bandwidth

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestHistory(t *testing.T) {
	h := history{next: 65500, told: 65500}
	for i := range 100 {
		if seq := h.add(time.Duration(i)*time.Millisecond, 1000+i, 7); seq != uint16(65500+i) {
			t.Fatalf("packet %d is number %d", i, seq)
		}
	}
	if p := h.find(5); p == nil || p.size != 1041 || p.at != 41*time.Millisecond || p.probe != 7 {
		t.Errorf("%+v", p)
	}
	if h.find(64) != nil || h.find(65499) != nil || h.find(5+minHistory) != nil {
		t.Error("a packet that was never sent")
	}
}

// The history grows while feedback is out, and not for packets that nobody will report any more.
func TestHistoryGrows(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		kept  int
	}{
		{100 * time.Millisecond, minHistory},
		{time.Millisecond, 2048},
		{10 * time.Microsecond, maxHistory},
	} {
		var h history
		for i := range 3 * maxHistory {
			h.add(time.Duration(i)*c.every, 1, 0)
		}
		if len(h.packets) != c.kept {
			t.Errorf("every %v: %d packets kept, want %d", c.every, len(h.packets), c.kept)
		}
		for i := range c.kept {
			if h.find(h.next-1-uint16(i)) == nil {
				t.Fatalf("every %v: packet %d of %d is lost", c.every, i, c.kept)
			}
		}
	}
}

// Packets between two feedbacks count once, whatever is said about them later.
func TestHistorySkip(t *testing.T) {
	var h history
	for range 100 {
		h.add(0, 10, 0)
	}
	for _, c := range []struct {
		base  uint16
		count int
		bytes int
	}{
		{0, 10, 0},
		{30, 10, 200},
		{30, 10, 0}, // repeated
		{10, 20, 0}, // late
		{39, 5, 0},  // in part
		{90, 20, 0}, // beyond what was sent
		{95, 5, 510},
	} {
		if got := h.skip(c.base, c.count); got != c.bytes {
			t.Errorf("%d packets from %d: %d bytes skipped, want %d", c.count, c.base, got, c.bytes)
		}
	}
}

func TestMeter(t *testing.T) {
	var m meter
	if _, ok := m.rate(ackedWindow, 0); ok {
		t.Error("a rate of nothing")
	}
	for at := time.Duration(0); at < 3*time.Second; at += 4 * time.Millisecond {
		m.add(time.Hour+at, 1000)
	}
	if rate, ok := m.rate(ackedWindow, 20); !ok || math.Abs(rate-2e6) > 1e5 {
		t.Errorf("%.0f %v, want 2 Mb/s", rate, ok)
	}
	m.add(time.Hour, 1e6) // far too old
	m.add(time.Hour+3*time.Second-50*time.Millisecond, 1000)
	if rate, _ := m.rate(ackedWindow, 20); math.Abs(rate-2e6) > 1e5 {
		t.Errorf("after old packets %.0f", rate)
	}
	m.advance(time.Hour + 3500*time.Millisecond)
	if rate, _ := m.rate(time.Second, 0); math.Abs(rate-1e6) > 1e5 {
		t.Errorf("after half a second of silence %.0f over a second", rate)
	}
	m.advance(2 * time.Hour)
	if rate, _ := m.rate(time.Second, 0); rate != 0 {
		t.Errorf("after a long silence %.0f", rate)
	}
}

// With few packets a longer window is taken: a screen has five frames a second.
func TestMeterFewPackets(t *testing.T) {
	var m meter
	for at := time.Duration(0); at < 3*time.Second; at += 200 * time.Millisecond {
		m.add(at, 5000)
		m.advance(at + 190*time.Millisecond)
		if at > 2*time.Second {
			if rate, ok := m.rate(ackedWindow, 20); !ok || math.Abs(rate-2e5) > 3e4 {
				t.Errorf("at %v: %.0f %v, want 200 kb/s", at, rate, ok)
			}
		}
	}
}

func TestGroups(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name       string
		sent, came []time.Duration
		want       [][2]time.Duration
	}{
		{"one by one", []time.Duration{0, 10 * ms, 20 * ms, 30 * ms}, []time.Duration{50 * ms, 60 * ms, 72 * ms, 90 * ms},
			[][2]time.Duration{{10 * ms, 10 * ms}, {10 * ms, 12 * ms}}},
		{"in bursts", []time.Duration{0, ms, 20 * ms, 21 * ms, 40 * ms, 60 * ms}, []time.Duration{50 * ms, 52 * ms, 70 * ms, 73 * ms, 90 * ms, 120 * ms},
			[][2]time.Duration{{20 * ms, 21 * ms}, {19 * ms, 17 * ms}}},
		{"held up together", []time.Duration{0, 10 * ms, 20 * ms, 30 * ms, 60 * ms, 90 * ms}, []time.Duration{50 * ms, 90 * ms, 91 * ms, 92 * ms, 120 * ms, 150 * ms},
			[][2]time.Duration{{30 * ms, 42 * ms}, {30 * ms, 28 * ms}}},
		{"overtaken", []time.Duration{20 * ms, 0, 40 * ms, 60 * ms}, []time.Duration{70 * ms, 75 * ms, 90 * ms, 110 * ms},
			[][2]time.Duration{{20 * ms, 20 * ms}}},
	} {
		var g grouper
		var got [][2]time.Duration
		for i := range c.sent {
			if sent, came, ok := g.add(c.sent[i], c.came[i]); ok {
				got = append(got, [2]time.Duration{sent, came})
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}

// A receiver whose clock goes back is followed after a few groups.
func TestGroupsClockBack(t *testing.T) {
	var g grouper
	found := 0
	for i := range 40 {
		at := time.Duration(i) * 10 * time.Millisecond
		came := time.Hour + at
		if i >= 20 {
			came -= time.Minute
		}
		if _, _, ok := g.add(at, came); ok && i >= 20 {
			found++
		}
	}
	if found < 10 {
		t.Errorf("%d groups after the jump", found)
	}
}

func TestTrendline(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	const frame = 33 * time.Millisecond
	for _, c := range []struct {
		name  string
		delay func(i int) time.Duration // added from group to group
		want  usage
		ever  bool // at any time, else at the end
	}{
		{"an even path", func(int) time.Duration { return 0 }, normal, false},
		{"a queue that grows by 5 ms a frame", func(int) time.Duration { return 5 * time.Millisecond }, overuse, true},
		{"a queue that empties", func(i int) time.Duration {
			if i < 60 {
				return 0
			}
			return -5 * time.Millisecond
		}, underuse, true},
	} {
		var line trendline
		came, seen := time.Hour, false
		for i := range 120 {
			d := c.delay(i)
			came += frame + d
			line.add(frame, frame+d, came)
			seen = seen || line.state == c.want
		}
		if c.ever && !seen || !c.ever && line.state != c.want {
			t.Errorf("%s: %v", c.name, line.state)
		}
	}
	var line trendline
	overuses := 0
	came, last := time.Hour, time.Duration(0)
	for range 3000 {
		jitter := time.Duration(random.Int64N(int64(10 * time.Millisecond)))
		d := jitter - last
		last = jitter
		came += frame + d
		line.add(frame, frame+d, came)
		if line.state == overuse {
			overuses++
		}
	}
	if overuses > 3 {
		t.Errorf("%d overuses by jitter alone", overuses)
	}
}

// The threshold follows what is usual, else a flow that fills the queue again and again takes everything.
func TestThresholdAdapts(t *testing.T) {
	var line trendline
	came := time.Hour
	for i := range 600 {
		d := 4 * time.Millisecond
		if i/30%2 == 1 {
			d = -d
		}
		came += 33*time.Millisecond + d
		line.add(33*time.Millisecond, 33*time.Millisecond+d, came)
	}
	if line.threshold < 1.5*thresholdStart {
		t.Errorf("the threshold is %.1f ms on a path that swings", line.threshold)
	}
	for range 600 {
		came += 33 * time.Millisecond
		line.add(33*time.Millisecond, 33*time.Millisecond, came)
	}
	if line.threshold > thresholdMin+0.1 {
		t.Errorf("the threshold is %.1f ms on an even path", line.threshold)
	}
}

// The model keeps the rate where the loss is the path's own, and lowers it where the loss comes from the rate.
func TestLossModel(t *testing.T) {
	for _, c := range []struct {
		name        string
		inherent    float64
		capacity    float64
		least, most float64
	}{
		{"none", 0, 1e9, 4e6, 4e6},
		{"5 % by chance", 0.05, 1e9, 3.5e6, 4e6},
		{"sent is twice what goes through", 0, 2e6, 1.5e6, 2.3e6},
		{"both", 0.03, 2e6, 1.5e6, 2.3e6},
		{"30 % by chance", 0.3, 1e9, 0, 3e6},
	} {
		random := rand.New(rand.NewPCG(5, 5))
		var l lossModel
		at, sum := time.Duration(0), 0.0
		for i := range 200 {
			rate := 4e6
			if l.count >= lossEnough {
				rate = l.limit()
			}
			lost := c.inherent + (1-c.inherent)*max(rate-c.capacity, 0)/rate
			for end := at + 260*time.Millisecond; at < end; at += time.Duration(8000 / rate * float64(time.Second)) {
				l.add(at, 1000, random.Float64() < lost)
			}
			l.update(4e6, min(rate, c.capacity)*(1-c.inherent))
			if i >= 100 {
				sum += l.limit()
			}
		}
		if got := sum / 100; got < c.least || got > c.most {
			t.Errorf("%s: %.0f, want %.0f to %.0f (inherent %.3f)", c.name, got, c.least, c.most, l.inherent)
		}
	}
}

// What was overtaken counts as lost only until it comes, also when its observation is over.
func TestLossModelWithoutLoss(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		l := lossModel{bandwidth: 5e4 + 1e7*random.Float64(), inherent: inherentLeast + random.Float64()*0.05, count: 3 + random.IntN(40)}
		for i := range l.seen {
			l.seen[i] = observation{packets: float64(1 + random.IntN(200)), rate: 2 * l.bandwidth * random.Float64()}
		}
		delay, acked := 2*l.bandwidth*random.Float64()+1e4, 2*l.bandwidth*random.Float64()
		bandwidth, inherent := l.search(delay, acked, 0)
		before := l
		l.fitTo(delay, acked)
		if math.Abs(l.bandwidth-bandwidth) > 1 || math.Abs(l.inherent-inherent) > 1e-9 {
			t.Fatalf("%+v, delay %.0f, acked %.0f: %.0f and %f, but search finds %.0f and %f", before, delay, acked, l.bandwidth, l.inherent, bandwidth, inherent)
		}
	}
}

func TestLossTakenBack(t *testing.T) {
	var l lossModel
	var spans []uint8
	for i := range 300 { // 30 a span
		at := time.Duration(i) * 10 * time.Millisecond
		if span := l.add(at, 1000, i%5 == 0); i%5 == 0 {
			spans = append(spans, span)
		}
		l.update(1e6, 0)
	}
	if got := l.ratio(); math.Abs(got-0.2) > 0.02 {
		t.Fatalf("a loss of %.3f", got)
	}
	for _, span := range spans {
		l.found(span)
	}
	if got := l.ratio(); got != 0 || l.lost != 0 {
		t.Errorf("a loss of %.3f and %d, when all has come", got, l.lost)
	}
	l.found(uint8(l.count - lossObservations - 1)) // long forgotten
}

func TestReceiverClock(t *testing.T) {
	var c receiverClock
	first, jumped := c.base(time.Second, -5)
	if jumped {
		t.Error("the first reference is a jump")
	}
	at := time.Second
	for i := int32(1); i < 10; i++ {
		at += 20 * referenceTick
		base, jumped := c.base(at, -5+20*i)
		if want := first + time.Duration(20*i)*referenceTick; jumped || base != want {
			t.Fatalf("step %d: %v %v, want %v", i, base, jumped, want)
		}
	}
	newest, _ := c.base(at, c.last)
	if late, jumped := c.base(at, c.last-10); jumped || late != newest-10*referenceTick {
		t.Errorf("a late feedback: %v %v", late, jumped)
	}
	if _, jumped := c.base(at, c.last+1000); !jumped {
		t.Error("a minute is no jump")
	}
	if _, jumped := c.base(at+time.Second, c.last+16); jumped {
		t.Error("the new clock is not followed")
	}
}

func TestReceiverClockWraps(t *testing.T) {
	var c receiverClock
	const ticks = 1 << 24
	before, _ := c.base(time.Second, ticks/2-1)
	after, jumped := c.base(time.Second+64*time.Millisecond, -ticks/2)
	if jumped || after-before != referenceTick {
		t.Errorf("%v after the wrap, jump: %v", after-before, jumped)
	}
}

// A queue that goes away when less is sent is ours; one that doesn't is not, and then it is left alone for a while.
func TestQueueStays(t *testing.T) {
	for _, whose := range []owner{ours, others} {
		var q queueMeter
		q.add(time.Second, 20*time.Millisecond)
		length, steps, found := 40*time.Millisecond, 0, 0
		for at := time.Second; at < 20*time.Second; at += 100 * time.Millisecond {
			q.least[0] = 20 * time.Millisecond // somebody else's queue is never empty for long, but often enough
			q.add(at, 20*time.Millisecond+length)
			switch q.stays(at) {
			case nobodys:
			case ours:
				steps++
				if whose == ours {
					length /= 2
				}
			case others:
				found++
			}
		}
		if whose == ours && (steps != 1 || found != 0 || length > queueLong) || whose == others && (steps != emptyTries || found != 1) {
			t.Errorf("owner %d: %d steps back, found out %d times, queue %v", whose, steps, found, length)
		}
	}
}

// What is wanted and what is known decides about probes.
func TestProber(t *testing.T) {
	s := situation{estimate: 500_000, wanted: 4e6, most: 50e6}
	var p prober
	next := func(at time.Duration) int {
		s.now = at
		probe, ok := p.next(s)
		if !ok {
			return 0
		}
		if probe.ID == 0 || probe.Packets < probePackets || probe.Bytes < probe.Bitrate/8/40 {
			t.Errorf("%+v", probe)
		}
		return probe.Bitrate
	}
	expect := func(at time.Duration, want ...int) {
		t.Helper()
		for _, w := range append(want, 0) {
			if got := next(at); got != w {
				t.Errorf("at %v: %d, want %d", at, got, w)
			}
		}
	}
	expect(0, 1_500_000, 3_000_000) // 3 and 6 times the start
	s.estimate = 2_500_000
	expect(100*time.Millisecond, 5_000_000) // went well: twice as much
	s.estimate = 3_600_000
	expect(200*time.Millisecond, 6_000_000) // but 1.5 times what is wanted is enough
	s.estimate = 4_000_000
	p.silent = 0
	expect(300 * time.Millisecond)
	expect(2100 * time.Millisecond)
	expect(2300*time.Millisecond, 6_000_000) // all is used: carefully
	s.estimate, s.limited, s.queued, p.silent = 1_500_000, true, true, 0
	expect(4400 * time.Millisecond) // packets wait: not so soon
	expect(7200 * time.Millisecond)
	expect(7400*time.Millisecond, 3_000_000) // little is sent: twice
	s.queued, p.silent = false, 0
	expect(9300 * time.Millisecond)
	expect(9500*time.Millisecond, 3_000_000)
	s.troubled, p.silent = true, 0
	expect(20 * time.Second)
	s.troubled = false
	expect(20*time.Second, 3_000_000)
	p.silent = 0
	expect(24900 * time.Millisecond) // the path is known now: not so soon
	expect(25100*time.Millisecond, 3_000_000)
	s.wanted = 5e6
	p.silent = 0
	expect(26200*time.Millisecond, 4_500_000) // more is wanted: at once, but not more than three times
	p.silent = 0
	expect(28100 * time.Millisecond)
	expect(28300*time.Millisecond, 3_000_000) // and soon again
	s.wanted, s.estimate = 4e6, 5e6
	expect(40 * time.Second) // enough for 4 Mb/s
	p.dropped(5_000_000, 42*time.Second)
	s.estimate = 1_000_000
	p.began = 41 * time.Second
	expect(41500 * time.Millisecond)
	expect(42*time.Second, 3_000_000) // not more than three times at once
}

// A probe without any result is repeated at once, but not for ever.
func TestProberSilence(t *testing.T) {
	s := situation{estimate: 1e6, wanted: 4e6, most: 50e6, limited: true}
	var p prober
	probes := 0
	for ; s.now < 60*time.Second; s.now += 20 * time.Millisecond {
		if _, ok := p.next(s); ok {
			probes++
		}
	}
	if probes < 15 || probes > 20 {
		t.Errorf("%d probes in a minute", probes)
	}
}

func TestClusterResult(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name           string
		sending        time.Duration // from packet to packet
		coming         time.Duration
		lost           int
		rate           float64
		filled, proves bool
	}{
		{"an empty path", 2 * ms, 2 * ms, 0, 4e6, false, true},
		{"a full path", 2 * ms, 4 * ms, 0, probeTarget * 2e6, true, true},
		{"a burst", 0, 4 * ms, 0, probeTarget * 2e6, true, true},
		{"two of ten are lost", 2 * ms, 2 * ms, 2, 4e6, false, true},
		{"three of ten are lost", 2 * ms, 2 * ms, 3, 0, false, false},
		{"held up and released", 2 * ms, ms / 2, 0, 0, false, false},
	} {
		var p prober
		p.clusters[3%probeClusters].probe = Probe{ID: 3, Packets: 10, Bytes: 10_000}
		var got proof
		for i := range 10 {
			p.sent(3)
			if i < 10-c.lost {
				packet := sentPacket{at: time.Duration(i) * c.sending, size: 1000, probe: 3}
				got = p.received(&packet, time.Hour+time.Duration(i)*c.coming)
			}
		}
		// Until the last packet has come nothing of it may be missing in what is proved.
		if (got.rate > 0) != c.proves || c.proves && (math.Abs(got.rate-c.rate) > 1 || got.filled != c.filled) {
			t.Errorf("%s: %+v, want %.0f %v", c.name, got, c.rate, c.filled)
		}
	}
	var p prober
	if got := p.received(&sentPacket{probe: 9}, 0); got.rate != 0 || got.filled {
		t.Errorf("a probe that was never sent: %+v", got)
	}
}

// REMB is an upper bound; where nothing else ever comes it is the estimate.
func TestSetRemote(t *testing.T) {
	e := NewEstimator(Options{Start: 1_000_000, Max: 4_000_000})
	at := trialStart
	if got := e.Target(at); got != 1_000_000 {
		t.Errorf("%d at the start", got)
	}
	for _, c := range []struct{ remote, want int }{{2_000_000, 2_000_000}, {300_000, 300_000}, {1000, 1000}, {1e9, 4_000_000}, {0, 1_000_000}, {-5, 1_000_000}} {
		e.SetRemote(c.remote)
		if got := e.Target(at); got != c.want {
			t.Errorf("REMB %d: %d, want %d", c.remote, got, c.want)
		}
	}
	feed(e, &at, 2*time.Second, 100_000)
	for _, c := range []struct{ remote, least, most int }{{200_000, 200_000, 200_000}, {1e9, 500_000, 4_000_000}} {
		e.SetRemote(c.remote)
		if got := e.Target(at); got < c.least || got > c.most {
			t.Errorf("REMB %d with feedback: %d", c.remote, got)
		}
	}
	e.SetRemote(400_000)
	if p, ok := e.Probe(at, 1e9); ok && p.Bitrate > 400_000 {
		t.Errorf("%+v goes beyond what the receiver allows", p)
	}
}

// feed sends packets of 1,000 bytes over an empty path for a while.
func feed(e *Estimator, at *time.Time, span time.Duration, bitrate int) {
	r := newReceiver()
	gap := time.Duration(8000 * int(time.Second) / bitrate)
	reported := *at
	for end := at.Add(span); at.Before(end); *at = at.Add(gap) {
		r.arrived(e.Sent(*at, 1000, 0), time.Hour+at.Sub(trialStart))
		if at.Sub(reported) >= 100*time.Millisecond {
			reported = *at
			for _, body := range r.take() {
				f, _ := ParseFeedback(body)
				e.Feedback(*at, &f)
			}
		}
	}
}

// A sender that has nothing to send is not in an outage, one without any feedback never was.
func TestSilenceIsNoOutage(t *testing.T) {
	e := NewEstimator(Options{})
	at := trialStart
	for range 1000 {
		at = at.Add(10 * time.Millisecond)
		e.Sent(at, 100, 0)
	}
	if got := e.Target(at); got != 500_000 || e.Stats().Outage {
		t.Errorf("%d without feedback, %+v", got, e.Stats())
	}
	feed(e, &at, 3*time.Second, 300_000)
	before := e.Target(at)
	r := newReceiver()
	r.arrived(e.Sent(at, 100, 0), time.Hour+at.Sub(trialStart))
	for _, body := range r.take() {
		f, _ := ParseFeedback(body)
		e.Feedback(at, &f)
	}
	at = at.Add(10 * time.Second)
	if got := e.Target(at); got != before || e.Stats().Outage {
		t.Errorf("%d after a pause, was %d, %+v", got, before, e.Stats())
	}
	e.Sent(at, 100, 0)
	at = at.Add(time.Second)
	if got := e.Target(at); got >= before || !e.Stats().Outage {
		t.Errorf("%d in an outage, was %d, %+v", got, before, e.Stats())
	}
}

func TestStats(t *testing.T) {
	e := NewEstimator(Options{})
	at := trialStart
	feed(e, &at, 3*time.Second, 200_000)
	s := e.Stats()
	if s.Target < 400_000 || s.Acked < 180_000 || s.Acked > 220_000 || s.Loss != 0 || s.RTT > 50*time.Millisecond || s.Queue != 0 || !s.Limited || s.Outage {
		t.Errorf("%+v", s)
	}
}

// A bench feeds an estimator: each second of time 500 packets, each 100 ms a feedback about 50 of them.
type bench struct {
	est  *Estimator
	at   time.Time
	body []byte
}

func newBench() *bench {
	body := make([]byte, 18, 18+50)
	binary.BigEndian.PutUint16(body[10:], 50)
	binary.BigEndian.PutUint16(body[16:], 1<<13|50)
	for range 50 {
		body = append(body, 8) // 2 ms
	}
	return &bench{NewEstimator(Options{}), trialStart, body}
}

func (b *bench) send() uint16 {
	b.at = b.at.Add(2 * time.Millisecond)
	return b.est.Sent(b.at, 1200, 0)
}

func (b *bench) feedback(first uint16) {
	came := b.at.Sub(trialStart) - 98*time.Millisecond // of the first packet
	reference := came / referenceTick
	b.body[18] = byte(came % referenceTick / deltaTick)
	binary.BigEndian.PutUint16(b.body[8:], first)
	b.body[12], b.body[13], b.body[14] = byte(reference>>16), byte(reference>>8), byte(reference)
	f, err := ParseFeedback(b.body)
	if err != nil {
		panic(err)
	}
	b.est.Feedback(b.at, &f)
	b.est.Target(b.at)
	b.est.Probe(b.at, 1e9)
}

func (b *bench) round() {
	first := b.send()
	for range 49 {
		b.send()
	}
	b.feedback(first)
}

func BenchmarkSent(b *testing.B) {
	bench := newBench()
	b.ReportAllocs()
	for b.Loop() {
		bench.send()
	}
}

// 50 packets and the feedback about them.
func BenchmarkFeedback(b *testing.B) {
	bench := newBench()
	b.ReportAllocs()
	for b.Loop() {
		bench.round()
	}
}

func BenchmarkAllocate(b *testing.B) {
	var a Allocator
	tracks := make([]Track, 50)
	for i := range tracks {
		tracks[i] = camera(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Allocate(trialStart, tracks, 20_000_000)
	}
}

// A second look at the same tracks allocates nothing.
func TestAllocatorAllocations(t *testing.T) {
	var a Allocator
	tracks := []Track{camera(1), camera(2), camera(3)}
	a.Allocate(trialStart, tracks, 2_000_000)
	if got := testing.AllocsPerRun(100, func() { a.Allocate(trialStart, tracks, 2_000_000) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// Nothing is allocated for a packet or for feedback, once the history is as large as it must be.
func TestAllocations(t *testing.T) {
	b := newBench()
	for range 100 {
		b.round()
	}
	if got := testing.AllocsPerRun(100, b.round); got != 0 || b.est.Stats().Acked < 4e6 {
		t.Errorf("%v allocations, %+v", got, b.est.Stats())
	}
}
