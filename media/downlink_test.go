package media

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
)

// limitTo has a client say by REMB how much it can take.
func limitTo(c *client, bitrate int) {
	b, err := (&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(bitrate), SSRCs: []uint32{1}}).Marshal()
	if err != nil {
		c.t.Fatal(err)
	}
	if c.peer.downlink.reported(b, time.Now()) {
		poke(c.peer.due)
	}
}

func TestREMB(t *testing.T) {
	for _, want := range []int{0, 1, 1000, 262_143, 300_000, 2_500_000, 1_000_000_000} {
		b, err := (&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(want), SSRCs: []uint32{7}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := readREMB(b[4:]); !ok || got > want || got < want-want/1000 {
			t.Errorf("%d %v, want %d", got, ok, want)
		}
	}
	body := make([]byte, 16)
	copy(body[8:], "REMB\x01\xff\xff\xff")
	if got, ok := readREMB(body); !ok || got <= 0 {
		t.Errorf("the largest exponent: %d %v", got, ok)
	}
	copy(body[8:], "AFB?")
	if _, ok := readREMB(body); ok {
		t.Error("other application layer feedback is read")
	}
	if _, ok := readREMB(body[:15]); ok {
		t.Error("what is cut short is read")
	}
}

// joinBehind makes a client whose packets come through a queue.
func (l *lab) joinBehind(id wire.ParticipantID, address string, discipline vnet.Discipline) (c *client, end func()) {
	network, err := vnet.NewNet(&vnet.NetConfig{StaticIPs: []string{address}})
	if err != nil {
		l.t.Fatal(err)
	}
	queue, err := vnet.NewQueue(network, discipline)
	if err == nil {
		err = l.router.AddNet(queue)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	c = l.joinOver(id, network)
	return c, func() {
		c.close()
		if err := queue.Close(); err != nil {
			l.t.Error(err)
		}
	}
}

// longestGap is the longest time between two pictures, in ticks, in whatever order they came.
func longestGap(list []rtp.Packet) (ticks int32) {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b rtp.Packet) int { return int(int32(a.Timestamp - b.Timestamp)) })
	for i := 1; i < len(sorted); i++ {
		ticks = max(ticks, int32(sorted[i].Timestamp-sorted[i-1].Timestamp))
	}
	return ticks
}

// One receiver's path becomes narrow, and wide again, and loses packets: it goes down and up again. Another's picture
// is the same all the time.
func TestNarrowReceiver(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		const wide, narrow = 20_000_000, 250_000
		queue := vnet.NewTBFQueue(wide, 3000, 20_000)
		random := rand.New(rand.NewPCG(1, 1))
		var lossy atomic.Bool
		l.router.AddChunkFilter(func(c vnet.Chunk) bool {
			return !lossy.Load() || c.DestinationAddr().(*net.UDPAddr).IP.String() != "10.0.0.3" || random.IntN(20) > 0
		})
		ann, cem := l.join("ann", "10.0.0.2"), l.join("cem", "10.0.0.4")
		ben, end := l.joinBehind("ben", "10.0.0.3", queue)
		defer ann.close()
		defer cem.close()
		defer end()
		layers := ann.publishSimulcast("q", "h", "f") // 72, 144 and 288 kb/s
		for _, layer := range layers {
			layer.weight.Store(3)
		}
		ann.do(func() { ann.offer(nil) })
		for _, c := range []*client{ben, cem} {
			c.publish(wire.Microphone, webrtc.MimeTypeOpus)
			c.do(func() { c.offer(nil) })
		}
		time.Sleep(5 * time.Second)
		settled := len(cem.got("ann", wire.Camera))
		for _, c := range []struct {
			name   string
			change func()
			after  time.Duration // when layers are looked at, for 5 s
			most   int           // the largest layer
			least  int           // the smallest layer
		}{
			{"wide", func() {}, 0, 2, 2},
			{"narrow", func() { queue.SetRate(narrow) }, 4 * time.Second, 1, 0},
			{"wide again", func() { queue.SetRate(wide) }, 10 * time.Second, 2, 2},
			{"5 % lost", func() { lossy.Store(true) }, time.Second, 2, 2},
		} {
			c.change()
			time.Sleep(c.after)
			before := len(ben.got("ann", wire.Camera))
			time.Sleep(5 * time.Second)
			came := ben.got("ann", wire.Camera)[before:]
			got := seen(ben, before)
			if len(got) == 0 || slices.Max(got) > c.most || slices.Min(got) < c.least {
				t.Errorf("%s: layers %v, want %d to %d", c.name, got, c.least, c.most)
			}
			gap := longestGap(ben.got("ann", wire.Camera)[max(0, before-100):]) // repairs of what came before are among came
			if len(came) < 120 || gap > videoClock/2 {
				t.Errorf("%s: %d packets in 5 s, a gap of %d ticks", c.name, len(came), gap)
			}
			t.Logf("%s: layers %v, %d packets, %+v", c.name, got, len(came), ben.peer.downlink.stats())
		}
		if got := seen(cem, settled); !slices.Equal(got, []int{2}) {
			t.Errorf("the other one has layers %v", got)
		}
		if err := checkSwitches(cem.got("ann", wire.Camera), false); err != nil {
			t.Errorf("the other one: %v", err)
		}
		reasons := map[wire.QualityReason]bool{}
		for _, q := range told[wire.MediaQuality](ben) {
			reasons[q.Reason] = true
		}
		if !reasons[wire.QualityBandwidth] || !reasons[wire.QualityFull] {
			t.Errorf("it was told %v", reasons)
		}
	})
}

