package media

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A publisher feeds the layers of a track by hand: 30 pictures a second of one packet each, as simulcastPayload has
// them.
type publisher struct {
	t      testing.TB
	layers []*stream
	n      uint32
}

func newPublisher(t testing.TB, layers int) *publisher {
	first := bareStream(webrtc.MimeTypeVP8)
	p := &publisher{t: t, layers: []*stream{first}}
	for i := 1; i < layers; i++ {
		p.layers = append(p.layers, addBare(first.in, i))
		first.in.rids = []string{"q", "h", "f"}[:layers]
	}
	for i, s := range p.layers { // in step: timestamp 0 of layer i is sent as i << 28
		s.sr = senderReport{ntp: 1 << 40, rtp: uint32(i) << 28, at: time.Now()}
	}
	return p
}

// picture sends the next picture in each layer that is not left out; keys are those in which it is a key frame. Who
// receives them sees all layers of it at once, however its goroutine is scheduled.
func (p *publisher) picture(keys []int, without ...int) {
	p.t.Helper()
	p.send(keys, without)
	p.n++
	time.Sleep(time.Second / 30)
	synctest.Wait()
}

func (p *publisher) send(keys, without []int) {
	p.t.Helper()
	held := map[*egress]bool{}
	for _, s := range p.layers {
		for _, e := range *s.listeners.Load() {
			if !held[e] {
				held[e] = true
				e.mu.Lock()
				defer e.mu.Unlock()
			}
		}
	}
	for i, s := range p.layers {
		if slices.Contains(without, i) {
			continue
		}
		packet := rtp.Packet{
			Header: rtp.Header{
				Version: 2, Marker: true, PayloadType: s.payloadType, SequenceNumber: uint16(60000 + 3000*uint32(i) + p.n),
				Timestamp: uint32(i)<<28 + 3000*p.n,
			},
			Payload: simulcastPayload(i, i, p.n, slices.Contains(keys, i)),
		}
		b, err := packet.Marshal()
		if err != nil {
			p.t.Fatal(err)
		}
		s.receive(b, time.Now())
	}
}

func (p *publisher) pictures(n int) {
	for range n {
		p.picture(nil)
	}
}

// aim has an egress send a layer from now on.
func aim(e *egress, index int) {
	t := targetBest
	t.stream = uint8(index)
	e.target.Store(&t)
	e.notify()
	synctest.Wait()
}

// checkStream says what is wrong with all that was sent on the media stream: as checkSwitches.
func checkStream(t *testing.T, w *sink) []rtp.Packet {
	t.Helper()
	var list []rtp.Packet
	for _, p := range w.sent {
		if p.PayloadType == 120 {
			list = append(list, p)
		}
	}
	if err := checkSwitches(list, false); err != nil {
		t.Error(err)
	}
	return list
}

func switching(t *testing.T, layers int, test func(t *testing.T, p *publisher, e *egress, w *sink)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := newPublisher(t, layers)
		w := &sink{}
		e := subscriber(ctx, t, p.layers[0], w)
		go e.peer.write()
		test(t, p, e, w)
		cancel()
	})
}

// The old layer flows until a key frame of the new one comes, which is asked for; then time, numbers and picture ids go
// on, and a packet of the layer that was left is still sent again from that layer.
func TestSwitchLayer(t *testing.T) {
	switching(t, 3, func(t *testing.T, p *publisher, e *egress, w *sink) {
		aim(e, 0)
		p.picture([]int{0, 1, 2})
		p.pictures(60)
		aim(e, 2)
		if !p.layers[2].keyWanted.Load() || p.layers[1].keyWanted.Load() {
			t.Error("not the key frame of the layer that is wanted is asked for")
		}
		p.pictures(10)
		p.picture([]int{1})
		p.picture([]int{2})
		p.pictures(10)
		list := checkStream(t, w)
		if len(list) < 20 || layerOf(list[len(list)-12]) != 0 || layerOf(list[len(list)-11]) != 2 {
			t.Fatalf("%d packets; does not change over at the key frame", len(list))
		}
		if ticks := list[len(list)-11].Timestamp - list[len(list)-12].Timestamp; ticks != 3000 {
			t.Errorf("%d ticks between the layers; they are in step", ticks)
		}
		if n := len(*p.layers[0].listeners.Load()); n != 0 {
			t.Errorf("%d still listen to the layer that was left", n)
		}
		old, fresh := list[len(list)-13], list[len(list)-5]
		e.mu.Lock()
		e.resend(old.SequenceNumber)
		e.resend(fresh.SequenceNumber)
		e.mu.Unlock()
		again := w.sent[len(w.sent)-2:]
		for i, original := range []rtp.Packet{old, fresh} {
			if p := again[i]; p.PayloadType != 121 || string(p.Payload[2:]) != string(original.Payload) || p.Timestamp != original.Timestamp {
				t.Errorf("layer %d: sent again as %v", layerOf(original), p.Header)
			}
		}
	})
}

