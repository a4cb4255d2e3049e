package record

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// A timed is a packet with the moment it arrives, counted from the first one's.
type timed struct {
	p  *rtp.Packet
	at time.Duration
}

// onTime delivers each packet when it was captured.
func (s *sample) onTime() []timed {
	var list []timed
	for _, p := range s.packets {
		list = append(list, timed{p, s.span(p)})
	}
	return list
}

// replay writes packets to a file as they arrive, with a tick every 100 ms, and returns the stream and the path.
func replay(t *testing.T, codec string, list []timed, keyAsked func()) (*stream, string) {
	t.Helper()
	dir := t.TempDir()
	return replayWith(t, newStream(Track{Source: "camera", Codec: codec, RequestKey: keyAsked}, newCodec(codec, ""), dir, testName, &wallClock{}), list)
}

// replayWith is replay to a stream of the caller's.
func replayWith(t *testing.T, s *stream, list []timed) (*stream, string) {
	t.Helper()
	start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	now, tick := start, start
	for _, x := range list {
		now = start.Add(x.at)
		for ; tick.Before(now); tick = tick.Add(tickInterval) {
			if err := s.tick(tick); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.packet(marshal(t, x.p), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.finish(now); err != nil {
		t.Fatal(err)
	}
	return s, filepath.Join(s.dir, s.fileName)
}

func testName() (base, title string) { return "track", "Ann camera" }

var decoders = map[string]string{"opus": "opus", "VP8": "vp8", "VP9": "vp9", "H264": "h264", "AV1": "av1"}

// TestRealStreams writes what real encoders make and has ffprobe decode every frame of it.
func TestRealStreams(t *testing.T) {
	variants := map[string]func(list []timed) []timed{
		"as sent":   func(list []timed) []timed { return list },
		"reordered": shuffled,
		"wrapping":  wrapping,
		"repaired":  repaired,
		"padded":    padded,
	}
	for codec, decoder := range decoders {
		for name, change := range variants {
			t.Run(codec+" "+name, func(t *testing.T) {
				t.Parallel()
				sample := encoded(t, codec)
				s, path := replay(t, codec, change(sample.onTime()), nil)
				got := probe(t, path)
				if got.Frames != sample.frames || got.Codec != decoder {
					t.Errorf("%d frames of %s, want %d of %s", got.Frames, got.Codec, sample.frames, decoder)
				}
				if codec != "opus" && (got.Width != sampleWidth || got.Height != sampleHeight) {
					t.Errorf("%d x %d", got.Width, got.Height)
				}
				if math.Abs(got.Duration-2) > 0.05 {
					t.Errorf("%.3f s, want 2", got.Duration)
				}
				if s.reorder.lost != 0 || s.assembler.dropped != 0 {
					t.Errorf("%d packets lost, %d frames dropped", s.reorder.lost, s.assembler.dropped)
				}
			})
		}
	}
}

// shuffled mixes each four packets and repeats some.
func shuffled(list []timed) []timed {
	random := rand.New(rand.NewPCG(1, 2))
	var out []timed
	for group := range slices.Chunk(list[1:], 4) { // the first stays: what comes before it is before the track
		random.Shuffle(len(group), func(i, j int) { group[i].p, group[j].p = group[j].p, group[i].p })
		out = append(out, group...)
		out = append(out, group[random.IntN(len(group))])
	}
	return append(list[:1:1], out...)
}

// wrapping has sequence numbers and timestamps pass their ends in the middle.
func wrapping(list []timed) []timed {
	middle := list[len(list)/2].p
	seq, ts := middle.SequenceNumber, middle.Timestamp
	for _, x := range list {
		x.p.SequenceNumber -= seq
		x.p.Timestamp -= ts
	}
	return list
}

// repaired brings every tenth packet 200 ms late.
func repaired(list []timed) []timed {
	for i := range list {
		if i%10 == 5 {
			list[i].at += 200 * time.Millisecond
		}
	}
	slices.SortStableFunc(list, func(a, b timed) int { return int(a.at - b.at) })
	return list
}

// padded puts packets of nothing but padding between the others, as a sender does that probes for bandwidth.
func padded(list []timed) []timed {
	var out []timed
	seq := list[0].p.SequenceNumber
	for i, x := range list {
		x.p.SequenceNumber = seq
		seq++
		out = append(out, x)
		if i%7 == 3 {
			p := x.p.Clone()
			p.SequenceNumber, p.Marker, p.Payload = seq, false, nil
			p.Padding, p.PaddingSize = true, 100
			seq++
			out = append(out, timed{p, x.at})
		}
	}
	return out
}

// TestLoss loses one packet for good: what follows it up to the next key frame is left out, and one is asked for.
func TestLoss(t *testing.T) {
	for codec := range decoders {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			sample := encoded(t, codec)
			list := sample.onTime()
			gone := len(list) / 4
			want := sample.frames - 1
			if codec != "opus" {
				gone = slices.IndexFunc(sample.packets, func(p *rtp.Packet) bool { return sample.span(p) > 300*time.Millisecond })
				want = sample.framesFrom(0) - sample.framesFrom(gone) + sample.framesFrom(sample.keyFrameAt(t, gone))
				if sample.packets[gone-1].Timestamp == sample.packets[gone].Timestamp {
					want-- // it had begun before
				}
			}
			asked := 0
			s, path := replay(t, codec, slices.Delete(list, gone, gone+1), func() { asked++ })
			if got := probe(t, path); got.Frames != want {
				t.Errorf("%d frames, want %d", got.Frames, want)
			}
			if s.reorder.lost != 1 {
				t.Errorf("%d packets lost", s.reorder.lost)
			}
			if codec != "opus" && asked == 0 {
				t.Error("nobody asked for a key frame")
			}
			if codec == "opus" && asked != 0 {
				t.Error("a key frame of sound was asked for")
			}
		})
	}
}

// TestTooLate gives a packet up that comes 400 ms late.
func TestTooLate(t *testing.T) {
	sample := encoded(t, "opus")
	list := sample.onTime()
	list[10].at += 400 * time.Millisecond
	slices.SortStableFunc(list, func(a, b timed) int { return int(a.at - b.at) })
	s, path := replay(t, "opus", list, nil)
	if got := probe(t, path); got.Frames != sample.frames-1 || s.reorder.lost != 1 {
		t.Errorf("%d frames of %d, %d packets lost", got.Frames, sample.frames, s.reorder.lost)
	}
}

// TestBeginsWithKeyFrame joins in the middle: nothing before the next key frame is written.
func TestBeginsWithKeyFrame(t *testing.T) {
	for _, codec := range []string{"VP8", "VP9", "H264", "AV1"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			sample := encoded(t, codec)
			from := sample.keyFrameAt(t, 0) + 1
			want := sample.framesFrom(sample.keyFrameAt(t, from))
			_, path := replay(t, codec, sample.onTime()[from:], nil)
			if got := probe(t, path); got.Frames != want {
				t.Errorf("%d frames, want %d", got.Frames, want)
			}
		})
	}
}

