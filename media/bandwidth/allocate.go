package bandwidth

import (
	"cmp"
	"slices"
	"time"

	"confab/signaling/wire"
)

// Priorities of tracks; any other number may stand between them. The larger is served first.
const (
	PriorityOther   = 0
	PrioritySpeaker = 10
	PriorityScreen  = 20
)

// Paused is the layer of a track that is not sent.
const Paused = -1

// Hysteresis of the allocation.
const (
	upHeadroom = 15              // percent of the sum that must be to spare before a track goes up
	upHold     = 3 * time.Second // after bandwidth took a track down, before it may go up again
	pauseHold  = time.Second     // the same for its floor when it was paused: a picture that stands still is worse
	downHold   = time.Second     // that what is sent may be a little too much before it is taken down
	downSlack  = 75              // percent of what is sent; with less it is taken down at once
	downNear   = 90              // percent of what is sent; with as much it is not taken down
)

// A Layer is one quality that a track can be sent in.
type Layer struct {
	Bitrate int // bits a second of this layer with all layers it is decoded with; 0 or less = it is not there
	Width   int // pixels
	Height  int // pixels
	FPS     int // frames a second
}

// A Track is one video that a receiver may get.
type Track struct {
	ID       int     // unique among the tracks of one receiver; of two with equal priority the smaller id is first
	Priority int     // the larger is served first
	Layers   []Layer // from the smallest to the largest
	Width    int     // pixels, how large it is shown
	Height   int     // the same; both 0 = as large as there is
	FPS      int     // frames a second that are shown; 0 = as many as there are
	Enabled  bool    // the receiver wants it
	Floor    int     // index of the layer below which the track is paused instead
	Less     int     // layers below the largest useful one that it may have at most, the server being under load
	Current  int     // index of the layer that is sent now, Paused if none
}

// A Choice is what one track gets.
type Choice struct {
	Layer  int                // index, or Paused
	Reason wire.QualityReason // what keeps it from being larger
}

// Allocate shares budget, in bits a second and without audio, among tracks and returns one choice for each, in their
// order. First each enabled track gets its floor, by priority; what does not fit is paused. Then, round by round and
// by priority, each goes one layer up, as long as that fits and the layer is not larger than what is shown: the
// smallest layer at least as large in width, height and frames a second is the last. A step above Current must leave
// 15 % to spare, so that small changes of the budget change nothing; a step down is taken as soon as the budget asks
// for it. An Allocator also waits between down and up.
func Allocate(tracks []Track, budget int) []Choice {
	return new(allocation).of(tracks, budget)
}

// Demand returns how many bits a second Allocate would use of an unlimited budget.
func Demand(tracks []Track) int {
	sum := 0
	for i := range tracks {
		if top := tracks[i].top(); top != Paused {
			sum += tracks[i].Layers[top].Bitrate
		}
	}
	return sum
}

// Floors returns the least budget, in bits a second, by which Allocate pauses no track.
func Floors(tracks []Track) int {
	sum, up := 0, false
	for i := range tracks {
		if floor := tracks[i].floor(); floor != Paused {
			sum += tracks[i].Layers[floor].Bitrate
			up = up || tracks[i].Current < floor
		}
	}
	if up {
		sum += sum*upHeadroom/100 + 1
	}
	return sum
}

// An Allocator is Allocate with a memory of what went down lately. Its zero value is ready.
type Allocator struct {
	Carried bool // what is sent now is known to fit, whatever the budget: see Estimator.Carries
	Drowned bool // not even the least that is sent now fits: see Estimator.Drowned

	run allocation // the last one, whose memory the next one uses

	downs map[int]time.Time // when bandwidth last took a track down, by id; older ones than upHold are dropped
	short time.Time         // since when the budget is less than what is sent, zero = it is not
	least time.Time         // since when no more than the floor of one track is sent, zero = more is, or nothing
	only  int               // ID of that track
}

// Least returns since when no more than the floor of one track is sent, which is as little as can be; zero: more is, or
// nothing.
func (a *Allocator) Least() time.Time { return a.least }

