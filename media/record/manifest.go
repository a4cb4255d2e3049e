package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"confab/signaling/wire"
)

const (
	manifestName    = "manifest.json"
	chatName        = "chat.jsonl"
	manifestVersion = 1
	maxManifest     = 16 << 20 // bytes of one that is read

	// Bounds of what a manifest lists. What comes beyond is recorded all the same where it can be, but not listed.
	maxPeople = 5000
	maxEvents = 1000
)

// A Manifest says what a recording consists of. Offsets are milliseconds from Started.
type Manifest struct {
	Version      int           `json:"version"`
	ID           string        `json:"id"`
	Room         wire.RoomID   `json:"room"`
	Started      time.Time     `json:"started"`
	Ended        *time.Time    `json:"ended,omitempty"` // absent = it goes on
	Reason       Reason        `json:"reason,omitempty"`
	By           wire.UserID   `json:"by"`
	Bytes        int64         `json:"bytes"` // of all files but this one
	Tracks       []TrackEntry  `json:"tracks"`
	Participants []PersonEntry `json:"participants"`
	Chat         string        `json:"chat,omitempty"` // name of the file with a ChatLine a line, absent = nobody wrote
	Messages     int           `json:"messages,omitempty"`
	Events       []Event       `json:"events"`
}

// A TrackEntry is one published track and its file.
type TrackEntry struct {
	File        string             `json:"file,omitempty"` // absent = nothing of it could be recorded
	Participant wire.ParticipantID `json:"participant"`
	User        wire.UserID        `json:"user,omitempty"`
	Name        string             `json:"name,omitempty"`
	Source      wire.Source        `json:"source"`
	Codec       string             `json:"codec"`
	StartMs     int64              `json:"startMs"` // where the file's first frame lies; files are aligned by it
	EndMs       int64              `json:"endMs"`
	Bytes       int64              `json:"bytes"`
	Frames      int                `json:"frames"`
	Lost        int                `json:"lost,omitempty"`    // packets that never came
	Dropped     int                `json:"dropped,omitempty"` // frames left out, because they were incomplete or before a key frame
	Ended       bool               `json:"ended"`             // the file is complete
}

// A PersonEntry is one stay of a participant in the room.
type PersonEntry struct {
	Participant wire.ParticipantID `json:"participant"`
	User        wire.UserID        `json:"user"`
	Name        string             `json:"name"`
	JoinedMs    int64              `json:"joinedMs"` // about 0 for who was there when the recording began
	LeftMs      *int64             `json:"leftMs,omitempty"`
}

// An Event is what happened to the recording.
type Event struct {
	AtMs int64  `json:"atMs"`
	Type string `json:"type"` // started, track-started, track-ended, track-refused, ended, interrupted
	File string `json:"file,omitempty"`
	Text string `json:"text,omitempty"`
}

// A ChatLine is one line of the chat file.
type ChatLine struct {
	AtMs    int64           `json:"atMs"`
	Message json.RawMessage `json:"message"` // as it went to the participants
}

// Reason is why a recording ended.
type Reason string

// The reasons.
const (
	Stopped     Reason = "stopped"     // a moderator wanted it
	RoomEmpty   Reason = "empty"       // nobody was left
	ServerDown  Reason = "server-down" // the server was stopped
	SizeLimit   Reason = "size-limit"  // Limits.Bytes
	DiskFull    Reason = "disk-full"   // Limits.FreeBytes, or the disk said so
	TooSlow     Reason = "disk-slow"   // Limits.QueueBytes
	Failed      Reason = "failed"      // the disk refused to write
	Interrupted Reason = "interrupted" // the process died; see Recover
)

// write replaces the manifest in dir, so that a reader and a crash find the old one or the new one and nothing else.
func (m *Manifest) write(dir string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("record: encoding a manifest: %w", err)
	}
	temporary := filepath.Join(dir, manifestName+".tmp")
	if err := writeSynced(temporary, append(b, '\n')); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(dir, manifestName))
}

