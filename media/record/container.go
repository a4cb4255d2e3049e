package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/at-wat/ebml-go"
	"github.com/at-wat/ebml-go/webm"
)

const (
	// A cluster is written when it has been open for clusterTime or holds clusterBytes. With reorderWait before it,
	// what a killed process loses stays under a second.
	clusterTime  = 500 * time.Millisecond
	clusterBytes = 1 << 20

	cueInterval = time.Second // least time between two entries of the index of video
	cueAudio    = 10 * time.Second

	trackNumber = 1
	program     = "confab"

	// The head of a file, of fixed size so that it can be written again at the end: EBML header, segment, seek head
	// and information, padded.
	headBytes    = 512
	sizeUnknown  = 1<<56 - 1 // of an element whose size takes 8 bytes (RFC 8794 section 6.2)
	timecodeUnit = uint64(time.Millisecond)
)

// A container is one file with one track. It is not safe for concurrent use.
type container struct {
	// Set by createContainer, then constant.
	file *os.File
	doc  string // webm or matroska
	name string // of the track, for people
	cue  time.Duration

	size     int64 // bytes in the file
	tracksAt int64 // where Tracks begins
	cues     []webm.CuePoint
	cueAt    time.Duration // of the newest one
	frames   int
	last     time.Duration // position of the newest frame
	step     time.Duration // between the newest two frames

	cluster webm.Cluster
	bytes   int // of the frames in cluster
	opened  time.Time
	start   time.Duration // position of cluster
	key     bool          // cluster begins with a key frame
}

// createContainer makes the file at path, which must not exist, for a track that begins with the key frame f. The
// error is that of the file system.
func createContainer(path, name string, c codec, f frame) (*container, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	k := &container{file: file, doc: "webm", name: name, cue: cueInterval, cueAt: -time.Hour}
	if extension(c) != ".webm" {
		k.doc = "matroska"
	}
	if !c.video() {
		k.cue = cueAudio
	}
	if err := k.begin(c, f); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return k, nil
}

// begin writes all that stands before the first cluster.
func (k *container) begin(c codec, f frame) error {
	head, err := k.head(0, 0)
	if err != nil {
		return err
	}
	entry := webm.TrackEntry{
		Name: k.name, TrackNumber: trackNumber, TrackUID: trackNumber, CodecID: c.id(), CodecPrivate: f.private,
	}
	if c.video() {
		entry.TrackType = 1
		entry.Video = &webm.Video{PixelWidth: uint64(f.width), PixelHeight: uint64(f.height)}
	} else {
		entry.TrackType = 2
		entry.CodecPrivate, entry.SeekPreRoll = opusHead(), uint64(80*time.Millisecond) // RFC 7845 section 4.6
		entry.Audio = &webm.Audio{SamplingFrequency: opusRate, Channels: opusChannels}
	}
	var b bytes.Buffer
	b.Write(head)
	k.tracksAt = int64(b.Len())
	tracks := struct {
		Tracks webm.Tracks `ebml:"Tracks"`
	}{webm.Tracks{TrackEntry: []webm.TrackEntry{entry}}}
	if err := ebml.Marshal(&tracks, &b); err != nil {
		return fmt.Errorf("record: encoding a track: %w", err)
	}
	return k.append(b.Bytes())
}

// segmentAt is where the segment's content begins, to which positions in the file refer.
func (k *container) segmentAt() int64 { return int64(len(k.ebmlHeader())) + 12 }

func (k *container) ebmlHeader() []byte {
	var b bytes.Buffer
	header := struct {
		Header webm.EBMLHeader `ebml:"EBML"`
	}{*webm.DefaultEBMLHeader}
	header.Header.DocType = k.doc
	if err := ebml.Marshal(&header, &b); err != nil {
		panic("record: " + err.Error()) // constant but for a short name
	}
	return b.Bytes()
}

// head encodes the first headBytes of the file; cuesAt is 0 as long as the file is not complete.
func (k *container) head(cuesAt int64, duration time.Duration) ([]byte, error) {
	var b bytes.Buffer
	b.Write(k.ebmlHeader())
	size := uint64(sizeUnknown)
	content := struct {
		SeekHead *webm.SeekHead `ebml:"SeekHead"`
		Info     webm.Info      `ebml:"Info"`
	}{Info: webm.Info{TimecodeScale: timecodeUnit, MuxingApp: program, WritingApp: program}}
	if cuesAt != 0 {
		size = uint64(k.size - k.segmentAt())
		content.SeekHead = k.seekHead(cuesAt)
		content.Info.Duration = float64(duration.Milliseconds())
	}
	b.Write(binary.BigEndian.AppendUint64([]byte{0x18, 0x53, 0x80, 0x67}, 1<<56|size))
	if err := ebml.Marshal(&content, &b); err != nil {
		return nil, fmt.Errorf("record: encoding the head of a file: %w", err)
	}
	padding := headBytes - b.Len() - 9
	if padding < 0 {
		return nil, fmt.Errorf("record: the head of a file takes %d bytes too many", -padding)
	}
	b.WriteByte(0xec) // Void
	b.Write(binary.BigEndian.AppendUint64(nil, 1<<56|uint64(padding)))
	return append(b.Bytes(), make([]byte, padding)...), nil
}

