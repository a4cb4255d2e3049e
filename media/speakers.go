package media

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"confab/signaling/wire"
)

// How speech is told from silence. Levels are in dB above the quietest that a header extension can tell (RFC 6464
// section 3), so 0 is silence and 127 the loudest.
const (
	silence      = 0
	loudest      = 127
	speechStarts = 82                     // -45 dBov
	speechEnds   = 72                     // -55 dBov
	speechHolds  = 600 * time.Millisecond // a pause for breath does not end it
	swapMargin   = 6                      // who comes later in the order must be so much louder to change places,
	scoreTime    = 800 * time.Millisecond // for about so long

	voiceAttack  = 0.3                    // of the way to a louder level with each packet of 20 ms
	voiceRelease = 0.06                   // to a quieter one
	voiceGone    = 200 * time.Millisecond // without packets is silence: the sender has stopped at a pause (DTX)

	speechPackets = 3 // in a row that are loud enough begin speech: a click is shorter

	speakersInterval = 250 * time.Millisecond // between two messages to one client
	listenInterval   = 50 * time.Millisecond  // between two looks at a room
	maxSpeakers      = 8                      // named in one message

	loudestFrom  = 10              // in rooms with more microphones than this
	loudestCount = 5               // only so many are forwarded: the loudest,
	loudestHolds = 2 * time.Second // and who was one of them and spoke so lately
)

// A voice is how loud a track is, and when it was speech. It is guarded by its stream's mu.
type voice struct {
	level float64   // smoothed
	at    time.Time // of the last packet that told it; zero = none does

	row   int       // packets in a row above speechStarts
	first time.Time // of them
	began time.Time // the newest speech, without a pause of voiceGone; zero = there was none
	loud  time.Time // its last packet above speechEnds
}

// hear takes the audio level extension of one packet.
func (v *voice) hear(extension []byte, now time.Time) {
	if len(extension) == 0 {
		return
	}
	level := float64(loudest - extension[0]&0x7f)
	if level > v.level {
		v.level += (level - v.level) * voiceAttack
	} else {
		v.level += (level - v.level) * voiceRelease
	}
	v.at = now
	v.follow(loudest-extension[0]&0x7f, now)
}

// follow finds where speech begins and ends, with no delay that can be spared: bots fall silent by it.
func (v *voice) follow(level byte, now time.Time) {
	switch {
	case level < speechStarts:
		v.row = 0
	case v.row == 0:
		v.row, v.first = 1, now
	default:
		v.row++
	}
	switch {
	case now.Sub(v.loud) <= voiceGone:
		if level >= speechEnds {
			v.loud = now
		}
	case v.row >= speechPackets:
		v.began, v.loud = v.first, now
	}
}

func (v *voice) now(now time.Time) float64 {
	if now.Sub(v.at) > voiceGone {
		return silence
	}
	return v.level
}

// A speaker is one who is heard, or who was until a moment ago.
type speaker struct {
	id    wire.ParticipantID
	level float64
	score float64   // the level of the last second or so; a newcomer has half of it
	last  time.Time // when it was last loud enough
	seen  bool      // scratch of update
}

// speakers is who speaks in a room, the dominant one first. It is arithmetic alone.
type speakers struct {
	list []speaker
	at   time.Time // of the last update
}

// A heard is the level of one participant.
type heard struct {
	id    wire.ParticipantID
	level float64
}

// update takes the levels of all, and returns who speaks.
func (s *speakers) update(now time.Time, levels []heard) []wire.Speaker {
	weight := min(now.Sub(s.at).Seconds()/scoreTime.Seconds(), 1)
	s.at = now
	for i := range s.list {
		s.list[i].seen = false
	}
	for _, h := range levels {
		i := slices.IndexFunc(s.list, func(other speaker) bool { return other.id == h.id })
		if i < 0 {
			if h.level < speechStarts {
				continue
			}
			i = len(s.list)
			s.list = append(s.list, speaker{id: h.id, score: h.level / 2, last: now})
		}
		one := &s.list[i]
		one.seen, one.level = true, h.level
		one.score += (h.level - one.score) * weight
		if h.level >= speechEnds {
			one.last = now
		}
	}
	s.list = slices.DeleteFunc(s.list, func(one speaker) bool { return !one.seen || now.Sub(one.last) > speechHolds })
	for i := 1; i < len(s.list); i++ { // one step up at a time
		if s.list[i].score > s.list[i-1].score+swapMargin {
			s.list[i], s.list[i-1] = s.list[i-1], s.list[i]
		}
	}
	return s.named()
}

// named is the list as clients are told it, with levels in tenths, so that it changes only when one can see it.
func (s *speakers) named() []wire.Speaker {
	list := make([]wire.Speaker, 0, min(len(s.list), maxSpeakers))
	for _, one := range s.list[:min(len(s.list), maxSpeakers)] {
		level := (one.level - speechEnds) / (loudest - speechEnds)
		list = append(list, wire.Speaker{Participant: one.id, Level: math.Round(10*min(max(level, 0), 1)) / 10})
	}
	return list
}

