package media

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/transport/v4/vnet"
	"github.com/pion/webrtc/v4"
)

// testSizes are those of the layers that a camera publishes in these tests.
var testSizes = []size{{320, 180}, {640, 360}, {1280, 720}}

// A simulcastLayer is a source of one layer: VP8 pictures of one packet, 30 a second in two temporal layers.
type simulcastLayer struct {
	index  int
	track  *webrtc.TrackLocalStaticRTP
	sender *webrtc.RTPSender
	paused atomic.Bool
	needed atomic.Bool
	keys   atomic.Int32 // key frames asked for
	sent   atomic.Uint32
	weight atomic.Int32 // times the usual size of its pictures, 0 = 1
	shape  atomic.Int32 // the layer whose pictures it sends: its own, unless the publisher lies
}

// publishSimulcast publishes a camera in so many layers, each with numbers, timestamps and picture ids of its own.
func (c *client) publishSimulcast(rids ...string) []*simulcastLayer {
	c.t.Helper()
	var layers []*simulcastLayer
	var sender *webrtc.RTPSender
	for i, rid := range rids {
		track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, string(wire.Camera), string(c.id), webrtc.WithRTPStreamID(rid))
		if err != nil {
			c.t.Fatal(err)
		}
		if sender == nil {
			tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
			if err != nil {
				c.t.Fatal(err)
			}
			sender = tr.Sender()
		} else if err := sender.AddEncoding(track); err != nil {
			c.t.Fatal(err)
		}
		layers = append(layers, &simulcastLayer{index: i, track: track, sender: sender})
	}
	for _, l := range layers {
		l.shape.Store(int32(l.index))
		l.needed.Store(true)
		c.sendWG.Go(func() { l.run(c.stop) })
		c.reads.Go(l.watch)
	}
	return layers
}

// watch counts key frame requests for the layer.
func (l *simulcastLayer) watch() {
	for {
		packets, _, err := l.sender.ReadSimulcastRTCP(l.track.RID())
		if err != nil {
			return
		}
		for _, p := range packets {
			if _, ok := p.(*rtcp.PictureLossIndication); ok {
				l.keys.Add(1)
				l.needed.Store(true)
			}
		}
	}
}

func (l *simulcastLayer) run(stop chan struct{}) {
	tick := time.NewTicker(time.Second / 30)
	defer tick.Stop()
	p := rtp.Packet{Header: rtp.Header{Version: 2, Marker: true, SequenceNumber: uint16(60000 + 2000*l.index), Timestamp: uint32(l.index) << 30}}
	sent := l.index
	for n := uint32(0); ; {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		p.Timestamp += 3000
		mid, rid := l.extensions()
		if l.paused.Load() || mid == 0 {
			continue
		}
		p.Extensions, p.Extension = nil, false
		_ = p.SetExtension(mid, []byte(l.mid()))
		_ = p.SetExtension(rid, []byte(l.track.RID()))
		shape := int(l.shape.Load())
		key := l.needed.Swap(false) || shape != sent // another size needs one
		sent = shape
		p.Payload = heavier(simulcastPayload(l.index, shape, n, key), int(l.weight.Load()))
		_ = l.track.WriteRTP(&p)
		n++
		l.sent.Store(n)
		p.SequenceNumber++
	}
}

// extensions returns the ids that were negotiated, 0 = not yet.
func (l *simulcastLayer) extensions() (mid, rid uint8) {
	list := l.sender.GetParameters().HeaderExtensions
	if l.sender.Transport().State() != webrtc.DTLSTransportStateConnected {
		return 0, 0
	}
	return extensionID(list, uriMid), extensionID(list, uriRid)
}

func (l *simulcastLayer) mid() string { return "0" }

// simulcastPayload is picture n of a layer, in the shape of that or of another one. Every second one is of temporal layer
// 1, and depends on layer 0 only. It ends with the shape and the number.
func simulcastPayload(index, shape int, n uint32, key bool) []byte {
	pid := uint16(n + 1000*uint32(index))
	b := []byte{0x90, 0xe0, 0x80 | byte(pid>>8)&0x7f, byte(pid), byte(n / 2), 0x00, 0x01, 0, 0}
	if n%2 == 1 && !key {
		b[5] = 0x60 // TID 1, Y
	}
	if key {
		s := testSizes[shape]
		b[6] = 0x00
		b = append(b, 0x9d, 0x01, 0x2a, byte(s.width), byte(s.width>>8), byte(s.height), byte(s.height>>8))
	}
	b = append(b, make([]byte, 100<<shape)...)
	b = append(b, byte(shape))
	return binary.BigEndian.AppendUint32(b, n)
}

