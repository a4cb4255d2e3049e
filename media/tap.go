package media

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"confab/signaling/wire"
)

// tapInterval is how often a tap looks for packets. Whoever takes them needs no low delay, and a ring holds seconds:
// looking now and then costs less than being woken for each packet, and publishers know nothing of it.
const tapInterval = 20 * time.Millisecond

var errTapStopped = errors.New("media: tap stopped")

// A TapSink takes all that is published in a room. Its methods are called by one goroutine. A sink that blocks misses
// packets; nobody else is kept.
type TapSink interface {
	// Track says that a track is published. nil: it is not wanted.
	Track(TapTrack) TapWriter
}

// A TapTrack describes one published track; none of it changes.
type TapTrack struct {
	Participant wire.ParticipantID
	Source      wire.Source
	Codec       string // its RTP name: opus, VP8, VP9, H264, AV1
	ClockRate   uint32 // ticks of its timestamps a second
	Parameters  string // its format parameters, as the publisher's SDP has them (a=fmtp)
	RequestKey  func() // asks the publisher for a key frame; it does not block
}

// A TapWriter takes one track. Its methods are called by one goroutine.
type TapWriter interface {
	// Write takes one RTP packet without header extensions, in the order of arrival; the slice is good until it
	// returns. Packets of nothing but padding come too, without payload. With simulcast it is the largest layer that
	// comes: another SSRC, whose first packet begins a key frame, is another one.
	Write(packet []byte, arrival time.Time)
	// SenderReport says that the RTP timestamp rtp was at ntp by the publisher's clock, as it came at at.
	SenderReport(ntp uint64, rtp uint32, at time.Time)
	// Close says that the track has ended.
	Close()
}

// A TapLevels is a TapWriter that is told how loud packets are, too.
type TapLevels interface {
	TapWriter
	// Level comes before the Write of each packet that says how loud it is (RFC 6464 section 3): 0 is the loudest, 127 is
	// silence, in dB below that.
	Level(level uint8)
}

// Tap hands every track that is published in a room, now and later, to sink, until stop is called, which waits until
// all is handed over and closed. The room need not have anybody in it. The error is ErrClosed.
func (s *Server) Tap(room wire.RoomID, sink TapSink) (stop func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	t := &roomTap{server: s, room: room, sink: sink, feeds: map[*ingress]*tapFeed{}, done: make(chan struct{})}
	t.ctx, t.end = context.WithCancelCause(s.lifetime)
	s.peers.Go(t.run)
	return func() {
		t.end(errTapStopped)
		<-t.done
	}, nil
}

// A roomTap reads the rings of one room. The Server waits for its run.
type roomTap struct {
	// Set by Tap, then constant.
	server *Server
	room   wire.RoomID
	sink   TapSink
	ctx    context.Context
	end    context.CancelCauseFunc
	done   chan struct{} // closed by run as it returns

	feeds map[*ingress]*tapFeed // owned by run
}

func (t *roomTap) run() {
	defer close(t.done)
	tick := time.NewTicker(tapInterval)
	defer tick.Stop()
	for t.ctx.Err() == nil {
		select {
		case <-t.ctx.Done():
		case now := <-tick.C:
			t.look(t.published(), now)
		}
	}
	t.look(nil, time.Now())
}

// published returns what is published in the room now.
func (t *roomTap) published() []*ingress {
	t.server.mu.Lock()
	r := t.server.rooms[t.room]
	t.server.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.tracks(nil)
}

// look reads all tracks, those that have ended for the last time.
func (t *roomTap) look(published []*ingress, now time.Time) {
	for _, in := range published {
		if t.feeds[in] == nil {
			t.feeds[in] = t.open(in)
		}
	}
	for in, f := range t.feeds {
		if f.writer != nil {
			f.read(now)
		}
		if !slices.Contains(published, in) {
			f.close()
			delete(t.feeds, in)
		}
	}
}

// open begins to read a track, with what comes from now on: what its ring holds may have been sent before there was
// a tap, or before the participant was allowed to send it.
func (t *roomTap) open(in *ingress) *tapFeed {
	_, codec, _ := strings.Cut(in.codec.MimeType, "/")
	f := &tapFeed{in: in}
	f.choose()
	f.writer = t.sink.Track(TapTrack{
		Participant: in.key.participant, Source: in.key.source, Codec: codec, ClockRate: in.clock,
		Parameters: in.codec.SDPFmtpLine, RequestKey: f.requestKey,
	})
	if f.writer != nil {
		f.wish(use{layers: maxStreams * maxSpatial})
	}
	f.levels, _ = f.writer.(TapLevels)
	return f
}

