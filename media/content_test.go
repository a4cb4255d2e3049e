package media

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A layer is gone when the others go on without it, not when all stand still.
func TestWatch(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var w watch
	for i, c := range []struct {
		now, last int // ms
		others    uint64
		alive     bool
	}{
		{0, 0, 0, true},
		{100, 90, 3, true},
		{500, 90, 3, true},    // nothing comes of the others either
		{600, 90, 7, true},    // a few
		{700, 90, 8, false},   // more than it can be behind
		{800, 90, 20, false},  //
		{900, 880, 23, true},  // it is back
		{2000, 880, 2, true},  // another stream began to count anew
		{2100, 880, 6, true},  //
		{2200, 880, 7, false}, //
	} {
		before := w.alive
		if changed := w.see(at(c.now), at(c.last), c.others); w.alive != c.alive || changed != (before != w.alive) {
			t.Errorf("%d: alive %v, changed %v", i, w.alive, changed)
		}
	}
}

// Rates are those of the last second, of each operating point with what it depends on; padding does not count.
func TestSample(t *testing.T) {
	var c content
	now := time.Unix(1000, 0)
	var flows [maxSpatial][maxTemporal]flow
	for i := range 60 {
		for spatial := range uint8(2) {
			p := &packet{payload: make([]byte, 100<<spatial), marker: spatial == 1}
			p.layer, p.end = layer{spatial, uint8(i % 2)}, true
			c.count(p, 0, now)
			c.count(&packet{marker: true}, 0, now)
		}
		now = now.Add(time.Second / 30)
		if i%7 == 6 {
			flows = c.sample(now)
		}
	}
	for point, want := range map[layer]flow{
		{0, 0}: {12_000, 15}, {0, 1}: {24_000, 30}, {1, 0}: {36_000, 15}, {1, 1}: {72_000, 30}, {3, 3}: {72_000, 0},
	} {
		got := flows[point.spatial][point.temporal]
		if far(got.bitrate, want.bitrate, 2000) || far(got.fps, want.fps, 2) {
			t.Errorf("%v: %+v, want %+v", point, got, want)
		}
	}
	if c.spatial() != 2 || c.pictures != 60 {
		t.Errorf("%d spatial layers, %d pictures", c.spatial(), c.pictures)
	}
}

// A spatial layer that its encoder leaves out is known, and does not come; that of a picture that stands still does.
func TestSpatialLayerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bareStream(webrtc.MimeTypeVP8)
		s.in.kind = codecVP9
		n := uint16(0)
		pictures := func(count, spatial int) {
			t.Helper()
			for i := range count {
				for l := range spatial {
					flags := byte(vp9P | vp9B | vp9E)
					if n == 0 {
						flags &^= vp9P
					}
					p := rtp.Packet{
						Header:  rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: n, Timestamp: uint32(time.Now().UnixMilli()) * 90, Marker: l == spatial-1},
						Payload: append(vp9Packet(flags, vp9Layers(0, byte(l))), make([]byte, 500)...),
					}
					b, err := p.Marshal()
					if err != nil {
						t.Fatal(err)
					}
					n++
					s.receive(b, time.Now())
				}
				time.Sleep(time.Second / 30)
				if i%3 == 0 {
					s.in.look(time.Now())
				}
			}
		}
		comes := func() (list []bool) {
			for _, q := range *s.in.qualities.Load() {
				list = append(list, q.bitrate > 0)
			}
			return list
		}
		pictures(60, 2)
		if got := comes(); !slices.Equal(got, []bool{true, true}) || s.in.layers() != 2 {
			t.Errorf("two layers: %v, of %d", got, s.in.layers())
		}
		pictures(60, 1)
		if got := comes(); !slices.Equal(got, []bool{true, false}) {
			t.Errorf("the larger one is left out: %v", got)
		}
		pictures(60, 2)
		for range 30 {
			time.Sleep(controlTick)
			s.in.look(time.Now())
		}
		if got := comes(); !slices.Equal(got, []bool{true, true}) {
			t.Errorf("the picture stands still: %v", got)
		}
	})
}