// heavier makes a picture weight times as large.
func heavier(payload []byte, weight int) []byte {
	end := len(payload) - 5
	return slices.Insert(payload, end, make([]byte, max(weight-1, 0)*end)...)
}

// layerOf is the layer that a picture is of.
func layerOf(p rtp.Packet) int { return int(p.Payload[len(p.Payload)-5]) }

// checkSwitches says what is wrong with packets of several layers that should be one stream: every change of layer at a
// key frame, within a layer nothing left out, numbers and picture ids without holes, timestamps that grow with time, at most half a second at once.
func checkSwitches(list []rtp.Packet, temporal bool) error {
	for i := 1; i < len(list); i++ {
		p, before := list[i], list[i-1]
		v, _ := parseVP8(p.Payload)
		w, _ := parseVP8(before.Payload)
		at := fmt.Sprintf("packet %d of %d, layer %d after %d, picture %d after %d", i, len(list), layerOf(p), layerOf(before), counter(p), counter(before))
		ticks := int32(p.Timestamp - before.Timestamp)
		switch {
		case layerOf(p) != layerOf(before) && !v.key:
			return fmt.Errorf("%s: no key frame", at)
		case layerOf(p) == layerOf(before) && !v.key && counter(p) != counter(before)+1 && !temporal:
			return fmt.Errorf("%s: left out", at)
		case p.SequenceNumber != before.SequenceNumber+1:
			return fmt.Errorf("%s: number %d after %d", at, p.SequenceNumber, before.SequenceNumber)
		case v.pid != (w.pid+1)&0x7fff:
			return fmt.Errorf("%s: picture id %d after %d", at, v.pid, w.pid)
		case v.temporal == 0 && v.tl0 != w.tl0+1 && w.temporal == 0 && !temporal && !v.key:
			return fmt.Errorf("%s: TL0PICIDX %d after %d", at, v.tl0, w.tl0)
		case ticks <= 0 || ticks > 15*3000:
			return fmt.Errorf("%s: timestamp %d after %d", at, p.Timestamp, before.Timestamp)
		}
	}
	return nil
}

// show has a client show ann's camera in a size.
func show(t testing.TB, c *client, s size, fps int) {
	t.Helper()
	msg := wire.SubscribeMedia{Participant: "ann", Source: wire.Camera, Enabled: true, Width: s.width, Height: s.height, FPS: fps}
	if err := c.peer.Subscribe(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
}

// seen returns the layers that c got of ann's camera since a number of packets.
func seen(c *client, since int) []int {
	var list []int
	for _, p := range c.got("ann", wire.Camera)[since:] {
		if l := layerOf(p); len(list) == 0 || list[len(list)-1] != l {
			list = append(list, l)
		}
	}
	return list
}

// Each receiver gets the layer that fits what it shows; when it changes, the other one does not notice, and its own
// stream goes on without a hole, from a key frame.
func TestSimulcast(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, ben, cem := l.join("ann", "10.0.0.2"), l.join("ben", "10.0.0.3"), l.join("cem", "10.0.0.4")
		defer ann.close()
		defer ben.close()
		defer cem.close()
		layers := ann.publishSimulcast("q", "h", "f")
		ann.do(func() { ann.offer(nil) })
		for _, c := range []*client{ben, cem} {
			c.publish(wire.Microphone, webrtc.MimeTypeOpus)
			c.do(func() { c.offer(nil) })
		}
		show(t, cem, size{640, 360}, 0)
		time.Sleep(3 * time.Second)
		if got := seen(ben, 0); len(got) == 0 || got[len(got)-1] != 2 {
			t.Errorf("ben, who has not said how large, has layers %v", got)
		}
		settled := len(cem.got("ann", wire.Camera))
		for _, c := range []struct {
			shown size
			want  int
		}{{size{300, 150}, 0}, {size{1280, 720}, 2}, {size{640, 360}, 1}, {size{1920, 1080}, 2}, {size{320, 180}, 0}} {
			before := len(ben.got("ann", wire.Camera))
			show(t, ben, c.shown, 0)
			time.Sleep(time.Second)
			if got := seen(ben, before); len(got) > 2 || got[len(got)-1] != c.want {
				t.Errorf("shown as %v: layers %v, want %d", c.shown, got, c.want)
			}
		}
		if err := checkSwitches(ben.got("ann", wire.Camera), false); err != nil {
			t.Errorf("ben: %v", err)
		}
		if got := seen(cem, settled); !slices.Equal(got, []int{1}) {
			t.Errorf("cem has layers %v", got)
		}
		if err := checkSwitches(cem.got("ann", wire.Camera), false); err != nil {
			t.Errorf("cem: %v", err)
		}
		for _, l := range layers {
			if n := l.keys.Load(); n > 6 {
				t.Errorf("layer %d was asked for %d key frames", l.index, n)
			}
		}
	})
}

