package record

import (
	"bufio"
	"bytes"
	"encoding/gob"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
)

// childVariable names the folder of the child process that records until it is killed.
const childVariable = "CONFAB_RECORD_CHILD"

// A childTrack is what the child is given to record, as RTP packets and when to send them.
type childTrack struct {
	Codec   string
	Packets [][]byte
	At      []time.Duration
	Ends    []bool // the packet ends a frame
}

// recordUntilKilled is the child: it records what it reads on standard input, in its time, and says on standard
// output which frame of which track it has handed over.
func recordUntilKilled() {
	var tracks []childTrack
	if err := gob.NewDecoder(os.Stdin).Decode(&tracks); err != nil {
		panic(err)
	}
	recorder, err := New(Options{Dir: os.Getenv(childVariable), Log: slog.New(slog.DiscardHandler), Limits: Limits{FreeBytes: 1}})
	if err != nil {
		panic(err)
	}
	rec, err := recorder.Start("room", "moderator")
	if err != nil {
		panic(err)
	}
	rec.Joined("p1", "ann", "Ann")
	writers := make([]*TrackWriter, len(tracks))
	for i, track := range tracks {
		source := map[bool]string{true: "microphone", false: "camera"}[track.Codec == "opus"]
		writers[i] = rec.Track(Track{Participant: "p1", Source: sourceOf(source), Codec: track.Codec})
	}
	next := make([]int, len(tracks))
	for start, tick := time.Now(), time.NewTicker(5*time.Millisecond); ; {
		now := <-tick.C
		for i, track := range tracks {
			for ; next[i] < len(track.Packets) && track.At[next[i]] <= now.Sub(start); next[i]++ {
				writers[i].Write(track.Packets[next[i]], now)
				if track.Ends[next[i]] {
					fmt.Printf("%d\n", i)
				}
			}
		}
	}
}

// TestKill records in another process, kills it in the middle and reads what it has left.
func TestKill(t *testing.T) {
	codecs := []string{"opus", "VP8", "VP9", "H264", "AV1"}
	var tracks []childTrack
	for _, codec := range codecs {
		tracks = append(tracks, childTrackOf(t, encoded(t, codec)))
	}
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childVariable+"="+dir)
	var input bytes.Buffer
	if err := gob.NewEncoder(&input).Encode(tracks); err != nil {
		t.Fatal(err)
	}
	child.Stdin, child.Stderr = &input, os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	const kill = 120 // frames of sound, 2.4 s: in the second run of the samples
	sent, killed := make([][]time.Time, len(tracks)), time.Time{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var i int
		if _, err := fmt.Sscan(lines.Text(), &i); err != nil {
			t.Fatalf("the child said %q", lines.Text())
		}
		sent[i] = append(sent[i], time.Now())
		if i == 0 && len(sent[0]) == kill {
			killed = time.Now()
			if err := child.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || killed.IsZero() {
		t.Fatalf("the child was not killed: %v", err)
	}

	folders, err := filepath.Glob(filepath.Join(dir, "*", manifestName))
	if err != nil || len(folders) != 1 {
		t.Fatalf("%d recordings, %v", len(folders), err)
	}
	folder := filepath.Dir(folders[0])
	before, err := readManifest(folder)
	if err != nil || before.Ended != nil || len(before.Tracks) != len(codecs) {
		t.Fatalf("the manifest after the kill: %+v, %v", before, err)
	}
	for i, track := range before.Tracks {
		least := 0 // what was handed over more than a second before
		for _, at := range sent[i] {
			if killed.Sub(at) > time.Second {
				least++
			}
		}
		got := probe(t, filepath.Join(folder, track.File))
		t.Logf("%s: %d frames of %d can be read, %d must", track.Codec, got.Frames, len(sent[i]), least)
		if got.Frames < least || least == 0 {
			t.Errorf("%s: %d frames can be read, want %d", track.Codec, got.Frames, least)
		}
	}

	if count, err := Recover(dir); count != 1 || err != nil {
		t.Fatalf("Recover: %d, %v", count, err)
	}
	after, err := readManifest(folder)
	if err != nil {
		t.Fatal(err)
	}
	if after.Ended == nil || after.Reason != Interrupted || after.Participants[0].LeftMs == nil {
		t.Errorf("the manifest after Recover: %+v", after)
	}
	if lasted := after.Ended.Sub(after.Started); lasted < 1400*time.Millisecond || lasted > time.Minute {
		t.Errorf("it lasted %v", lasted)
	}
	for _, track := range after.Tracks {
		if info, err := os.Stat(filepath.Join(folder, track.File)); err != nil || info.Size() != track.Bytes {
			t.Errorf("%s: %v, %d bytes in the manifest", track.File, err, track.Bytes)
		}
	}
	if count, err := Recover(dir); count != 0 || err != nil {
		t.Errorf("Recover again: %d, %v", count, err)
	}
}

// childTrackOf repeats a sample, so that it lasts.
func childTrackOf(t *testing.T, s *sample) childTrack {
	t.Helper()
	track := childTrack{Codec: s.codec}
	first, last := s.packets[0], s.packets[len(s.packets)-1]
	length := last.Timestamp - first.Timestamp + uint32(s.clock/25)
	for round := range uint32(3) {
		for i, p := range s.packets {
			next := p.Clone()
			next.Timestamp += round * length
			next.SequenceNumber += uint16(round) * uint16(len(s.packets))
			track.Packets = append(track.Packets, marshal(t, next))
			track.At = append(track.At, s.span(&rtp.Packet{Header: next.Header}))
			track.Ends = append(track.Ends, i+1 == len(s.packets) || s.packets[i+1].Timestamp != p.Timestamp)
		}
	}
	return track
}

// TestRecoverDamaged leaves what it cannot read as it is, and does the rest.
func TestRecoverDamaged(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"20261120-120000-a-00000000": `{"version":1,"id":"20261120-120000-a-00000000","room":"a","started":"2026-11-20T12:00:00Z"}`,
		"20261120-120000-b-00000000": `{"version":1,"id":`,
		"20261120-120000-c-00000000": `{"version":1,"id":"somewhere else","room":"c"}`,
		"Not A Recording":            `{}`,
	} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, manifestName), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "20261120-120000-d-00000000"), 0o700); err != nil { // killed before its first manifest
		t.Fatal(err)
	}
	count, err := Recover(dir)
	if count != 1 || err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%d recovered, and: %v", count, err)
	}
	if count, err := Recover(filepath.Join(dir, "missing")); count != 0 || err != nil {
		t.Errorf("a folder that is not there: %d, %v", count, err)
	}
}