// A key frame that has just come is good to go over to: nobody is asked for another one.
func TestSwitchToKeptKeyFrame(t *testing.T) {
	switching(t, 2, func(t *testing.T, p *publisher, e *egress, w *sink) {
		aim(e, 0)
		p.picture([]int{0, 1})
		p.pictures(30)
		p.picture([]int{1})
		p.pictures(10)
		aim(e, 1)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		p.pictures(5)
		if p.layers[1].keyWanted.Load() {
			t.Error("a key frame was asked for")
		}
		list := checkStream(t, w)
		at := 0
		for at < len(list) && layerOf(list[at]) == 0 {
			at++
		}
		if got := len(list) - at; got != 16 {
			t.Fatalf("%d pictures of the other layer", got)
		}
		if behind := list[at+10].Timestamp - list[at-1].Timestamp; behind >= 3000 {
			t.Errorf("what was kept takes %d ticks", behind)
		}
		if ahead := list[len(list)-1].Timestamp - list[at-1].Timestamp; ahead != 5*3000 {
			t.Errorf("5 pictures later it is %d ticks on", ahead)
		}
	})
}

// Wishes that change before they can be met leave the layer that is sent alone.
func TestSwitchAndBack(t *testing.T) {
	switching(t, 3, func(t *testing.T, p *publisher, e *egress, w *sink) {
		aim(e, 1)
		p.picture([]int{0, 1, 2})
		p.pictures(60)
		for range 20 {
			aim(e, 2)
			aim(e, 0)
			p.picture(nil)
			aim(e, 1)
			p.picture(nil)
		}
		list := checkStream(t, w)
		for _, packet := range list {
			if layerOf(packet) != 1 {
				t.Fatalf("layer %d", layerOf(packet))
			}
		}
		if len(list) != 101 {
			t.Errorf("%d pictures of 101", len(list))
		}
		for i, want := range []int{0, 1, 0} {
			if n := len(*p.layers[i].listeners.Load()); n != want {
				t.Errorf("%d listen to layer %d", n, i)
			}
		}
	})
}

// Without sender reports time goes on by the clock on the wall; after a pause too, where the sender's clock goes on.
func TestSwitchWithoutReports(t *testing.T) {
	switching(t, 2, func(t *testing.T, p *publisher, e *egress, w *sink) {
		p.layers[0].sr, p.layers[1].sr = senderReport{}, senderReport{}
		aim(e, 0)
		p.picture([]int{0, 1})
		p.pictures(30)
		aim(e, 1)
		p.picture([]int{1})
		p.pictures(5)
		list := checkStream(t, w)
		if ticks := list[len(list)-6].Timestamp - list[len(list)-7].Timestamp; ticks < 2900 || ticks > 3100 {
			t.Errorf("%d ticks between the layers", ticks)
		}
		paused := target{paused: true}
		e.target.Store(&paused)
		e.notify()
		p.pictures(60)
		aim(e, 1)
		p.picture([]int{1})
		p.pictures(3)
		after := w.sent[len(list):]
		if ticks := after[0].Timestamp - list[len(list)-1].Timestamp; len(after) != 4 || ticks < 60*3000 || ticks > 62*3000 {
			t.Errorf("%d pictures after the pause, the first %d ticks later", len(after), ticks)
		}
	})
}

