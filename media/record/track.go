package record

import (
	"path/filepath"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
)

const (
	keyRetry      = 500 * time.Millisecond // between two requests for a key frame
	maxPacketSize = 2048                   // bytes of one RTP packet; larger ones are dropped
)

// A Track describes one published track; none of it changes. Another codec is another track, and so another file. The
// SSRC of its packets may change: that is another simulcast layer of the same picture.
type Track struct {
	Participant wire.ParticipantID
	Source      wire.Source
	Codec       string // its RTP name: opus, VP8, VP9, H264, AV1
	ClockRate   uint32 // ticks of its timestamps a second; 0 = 48,000 for sound and 90,000 for video
	Parameters  string // its format parameters (a=fmtp); of H.264 sprop-parameter-sets counts, if there
	RequestKey  func() // asks the publisher for a key frame; it must not block; nil = that is not possible
}

// A stream is the way of one track from packets to its file. It is not safe for concurrent use.
type stream struct {
	// Set by newStream, then constant.
	track Track
	codec codec
	dir   string
	name  func() (base, title string) // of the file, without extension, and of the track, for people; asked for once
	wall  *wallClock                  // shared by the tracks of the participant

	reorder   reorder
	assembler *assembler
	clock     clock
	file      *container // nil = no frame has come
	keyAsked  time.Time
	header    rtp.Header
	fileName  string // within dir
	ssrc      uint32
	heard     bool // ssrc is valid
}

func newStream(t Track, c codec, dir string, name func() (base, title string), wall *wallClock) *stream {
	if t.ClockRate == 0 {
		t.ClockRate = 90000 // RFC 7741 section 4.1 and its like
		if !c.video() {
			t.ClockRate = opusRate
		}
	}
	return &stream{
		track: t, codec: c, dir: dir, name: name, wall: wall,
		assembler: newAssembler(c), clock: clock{rate: int64(t.ClockRate)},
	}
}

// packet takes one RTP packet, which s keeps. Malformed ones are dropped. The error is that of the file system.
func (s *stream) packet(b []byte, arrival time.Time) error {
	n, err := s.header.Unmarshal(b)
	if err != nil || len(b) > maxPacketSize {
		return nil //nolint:nilerr // whoever sends it hurts nobody else
	}
	payload := b[n:]
	if s.header.Padding {
		if len(payload) == 0 || int(payload[len(payload)-1]) > len(payload) {
			return nil
		}
		payload = payload[:len(payload)-int(payload[len(payload)-1])]
	}
	if s.heard && s.header.SSRC != s.ssrc {
		if err := s.change(arrival); err != nil {
			return err
		}
	}
	s.ssrc, s.heard = s.header.SSRC, true
	s.reorder.push(s.header.SequenceNumber, packet{
		ts: s.header.Timestamp, marker: s.header.Marker, payload: payload, arrival: arrival,
	})
	return s.drain(arrival)
}

// change takes another RTP stream for the same track: another simulcast layer, with numbers of its own. The file goes
// on with its next key frame. The error is that of the file system.
func (s *stream) change(now time.Time) error {
	err := s.drain(now.Add(reorderWait)) // nothing more will come of the old one
	s.reorder = reorder{lost: s.reorder.lost}
	s.assembler.restart()
	s.clock.restart()
	return err
}

// tick lets go what has waited for long enough. The error is that of the file system.
func (s *stream) tick(now time.Time) error {
	if err := s.drain(now); err != nil {
		return err
	}
	s.askKey(now)
	if s.file == nil {
		return nil
	}
	return s.file.flushDue(now)
}

func (s *stream) drain(now time.Time) error {
	for {
		p, ok := s.reorder.pop(now)
		if !ok {
			return nil
		}
		err := s.assembler.push(p, func(f frame, ts uint32) error { return s.write(f, ts, p.arrival) })
		if err != nil {
			return err
		}
	}
}

// askKey asks for a key frame when packets come and nothing can be written without one.
func (s *stream) askKey(now time.Time) {
	if s.heard && s.assembler.waitKey && s.track.RequestKey != nil && now.Sub(s.keyAsked) >= keyRetry {
		s.keyAsked = now
		s.track.RequestKey()
	}
}

func (s *stream) write(f frame, ts uint32, arrival time.Time) error {
	at := s.clock.at(ts, arrival)
	if s.file == nil {
		base, title := s.name()
		s.fileName = base + extension(s.codec)
		file, err := createContainer(filepath.Join(s.dir, s.fileName), title, s.codec, f)
		if err != nil {
			return err
		}
		s.file = file
	}
	return s.file.add(at, f, arrival)
}

// report takes a sender report: the RTP timestamp rtp was at ntp by the participant's clock.
func (s *stream) report(ntp uint64, rtp uint32, at time.Time) {
	s.clock.report(rtp, s.wall.report(ntpTime(ntp), at))
}

// finish writes what is left and completes the file. The error is that of the file system.
func (s *stream) finish(now time.Time) error {
	err := s.drain(now.Add(reorderWait)) // nothing more will come
	if s.file == nil {
		return err
	}
	if end := s.file.finish(); err == nil {
		err = end
	}
	return err
}

// describe fills in what the manifest says of the track; began is when the recording did.
func (s *stream) describe(m *TrackEntry, began time.Time) {
	m.Lost, m.Dropped = s.reorder.lost, s.assembler.dropped
	if s.file == nil {
		return
	}
	start := s.clock.base.Sub(began)
	m.File = s.fileName
	m.StartMs, m.EndMs = start.Milliseconds(), (start + s.file.duration()).Milliseconds()
	m.Bytes, m.Frames = s.file.size, s.file.frames
}
