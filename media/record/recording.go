package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"confab/signaling/wire"
)

const (
	tickInterval     = 100 * time.Millisecond
	manifestInterval = time.Second
)

// A Recording is one room while it is recorded. Its methods may be called concurrently and never block; after its end
// they do nothing.
type Recording struct {
	// Set by Start, then constant.
	id      string
	room    wire.RoomID
	dir     string
	limits  Limits
	log     *slog.Logger
	free    func(dir string) (uint64, error)
	stats   *stats // of the Recorder
	queue   *queue
	stop    context.CancelCauseFunc // with a stopCause
	stopped context.Context
	done    chan struct{} // closed when run has returned

	mu     sync.Mutex
	tracks int // guarded by mu: added so far

	// Owned by run.
	manifest Manifest
	streams  []*TrackWriter // open ones
	walls    map[wire.ParticipantID]*wallClock
	chat     *os.File // nil = nobody has written
	chatSize int64
	written  time.Time // when the manifest was
	sizes    int64     // bytes of the files that are complete
	counted  int64     // bytes that stats know of
}

// stopCause is a Reason as an error.
type stopCause struct {
	reason Reason
	err    error // what the disk said, if it did
}

func (c stopCause) Error() string {
	if c.err == nil {
		return "record: " + string(c.reason)
	}
	return fmt.Sprintf("record: %s: %v", c.reason, c.err)
}

// A TrackWriter takes the packets of one track. Its methods may be called concurrently and never block.
type TrackWriter struct {
	// Set by Track, then constant.
	recording *Recording
	stream    *stream
	entry     int // of the manifest
}

// ID names the recording: its folder, and the recording in the API.
func (r *Recording) ID() string { return r.id }

// Room is the room that is recorded.
func (r *Recording) Room() wire.RoomID { return r.room }

// Done is closed when the recording has ended and all of it is written.
func (r *Recording) Done() <-chan struct{} { return r.done }

// Stop ends the recording; the first reason counts. What was handed over before is still written: see Done.
func (r *Recording) Stop(why Reason) { r.stop(stopCause{reason: why}) }

// Reason says why the recording has ended or is about to, "" while it goes on.
func (r *Recording) Reason() Reason {
	if r.stopped.Err() == nil {
		return ""
	}
	return r.cause().reason
}

func (r *Recording) cause() stopCause {
	var cause stopCause
	errors.As(context.Cause(r.stopped), &cause)
	return cause
}

// Track begins a track. It returns nil when its codec cannot be recorded or Limits.Tracks is reached; the manifest
// says so.
func (r *Recording) Track(t Track) *TrackWriter {
	now := time.Now()
	c := newCodec(t.Codec, t.Parameters)
	refused := ""
	r.mu.Lock()
	if c == nil {
		refused = "the codec cannot be recorded"
	} else if r.tracks >= r.limits.Tracks {
		refused = "there are too many tracks"
	} else {
		r.tracks++
	}
	number := r.tracks
	r.mu.Unlock()
	if refused != "" {
		r.post(func() error {
			r.manifest.event(now, Event{Type: "track-refused", Text: fmt.Sprintf("%s of %s, %s: %s", t.Source, t.Participant, t.Codec, refused)})
			return nil
		})
		return nil
	}
	w := &TrackWriter{recording: r}
	r.post(func() error {
		r.open(w, t, c, number, now)
		return nil
	})
	return w
}

// Write takes one RTP packet, of which it keeps a copy, in the order of arrival.
func (w *TrackWriter) Write(packet []byte, arrival time.Time) {
	w.recording.put(item{writer: w, packet: bytes.Clone(packet), arrival: arrival})
}

// SenderReport takes what a sender report of the track says (RFC 3550 section 6.4.1): that the RTP timestamp rtp was
// at ntp by the publisher's clock. It came at at.
func (w *TrackWriter) SenderReport(ntp uint64, rtp uint32, at time.Time) {
	w.recording.post(func() error {
		if w.stream != nil {
			w.stream.report(ntp, rtp, at)
		}
		return nil
	})
}

// Close ends the track and completes its file.
func (w *TrackWriter) Close() {
	now := time.Now()
	w.recording.post(func() error { return w.recording.close(w, now) })
}

// Joined notes that a participant is in the room, Left that it has left it.
func (r *Recording) Joined(id wire.ParticipantID, user wire.UserID, name string) {
	now := time.Now()
	r.post(func() error {
		r.manifest.joined(PersonEntry{Participant: id, User: user, Name: name, JoinedMs: r.manifest.offset(now)})
		return nil
	})
}