// TestResolutionChange has the sender change the size in the middle, as simulcast layers and bandwidth do.
func TestResolutionChange(t *testing.T) {
	for _, codec := range []string{"VP8", "VP9", "H264", "AV1"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			small, large := encoded(t, codec), encodedAs(t, sampleKey{codec, 640, 480})
			last, first := small.packets[len(small.packets)-1], large.packets[0].Timestamp
			list := small.onTime()
			for i, x := range large.onTime() {
				x.at += 2 * time.Second
				x.p.Timestamp += last.Timestamp + 3600 - first
				x.p.SequenceNumber = last.SequenceNumber + 1 + uint16(i)
				list = append(list, x)
			}
			_, path := replay(t, codec, list, nil)
			got := probe(t, path)
			if got.Sizes["320x240"] != sampleFrames || got.Sizes["640x480"] != sampleFrames {
				t.Errorf("frames by size: %v", got.Sizes)
			}
		})
	}
}

// TestParameterSetsOnce has a sender send its parameter sets once: a later key frame begins with a slice, also after a
// loss before it.
func TestParameterSetsOnce(t *testing.T) {
	sample := encoded(t, "H264")
	second := sample.packets[sample.keyFrameAt(t, sample.keyFrameAt(t, 0)+1)].Timestamp
	var list []timed
	seq, lost := sample.packets[0].SequenceNumber, false
	for _, x := range sample.onTime() {
		kind := x.p.Payload[0] & 0x1f
		if x.p.Timestamp == second && (kind == nalSTAPA || kind == nalSEI || kind == nalSPS || kind == nalPPS) {
			continue
		}
		x.p.SequenceNumber = seq
		seq++
		if !lost && x.at > 500*time.Millisecond {
			lost = true
			continue
		}
		list = append(list, x)
	}
	_, path := replay(t, "H264", list, nil)
	if got := probe(t, path); got.Frames < sampleFrames/2+10 || got.Frames == sampleFrames {
		t.Errorf("%d frames, want those before the loss and %d", got.Frames, sampleFrames/2)
	}
}