// Allocate is like the function Allocate, but a track that bandwidth has taken down does not go above Current again
// within 3 s, from pause to its floor within 1 s, and nothing is taken down for a budget that is short by less than a
// quarter for less than 1 s, or by less than a tenth, or while what is sent is Carried: estimates dip and bitrates
// vary, and a picture that is paused for that is worse than a queue that becomes a little longer. The most important
// of the tracks that are sent keeps its floor whatever the budget, unless the path is Drowned: an estimate can be
// wrong, and to find that out takes longer than a picture may stand still. The choices are good until the next call.
func (a *Allocator) Allocate(now time.Time, tracks []Track, budget int) []Choice {
	for id, at := range a.downs {
		if now.Sub(at) >= upHold {
			delete(a.downs, id)
		}
	}
	budget = a.patient(now, tracks, budget)
	if !a.Drowned {
		budget = max(budget, kept(tracks))
	}
	a.run.downs, a.run.now = a.downs, now
	choices := a.run.of(tracks, budget)
	for i, c := range choices {
		if c.Reason == wire.QualityBandwidth && c.Layer < tracks[i].Current {
			if a.downs == nil {
				a.downs = map[int]time.Time{}
			}
			a.downs[tracks[i].ID] = now
		}
	}
	a.noteLeast(now, tracks, choices)
	return choices
}

// noteLeast finds out whether what was chosen is as little as can be.
func (a *Allocator) noteLeast(now time.Time, tracks []Track, choices []Choice) {
	sent, only := 0, 0
	for i, c := range choices {
		if c.Layer != Paused {
			sent, only = sent+1, i
		}
	}
	if sent != 1 || choices[only].Layer > tracks[only].floor() {
		a.least = time.Time{}
	} else if id := tracks[only].ID; a.least.IsZero() || a.only != id {
		a.least, a.only = now, id
	}
}

// kept returns the bits a second that the most important of the tracks that are sent needs for its floor, 0 if nothing
// is sent.
func kept(tracks []Track) int {
	first := -1
	for i := range tracks {
		t := &tracks[i]
		if floor := t.floor(); floor != Paused && t.Current >= floor && (first < 0 || before(t, &tracks[first]) < 0) {
			first = i
		}
	}
	if first < 0 {
		return 0
	}
	return tracks[first].Layers[tracks[first].floor()].Bitrate
}

// before compares two tracks by which of them is served first.
func before(a, b *Track) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.ID, b.ID))
}

// patient returns the budget, or what is sent now if that is to go on in spite of it.
func (a *Allocator) patient(now time.Time, tracks []Track, budget int) int {
	sent := 0
	for i := range tracks {
		if t := &tracks[i]; t.Enabled && t.Current >= 0 && t.Current < len(t.Layers) {
			sent += max(t.Layers[min(t.Current, max(t.top(), 0))].Bitrate, 0)
		}
	}
	share := 100 * float64(budget) / float64(max(sent, 1))
	if share >= downNear || a.Carried {
		a.short = time.Time{}
		return max(budget, sent)
	}
	if a.short.IsZero() {
		a.short = now
	}
	if share < downSlack || now.Sub(a.short) >= downHold {
		return budget
	}
	return sent
}

// An allocation is one run of Allocate. It can be used again, and then allocates only for more tracks than before.
type allocation struct {
	downs map[int]time.Time // as in Allocator; nil = nothing went down
	now   time.Time         // for downs

	tracks  []Track
	order   []int // in which tracks are served
	tops    []int // the layer that each track should get
	layers  []int // the layer that each track has
	choices []Choice
	left    int // bits a second
	used    int // bits a second
}

// of shares out a budget. What it returns is good until the next call.
func (a *allocation) of(tracks []Track, budget int) []Choice {
	a.tracks, a.left, a.used = tracks, max(budget, 0), 0
	a.order, a.tops, a.layers, a.choices = a.order[:0], a.tops[:0], a.layers[:0], a.choices[:0]
	for i := range tracks {
		a.order, a.tops, a.layers = append(a.order, i), append(a.tops, tracks[i].top()), append(a.layers, Paused)
	}
	slices.SortStableFunc(a.order, func(i, j int) int { return before(&tracks[i], &tracks[j]) })
	for again := true; again; { // the first round gives floors
		again = false
		for _, i := range a.order {
			again = a.step(i) || again
		}
	}
	for i := range tracks {
		a.choices = append(a.choices, Choice{Layer: a.layers[i], Reason: tracks[i].reason(a.layers[i], a.tops[i])})
	}
	return a.choices
}