// A path of 4 Mb/s shows little at first, such as while a page loads over it: its receiver gets the largest layer soon after.
func TestLargeLayerSoon(t *testing.T) {
	for _, little := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		inLab(t, func(t *testing.T, l *lab) {
			queue := vnet.NewTBFQueue(20_000_000, 3000, 20_000)
			ann := l.join("ann", "10.0.0.2")
			ben, end := l.joinBehind("ben", "10.0.0.3", queue)
			defer ann.close()
			defer end()
			for _, layer := range ann.publishSimulcast("q", "h", "f") { // 72, 144 and 288 kb/s
				layer.weight.Store(3)
			}
			ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
			ben.do(func() { ben.offer(nil) })
			time.Sleep(time.Second)
			ann.do(func() { ann.offer(nil) })
			for ; len(ben.got("ann", wire.Camera)) == 0; time.Sleep(10 * time.Millisecond) {
				synctest.Wait()
			}
			queue.SetRate(100_000)
			time.Sleep(little)
			queue.SetRate(4_000_000)
			before, good := len(ben.got("ann", wire.Camera)), time.Now()
			for {
				if list := seen(ben, before); len(list) > 0 && list[len(list)-1] == 2 && ben.peer.downlink.stats().Queue < 50*time.Millisecond {
					break
				}
				if time.Since(good) > 3500*time.Millisecond {
					t.Errorf("%v of 100 kb/s: 3.5 s later it has layers %v, %+v", little, seen(ben, before), ben.peer.downlink.stats())
					break
				}
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
			}
			t.Logf("%v of 100 kb/s: the largest layer %v later", little, time.Since(good))
		})
	}
}

// The way to a receiver becomes longer at once, with jitter: its picture goes on, and another's is the same all the time.
func TestLongerWay(t *testing.T) {
	for _, overtaking := range []bool{false, true} {
		inLab(t, func(t *testing.T, l *lab) {
			var far atomic.Bool
			var mu sync.Mutex
			random, last := rand.New(rand.NewPCG(1, 1)), time.Now()
			longer := func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				if !far.Load() {
					return 0
				}
				at := time.Now().Add(100*time.Millisecond + time.Duration(random.Int64N(int64(50*time.Millisecond))))
				if !overtaking && at.Before(last) {
					at = last
				}
				last = at
				return time.Until(at)
			}
			ann, cem := l.join("ann", "10.0.0.2"), l.join("cem", "10.0.0.4")
			ben := l.joinOver("ben", &farNet{l.network("10.0.0.3"), longer})
			defer ann.close()
			defer cem.close()
			defer ben.close()
			for _, layer := range ann.publishSimulcast("q", "h") {
				layer.weight.Store(3)
			}
			ann.publish(wire.Microphone, webrtc.MimeTypeOpus)
			ann.do(func() { ann.offer(nil) })
			for _, c := range []*client{ben, cem} {
				c.publish(wire.Microphone, webrtc.MimeTypeOpus)
				c.do(func() { c.offer(nil) })
			}
			time.Sleep(8 * time.Second)
			before, other := len(ben.got("ann", wire.Camera)), len(cem.got("ann", wire.Camera))
			far.Store(true)
			time.Sleep(12 * time.Second)
			came := ben.got("ann", wire.Camera)[before-10:]
			if gap := longestGap(came); len(came) < 300 || gap > videoClock/2 {
				t.Errorf("overtaking %v: %d pictures, a gap of %d ticks", overtaking, len(came), gap)
			}
			t.Logf("layers %v, %+v", seen(ben, before), ben.peer.downlink.stats())
			if got := seen(cem, other); !slices.Equal(got, []int{1}) {
				t.Errorf("the other one has layers %v", got)
			}
			if s := ben.peer.downlink.stats(); s.Loss > 0.02 || s.RTT < 200*time.Millisecond {
				t.Errorf("overtaking %v: %+v", overtaking, s)
			}
		})
	}
}

