package media

import (
	"slices"
	"testing"

	"confab/media/bandwidth"
	"confab/signaling/wire"
)

// simulcastQualities are three layers of two frame rates each, as measured; gone are those that do not come.
func simulcastQualities(gone ...int) []quality {
	var list []quality
	for i, s := range testSizes {
		full := quality{target: target{stream: uint8(i), layer: layer{temporal: maxTemporal - 1}}, size: s, flow: flow{bitrate: 150_000 << (2 * i), fps: 30 - i}, top: true}
		if slices.Contains(gone, i) {
			full.flow = flow{}
			list = append(list, full)
			continue
		}
		half := full
		half.layer.temporal, half.top, half.flow = 0, false, flow{full.bitrate * 6 / 10, 15}
		list = append(list, half, full)
	}
	return list
}

func choice(t testing.TB, source wire.Source, list []quality, sub subscription, budget int) (quality, bool, wire.QualityReason) {
	t.Helper()
	in := &ingress{key: trackKey{"ann", source}, rids: []string{"q", "h", "f"}, video: true}
	s := selected{in: in, sub: sub, options: options(nil, list, source == wire.Screen || sub.fps > 0)}
	choices := bandwidth.Allocate([]bandwidth.Track{s.track(0)}, budget)
	if choices[0].Layer < 0 {
		return quality{}, false, choices[0].Reason
	}
	return s.options[choices[0].Layer], true, choices[0].Reason
}

// What one receiver gets, by what it shows, what comes and what its way carries.
func TestChoice(t *testing.T) {
	const plenty = 1 << 40
	for _, c := range []struct {
		name   string
		source wire.Source
		gone   []int
		sub    subscription
		budget int
		stream int // -1 = paused
		half   bool
		reason wire.QualityReason
	}{
		{"as large as there is", wire.Camera, nil, subscription{}, plenty, 2, false, wire.QualityFull},
		{"exactly the small one", wire.Camera, nil, subscription{width: 320, height: 180}, plenty, 0, false, wire.QualitySize},
		{"a little larger", wire.Camera, nil, subscription{width: 321, height: 180}, plenty, 1, false, wire.QualitySize},
		{"larger than there is", wire.Camera, nil, subscription{width: 3840, height: 2160}, plenty, 2, false, wire.QualityFull},
		{"half the rate", wire.Camera, nil, subscription{fps: 15}, plenty, 2, true, wire.QualitySize},
		{"nearly all of the rate", wire.Camera, nil, subscription{fps: 24}, plenty, 2, false, wire.QualityFull},
		{"one that is not sent", wire.Camera, []int{2}, subscription{}, plenty, 1, false, wire.QualityPublisher},
		{"not wanted", wire.Camera, nil, subscription{off: true}, plenty, -1, false, wire.QualityHidden},
		{"nothing is sent", wire.Camera, []int{0, 1, 2}, subscription{}, plenty, -1, false, wire.QualityPublisher},
		{"a narrow way", wire.Camera, nil, subscription{}, 800_000, 1, false, wire.QualityBandwidth},
		{"a very narrow way", wire.Camera, nil, subscription{}, 120_000, 0, true, wire.QualityBandwidth},
		{"no way", wire.Camera, nil, subscription{}, 10_000, -1, false, wire.QualityBandwidth},
		{"a screen on a narrow way: fewer pictures, all of them sharp", wire.Screen, nil, subscription{}, 2_000_000, 2, true, wire.QualityBandwidth},
		{"a screen that cannot be read is not sent", wire.Screen, nil, subscription{}, 800_000, -1, false, wire.QualityBandwidth},
		{"a small picture of a screen", wire.Screen, nil, subscription{width: 320, height: 180}, 800_000, 0, false, wire.QualitySize},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok, reason := choice(t, c.source, simulcastQualities(c.gone...), c.sub, c.budget)
			if ok != (c.stream >= 0) || reason != c.reason || ok && (int(got.stream) != c.stream || got.top == c.half) {
				t.Errorf("%+v, %v, %s", got, ok, reason)
			}
		})
	}
}

func TestWishedLayers(t *testing.T) {
	in := &ingress{rids: []string{"q", "h", "f"}}
	in.qualities.Store(&[]quality{})
	for _, c := range []struct {
		list []quality
		sub  subscription
		want int
	}{
		{simulcastQualities(), subscription{}, 3},
		{simulcastQualities(), subscription{off: true}, 0},
		{simulcastQualities(), subscription{width: 300, height: 100}, 1},
		{simulcastQualities(), subscription{width: 640}, 2},
		{simulcastQualities(2), subscription{width: 1000, height: 700}, 3}, // it does not come, but it would be the one
		{simulcastQualities()[:4], subscription{width: 1000, height: 700}, 3},
		{simulcastQualities()[:4], subscription{width: 600, height: 300}, 2},
		{nil, subscription{width: 300, height: 100}, 3},
	} {
		if got := wishedLayers(in, c.list, c.sub); got != c.want {
			t.Errorf("%+v: %d, want %d", c.sub, got, c.want)
		}
	}
}

// Forwarding allocates nothing where pictures are left out, and where layers come from several streams.
func TestSelectionAllocates(t *testing.T) {
	in, list := benchLayers(t, 3, 10)
	n := uint32(1)
	for range 2 * videoSlots {
		in(n)
		n++
	}
	if allocs := testing.AllocsPerRun(500, func() { in(n); n++ }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	for i, e := range list {
		if e.packets == 0 || i%2 == 1 && e.rewriter.count < 100 {
			t.Errorf("subscriber %d: %d packets in %d runs", i, e.packets, e.rewriter.count)
		}
	}
}