// seekHead says where the tracks and the cues are.
func (k *container) seekHead(cuesAt int64) *webm.SeekHead {
	return &webm.SeekHead{Seek: []webm.Seek{
		{SeekID: []byte{0x16, 0x54, 0xae, 0x6b}, SeekPosition: uint64(k.tracksAt - k.segmentAt())},
		{SeekID: []byte{0x1c, 0x53, 0xbb, 0x6b}, SeekPosition: uint64(cuesAt - k.segmentAt())},
	}}
}

// add takes one frame at a position that is not before the last one. It writes the cluster that was gathered when it
// is due or the frame can begin a new one. The error is that of the file system.
func (k *container) add(at time.Duration, f frame, now time.Time) error {
	video := k.cue == cueInterval
	if len(k.cluster.SimpleBlock) > 0 && (at-k.start >= clusterTime || k.bytes >= clusterBytes || f.key && video) {
		if err := k.flush(); err != nil {
			return err
		}
	}
	if len(k.cluster.SimpleBlock) == 0 {
		k.opened, k.start, k.key = now, at.Truncate(time.Millisecond), f.key
		k.cluster.Timecode = uint64(k.start.Milliseconds())
	}
	k.cluster.SimpleBlock = append(k.cluster.SimpleBlock, ebml.Block{
		TrackNumber: trackNumber, Timecode: int16((at - k.start).Milliseconds()), Keyframe: f.key, Data: [][]byte{f.data},
	})
	k.bytes += len(f.data)
	if k.frames > 0 && at > k.last {
		k.step = at - k.last
	}
	k.last = at
	k.frames++
	return nil
}

// flushDue writes the cluster that was opened clusterTime before now, so that a track that pauses is not kept back.
func (k *container) flushDue(now time.Time) error {
	if len(k.cluster.SimpleBlock) == 0 || now.Sub(k.opened) < clusterTime {
		return nil
	}
	return k.flush()
}

// flush writes the gathered cluster in one piece.
func (k *container) flush() error {
	if len(k.cluster.SimpleBlock) == 0 {
		return nil
	}
	var b bytes.Buffer
	b.Grow(k.bytes + 64 + 16*len(k.cluster.SimpleBlock))
	cluster := struct {
		Cluster *webm.Cluster `ebml:"Cluster"`
	}{&k.cluster}
	if err := ebml.Marshal(&cluster, &b); err != nil {
		return fmt.Errorf("record: encoding a cluster: %w", err)
	}
	if k.key && k.start-k.cueAt >= k.cue {
		k.cueAt = k.start
		k.cues = append(k.cues, webm.CuePoint{CueTime: k.cluster.Timecode, CueTrackPositions: []webm.CueTrackPosition{
			{CueTrack: trackNumber, CueClusterPosition: uint64(k.size - k.segmentAt())},
		}})
	}
	clear(k.cluster.SimpleBlock)
	k.cluster.SimpleBlock, k.bytes = k.cluster.SimpleBlock[:0], 0
	return k.append(b.Bytes())
}

func (k *container) append(b []byte) error {
	n, err := k.file.Write(b)
	k.size += int64(n)
	return err
}

// duration is how long the file plays: the last frame is shown as long as the one before it.
func (k *container) duration() time.Duration { return k.last + k.step }

// finish writes what is gathered, the index and the duration, and closes the file. The error is that of the file
// system; what was written before it can be played.
func (k *container) finish() error {
	err := k.flush()
	if err == nil {
		err = k.complete()
	}
	return errors.Join(err, k.file.Close())
}

func (k *container) complete() error {
	cuesAt := k.size
	var b bytes.Buffer
	cues := struct {
		Cues webm.Cues `ebml:"Cues"`
	}{webm.Cues{CuePoint: k.cues}}
	if err := ebml.Marshal(&cues, &b); err != nil {
		return fmt.Errorf("record: encoding the index: %w", err)
	}
	if err := k.append(b.Bytes()); err != nil {
		return err
	}
	if err := k.file.Sync(); err != nil { // before the head says that it is there
		return err
	}
	head, err := k.head(cuesAt, k.duration())
	if err != nil {
		return err
	}
	_, err = k.file.WriteAt(head, 0)
	return err
}