// A sender report that is a lie moves time by no more than a second.
func TestSwitchWithFalseReports(t *testing.T) {
	for _, lie := range []senderReport{{ntp: 1 << 62, rtp: 9}, {ntp: 0, rtp: 1 << 31}, {ntp: 1<<40 + 30<<32, rtp: 1 << 28}} {
		switching(t, 2, func(t *testing.T, p *publisher, e *egress, w *sink) {
			lie.at = time.Now()
			p.layers[1].sr = lie
			aim(e, 0)
			p.picture([]int{0, 1})
			p.pictures(10)
			aim(e, 1)
			p.picture([]int{1})
			p.pictures(5)
			if list := checkStream(t, w); layerOf(list[len(list)-1]) != 1 {
				t.Error("does not change over")
			}
		})
	}
}

// A layer whose stream is replaced goes on with the new one, from a key frame; what is left of the old one is no matter.
func TestStreamReplaced(t *testing.T) {
	switching(t, 2, func(t *testing.T, p *publisher, e *egress, w *sink) {
		aim(e, 1)
		p.picture([]int{0, 1})
		p.pictures(10)
		old := p.layers[1]
		p.layers[1] = addBare(old.in, 1)
		old.wake()
		synctest.Wait()
		p.pictures(5)
		if !p.layers[1].keyWanted.Load() {
			t.Error("no key frame was asked for")
		}
		p.picture([]int{1})
		p.pictures(5)
		if empty := old.in.remove(old); empty || old.in.streams[1].Load() != p.layers[1] {
			t.Error("the end of the old stream takes the new one away")
		}
		list := checkStream(t, w)
		if got := len(list); got != 17 || len(*old.listeners.Load()) != 0 || len(*p.layers[1].listeners.Load()) != 1 {
			t.Errorf("%d pictures, %d listen to what has ended", got, len(*old.listeners.Load()))
		}
	})
}

// The marker moves to the last packet that is sent of a picture; a smaller layer of the same stream leaves no hole.
func TestSpatialLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bareStream(webrtc.MimeTypeVP8)
		s.in.kind = codecVP9
		w := &sink{}
		e := subscriber(t.Context(), t, s, w)
		e.target.Store(&target{layer: layer{spatial: 0, temporal: maxTemporal - 1}})
		seq := uint16(65530)
		n := uint32(0)
		pictures := func(count int, key bool) {
			t.Helper()
			for i := range count {
				flags := byte(vp9P)
				if key && i == 0 {
					flags = 0
				}
				for spatial := range byte(2) {
					for _, part := range []byte{vp9B, vp9E} {
						packet := rtp.Packet{
							Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: seq, Timestamp: 3000 * n, Marker: spatial == 1 && part == vp9E},
							Payload: vp9Packet(flags|part, vp9Layers(0, spatial)),
						}
						b, err := packet.Marshal()
						if err != nil {
							t.Fatal(err)
						}
						seq++
						s.receive(b, time.Now())
						e.pump(nil, time.Now())
					}
				}
				n++
			}
		}
		pictures(20, true)
		if len(w.sent) != 40 {
			t.Fatalf("%d packets", len(w.sent))
		}
		for i, p := range w.sent {
			if d, _ := parseVP9(p.Payload); d.spatial != 0 || p.Marker != d.end || p.SequenceNumber != w.sent[0].SequenceNumber+uint16(i) {
				t.Errorf("packet %d: %v, %+v", i, p.Header, d)
			}
		}
		e.mu.Lock()
		e.resend(w.sent[39].SequenceNumber)
		e.mu.Unlock()
		if again := w.sent[len(w.sent)-1]; len(w.sent) != 41 || !again.Marker {
			t.Errorf("sent again: %v", again.Header)
		}
		if s.keyWanted.Load() {
			t.Error("a key frame was asked for, and nothing needs one")
		}
		e.target.Store(&target{layer: layer{spatial: 1, temporal: maxTemporal - 1}})
		e.notify()
		if pictures(2, false); len(w.sent) != 45 || !s.keyWanted.Load() {
			t.Errorf("%d packets; the layer above needs a key picture, which was asked for: %v", len(w.sent), s.keyWanted.Load())
		}
		if pictures(2, true); len(w.sent) != 53 || s.keyWanted.Load() || !w.sent[52].Marker || w.sent[50].Marker {
			t.Errorf("%d packets after the key picture", len(w.sent))
		}
	})
}