// TestParameterSetsInSDP has a sender say its parameter sets in the SDP alone, and nothing but slices in the stream.
func TestParameterSetsInSDP(t *testing.T) {
	sample := encoded(t, "H264")
	sets := map[byte][]byte{}
	var list []timed
	seq := sample.packets[0].SequenceNumber
	for _, x := range sample.onTime() {
		switch kind := x.p.Payload[0] & 0x1f; kind {
		case nalSPS, nalPPS:
			sets[kind] = x.p.Payload
			continue
		case nalSTAPA:
			for b := x.p.Payload[1:]; len(b) > 2; {
				n := int(binary.BigEndian.Uint16(b))
				sets[b[2]&0x1f], b = b[2:2+n], b[2+n:]
			}
			continue
		case nalSEI:
			continue
		}
		x.p.SequenceNumber = seq
		seq++
		list = append(list, x)
	}
	text := base64.StdEncoding.EncodeToString
	good := text(sets[nalSPS]) + "," + text(sets[nalPPS])
	for parameters, want := range map[string]int{
		"packetization-mode=1; sprop-parameter-sets=" + good: sampleFrames,
		"sprop-parameter-sets=!,," + good + ",AA==":          sampleFrames,
		"sprop-parameter-sets=" + text(sets[nalSPS]):         0,
		"packetization-mode=1":                               0,
	} {
		s, path := replayWith(t, newStream(Track{Source: "camera", Codec: "H264"}, newCodec("H264", parameters), t.TempDir(), testName, &wallClock{}), list)
		if want == 0 {
			if s.fileName != "" {
				t.Errorf("%s: there is a file", parameters)
			}
			continue
		}
		if got := probe(t, path); got.Frames != want {
			t.Errorf("%s: %d frames, want %d", parameters, got.Frames, want)
		}
	}
}

// TestLayerChange goes on with another simulcast layer, which has other numbers and begins in the middle.
func TestLayerChange(t *testing.T) {
	for _, codec := range []string{"VP8", "H264"} {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			large, small := encodedAs(t, sampleKey{codec, 640, 480}), encoded(t, codec)
			list := large.onTime()
			from := small.keyFrameAt(t, 0) + 1 // the rest of a group of pictures, and a whole one
			for _, x := range small.onTime()[from:] {
				x.at += 2 * time.Second
				x.p.SSRC, x.p.Timestamp, x.p.SequenceNumber = 99, x.p.Timestamp+1<<20, x.p.SequenceNumber+100
				list = append(list, x)
			}
			asked := 0
			s, path := replay(t, codec, list, func() { asked++ })
			got := probe(t, path)
			if want := small.framesFrom(small.keyFrameAt(t, from)); got.Sizes["640x480"] != sampleFrames || got.Sizes["320x240"] != want {
				t.Errorf("frames by size: %v, want %d small ones", got.Sizes, want)
			}
			if math.Abs(got.Duration-4) > 0.05 || s.reorder.lost != 0 || asked == 0 {
				t.Errorf("%.3f s, %d packets lost, asked for %d key frames", got.Duration, s.reorder.lost, asked)
			}
		})
	}
}

// TestRestart has the sender begin anew with other numbers: the file goes on when the packets arrive.
func TestRestart(t *testing.T) {
	sample := encoded(t, "VP8")
	again := encoded(t, "VP8")
	list := sample.onTime()
	for _, x := range again.onTime() {
		x.at += 3 * time.Second
		x.p.SequenceNumber += 30000
		x.p.Timestamp += 1 << 30
		list = append(list, x)
	}
	s, path := replay(t, "VP8", list, nil)
	got := probe(t, path)
	// The first packet after the jump is not believed, and with it goes the first group of pictures.
	if want := sampleFrames + sampleFrames/2; got.Frames != want {
		t.Errorf("%d frames, want %d", got.Frames, want)
	}
	if math.Abs(got.Duration-5) > 0.1 {
		t.Errorf("%.3f s, want 5", got.Duration)
	}
	if s.reorder.lost > 1 {
		t.Errorf("%d packets lost", s.reorder.lost)
	}
}

