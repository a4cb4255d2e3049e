package main

import (
	"encoding/binary"
	"strings"
	"time"

	"confab/bots/hearing"
	"confab/media"
	"confab/signaling/wire"
)

// tapEar brings what people send into their microphones to an ear.
func tapEar(server *media.Server) func(wire.RoomID, *hearing.Ear) (func(), error) {
	return func(room wire.RoomID, ear *hearing.Ear) (func(), error) { return server.Tap(room, earSink{ear}) }
}

// earSink is an ear as the SFU sees it.
type earSink struct{ *hearing.Ear }

// Track implements media.TapSink.
func (s earSink) Track(t media.TapTrack) media.TapWriter {
	if t.Source != wire.Microphone || !strings.EqualFold(t.Codec, "opus") {
		return nil
	}
	return &earTrack{Track: s.Ear.Track(t.Participant), level: levelUnknown}
}

const (
	rtpHeader    = 12 // bytes: a tap has neither extensions nor contributing sources (RFC 3550 section 5.1)
	levelUnknown = -1
)

// earTrack is a track of an ear as the SFU sees it. It implements media.TapLevels.
type earTrack struct {
	*hearing.Track
	level int // of the next packet
}

// Level implements media.TapLevels.
func (t *earTrack) Level(level uint8) { t.level = int(level) }

// Write implements media.TapWriter.
func (t *earTrack) Write(packet []byte, _ time.Time) {
	level := t.level
	t.level = levelUnknown
	if len(packet) <= rtpHeader {
		return // nothing but padding
	}
	t.Track.Write(hearing.Packet{
		Seq: binary.BigEndian.Uint16(packet[2:]), TS: binary.BigEndian.Uint32(packet[4:]), SSRC: binary.BigEndian.Uint32(packet[8:]),
		Level: level, Opus: packet[rtpHeader:],
	})
}

// SenderReport implements media.TapWriter.
func (*earTrack) SenderReport(uint64, uint32, time.Time) {}