// Left undoes Joined.
func (r *Recording) Left(id wire.ParticipantID) {
	now := time.Now()
	r.post(func() error {
		r.manifest.left(id, now)
		return nil
	})
}

// Chat appends a message, one JSON object as it went to the participants; it must not be changed afterwards. One that
// takes messages back takes them out of the chat file.
func (r *Recording) Chat(raw []byte) {
	now := time.Now()
	if !r.queue.put(item{do: func() error { return r.write(raw, now) }, packet: raw}) {
		r.stop(stopCause{reason: TooSlow})
	}
}

func (r *Recording) post(do func() error) { r.put(item{do: do}) }

func (r *Recording) put(it item) {
	if !r.queue.put(it) {
		r.stop(stopCause{reason: TooSlow})
	}
}

// run writes until the recording is stopped. Start starts it; Recorder.Close waits for it.
func (r *Recording) run() {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	var items []item
	for r.stopped.Err() == nil {
		select {
		case <-r.stopped.Done():
		case now := <-tick.C:
			r.fail(r.tick(now))
		case <-r.queue.ready:
		}
		items = r.work(items)
	}
	r.queue.close()
	r.work(items)
	r.end(time.Now())
}

// work does what the queue holds and returns its memory. After a failure of the disk nothing more is written.
func (r *Recording) work(memory []item) []item {
	items := r.queue.take(memory)
	for _, it := range items {
		if r.broken() {
			break
		}
		if it.do != nil {
			r.fail(it.do())
		} else if it.writer.stream != nil {
			r.fail(it.writer.stream.packet(it.packet, it.arrival))
		}
	}
	clear(items)
	return items
}

// broken reports whether the disk takes no more.
func (r *Recording) broken() bool { return r.stopped.Err() != nil && r.cause().err != nil }

// fail stops the recording for an error of the file system.
func (r *Recording) fail(err error) {
	if err == nil {
		return
	}
	why := Failed
	if diskFull(err) {
		why = DiskFull
	}
	r.stop(stopCause{why, err})
}

// open begins a track's stream.
func (r *Recording) open(w *TrackWriter, t Track, c codec, number int, now time.Time) {
	wall := r.walls[t.Participant]
	if wall == nil {
		wall = &wallClock{}
		r.walls[t.Participant] = wall
	}
	name := func() (base, title string) { // by then the participant is known, though its track may come before it
		person := r.manifest.person(t.Participant).Name
		base = strings.TrimSuffix(fmt.Sprintf("%03d-%s-%s", number, t.Source, slug(person)), "-")
		return base, strings.TrimSpace(person + " " + string(t.Source))
	}
	person := r.manifest.person(t.Participant)
	w.stream, w.entry = newStream(t, c, r.dir, name, wall), len(r.manifest.Tracks)
	r.streams = append(r.streams, w)
	r.manifest.Tracks = append(r.manifest.Tracks, TrackEntry{
		Participant: t.Participant, User: person.User, Name: person.Name, Source: t.Source, Codec: t.Codec,
	})
	r.manifest.event(now, Event{Type: "track-started", Text: fmt.Sprintf("%s of %s", t.Source, t.Participant)})
}

// close completes a track's file.
func (r *Recording) close(w *TrackWriter, now time.Time) error {
	s := w.stream
	if s == nil {
		return nil
	}
	err := s.finish(now)
	w.stream = nil
	entry := &r.manifest.Tracks[w.entry]
	s.describe(entry, r.manifest.Started)
	entry.Ended = err == nil
	r.sizes += entry.Bytes
	for i, other := range r.streams {
		if other == w {
			r.streams = append(r.streams[:i], r.streams[i+1:]...)
			break
		}
	}
	r.manifest.event(now, Event{Type: "track-ended", File: entry.File})
	return err
}

// tick does what is due, and looks at the limits once a second.
func (r *Recording) tick(now time.Time) error {
	for _, w := range r.streams {
		if err := w.stream.tick(now); err != nil {
			return err
		}
	}
	if now.Sub(r.written) < manifestInterval {
		return nil
	}
	r.written = now
	r.describe()
	if err := r.manifest.write(r.dir); err != nil {
		return err
	}
	r.checkLimits()
	return nil
}

