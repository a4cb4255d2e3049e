package media

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// ErrPublished is what OpenMicrophone returns for a participant whose microphone is there already.
var ErrPublished = errors.New("media: the participant has a microphone already")

const (
	insideLevelID = 1 // header extension of the packets that a Microphone makes
	// How loud they say they are (RFC 6464 section 3: 30 dB below the loudest, with voice activity). Nobody decodes them
	// here, and what is spoken by a machine is as loud as that all the time.
	insideLevel = 0x80 | 30

	maxLag   = 40 * time.Millisecond // how much later than its time a packet may come and still go on with the last one
	maxFrame = 120 * time.Millisecond
)

// A Microphone is what a participant says that has no connection: Opus packets that come from the process itself. It
// goes the way of any track, so that whoever is or comes in the room hears it. It keeps its room as a peer does.
//
// Its methods may be called concurrently, but Write by one goroutine at a time.
type Microphone struct {
	// Set by OpenMicrophone, then constant.
	server *Server
	room   *room
	stream *stream

	mu     sync.Mutex
	closed bool      // guarded by mu
	seq    uint16    // guarded by mu: of the next packet
	ts     uint32    // guarded by mu: the same
	due    time.Time // guarded by mu: when it follows the last one without a gap; zero = there was none
	packet []byte    // guarded by mu: scratch
	people []*ingress
}

// OpenMicrophone publishes the microphone of a participant that has no Peer, until it is closed. The error is ErrClosed
// or ErrPublished.
func (s *Server) OpenMicrophone(roomID wire.RoomID, id wire.ParticipantID) (*Microphone, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	r := s.rooms[roomID]
	if r == nil {
		r = newRoom(roomID)
		r.shard = s.shardOf(roomID)
	}
	in := newInside(s, r, id)
	if !r.enterInside(in) {
		return nil, ErrPublished
	}
	s.rooms[roomID] = r
	return &Microphone{
		server: s, room: r, stream: in.streams[0].Load(), seq: uint16(rand.Uint32() & 0x7fff), ts: rand.Uint32(),
	}, nil
}

// newInside makes the track of a Microphone. What is asked of its publisher, asks nobody: sound needs no key frames, and
// nothing gets lost on the way here.
func newInside(s *Server, r *room, id wire.ParticipantID) *ingress {
	nobody := &Peer{server: s, room: r, id: id, log: s.log.With("room", r.id, "participant", id), ctx: s.lifetime}
	in := &ingress{
		peer: nobody, key: trackKey{id, wire.Microphone}, kind: kindOfCodec(webrtc.MimeTypeOpus), clock: opusClock, inside: true,
		codec: webrtc.RTPCodecParameters{PayloadType: payloadOpus, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: opusClock, Channels: 2,
		}},
	}
	in.qualities.Store(&[]quality{})
	stream := &stream{in: in, payloadType: payloadOpus, ssrc: rand.Uint32(), extraID: insideLevelID}
	stream.init()
	in.streams[0].Store(stream)
	return in
}

// opusClock is the rate of Opus timestamps, whatever is in the packets (RFC 7587 section 4.1).
const opusClock = 48000

// Write sends one Opus packet, which is so long, up to 120 ms (RFC 6716 section 2.1.4). It is to be called when the packet
// is due: listeners are told of a pause when it comes later than its time, and keep what comes early waiting. What is
// written after Close is dropped.
func (m *Microphone) Write(packet []byte, length time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(packet) == 0 || length <= 0 || length > maxFrame {
		return
	}
	now := time.Now()
	first := m.due.IsZero() || now.Sub(m.due) > maxLag
	if first && !m.due.IsZero() {
		m.ts += rtpSpan(now.Sub(m.due), opusClock)
	}
	if first {
		m.due = now
	}
	m.stream.receive(m.encode(packet, first), now)
	m.seq++
	m.ts += rtpSpan(length, opusClock)
	m.due = m.due.Add(length)
}

// encode makes the RTP packet (RFC 3550 section 5.1) with its level (RFC 8285 section 4.2); the marker tells the first one
// after a pause (RFC 7587 section 4.2). It is good until the next one. mu is held.
func (m *Microphone) encode(packet []byte, first bool) []byte {
	marker := byte(0)
	if first {
		marker = 0x80
	}
	b := append(m.packet[:0], 0x90, marker|payloadOpus)
	b = binary.BigEndian.AppendUint16(b, m.seq)
	b = binary.BigEndian.AppendUint32(b, m.ts)
	b = binary.BigEndian.AppendUint32(b, m.stream.ssrc)
	b = append(b, 0xbe, 0xde, 0, 1, insideLevelID<<4, insideLevel, 0, 0)
	m.packet = append(b, packet...)
	return m.packet
}

// Heard says when the people in the room were heard last, and since when without a pause of 200 ms; the zero times, when
// nobody was. People are heard by the levels that their packets tell (RFC 6464): three in a row above -45 dBov begin
// it. Of those whose client tells none, nothing is known.
func (m *Microphone) Heard() (since, last time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.people = m.room.microphones(m.people)
	defer func() {
		clear(m.people)
		m.people = m.people[:0]
	}()
	now := time.Now()
	for _, in := range m.people {
		s := in.streams[0].Load()
		if in.inside || s == nil {
			continue
		}
		s.mu.Lock()
		began, ended := s.voice.began, s.voice.loud
		s.mu.Unlock()
		if ended.IsZero() {
			continue
		}
		if now.Sub(ended) > voiceGone { // over: it counts while nothing is newer
			if ended.After(last) {
				since = began
			}
		} else if now.Sub(last) > voiceGone || began.Before(since) {
			since = began
		}
		if ended.After(last) {
			last = ended
		}
	}
	return since, last
}

// Close takes the microphone away. It may be called more than once.
func (m *Microphone) Close() {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return
	}
	m.server.mu.Lock()
	if m.room.leaveInside(m.stream.in) == 0 && m.server.rooms[m.room.id] == m.room {
		delete(m.server.rooms, m.room.id)
	}
	m.server.mu.Unlock()
	m.stream.in.remove(m.stream)
	m.stream.wake()
}

// enterInside publishes the track of a Microphone, unless its participant has one.
func (r *room) enterInside(in *ingress) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.published, func(other *ingress) bool { return other.key == in.key }) {
		return false
	}
	r.inside++
	r.published = append(r.published, in)
	r.changedLocked()
	return true
}

// leaveInside undoes it and returns how many keep the room.
func (r *room) leaveInside(in *ingress) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside--
	r.published = slices.DeleteFunc(r.published, func(other *ingress) bool { return other == in })
	r.changedLocked()
	return len(r.peers) + r.inside
}