// TestUnfinished reads the file while it is written: a cluster is there half a second after its first frame.
func TestUnfinished(t *testing.T) {
	for codec := range decoders {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			sample := encoded(t, codec)
			dir := t.TempDir()
			s := newStream(Track{Source: "camera", Codec: codec}, newCodec(codec, ""), dir, testName, &wallClock{})
			start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
			for _, x := range sample.onTime() {
				if err := s.packet(marshal(t, x.p), start.Add(x.at)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.tick(start.Add(2 * time.Second)); err != nil {
				t.Fatal(err)
			}
			got := probe(t, filepath.Join(dir, s.fileName))
			if least := sample.frames * 3 / 4; got.Frames < least {
				t.Errorf("%d frames can be read, want %d", got.Frames, least)
			}
			if err := s.finish(start.Add(3 * time.Second)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestGarbage feeds what is no RTP and no video; the good packets around it are kept.
func TestGarbage(t *testing.T) {
	sample := encoded(t, "VP8")
	dir := t.TempDir()
	s := newStream(Track{Source: "camera", Codec: "VP8"}, newCodec("VP8", ""), dir, testName, &wallClock{})
	now := time.Now()
	for i, x := range sample.onTime() {
		for _, garbage := range [][]byte{nil, {0x80}, be16(i), append([]byte{0xb0}, bytes.Repeat([]byte{0xff}, 40)...), make([]byte, maxPacketSize+1)} {
			if err := s.packet(garbage, now); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.packet(marshal(t, x.p), now.Add(x.at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.finish(now); err != nil {
		t.Fatal(err)
	}
	if got := probe(t, filepath.Join(dir, s.fileName)); got.Frames != sample.frames {
		t.Errorf("%d frames, want %d", got.Frames, sample.frames)
	}
}

// TestSpatialLayers makes a picture of two layer frames and looks for the index that a decoder needs.
func TestSpatialLayers(t *testing.T) {
	layer := func(begin, end byte, sid byte, content string) []byte {
		return append([]byte{0x20 | begin<<3 | end<<2, sid << 1, 0}, content...)
	}
	f, err := vp9{}.join([][]byte{layer(1, 0, 0, "lo"), layer(0, 1, 0, "w"), layer(1, 1, 1, "high")})
	if err != nil {
		t.Fatal(err)
	}
	want := "lowhigh" + "\xd9\x03\x00\x00\x00\x04\x00\x00\x00\xd9"
	if string(f.data) != want {
		t.Errorf("%q, want %q", f.data, want)
	}
	many := slices.Repeat([][]byte{layer(1, 1, 0, "x")}, maxSuperframe+1)
	if _, err := (vp9{}).join(many); err == nil {
		t.Error("a superframe of nine frames")
	}
}

// FuzzAssembler feeds any payloads to every codec: no panic, and no frame before a key frame.
func FuzzAssembler(f *testing.F) {
	names := []string{"opus", "VP8", "VP9", "H264", "AV1"}
	f.Add(uint8(1), []byte("\x00\x04\x80\x90\x10\x00\x9d\x01\x2a"))
	f.Add(uint8(3), []byte("\x01\x09\x67\x42\xc0\x1f\x8c\x8d\x40\xa0\xfd\x01\x04\x68\xce\x3c\x80\x03\x02\x65\x88"))
	f.Add(uint8(4), []byte("\x03\x0e\x18\x0a\x0b\x00\x00\x00\x02\xaf\xff\x9b\x5f\x30\x08\x00"))
	f.Add(uint8(2), []byte("\x03\x08\x8b\x80\x01\x82\x49\x83\x42\x00"))
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		name := names[int(which)%len(names)]
		a := newAssembler(newCodec(name, ""))
		started := false
		// Each packet is a byte of flags, a length and so many bytes.
		for seq := uint64(1); len(b) > 2; seq++ {
			flags, size := b[0], min(int(b[1]), len(b)-2)
			p := packet{seq: seq, marker: flags&1 != 0, gap: flags&2 != 0 || seq == 1, ts: uint32(flags >> 2), payload: b[2 : 2+size]}
			b = b[2+size:]
			err := a.push(p, func(f frame, _ uint32) error {
				if !f.key && !started {
					return fmt.Errorf("a frame before a key frame")
				}
				if len(f.data) == 0 {
					return fmt.Errorf("an empty frame")
				}
				started = true
				return nil
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if p.gap && name != "opus" && a.waitKey {
				started = false
			}
		}
	})
}
