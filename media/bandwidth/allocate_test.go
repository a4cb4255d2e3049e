package bandwidth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"confab/signaling/wire"
)

// simulcast are the three layers of a camera that browsers send by default.
var simulcast = []Layer{
	{Bitrate: 150_000, Width: 320, Height: 180, FPS: 30},
	{Bitrate: 500_000, Width: 640, Height: 360, FPS: 30},
	{Bitrate: 1_700_000, Width: 1280, Height: 720, FPS: 30},
}

// screen are a screen's layers; below the second one text can't be read.
var screen = []Layer{
	{Bitrate: 100_000, Width: 640, Height: 360, FPS: 5},
	{Bitrate: 600_000, Width: 1920, Height: 1080, FPS: 5},
	{Bitrate: 2_000_000, Width: 1920, Height: 1080, FPS: 30},
}

func camera(id int) Track {
	return Track{ID: id, Layers: simulcast, Enabled: true, Current: Paused}
}

func with(t Track, change func(*Track)) Track {
	change(&t)
	return t
}

func TestAllocate(t *testing.T) {
	shown := func(width, height, fps int) func(*Track) {
		return func(t *Track) { t.Width, t.Height, t.FPS = width, height, fps }
	}
	sharing := with(camera(9), func(t *Track) { t.Layers, t.Priority, t.Floor = screen, PriorityScreen, 1 })
	speaker := with(camera(5), func(t *Track) { t.Priority = PrioritySpeaker })
	lost := with(camera(1), func(t *Track) { t.Layers = slices.Clone(simulcast); t.Layers[2].Bitrate = 0 })
	for _, c := range []struct {
		name   string
		tracks []Track
		budget int
		want   []Choice
	}{
		{"nothing", nil, 1e6, []Choice{}},
		{"all of it", []Track{camera(1)}, 5e6, []Choice{{2, wire.QualityFull}}},
		{"hidden", []Track{with(camera(1), func(t *Track) { t.Enabled = false })}, 5e6, []Choice{{Paused, wire.QualityHidden}}},
		{"no layer", []Track{with(camera(1), func(t *Track) { t.Layers = nil })}, 5e6, []Choice{{Paused, wire.QualityPublisher}}},
		{"a layer that is not sent", []Track{lost}, 5e6, []Choice{{1, wire.QualityPublisher}}},
		{"a layer that is not sent nor shown", []Track{with(lost, shown(640, 360, 0))}, 5e6, []Choice{{1, wire.QualitySize}}},
		{"shown small", []Track{with(camera(1), shown(200, 100, 0))}, 5e6, []Choice{{0, wire.QualitySize}}},
		{"shown between two", []Track{with(camera(1), shown(321, 100, 0))}, 5e6, []Choice{{1, wire.QualitySize}}},
		{"shown larger than there is", []Track{with(camera(1), shown(4000, 3000, 60))}, 5e6, []Choice{{2, wire.QualityFull}}},
		{"few frames", []Track{with(sharing, shown(1920, 1080, 5))}, 5e6, []Choice{{1, wire.QualitySize}}},
		{"budget between two", []Track{camera(1)}, 1e6, []Choice{{1, wire.QualityBandwidth}}},
		{"no budget", []Track{camera(1)}, -1, []Choice{{Paused, wire.QualityBandwidth}}},
		{"a screen is never unreadable", []Track{sharing}, 599_000, []Choice{{Paused, wire.QualityBandwidth}}},
		{"a screen at its floor", []Track{with(sharing, func(t *Track) { t.Current = 1 })}, 600_000, []Choice{{1, wire.QualityBandwidth}}},
		{"a screen shown below its floor", []Track{with(sharing, shown(300, 200, 5))}, 5e6, []Choice{{0, wire.QualitySize}}},
		{"the floor of the screen goes first", []Track{camera(1), sharing}, 760_000, []Choice{{Paused, wire.QualityBandwidth}, {1, wire.QualityBandwidth}}},
		{"floors go before quality", []Track{camera(1), speaker}, 800_000, []Choice{{0, wire.QualityBandwidth}, {1, wire.QualityBandwidth}}},
		{"then by priority", []Track{camera(1), speaker, sharing}, 1_500_000,
			[]Choice{{0, wire.QualityBandwidth}, {1, wire.QualityBandwidth}, {1, wire.QualityBandwidth}}},
		{"equals by id", []Track{camera(2), camera(1)}, 800_000, []Choice{{0, wire.QualityBandwidth}, {1, wire.QualityBandwidth}}},
		{"what is too dear for one is for the next", []Track{speaker, with(camera(1), shown(640, 360, 0))}, 1_200_000,
			[]Choice{{1, wire.QualityBandwidth}, {1, wire.QualitySize}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Allocate(c.tracks, c.budget); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// A step up must leave 15 % to spare; what is sent stays as long as it fits.
func TestAllocateHeadroom(t *testing.T) {
	at := func(layer int) []Track { return []Track{with(camera(1), func(t *Track) { t.Current = layer })} }
	for _, c := range []struct{ current, budget, want int }{
		{0, 574_000, 0},
		{0, 576_000, 1},
		{1, 576_000, 1},
		{1, 500_000, 1},
		{1, 499_000, 0},
		{2, 499_000, 0},
		{Paused, 172_000, Paused},
		{Paused, 173_000, 0},
		{0, 150_000, 0},
	} {
		if got := Allocate(at(c.current), c.budget)[0].Layer; got != c.want {
			t.Errorf("from %d with %d: %d, want %d", c.current, c.budget, got, c.want)
		}
	}
}

// The server's load takes layers away, as many as there are, and says so; bandwidth may take more.
func TestAllocateLess(t *testing.T) {
	for _, c := range []struct {
		less, budget, width int
		want                Choice
	}{
		{0, 5e6, 0, Choice{2, wire.QualityFull}},
		{1, 5e6, 0, Choice{1, wire.QualityServer}},
		{2, 5e6, 0, Choice{0, wire.QualityServer}},
		{3, 5e6, 0, Choice{0, wire.QualityServer}},
		{1, 5e6, 640, Choice{0, wire.QualityServer}},
		{1, 5e6, 320, Choice{0, wire.QualitySize}},
		{1, 4e5, 0, Choice{0, wire.QualityBandwidth}},
		{1, 0, 0, Choice{Paused, wire.QualityBandwidth}},
	} {
		track := with(camera(1), func(t *Track) { t.Less, t.Width = c.less, c.width })
		if got := Allocate([]Track{track}, c.budget)[0]; got != c.want {
			t.Errorf("%d less of %d with %d: %v, want %v", c.less, c.width, c.budget, got, c.want)
		}
	}
}

// After bandwidth took a track down it waits 3 s, not so after a change of size.
func TestAllocatorHold(t *testing.T) {
	var a Allocator
	start := time.Unix(1000, 0)
	track := with(camera(1), func(t *Track) { t.Current = 1 })
	for _, c := range []struct {
		after                time.Duration
		budget, width, layer int
	}{
		{0, 5e6, 0, 2},
		{100 * time.Millisecond, 4e5, 0, 0},
		{200 * time.Millisecond, 5e6, 0, 0},
		{3099 * time.Millisecond, 5e6, 0, 0},
		{3100 * time.Millisecond, 5e6, 0, 2},
		{3200 * time.Millisecond, 5e6, 320, 0},
		{3300 * time.Millisecond, 5e6, 0, 2},
		{4 * time.Second, 0, 0, Paused},
		{4900 * time.Millisecond, 5e6, 0, Paused},
		{5 * time.Second, 5e6, 0, 0}, // a picture that stands still waits for less
		{6900 * time.Millisecond, 5e6, 0, 0},
		{7 * time.Second, 5e6, 0, 2},
	} {
		track.Width, a.Drowned = c.width, c.budget == 0
		track.Current = a.Allocate(start.Add(c.after), []Track{track}, c.budget)[0].Layer
		if track.Current != c.layer {
			t.Fatalf("after %v: %d, want %d", c.after, track.Current, c.layer)
		}
	}
	if a.Allocate(start.Add(time.Minute), nil, 0); len(a.downs) != 0 {
		t.Errorf("%d remembered", len(a.downs))
	}
}

// A little too much for a short time changes nothing; for longer, or much too much, does.
func TestAllocatorPatience(t *testing.T) {
	start := time.Unix(1000, 0)
	type step struct {
		after  time.Duration
		budget int
		want   int
	}
	const ms = time.Millisecond
	for name, steps := range map[string][]step{
		"a dip":         {{0, 440_000, 1}, {900 * ms, 440_000, 1}, {950 * ms, 500_000, 1}, {1800 * ms, 440_000, 1}},
		"for longer":    {{0, 440_000, 1}, {999 * ms, 440_000, 1}, {1000 * ms, 440_000, 0}},
		"hardly less":   {{0, 455_000, 1}, {9 * time.Second, 455_000, 1}},
		"much too much": {{0, 374_000, 0}},
		"then much":     {{0, 440_000, 1}, {100 * ms, 300_000, 0}},
	} {
		var a Allocator
		track := with(camera(1), func(t *Track) { t.Current = 1 })
		for _, s := range steps {
			track.Current = a.Allocate(start.Add(s.after), []Track{track}, s.budget)[0].Layer
			if track.Current != s.want {
				t.Errorf("%s: after %v with %d: %d, want %d", name, s.after, s.budget, track.Current, s.want)
			}
		}
	}
}

// What is known to fit is not taken down, and nothing more is given.
func TestAllocatorCarried(t *testing.T) {
	a := Allocator{Carried: true}
	track := with(camera(1), func(t *Track) { t.Current = 1 })
	if got := a.Allocate(time.Unix(1000, 0), []Track{track}, 10_000)[0].Layer; got != 1 {
		t.Errorf("%d", got)
	}
	a.Carried, a.Drowned = false, true
	if got := a.Allocate(time.Unix(1000, 0), []Track{track}, 10_000)[0].Layer; got != Paused {
		t.Errorf("%d when it does not fit", got)
	}
}

// As long as nothing proves that it does not fit, the first of what is sent keeps its floor, and no other does.
func TestAllocatorKeepsOne(t *testing.T) {
	sent := func(id, priority, layer int) Track {
		return with(camera(id), func(t *Track) { t.Priority, t.Current = priority, layer })
	}
	for _, c := range []struct {
		name    string
		tracks  []Track
		drowned bool
		want    []int
	}{
		{"the first by number", []Track{sent(2, 0, 2), sent(1, 0, 2)}, false, []int{Paused, 0}},
		{"the first by priority", []Track{sent(1, 0, 1), sent(2, PrioritySpeaker, 2)}, false, []int{Paused, 0}},
		{"not what is paused", []Track{sent(1, 0, Paused), sent(2, 0, 0)}, false, []int{Paused, 0}},
		{"not what nobody shows", []Track{with(sent(1, 0, 2), func(t *Track) { t.Enabled = false }), sent(2, 0, 2)}, false, []int{Paused, 0}},
		{"not beyond proof", []Track{sent(1, 0, 2), sent(2, 0, 2)}, true, []int{Paused, Paused}},
		{"a screen", []Track{with(sent(1, PriorityScreen, 1), func(t *Track) { t.Layers, t.Floor = screen, 1 })}, false, []int{1}},
	} {
		a := Allocator{Drowned: c.drowned}
		for i, choice := range a.Allocate(time.Unix(1000, 0), c.tracks, 1000) {
			if choice.Layer != c.want[i] || choice.Reason == wire.QualityFull {
				t.Errorf("%s: track %d gets %+v, want layer %d", c.name, i, choice, c.want[i])
			}
		}
	}
}

// A budget that moves by 10 % around any value makes at most one change a track.
func TestAllocateDoesNotFlap(t *testing.T) {
	for budget := 100_000; budget < 6e6; budget += 37_000 {
		tracks := []Track{camera(1), camera(2), with(camera(3), func(t *Track) { t.Layers, t.Priority, t.Floor = screen, PriorityScreen, 1 })}
		changes := 0
		for i := range 20 {
			choices := Allocate(tracks, budget*(95+10*(i%2))/100)
			for j, c := range choices {
				if i > 1 && c.Layer != tracks[j].Current {
					changes++
				}
				tracks[j].Current = c.Layer
			}
		}
		if changes > len(tracks) {
			t.Errorf("around %d: %d changes", budget, changes)
		}
	}
}

// Whatever the tracks are: the budget holds, nothing is larger than it should be, and more budget never pauses.
func TestAllocateInvariants(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		tracks := randomTracks(random)
		budget := random.IntN(6_000_000)
		choices := Allocate(tracks, budget)
		used := 0
		for i, c := range choices {
			if c.Layer == Paused {
				continue
			}
			track, l := tracks[i], tracks[i].Layers[c.Layer]
			used += l.Bitrate
			if !track.Enabled || l.Bitrate <= 0 || c.Layer > track.top() || c.Layer < track.floor() {
				t.Errorf("%+v gets %v", track, c)
			}
		}
		if used > budget {
			t.Fatalf("%d used of %d", used, budget)
		}
		demand := Demand(tracks)
		for i, c := range Allocate(tracks, 1e9) {
			if c.Layer != Paused {
				demand -= tracks[i].Layers[c.Layer].Bitrate
			}
			if c.Layer != tracks[i].top() || c.Reason == wire.QualityBandwidth {
				t.Errorf("%+v gets %v of an unlimited budget", tracks[i], c)
			}
		}
		if demand != 0 {
			t.Errorf("%d more demanded than used", demand)
		}
	}
}

// With the sum of floors nothing is paused that is there.
func TestFloors(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		tracks := randomTracks(random)
		for _, c := range Allocate(tracks, Floors(tracks)) {
			if c.Layer == Paused && c.Reason == wire.QualityBandwidth {
				t.Fatalf("%+v: %d", tracks, Floors(tracks))
			}
		}
	}
	tracks := []Track{camera(1), with(camera(2), func(t *Track) { t.Layers, t.Floor = screen, 1 }), with(camera(3), func(t *Track) { t.Enabled = false })}
	if got := Floors(tracks); got != 750_000*115/100+1 {
		t.Errorf("%d for tracks that are paused", got)
	}
	tracks[0].Current, tracks[1].Current = 0, 2
	if got := Floors(tracks); got != 750_000 {
		t.Errorf("%d for tracks that are sent", got)
	}
}

func randomTracks(random *rand.Rand) []Track {
	tracks := make([]Track, random.IntN(8))
	for i := range tracks {
		tracks[i] = Track{
			ID: i, Priority: random.IntN(3), Enabled: random.IntN(5) > 0, Floor: random.IntN(4) - 1, Current: random.IntN(4) - 1,
			Width: random.IntN(3) * 500, Height: random.IntN(3) * 300, FPS: random.IntN(3) * 10,
		}
		for range random.IntN(4) {
			tracks[i].Layers = append(tracks[i].Layers, Layer{
				Bitrate: random.IntN(8)*300_000 - 300_000, Width: random.IntN(2000), Height: random.IntN(1200), FPS: random.IntN(60),
			})
		}
	}
	return tracks
}

func ExampleAllocate() {
	tracks := []Track{
		{ID: 1, Layers: simulcast, Enabled: true, Current: Paused, Width: 320, Height: 180},
		{ID: 2, Layers: simulcast, Enabled: true, Current: Paused, Priority: PrioritySpeaker},
	}
	fmt.Println(Allocate(tracks, 1_000_000))
	// Output: [{0 size} {1 bandwidth}]
}