// held reports whether a layer of a track, above Current, may not be taken yet.
func (a *allocation) held(t *Track, next int) bool {
	at, down := a.downs[t.ID]
	return down && (t.Current != Paused || next != t.floor() || a.now.Sub(at) < pauseHold)
}

// step takes track i one layer up and reports whether it could.
func (a *allocation) step(i int) bool {
	t, has := &a.tracks[i], a.layers[i]
	next := t.above(has)
	if next == Paused || next > a.tops[i] {
		return false
	}
	cost := t.Layers[next].Bitrate
	if has != Paused {
		cost -= t.Layers[has].Bitrate
	}
	if cost > a.left {
		return false
	}
	if next > t.Current && (a.held(t, next) || cost > 0 && float64(a.used+cost)*(100+upHeadroom)/100 > float64(a.used+a.left)) {
		return false
	}
	a.layers[i] = next
	a.left -= cost
	a.used += cost
	return true
}

// Bitrate returns the bits a second of layer i, 0 for Paused.
func (t *Track) Bitrate(i int) int {
	if i < 0 {
		return 0
	}
	return max(t.Layers[i].Bitrate, 0)
}

// above returns the next layer that is there above layer i; above Paused it is the floor. Paused: there is none.
func (t *Track) above(i int) int {
	if i == Paused {
		return t.floor()
	}
	for i++; i < len(t.Layers); i++ {
		if t.Layers[i].Bitrate > 0 {
			return i
		}
	}
	return Paused
}

// useful returns the largest layer that is worth sending, Paused if there is none.
func (t *Track) useful() int {
	top := Paused
	if !t.Enabled {
		return top
	}
	want := t.want()
	for i, l := range t.Layers {
		if l.Bitrate <= 0 {
			continue
		}
		if top = i; l.covers(want) {
			break
		}
	}
	return top
}

// floor returns the smallest layer that may be sent, Paused if there is none. A track that is shown smaller than its
// Floor, or whose publisher does not send it, has a lower one.
func (t *Track) floor() int {
	floor := Paused
	for i, top := 0, t.top(); i <= top; i++ {
		if t.Layers[i].Bitrate <= 0 {
			continue
		}
		if floor = i; i >= t.Floor {
			break
		}
	}
	return floor
}

// top returns the largest layer that may be sent, Paused if there is none: the largest useful one, or as many layers
// that are there below it as the server asks for.
func (t *Track) top() int {
	top := t.useful()
	for i, less := top-1, t.Less; i >= 0 && less > 0; i-- {
		if t.Layers[i].Bitrate > 0 {
			top, less = i, less-1
		}
	}
	return top
}

// want returns how large the track is shown, but no larger than the publisher could send it. Of width and height one
// is enough.
func (t *Track) want() Layer {
	var most Layer
	for _, l := range t.Layers {
		most.Width, most.Height, most.FPS = max(most.Width, l.Width), max(most.Height, l.Height), max(most.FPS, l.FPS)
	}
	if t.Width > 0 || t.Height > 0 {
		most.Width, most.Height = min(most.Width, t.Width), min(most.Height, t.Height)
	}
	if t.FPS > 0 {
		most.FPS = min(most.FPS, t.FPS)
	}
	return most
}

// covers reports whether l is at least as large as want.
func (l Layer) covers(want Layer) bool {
	return l.Width >= want.Width && l.Height >= want.Height && l.FPS >= want.FPS
}

// reason says why a track whose largest useful layer is top gets layer.
func (t *Track) reason(layer, top int) wire.QualityReason {
	switch {
	case !t.Enabled:
		return wire.QualityHidden
	case top == Paused:
		return wire.QualityPublisher
	case layer < top:
		return wire.QualityBandwidth
	case top < t.useful():
		return wire.QualityServer
	case !t.Layers[top].covers(t.want()):
		return wire.QualityPublisher
	case top < len(t.Layers)-1:
		return wire.QualitySize
	default:
		return wire.QualityFull
	}
}