// describe brings the manifest up to date.
func (r *Recording) describe() {
	r.manifest.Bytes = r.sizes + r.chatSize
	for _, w := range r.streams {
		w.stream.describe(&r.manifest.Tracks[w.entry], r.manifest.Started)
		r.manifest.Bytes += r.manifest.Tracks[w.entry].Bytes
	}
	if more := r.manifest.Bytes - r.counted; more > 0 { // less, when chat was taken back
		r.stats.bytes.Add(uint64(more))
		r.counted = r.manifest.Bytes
	}
}

func (r *Recording) checkLimits() {
	if r.manifest.Bytes > r.limits.Bytes {
		r.Stop(SizeLimit)
	}
	if free, err := r.free(r.dir); err == nil && free < uint64(r.limits.FreeBytes) {
		r.Stop(DiskFull)
	}
}

// write appends to the chat file.
func (r *Recording) write(raw []byte, now time.Time) error {
	var head struct {
		Type wire.Kind `json:"type"`
		Data struct {
			Message wire.Seq `json:"message"`
		} `json:"data"`
	}
	if json.Unmarshal(raw, &head) != nil {
		return nil
	}
	if head.Type == wire.KindDelete || head.Type == wire.KindClear {
		if err := r.takeBack(head.Data.Message, head.Type == wire.KindClear); err != nil {
			return err
		}
	}
	line, err := json.Marshal(ChatLine{AtMs: r.manifest.offset(now), Message: raw})
	if err != nil {
		return nil //nolint:nilerr // not JSON: not ours
	}
	if r.chat == nil {
		path := filepath.Join(r.dir, chatName)
		if r.chat, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return err
		}
		r.manifest.Chat = chatName
	}
	n, err := r.chat.Write(append(line, '\n'))
	r.chatSize += int64(n)
	r.manifest.Messages++
	return err
}

// takeBack takes the message with a seq out of the chat file, its edits too, or all messages.
func (r *Recording) takeBack(message wire.Seq, all bool) error {
	if r.chat == nil {
		return nil
	}
	path := filepath.Join(r.dir, chatName)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var kept []byte
	count := 0
	for line := range bytes.Lines(b) {
		if !all && !speaksOf(line, message) {
			kept = append(kept, line...)
			count++
		}
	}
	if err := writeSynced(path+".tmp", kept); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	old := r.chat
	if r.chat, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		r.chat = nil
		return errors.Join(err, old.Close())
	}
	r.chatSize, r.manifest.Messages = int64(len(kept)), count
	return old.Close()
}

// speaksOf reports whether a line of the chat file is the message with a seq, or an edit of it.
func speaksOf(line []byte, message wire.Seq) bool {
	var l struct {
		Message struct {
			Seq  wire.Seq `json:"seq"`
			Data struct {
				Message wire.Seq `json:"message"`
			} `json:"data"`
		} `json:"message"`
	}
	return json.Unmarshal(line, &l) == nil && (l.Message.Seq == message || l.Message.Data.Message == message)
}

// end completes all files and the manifest. When the disk takes no more, what is there stays, and Recover finds it.
func (r *Recording) end(now time.Time) {
	cause := r.cause()
	for len(r.streams) > 0 {
		if err := r.close(r.streams[0], now); err != nil && cause.err == nil {
			cause.err = err
		}
	}
	if r.chat != nil {
		if err := errors.Join(r.chat.Sync(), r.chat.Close()); err != nil && cause.err == nil {
			cause.err = err
		}
	}
	r.describe()
	now = now.UTC().Truncate(time.Millisecond)
	r.manifest.end(now, cause.reason)
	e := Event{Type: "ended", Text: string(cause.reason)}
	if cause.err != nil {
		e.Text = cause.Error()
	}
	r.manifest.event(now, e)
	if err := r.manifest.write(r.dir); err != nil && cause.err == nil {
		cause.err = err
	}
	r.stats.end(cause.reason)
	if cause.err != nil {
		r.log.Error("recording ended", "reason", cause.reason, "error", cause.err)
		return
	}
	r.log.Info("recording ended", "reason", cause.reason, "bytes", r.manifest.Bytes, "tracks", len(r.manifest.Tracks))
}

// slug is name as a part of a file's name: a to z, 0 to 9 and hyphens, at most 24; "" if nothing is left.
func slug(name string) string {
	var b strings.Builder
	for _, c := range strings.ToLower(name) {
		switch {
		case b.Len() >= 24:
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			b.WriteRune(c)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.Trim(b.String(), "-")
}