func writeSynced(path string, b []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// readManifest reads the one in dir. The error is that of the file system or of the content.
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, manifestName)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxManifest {
		return nil, fmt.Errorf("record: %s has %d bytes", path, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("record: %s: %w", path, err)
	}
	if m.ID != filepath.Base(dir) || m.Version != manifestVersion {
		return nil, fmt.Errorf("record: %s is of recording %q and version %d", path, m.ID, m.Version)
	}
	return m, nil
}

// Recover marks the recordings below dir that a process has left unfinished as interrupted, and returns how many
// those were. What was written of them can be played. No process may be recording there. The error joins those of
// the recordings that cannot be read or written; the others are done all the same.
func Recover(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("record: %w", err)
	}
	count := 0
	var problems []error
	for _, entry := range entries {
		if !entry.IsDir() || !validID(entry.Name()) {
			continue
		}
		done, err := recoverOne(filepath.Join(dir, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a folder without a manifest is none of ours
			problems = append(problems, err)
		}
		if done {
			count++
		}
	}
	return count, errors.Join(problems...)
}

// recoverOne marks one recording, if it is unfinished. It ended when its files were last written to.
func recoverOne(dir string) (bool, error) {
	m, err := readManifest(dir)
	if err != nil || m.Ended != nil {
		return false, err
	}
	ended := m.Started
	m.Bytes = 0
	for _, name := range append([]string{chatName}, m.files()...) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		m.Bytes += info.Size()
		if info.ModTime().After(ended) {
			ended = info.ModTime()
		}
		for i := range m.Tracks {
			if t := &m.Tracks[i]; t.File == name {
				t.Bytes = info.Size()
				t.EndMs = max(t.EndMs, t.StartMs, info.ModTime().Sub(m.Started).Milliseconds())
			}
		}
	}
	ended = ended.UTC().Truncate(time.Millisecond)
	m.end(ended, Interrupted)
	m.event(ended, Event{Type: "interrupted"})
	return true, m.write(dir)
}

// files are the names of the tracks' files.
func (m *Manifest) files() []string {
	var names []string
	for _, t := range m.Tracks {
		if t.File != "" {
			names = append(names, t.File)
		}
	}
	return names
}

// end notes that the recording is over.
func (m *Manifest) end(at time.Time, why Reason) {
	m.Ended, m.Reason = &at, why
	offset := m.offset(at)
	for i := range m.Participants {
		if p := &m.Participants[i]; p.LeftMs == nil {
			p.LeftMs = &offset
		}
	}
}

func (m *Manifest) offset(at time.Time) int64 { return max(at.Sub(m.Started).Milliseconds(), 0) }

func (m *Manifest) event(at time.Time, e Event) {
	if len(m.Events) < maxEvents || e.Type == "ended" || e.Type == "interrupted" {
		e.AtMs = m.offset(at)
		m.Events = append(m.Events, e)
	}
}

// joined notes that a participant is there.
func (m *Manifest) joined(p PersonEntry) {
	if len(m.Participants) < maxPeople {
		m.Participants = append(m.Participants, p)
	}
	for i := range m.Tracks {
		if t := &m.Tracks[i]; t.Participant == p.Participant {
			t.User, t.Name = p.User, p.Name
		}
	}
}

// left notes that a participant has gone.
func (m *Manifest) left(id wire.ParticipantID, at time.Time) {
	offset := m.offset(at)
	for i := range m.Participants {
		if p := &m.Participants[i]; p.Participant == id && p.LeftMs == nil {
			p.LeftMs = &offset
		}
	}
}

// person finds who a participant is; the newest stay counts.
func (m *Manifest) person(id wire.ParticipantID) PersonEntry {
	for i := len(m.Participants) - 1; i >= 0; i-- {
		if m.Participants[i].Participant == id {
			return m.Participants[i]
		}
	}
	return PersonEntry{}
}