// A track in which a client sends what it has not described, and more streams than it may: the rest is not disturbed.
func TestStrayStreams(t *testing.T) {
	s := newTestServer(t, Limits{Streams: 8})
	ann := join(t, s, "room", "ann", allGrants())
	mic := ann.publish(wire.Microphone, webrtc.MimeTypeOpus)
	raw := &rawTrack{bound: make(chan webrtc.TrackLocalContext, 1)}
	if _, err := ann.pc.AddTransceiverFromTrack(raw, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	ann.do(func() { ann.offer(nil) })
	ben, _, _ := start(t, s, "ben")
	more(t, ben, "ann", wire.Microphone, 10)
	ctx := <-raw.bound
	mid, rid := extensionID(ctx.HeaderExtensions(), uriMid), extensionID(ctx.HeaderExtensions(), uriRid)
	for i := range uint32(200) {
		p := rtp.Header{Version: 2, PayloadType: 96, SSRC: 1000 + i, SequenceNumber: uint16(i)}
		_ = p.SetExtension(mid, []byte("1"))
		_ = p.SetExtension(rid, []byte("lie"))
		for range 20 {
			if _, err := ctx.WriteStream().WriteRTP(&p, testPayload(true, true, i)); err != nil {
				t.Fatal(err)
			}
			p.SequenceNumber++
		}
	}
	more(t, ben, "ann", wire.Microphone, 20)
	ann.peer.taps.mu.Lock()
	defer ann.peer.taps.mu.Unlock()
	if n := len(ann.peer.taps.open); n > 8 {
		t.Errorf("%d streams are open", n)
	}
	if mic.sent.Load() == 0 || len(ben.got("ann", wire.Camera)) > 0 {
		t.Error("what was not described was forwarded")
	}
}

// One whose media pion moves, which knows no bound, is sent away when it brings streams without end. The plane takes no
// more of one client than it can keep (see TestStreamsAreBounded there).
func TestStreamsWithoutEnd(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, ben := joinWithout(t, s, "ann"), join(t, s, "room", "ben", allGrants())
	raw := &rawTrack{bound: make(chan webrtc.TrackLocalContext, 1)}
	if _, err := ann.pc.AddTransceiverFromTrack(raw, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	ann.do(func() { ann.offer(nil) })
	ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
	ben.do(func() { ben.offer(nil) })
	more(t, ann, "ben", wire.Microphone, 10)
	ctx := <-raw.bound
	ssrc := uint32(1000)
	eventually(t, "ann is sent away", func() bool {
		for range 20 {
			ssrc++
			p := rtp.Header{Version: 2, PayloadType: 96, SSRC: ssrc}
			_, _ = ctx.WriteStream().WriteRTP(&p, testPayload(true, true, ssrc)) // at last there is no connection
		}
		return ann.peer.Err() != nil
	})
	if sent := ssrc - 1000; !errors.Is(ann.peer.Err(), ErrStreams) || sent < maxStray {
		t.Errorf("%v after %d streams", ann.peer.Err(), sent)
	}
	if ben.peer.Err() != nil {
		t.Errorf("ben: %v", ben.peer.Err())
	}
}

// A rawTrack hands out what it is bound to, and sends nothing itself.
type rawTrack struct{ bound chan webrtc.TrackLocalContext }

func (r *rawTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	r.bound <- ctx
	return ctx.CodecParameters()[0], nil
}
func (r *rawTrack) Unbind(webrtc.TrackLocalContext) error { return nil }
func (r *rawTrack) ID() string                            { return string(wire.Camera) }
func (r *rawTrack) RID() string                           { return "" }
func (r *rawTrack) StreamID() string                      { return "raw" }
func (r *rawTrack) Kind() webrtc.RTPCodecType             { return webrtc.RTPCodecTypeVideo }

// Whatever is lost, late, repeated, left out, paused and switched: no number is used twice on the media stream (each is
// a nonce), numbers have no holes but those of the layers, pictures keep their order in time, and what is sent again is
// what was sent.
func TestNumbersNeverRepeat(t *testing.T) {
	for seed := range uint64(6) {
		switching(t, 3, func(t *testing.T, p *publisher, e *egress, w *sink) {
			random := rand.New(rand.NewPCG(seed, 1))
			var late []func()
			keys := []int{0, 1, 2}
			for range 3000 {
				switch random.IntN(40) {
				case 0, 1:
					aim(e, random.IntN(3))
				case 2:
					want := target{stream: uint8(random.IntN(3)), layer: layer{temporal: uint8(random.IntN(2))}}
					e.target.Store(&want)
					e.notify()
				case 3:
					e.target.Store(&target{paused: true})
					e.notify()
				case 4:
					keys = append(keys, random.IntN(3))
				}
				p.disturbed(random, keys, &late)
				keys = keys[:0]
				e.mu.Lock()
				if again := w.numbers(120); len(again) > 0 && random.IntN(4) == 0 {
					e.resend(again[max(0, len(again)-1-random.IntN(200))])
				}
				e.mu.Unlock()
			}
			checkNumbers(t, w)
		})
	}
}

// disturbed sends the next picture in all layers, of which some are lost, and some of these come later or twice.
func (p *publisher) disturbed(random *rand.Rand, keys []int, late *[]func()) {
	p.t.Helper()
	for i, s := range p.layers {
		packet := rtp.Packet{
			Header: rtp.Header{
				Version: 2, Marker: true, PayloadType: s.payloadType, SequenceNumber: uint16(60000 + 3000*uint32(i) + p.n),
				Timestamp: uint32(i)<<28 + 3000*p.n,
			},
			Payload: simulcastPayload(i, i, p.n, slices.Contains(keys, i)),
		}
		b, err := packet.Marshal()
		if err != nil {
			p.t.Fatal(err)
		}
		send := func() { s.receive(b, time.Now()) }
		switch random.IntN(20) {
		case 0: // lost
		case 1, 2:
			*late = append(*late, send)
		case 3:
			*late = append(*late, send)
			send()
		default:
			send()
		}
	}
	for len(*late) > 0 && random.IntN(3) == 0 {
		at := random.IntN(len(*late))
		(*late)[at]()
		*late = slices.Delete(*late, at, at+1)
	}
	p.n++
	time.Sleep(time.Second / 30)
	synctest.Wait()
}

// checkNumbers checks what was sent under its numbers.
func checkNumbers(t *testing.T, w *sink) {
	t.Helper()
	if len(w.sent) == 0 {
		t.Fatal("nothing was sent")
	}
	byNumber := map[int64]rtp.Packet{}
	newest := int64(w.sent[0].SequenceNumber)
	resends, repairs := map[uint16]bool{}, 0
	for i, p := range w.sent {
		if p.PayloadType == 121 {
			if resends[p.SequenceNumber] {
				t.Fatalf("packet %d: number %d is used again for a resend", i, p.SequenceNumber)
			}
			resends[p.SequenceNumber] = true
			ext := newest + int64(int16(binary.BigEndian.Uint16(p.Payload)-uint16(newest)))
			original, ok := byNumber[ext]
			if !ok || len(original.Payload) > 0 && !bytes.Equal(original.Payload, p.Payload[2:]) || original.Timestamp != p.Timestamp {
				t.Fatalf("packet %d: %d is sent again as something else", i, ext)
			}
			repairs++
			continue
		}
		ext := newest + int64(int16(p.SequenceNumber-uint16(newest)))
		if _, used := byNumber[ext]; used {
			t.Fatalf("packet %d: number %d is used again", i, ext)
		}
		byNumber[ext] = p
		newest = max(newest, ext)
	}
	var before rtp.Packet
	var pid uint16
	for ext := int64(w.sent[0].SequenceNumber); ext <= newest; ext++ {
		p, ok := byNumber[ext]
		if !ok {
			continue
		}
		if before.Version != 0 && int32(p.Timestamp-before.Timestamp) <= 0 {
			t.Fatalf("number %d: timestamp %d after %d", ext, p.Timestamp, before.Timestamp)
		}
		if len(p.Payload) == 0 {
			continue
		}
		v, _ := parseVP8(p.Payload)
		if up := (v.pid - pid) & 0x7fff; before.Version != 0 && (up == 0 || up >= 0x4000) {
			t.Fatalf("number %d: picture %d after %d", ext, v.pid, pid)
		}
		before, pid = p, v.pid
	}
	if holes := int(newest) - int(w.sent[0].SequenceNumber) + 1 - len(byNumber); holes > len(byNumber)/8 {
		t.Errorf("%d holes among %d packets", holes, len(byNumber))
	}
	if len(byNumber) < 500 || repairs == 0 {
		t.Errorf("%d packets and %d resends prove little", len(byNumber), repairs)
	}
}