// All streams to one client share one count of transport-wide numbers, and no number is used twice.
func TestTransportWideNumbers(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, _, _ := l.start("ann", "10.0.0.2")
		ben, _, _ := l.start("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		more(t, ben, "ann", wire.Camera, 500)
		numbers := map[uint16]bool{}
		first, last := uint16(0), uint16(0)
		for _, source := range []wire.Source{wire.Microphone, wire.Camera} {
			id := transportID(ben, source)
			for _, p := range ben.got("ann", source) {
				var number rtp.TransportCCExtension
				if err := number.Unmarshal(p.GetExtension(id)); err != nil {
					t.Fatalf("%s: packet %d bears no number: %v", source, p.SequenceNumber, err)
				}
				n := number.TransportSequence
				if numbers[n] {
					t.Errorf("number %d twice", n)
				}
				if len(numbers) == 0 {
					first, last = n, n
				}
				numbers[n] = true
				if int16(n-last) > 0 {
					last = n
				}
				if int16(n-first) < 0 {
					first = n
				}
			}
		}
		if span := int(last-first) + 1; span < len(numbers) || span > len(numbers)+200 {
			t.Errorf("%d packets have numbers from %d to %d", len(numbers), first, last)
		}
		if s := ben.peer.downlink.stats(); s.Acked < 500_000 || s.RTT < 40*time.Millisecond || s.RTT > 200*time.Millisecond || s.Loss > 0 {
			t.Errorf("%+v", s)
		}
		room := ben.peer.room.id
		if s, known := ben.peer.server.Downlink(room, ben.peer.id); !known || s.RTT < 40*time.Millisecond {
			t.Errorf("the way to a participant: %+v, %v", s, known)
		}
		for _, nobody := range []struct {
			room wire.RoomID
			who  wire.ParticipantID
		}{{room, "nobody"}, {"nowhere", ben.peer.id}} {
			if s, known := ben.peer.server.Downlink(nobody.room, nobody.who); known {
				t.Errorf("the way to %s in %s: %+v", nobody.who, nobody.room, s)
			}
		}
	})
}

// transportID is the id of the numbers' header extension where c receives a source.
func transportID(c *client, source wire.Source) uint8 {
	for _, tr := range c.pc.GetTransceivers() {
		if c.labelOf(tr.Mid()).Source == source && tr.Receiver() != nil {
			return extensionID(tr.Receiver().GetParameters().HeaderExtensions, uriTransportCC)
		}
	}
	return 0
}

func (c *client) labelOf(mid string) wire.TrackLabel {
	return c.Theirs()[mid]
}

// What is kept for who comes late, half a megabyte here, is let out in step with what its path may carry, and yet soon;
// two videos take turns, and sound does not wait behind them.
func TestPace(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, _, cam := l.start("ann", "10.0.0.2")
		cem, _, _ := l.start("cem", "10.0.0.4")
		defer ann.close()
		defer cem.close()
		time.Sleep(1800 * time.Millisecond)
		ben := l.join("ben", "10.0.0.3")
		defer ben.close()
		const tick = 5 * time.Millisecond
		var counts, others []int
		silent, longest, sounds := time.Duration(0), time.Duration(0), 0
		for range 200 {
			time.Sleep(tick)
			synctest.Wait()
			if list := ben.got("ann", wire.Camera); len(list) > 0 {
				counts = append(counts, len(list))
				others = append(others, len(ben.got("cem", wire.Camera)))
				if late := cam.sent.Load() - counter(list[len(list)-1]); len(counts) == 120 && late > 20 {
					t.Errorf("after 600 ms it is still %d packets behind", late)
				}
			}
			silent += tick
			if n := len(ben.got("ann", wire.Microphone)); n > sounds {
				silent, sounds = 0, n
			}
			if sounds > 0 {
				longest = max(longest, silent)
			}
		}
		for i := 1; i < len(counts); i++ {
			if n := counts[i] + others[i] - counts[i-1] - others[i-1]; n > 110 {
				t.Errorf("%d packets at once after %v", n, time.Duration(i)*tick)
			}
		}
		if a, b := counts[20], others[20]; a < 100 || b < 100 || a+b > 800 {
			t.Errorf("%d and %d packets after 100 ms", a, b)
		}
		if longest > 20*time.Millisecond {
			t.Errorf("no sound for %v", longest)
		}
	})
}