// A tapFeed reads the largest simulcast layer that comes. It is owned by the tap's run.
type tapFeed struct {
	// Constant.
	in     *ingress
	writer TapWriter // nil = not wanted
	levels TapLevels // the same, if it wants to know; nil = it does not
	wisher egress    // stands for the tap among those who wish for layers; it sends nothing

	source  atomic.Pointer[stream] // what is read; nil = nothing has come
	cursor  uint64                 // next arrival to read of it
	next    *stream                // what is to be read from its next key frame on, nil = nothing else
	since   uint64                 // arrivals of next when that was decided
	report  senderReport
	scratch packet
	buffer  []byte
}

// wish has the publisher send so much, although nobody may show it.
func (f *tapFeed) wish(u use) {
	if f.in.demand.wish(&f.wisher, u) {
		poke(f.in.peer.due)
	}
}

func (f *tapFeed) close() {
	if f.writer == nil {
		return
	}
	f.wish(use{})
	f.writer.Close()
}

// requestKey asks for a key frame of what is read. Any goroutine may call it.
func (f *tapFeed) requestKey() {
	if s := f.source.Load(); s != nil {
		s.wantKey()
	}
}

// choose changes to the largest layer that comes: when there is a key frame of it, as long as the old one lasts.
func (f *tapFeed) choose() {
	source, want := f.source.Load(), f.in.largest()
	switch {
	case want == nil || want == source:
		f.next = nil
	case source == nil || f.in.streams[source.index].Load() != source: // it has ended
		want.mu.Lock()
		f.turn(want, want.ring.arrivals)
		want.mu.Unlock()
	case want != f.next:
		want.mu.Lock()
		f.next, f.since = want, want.ring.arrivals
		want.mu.Unlock()
		want.wantKey()
	default:
		want.mu.Lock()
		defer want.mu.Unlock()
		key, ok := want.ring.keyFrame(maxReplay)
		if p := want.ring.get(key); ok && p.arrival >= f.since {
			f.turn(want, p.arrival)
		}
	}
}

func (f *tapFeed) turn(to *stream, cursor uint64) {
	f.source.Store(to)
	f.cursor, f.next, f.report = cursor, nil, senderReport{}
}

// largest is the stream of the largest layer that comes now; nil = nothing has come.
func (in *ingress) largest() *stream {
	index := -1
	for _, q := range *in.qualities.Load() {
		if q.bitrate > 0 {
			index = max(index, int(q.stream))
		}
	}
	if index < 0 {
		index = maxStreams - 1
	}
	return in.stream(index)
}

// read hands over what has come since the last time.
func (f *tapFeed) read(now time.Time) {
	f.choose()
	s := f.source.Load()
	if s == nil {
		return
	}
	for f.take(s) {
		if f.levels != nil && !f.in.video && len(f.scratch.extra) > 0 {
			f.levels.Level(f.scratch.extra[0] & 0x7f)
		}
		f.writer.Write(f.encode(s), now)
	}
	s.mu.Lock()
	report := s.sr
	s.mu.Unlock()
	if report != f.report {
		f.report = report
		f.writer.SenderReport(report.ntp, report.rtp, report.at)
	}
}

// take copies the next packet into scratch. What the ring has lost meanwhile is left out.
func (f *tapFeed) take(s *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.ring
	if size := uint64(len(r.order)); r.arrivals > f.cursor+size {
		f.cursor = r.arrivals - size
	}
	for f.cursor < r.arrivals {
		p := r.arrived(f.cursor)
		f.cursor++
		if p != nil {
			p.copyTo(&f.scratch)
			return true
		}
	}
	return false
}

// encode makes the RTP packet (RFC 3550 section 5.1) of scratch. It is good until the next one.
func (f *tapFeed) encode(s *stream) []byte {
	p := &f.scratch
	marker := byte(0)
	if p.marker {
		marker = 0x80
	}
	b := append(f.buffer[:0], 0x80, marker|s.payloadType)
	b = binary.BigEndian.AppendUint16(b, uint16(p.seq))
	b = binary.BigEndian.AppendUint32(b, p.ts)
	b = binary.BigEndian.AppendUint32(b, s.ssrc)
	payload := p.payload
	if p.red && len(payload) > 0 {
		payload, _ = primary(payload) // a sink knows Opus only
	}
	f.buffer = append(b, payload...)
	return f.buffer
}