// Half the pictures for who asks for half of them, without holes.
func TestTemporalLayers(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, ben := l.join("ann", "10.0.0.2"), l.join("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		ann.publishSimulcast("q", "h", "f")
		ann.do(func() { ann.offer(nil) })
		ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ben.do(func() { ben.offer(nil) })
		time.Sleep(3 * time.Second)
		for _, c := range []struct{ fps, least, most int }{{15, 14, 17}, {30, 28, 31}, {10, 14, 17}} {
			show(t, ben, size{640, 360}, c.fps)
			time.Sleep(2 * time.Second)
			before := len(ben.got("ann", wire.Camera))
			time.Sleep(time.Second)
			if got := len(ben.got("ann", wire.Camera)) - before; got < c.least || got > c.most {
				t.Errorf("%d pictures in a second, where %d were asked for", got, c.fps)
			}
		}
		if err := checkSwitches(ben.got("ann", wire.Camera), true); err != nil {
			t.Error(err)
		}
	})
}

// What nobody uses the publisher is told not to send, after a while, and to send again at once; a layer that it takes
// back itself is replaced by the next lower one.
func TestDynacast(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, ben := l.join("ann", "10.0.0.2"), l.join("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		layers := ann.publishSimulcast("q", "h", "f")
		ann.do(func() { ann.offer(nil) })
		ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ben.do(func() { ben.offer(nil) })
		time.Sleep(5 * time.Second)
		var want []wire.PublishMedia
		check := func(when string, layers ...int) {
			t.Helper()
			for _, n := range layers {
				want = append(want, wire.PublishMedia{Source: wire.Camera, Layers: n})
			}
			if got := told[wire.PublishMedia](ann); !slices.Equal(got, want) {
				t.Fatalf("%s: %+v, want %+v", when, got, want)
			}
		}
		check("as large as there is")
		show(t, ben, size{320, 180}, 0)
		time.Sleep(demandFalls - 2*controlTick)
		check("just made small")
		time.Sleep(time.Second)
		check("small", 1)
		layers[1].paused.Store(true)
		layers[2].paused.Store(true)
		time.Sleep(2 * time.Second)
		show(t, ben, size{1280, 720}, 0)
		time.Sleep(2 * controlTick)
		check("large", 3)
		layers[1].paused.Store(false)
		layers[2].paused.Store(false)
		time.Sleep(2 * time.Second)
		if got := seen(ben, len(ben.got("ann", wire.Camera))-10); !slices.Equal(got, []int{2}) {
			t.Errorf("large, and sent again: layers %v", got)
		}
		layers[2].paused.Store(true)
		time.Sleep(time.Second)
		before := len(ben.got("ann", wire.Camera))
		time.Sleep(time.Second)
		if got := seen(ben, before); !slices.Equal(got, []int{1}) {
			t.Errorf("the publisher sends no more than two: layers %v", got)
		}
		check("taken back by the publisher")
		if err := ben.peer.Subscribe(t.Context(), wire.SubscribeMedia{Participant: "ann", Source: wire.Camera}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(demandFalls + 2*controlTick)
		check("off", 0)
		if err := checkSwitches(ben.got("ann", wire.Camera), false); err != nil {
			t.Error(err)
		}
	})
}