// A listener hears what is said in one room. Any number of goroutines may use it.
type listener struct {
	mu       sync.Mutex
	at       time.Time              // guarded by mu: of the last look
	tracks   []*ingress             // guarded by mu: scratch of listen, empty between two looks
	levels   []heard                // guarded by mu: scratch of listen
	speakers speakers               // guarded by mu
	said     []wire.Speaker         // guarded by mu; what it points to never changes
	version  int                    // guarded by mu: of said, 0 = nobody has spoken yet
	heard    map[*ingress]time.Time // guarded by mu: when one of the loudest was last heard

	spoken map[wire.ParticipantID]time.Duration // guarded by mu: how long each has spoken since the room's media began
}

// Of how many participants it is known how long they have spoken; those who come later are not measured.
const maxMeasured = 1000

// measure counts the time since the last look to those who speak. mu is held.
func (l *listener) measure(since time.Duration) {
	for _, one := range l.speakers.list {
		if one.level < speechEnds {
			continue
		}
		if l.spoken == nil {
			l.spoken = make(map[wire.ParticipantID]time.Duration)
		}
		if _, known := l.spoken[one.id]; known || len(l.spoken) < maxMeasured {
			l.spoken[one.id] += min(since, voiceGone)
		}
	}
}

// Spoken returns how long each participant of a room has spoken since its media began to go through the server; nil when
// none goes.
func (s *Server) Spoken(roomID wire.RoomID) map[wire.ParticipantID]time.Duration {
	s.mu.Lock()
	r := s.rooms[roomID]
	s.mu.Unlock()
	if r == nil {
		return nil
	}
	r.listener.mu.Lock()
	defer r.listener.mu.Unlock()
	spoken := make(map[wire.ParticipantID]time.Duration, len(r.listener.spoken))
	maps.Copy(spoken, r.listener.spoken)
	return spoken
}

// listen looks at who speaks, unless that was done a moment ago, and returns it with its version. It may silence
// microphones, or open them again.
func (r *room) listen(now time.Time) ([]wire.Speaker, int) {
	l := &r.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.at) < listenInterval {
		return l.said, l.version
	}
	since := now.Sub(l.at)
	l.at = now
	microphones := r.microphones(l.tracks)
	defer func() {
		clear(microphones)
		l.tracks = microphones[:0]
	}()
	levels := l.levels[:0]
	for _, in := range microphones {
		if level, known := in.voice(now); known {
			levels = append(levels, heard{in.key.participant, level})
		}
	}
	l.levels = levels
	if said := l.speakers.update(now, levels); !slices.Equal(said, l.said) {
		l.said = said
		l.version++
	}
	l.measure(since)
	for _, in := range l.choose(microphones, now) {
		r.wake(in)
	}
	return l.said, l.version
}

// choose silences all but the loudest microphones of a large room, and returns those for which that has changed. One
// that tells no levels is never silenced. mu is held.
func (l *listener) choose(microphones []*ingress, now time.Time) (changed []*ingress) {
	type rank struct {
		in    *ingress
		level float64
	}
	var ranks []rank
	if len(microphones) > loudestFrom {
		for _, in := range microphones {
			if level, known := in.voice(now); known {
				ranks = append(ranks, rank{in, level})
			}
		}
		slices.SortStableFunc(ranks, func(a, b rank) int { return cmp.Compare(b.level, a.level) })
	}
	before := l.heard
	var silent map[*ingress]bool
	if l.heard = nil; len(ranks) > 0 {
		silent, l.heard = map[*ingress]bool{}, map[*ingress]time.Time{}
	}
	for i, one := range ranks {
		last, was := before[one.in]
		if i < loudestCount && one.level >= speechEnds {
			last, was = now, true
		}
		if was && now.Sub(last) <= loudestHolds {
			l.heard[one.in] = last
		} else if i >= loudestCount {
			silent[one.in] = true
		}
	}
	for _, in := range microphones {
		if in.silenced.Swap(silent[in]) != silent[in] {
			changed = append(changed, in)
		}
	}
	return changed
}

// voice returns how loud a track is, and whether it says so at all.
func (in *ingress) voice(now time.Time) (level float64, known bool) {
	s := in.streams[0].Load()
	if s == nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.voice.now(now), !s.voice.at.IsZero()
}

// microphones appends those that are published to list.
func (r *room) microphones(list []*ingress) []*ingress {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, in := range r.published {
		if in.key.source == wire.Microphone {
			list = append(list, in)
		}
	}
	return list
}

// wake has whoever receives in look at it again.
func (r *room) wake(in *ingress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.peers {
		for _, e := range *p.sending.Load() {
			if f := e.want.Load(); f != nil && f.in == in {
				e.notify()
			}
		}
	}
}

// listen tells the client who speaks, when that has changed. It is called by control.
func (p *Peer) listen(now time.Time) {
	said, version := p.room.listen(now)
	p.dominant = ""
	if len(said) > 0 {
		p.dominant = said[0].Participant
	}
	if version == p.saidVersion || now.Sub(p.saidAt) < speakersInterval {
		return
	}
	p.saidVersion, p.saidAt = version, now
	p.post(func(e *events) { e.messages = append(e.messages, wire.ActiveSpeakers{Speakers: said}) })
}
