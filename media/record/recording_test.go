package record

import (
	"bufio"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"
)

func sourceOf(name string) wire.Source { return wire.Source(name) }

func newTestRecorder(t testing.TB, limits Limits) *Recorder {
	t.Helper()
	return newRecorderIn(t, t.TempDir(), limits)
}

func newRecorderIn(t testing.TB, dir string, limits Limits) *Recorder {
	t.Helper()
	if limits.FreeBytes == 0 {
		limits.FreeBytes = 1
	}
	r, err := New(Options{Dir: dir, Limits: limits, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func start(t testing.TB, r *Recorder, room wire.RoomID) *Recording {
	t.Helper()
	rec, err := r.Start(room, "mo")
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// stop ends a recording and reads its manifest.
func stop(t testing.TB, rec *Recording) *Manifest {
	t.Helper()
	rec.Stop(Stopped)
	<-rec.Done()
	m, err := readManifest(rec.dir)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// feed hands a sample over at once, as if it had been captured from the moment from on.
func feed(t testing.TB, w *TrackWriter, s *sample, from time.Time) {
	t.Helper()
	for _, p := range s.packets {
		w.Write(marshal(t, p), from.Add(s.span(p)))
	}
}

// TestRecording records two people with sound and picture of several codecs, and chat.
func TestRecording(t *testing.T) {
	r := newTestRecorder(t, Limits{})
	rec := start(t, r, "stand-up")
	rec.Joined("p1", "ann", "Ann Ångström")
	rec.Joined("p2", "bob", "Bob")
	if _, err := r.Start("stand-up", "mo"); !errors.Is(err, ErrBusy) {
		t.Errorf("a second recording of the room: %v", err)
	}
	began := rec.manifest.Started
	tracks := []struct {
		participant wire.ParticipantID
		source      wire.Source
		codec       string
		at          time.Duration
	}{
		{"p1", wire.Microphone, "opus", 0}, {"p1", wire.Camera, "VP8", 100 * time.Millisecond},
		{"p2", wire.Camera, "H264", 500 * time.Millisecond}, {"p2", wire.Screen, "AV1", time.Second},
		{"p3", wire.Camera, "VP9", 0},
	}
	for _, track := range tracks {
		w := rec.Track(Track{Participant: track.participant, Source: track.source, Codec: track.codec})
		feed(t, w, encoded(t, track.codec), began.Add(track.at))
		w.Close()
	}
	rec.Joined("p3", "cem", "Cem") // heard of after its track
	if w := rec.Track(Track{Participant: "p1", Source: wire.ScreenAudio, Codec: "PCMU"}); w != nil {
		t.Error("PCMU can be recorded")
	}
	rec.Chat([]byte(`{"type":"chat","room":"stand-up","seq":7,"data":{"text":"hello"}}`))
	rec.Left("p2")
	m := stop(t, rec)

	if m.Reason != Stopped || m.Ended == nil || m.By != "mo" || m.Room != "stand-up" || m.Messages != 1 {
		t.Errorf("manifest %+v", m)
	}
	if len(m.Tracks) != len(tracks) || len(m.Participants) != 3 {
		t.Fatalf("%d tracks, %d participants", len(m.Tracks), len(m.Participants))
	}
	if m.Tracks[0].File != "001-microphone-ann-ngstr-m.webm" || m.Tracks[0].User != "ann" || m.Tracks[4].Name != "Cem" {
		t.Errorf("tracks %+v", m.Tracks)
	}
	var bytes int64
	for i, track := range m.Tracks {
		got := probe(t, filepath.Join(rec.dir, track.File))
		if got.Frames != track.Frames || track.Frames != encoded(t, track.Codec).frames || !track.Ended {
			t.Errorf("%s: %d frames, %d in the manifest", track.File, got.Frames, track.Frames)
		}
		if want := tracks[i].at.Milliseconds(); track.StartMs != want || track.EndMs < want+1980 || track.EndMs > want+2021 {
			t.Errorf("%s: from %d to %d ms, want from %d on", track.File, track.StartMs, track.EndMs, want)
		}
		bytes += track.Bytes
	}
	chat, err := os.ReadFile(filepath.Join(rec.dir, m.Chat))
	if err != nil || !strings.HasSuffix(string(chat), `"message":{"type":"chat","room":"stand-up","seq":7,"data":{"text":"hello"}}}`+"\n") {
		t.Errorf("chat %q, %v", chat, err)
	}
	if m.Bytes != bytes+int64(len(chat)) {
		t.Errorf("%d bytes, want %d", m.Bytes, bytes+int64(len(chat)))
	}
	if s := r.Stats(); s.Running != 0 || s.Started != 1 || s.Bytes != uint64(m.Bytes) || s.Ended[Stopped] != 1 || s.Ended[Failed] != 0 {
		t.Errorf("counted %+v", s)
	}
	for _, p := range m.Participants { // ann is there to the end, bob leaves, cem comes late
		if p.LeftMs == nil || *p.LeftMs < p.JoinedMs || p.JoinedMs > m.Ended.Sub(m.Started).Milliseconds() {
			t.Errorf("participant %+v", p)
		}
	}
	var kinds []string
	for _, e := range m.Events {
		kinds = append(kinds, e.Type)
	}
	if got := strings.Join(kinds, " "); !strings.HasPrefix(got, "started track-started track-ended") ||
		!strings.Contains(got, "track-refused") || !strings.HasSuffix(got, " ended") {
		t.Errorf("events: %s", got)
	}
	if r.Live("stand-up") != nil {
		t.Error("it is still live")
	}
	start(t, r, "stand-up") // again: another folder
}

// TestChatTakenBack keeps nothing of what people take back while it is recorded.
func TestChatTakenBack(t *testing.T) {
	r := newTestRecorder(t, Limits{})
	rec := start(t, r, "room")
	say := func(lines ...string) {
		for _, line := range lines {
			rec.Chat([]byte(line))
		}
	}
	say(`{"type":"chat","seq":1,"data":{"text":"one"}}`, `{"type":"chat","seq":2,"data":{"text":"secret"}}`,
		`{"type":"edit","seq":3,"data":{"message":2,"text":"secret too"}}`, `{"type":"chat","seq":4,"data":{"text":"four"}}`,
		`{"type":"delete","seq":5,"data":{"message":2}}`, `not JSON`, `{"type":"chat","seq":6,"data":{"text":"six"}}`)
	m := stop(t, rec)
	if got := seqs(t, rec); got != "1 4 5 6" || m.Messages != 4 {
		t.Errorf("messages %s, %d in the manifest", got, m.Messages)
	}
	b, _ := os.ReadFile(filepath.Join(rec.dir, chatName))
	if strings.Contains(string(b), "secret") {
		t.Errorf("%s", b)
	}

	rec = start(t, r, "room")
	say(`{"type":"chat","seq":7,"data":{"text":"seven"}}`, `{"type":"clear","seq":8,"data":{}}`, `{"type":"chat","seq":9,"data":{"text":"nine"}}`)
	stop(t, rec)
	if got := seqs(t, rec); got != "8 9" {
		t.Errorf("after a clear: %s", got)
	}
}

// seqs are the numbers of the messages in the chat file.
func seqs(t *testing.T, rec *Recording) string {
	t.Helper()
	file, err := os.Open(filepath.Join(rec.dir, chatName))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var list []string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct{ Message struct{ Seq json.Number } }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		list = append(list, line.Message.Seq.String())
	}
	return strings.Join(list, " ")
}

func TestLimits(t *testing.T) {
	t.Run("recordings", func(t *testing.T) {
		r := newTestRecorder(t, Limits{Recordings: 2})
		one := start(t, r, "one")
		start(t, r, "two")
		if _, err := r.Start("three", "mo"); !errors.Is(err, ErrTooMany) {
			t.Errorf("a third one: %v", err)
		}
		stop(t, one)
		start(t, r, "three")
	})
	t.Run("tracks", func(t *testing.T) {
		r := newTestRecorder(t, Limits{Tracks: 2})
		rec := start(t, r, "room")
		for i := range 3 {
			if w := rec.Track(Track{Participant: "p", Source: wire.Microphone, Codec: "opus"}); (w != nil) != (i < 2) {
				t.Errorf("track %d: %v", i, w)
			}
		}
		refused := func(e Event) bool { return e.Type == "track-refused" }
		if m := stop(t, rec); len(m.Tracks) != 2 || !slices.ContainsFunc(m.Events, refused) {
			t.Errorf("%+v", m)
		}
	})
	t.Run("one process", func(t *testing.T) {
		r := newTestRecorder(t, Limits{})
		if _, err := New(Options{Dir: r.opts.Dir}); !errors.Is(err, ErrLocked) {
			t.Errorf("a second recorder of one folder: %v", err)
		}
		r.Close()
		newRecorderIn(t, r.opts.Dir, Limits{})
	})
	t.Run("closed", func(t *testing.T) {
		r := newTestRecorder(t, Limits{})
		rec := start(t, r, "room")
		r.Close()
		if m, err := readManifest(rec.dir); err != nil || m.Reason != ServerDown {
			t.Errorf("%+v, %v", m, err)
		}
		if _, err := r.Start("room", "mo"); !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestSlowDisk has more come than may wait: the recording ends with the reason, and whoever writes is never kept.
func TestSlowDisk(t *testing.T) {
	r := newTestRecorder(t, Limits{QueueBytes: 100_000})
	rec := start(t, r, "room")
	w := rec.Track(Track{Participant: "p", Source: wire.Camera, Codec: "VP8"})
	hold, held := make(chan struct{}), make(chan struct{})
	rec.post(func() error { // the disk
		close(held)
		<-hold
		return nil
	})
	<-held
	for range 200 {
		w.Write(make([]byte, 1200), time.Now())
	}
	if rec.Reason() != TooSlow {
		t.Errorf("reason %q", rec.Reason())
	}
	close(hold)
	<-rec.Done()
	if m, err := readManifest(rec.dir); err != nil || m.Reason != TooSlow || m.Ended == nil {
		t.Errorf("%+v, %v", m, err)
	}
	w.Write(make([]byte, 1200), time.Now()) // after the end: nothing
	w.Close()
	rec.Chat([]byte("{}"))
}

// TestDiskFailure takes the folder away: the recording ends by itself.
func TestDiskFailure(t *testing.T) {
	r := newTestRecorder(t, Limits{})
	rec := start(t, r, "room")
	if err := os.RemoveAll(rec.dir); err != nil {
		t.Fatal(err)
	}
	rec.Chat([]byte(`{"type":"chat","seq":1,"data":{"text":"x"}}`))
	<-rec.Done()
	if rec.Reason() != Failed {
		t.Errorf("reason %q", rec.Reason())
	}
}

// TestDiskLimits looks at the limits that are checked once a second.
func TestDiskLimits(t *testing.T) {
	tests := map[Reason]struct {
		bytes int64
		free  uint64 // later
	}{
		DiskFull:  {free: 999},
		SizeLimit: {bytes: 10, free: 1000},
	}
	for want, test := range tests {
		t.Run(string(want), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var free atomic.Uint64
				free.Store(1000)
				opts := Options{
					Dir: dir, Limits: Limits{FreeBytes: 1000, Bytes: test.bytes}, Log: slog.New(slog.DiscardHandler),
					free: func(string) (uint64, error) { return free.Load(), nil },
				}
				r, err := New(opts)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				rec := start(t, r, "room")
				rec.Chat([]byte(`{"type":"chat","seq":1,"data":{"text":"longer than ten bytes"}}`))
				synctest.Wait()
				free.Store(test.free)
				time.Sleep(1200 * time.Millisecond)
				if got := rec.Reason(); got != want {
					t.Errorf("reason %q after the next look, want %q", got, want)
				}
				<-rec.Done()
				if s := r.Stats(); s.Running != 0 || s.Ended[want] != 1 {
					t.Errorf("counted %+v", s)
				}
				if want == DiskFull {
					if _, err := r.Start("room", "mo"); !errors.Is(err, ErrDiskFull) {
						t.Errorf("starting on a full disk: %v", err)
					}
				}
			})
		})
	}
}

// TestManifestIsCurrent reads it while the recording goes on.
func TestManifestIsCurrent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Limits: Limits{FreeBytes: 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		rec := start(t, r, "room")
		time.Sleep(3 * time.Second)
		rec.Joined("p1", "ann", "Ann")
		time.Sleep(1100 * time.Millisecond)
		m, err := readManifest(rec.dir)
		if err != nil || m.Ended != nil || len(m.Participants) != 1 || m.Participants[0].JoinedMs != 3000 {
			t.Errorf("%+v, %v", m, err)
		}
	})
}