// A layer that the way to nobody has room for is not sent either, and comes back when one has; as long as somebody's way
// has room, all goes on.
func TestDynacastBandwidth(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		const wide, tight = 20_000_000, 250_000
		queue := vnet.NewTBFQueue(wide, 1500, 20_000)
		ann, cem := l.join("ann", "10.0.0.2"), l.join("cem", "10.0.0.4")
		ben, end := l.joinBehind("ben", "10.0.0.3", queue)
		defer ann.close()
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
		// obey has ann send what it was told last, as browsers do, and says what that was.
		obey := func(span time.Duration) int {
			last := len(layers)
			for end := time.Now().Add(span); time.Now().Before(end); {
				time.Sleep(100 * time.Millisecond)
				if list := told[wire.PublishMedia](ann); len(list) > 0 {
					last = list[len(list)-1].Layers
				}
				for i, layer := range layers {
					layer.paused.Store(i >= last)
				}
			}
			return last
		}
		if n := obey(5 * time.Second); n != 3 {
			t.Fatalf("%d layers at the beginning", n)
		}
		queue.SetRate(tight)
		if n := obey(15 * time.Second); n != 3 {
			t.Errorf("%d layers, when there is room for all on cem's way", n)
		}
		cem.close()
		if n := obey(14 * time.Second); n < 1 || n > 2 {
			t.Errorf("%d layers, when there is only ben's way", n)
		}
		before := len(ben.got("ann", wire.Camera))
		if n := obey(10 * time.Second); n < 1 || n > 2 || len(ben.got("ann", wire.Camera))-before < 200 {
			t.Errorf("%d layers later, %d pictures", n, len(ben.got("ann", wire.Camera))-before)
		}
		list := told[wire.MediaQuality](ben)
		if q := list[len(list)-1]; q.Reason != wire.QualityBandwidth {
			t.Errorf("ben was told %+v", q)
		}
		queue.SetRate(wide)
		if n := obey(15 * time.Second); n != 3 {
			t.Errorf("%d layers, when the way is wide again", n)
		}
		before = len(ben.got("ann", wire.Camera))
		obey(2 * time.Second)
		if got := seen(ben, before); !slices.Equal(got, []int{2}) {
			t.Errorf("then layers %v", got)
		}
		if n := len(told[wire.PublishMedia](ann)); n > 4 {
			t.Errorf("ann was told %+v", told[wire.PublishMedia](ann))
		}
	})
}

// A video of one layer that the way to nobody has room for is sent with less, and with all again when there is room.
func TestCap(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		const wide, tight = 20_000_000, 300_000
		queue := vnet.NewTBFQueue(wide, 1500, 20_000)
		ann := l.join("ann", "10.0.0.2")
		ben, end := l.joinBehind("ben", "10.0.0.3", queue)
		defer ann.close()
		defer end()
		layer := ann.publishSimulcast("f")[0]
		const heavy = 12 // times 28 kb/s
		layer.weight.Store(heavy)
		ann.do(func() { ann.offer(nil) })
		ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ben.do(func() { ben.offer(nil) })
		obey := func(span time.Duration) wire.PublishMedia {
			var last wire.PublishMedia
			for end := time.Now().Add(span); time.Now().Before(end); {
				time.Sleep(100 * time.Millisecond)
				if list := told[wire.PublishMedia](ann); len(list) > 0 {
					last = list[len(list)-1]
				}
				layer.weight.Store(heavy)
				if last.Bitrate > 0 {
					layer.weight.Store(int32(min(heavy, max(last.Bitrate/28_000, 1))))
				}
			}
			return last
		}
		if told := obey(5 * time.Second); told.Bitrate != 0 {
			t.Fatalf("at the beginning: %+v", told)
		}
		queue.SetRate(tight)
		obey(10 * time.Second)
		before := len(ben.got("ann", wire.Camera))
		if told := obey(10 * time.Second); told.Layers != 1 || told.Bitrate < capLeast || told.Bitrate > tight {
			t.Errorf("of %d: %+v", tight, told)
		}
		if n := len(ben.got("ann", wire.Camera)) - before; n < 280 {
			t.Errorf("%d pictures in 10 s of what fits", n)
		}
		queue.SetRate(wide)
		if told := obey(20 * time.Second); told.Layers != 1 || told.Bitrate != 0 {
			t.Errorf("wide again: %+v", told)
		}
		before = len(ben.got("ann", wire.Camera))
		obey(2 * time.Second)
		if list := ben.got("ann", wire.Camera)[before:]; len(list) < 50 || len(list[len(list)-1].Payload) < 1000 {
			t.Errorf("wide again: %d pictures", len(list))
		}
	})
}

// A client is told what it gets of a video and why not more, when that has changed.
func TestMediaQuality(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, ben := l.join("ann", "10.0.0.2"), l.join("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		layers := ann.publishSimulcast("q", "h", "f")
		ann.do(func() { ann.offer(nil) })
		ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ben.do(func() { ben.offer(nil) })
		time.Sleep(5 * time.Second)
		latest := func() wire.MediaQuality {
			list := told[wire.MediaQuality](ben)
			if len(list) == 0 {
				t.Fatal("nothing")
			}
			last := list[len(list)-1]
			last.Bitrate, last.FPS = 0, 5*((last.FPS+2)/5)
			return last
		}
		steps := []struct {
			name   string
			change func()
			want   wire.MediaQuality
		}{
			{"as large as there is", func() {}, wire.MediaQuality{Width: 1280, Height: 720, FPS: 30, Layer: "3/3 T2/2", Reason: wire.QualityFull}},
			{"shown small", func() { show(t, ben, size{320, 180}, 0) }, wire.MediaQuality{Width: 320, Height: 180, FPS: 30, Layer: "1/3 T2/2", Reason: wire.QualitySize}},
			{"at half the rate", func() { show(t, ben, size{320, 180}, 15) }, wire.MediaQuality{Width: 320, Height: 180, FPS: 15, Layer: "1/3 T1/2", Reason: wire.QualitySize}},
			{"shown large again", func() { show(t, ben, size{}, 0) }, wire.MediaQuality{Width: 1280, Height: 720, FPS: 30, Layer: "3/3 T2/2", Reason: wire.QualityFull}},
			{"little bandwidth", func() { limitTo(ben, 70_000) }, wire.MediaQuality{Width: 640, Height: 360, FPS: 30, Layer: "2/3 T2/2", Reason: wire.QualityBandwidth}},
			{"none", func() { limitTo(ben, 1000) }, wire.MediaQuality{Reason: wire.QualityBandwidth}},
			{"enough", func() { limitTo(ben, 1e9) }, wire.MediaQuality{Width: 1280, Height: 720, FPS: 30, Layer: "3/3 T2/2", Reason: wire.QualityFull}},
			{"the publisher sends less", func() { layers[2].paused.Store(true) }, wire.MediaQuality{Width: 640, Height: 360, FPS: 30, Layer: "2/3 T2/2", Reason: wire.QualityPublisher}},
			{"turned off", func() {
				if err := ben.peer.Subscribe(t.Context(), wire.SubscribeMedia{Participant: "ann", Source: wire.Camera}); err != nil {
					t.Error(err)
				}
			}, wire.MediaQuality{Reason: wire.QualityHidden}},
		}
		for _, step := range steps {
			before := len(told[wire.MediaQuality](ben))
			step.change()
			time.Sleep(6 * time.Second)
			step.want.Participant, step.want.Source, step.want.Codec = "ann", wire.Camera, "VP8"
			if got := latest(); got != step.want {
				t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
			}
			if n := len(told[wire.MediaQuality](ben)) - before; n > 4 {
				t.Errorf("%s: %d messages", step.name, n)
			}
		}
		if n := len(told[wire.MediaQuality](ann)); n != 0 {
			t.Errorf("%d messages to who receives no video", n)
		}
	})
}

// A camera that is too small for its largest layer sends all it has, however large it is shown.
func TestSmallCamera(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, ben := l.join("ann", "10.0.0.2"), l.join("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		layers := ann.publishSimulcast("q", "h", "f")
		layers[2].paused.Store(true)
		ann.do(func() { ann.offer(nil) })
		ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ben.do(func() { ben.offer(nil) })
		show(t, ben, size{1280, 720}, 0)
		time.Sleep(5 * time.Second)
		list := told[wire.MediaQuality](ben)
		if len(list) == 0 {
			t.Fatal("nothing")
		}
		if got := list[len(list)-1]; got.Width != 640 || got.Layer != "2/2 T2/2" || got.Reason != wire.QualityFull {
			t.Errorf("%+v", got)
		}
		for _, told := range told[wire.PublishMedia](ann) {
			t.Errorf("%+v: the largest layer is wanted, should there be one", told)
		}
	})
}

// A publisher sends large what it has described as small, and the other way round. Who has asked for small does not have
// the large one for long, who has asked for large gets it again, and who has a layer in between does not notice.
func TestSwappedLayers(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann := l.join("ann", "10.0.0.2")
		defer ann.close()
		layers := ann.publishSimulcast("q", "h", "f")
		ann.do(func() { ann.offer(nil) })
		var receivers []*client // by the layer each has room for
		for i, id := range []wire.ParticipantID{"ben", "cem", "dee"} {
			c := l.join(id, fmt.Sprintf("10.0.0.%d", 3+i))
			defer c.close()
			c.publish(wire.Microphone, webrtc.MimeTypeOpus)
			c.do(func() { c.offer(nil) })
			show(t, c, testSizes[i], 0)
			receivers = append(receivers, c)
		}
		time.Sleep(4 * time.Second)
		for round, shapes := range [][]int32{{2, 1, 0}, {0, 1, 2}} {
			var before []int
			for i, c := range receivers {
				got := c.got("ann", wire.Camera)
				if len(got) == 0 || layerOf(got[len(got)-1]) != i {
					t.Fatalf("round %d: %s has layers %v, want %d at the end", round, c.id, seen(c, 0), i)
				}
				before = append(before, len(got))
			}
			for i, shape := range shapes {
				layers[i].shape.Store(shape)
			}
			time.Sleep(4 * time.Second)
			for i, c := range receivers {
				wrong := 0
				for _, p := range c.got("ann", wire.Camera)[before[i]:] {
					if layerOf(p) != i {
						wrong++
					}
				}
				if most := 30; wrong > most { // a second
					t.Errorf("round %d: %s got %d pictures in another size, want at most %d", round, c.id, wrong, most)
				}
				t.Logf("round %d: %s got %d pictures in another size", round, c.id, wrong)
			}
			if got := seen(receivers[1], before[1]); !slices.Equal(got, []int{1}) {
				t.Errorf("round %d: cem, whose layer stays as it is, has layers %v", round, got)
			}
		}
		for _, c := range receivers {
			if err := checkSwitches(c.got("ann", wire.Camera), false); err != nil {
				t.Errorf("%s: %v", c.id, err)
			}
		}
	})
}

func TestSimulcastSection(t *testing.T) {
	for _, c := range []struct {
		attributes string
		want       []string
		code       wire.ErrorCode
	}{
		{"", nil, ""},
		{"a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;h;f\r\n", []string{"q", "h", "f"}, ""},
		{"a=rid:f send\r\na=rid:h send\r\na=rid:q send\r\na=simulcast:send q;~h,h2;f\r\na=rid:x recv\r\n", []string{"q", "h", "f"}, ""},
		{"a=rid:q send max-width=320\r\n", []string{"q"}, ""},
		{"a=rid:1 send\r\na=rid:2 send\r\na=simulcast:recv x send 1;2\r\n", []string{"1", "2"}, ""},
		{"a=rid:1 send\r\na=rid:2 send\r\n", nil, wire.CodeBadMessage},
		{"a=rid:1 send\r\na=simulcast:send 1;2\r\n", nil, wire.CodeBadMessage},
		{"a=rid:1 send\r\na=rid:2 send\r\na=simulcast:send 1;1\r\n", nil, wire.CodeBadMessage},
		{"a=rid:1 send\r\na=rid:2 send\r\na=rid:3 send\r\na=rid:4 send\r\na=simulcast:send 1;2;3;4\r\n", nil, wire.CodeTooLarge},
	} {
		var desc sdp.SessionDescription
		if err := desc.UnmarshalString("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 RTP/SAVPF 96\r\n" + c.attributes); err != nil {
			t.Fatal(err)
		}
		got, err := simulcast(desc.MediaDescriptions[0])
		if c.code != "" {
			wantCode(t, c.attributes, err, c.code)
		} else if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, %v", c.attributes, got, err)
		}
	}
}
