package rooms

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"
)

// script writes records as a room would, and applies them to a timeline.
type script struct {
	t    *testing.T
	line *timeline
	seq  wire.Seq
	log  []Record
}

func newScript(t *testing.T, window int) *script {
	s := &script{t: t, line: newTimeline(window)}
	s.line.epoch = "e1"
	return s
}

func (s *script) write(c *content) wire.Seq {
	s.t.Helper()
	s.seq += 3 // sparse, as partitions are shared
	if c.head.Author == nil {
		c.head.Author = &wire.Author{User: "ann", Name: "Ann", Kind: wire.Human}
	}
	c.head.Room = "r"
	rec := Record{Seq: s.seq, Time: time.UnixMilli(1000 + int64(s.seq)), Payload: c.payload()}
	s.log = append(s.log, rec)
	parsed, err := parseContent(rec.Payload)
	if err != nil {
		s.t.Fatal(err)
	}
	s.line.apply(rec, parsed)
	return s.seq
}

func (s *script) chat(text string) wire.Seq {
	return s.write(&content{head: wire.Envelope{Type: wire.KindChat, ID: wire.RequestID(fmt.Sprintf("c%d", s.seq))}, chat: &wire.ChatRecord{Text: text}})
}

func (s *script) edit(m wire.Seq, text string) wire.Seq {
	return s.write(&content{head: wire.Envelope{Type: wire.KindEdit}, edit: &wire.Edit{Message: m, Text: text}})
}

func (s *script) remove(m wire.Seq) wire.Seq {
	head := s.line.find(m).open().head
	return s.write(&content{head: wire.Envelope{Type: wire.KindDelete}, remove: &deletion{
		Delete: wire.Delete{Message: m},
		Was:    &remains{ID: head.ID, Room: head.Room, From: head.From, Author: head.Author, TS: head.TS},
	}})
}

func (s *script) react(user wire.UserID, m wire.Seq, emoji string, on bool) wire.Seq {
	return s.write(&content{
		head:     wire.Envelope{Type: wire.KindReaction, Author: &wire.Author{User: user}},
		reaction: &wire.Reaction{Message: m, Emoji: emoji, On: on},
	})
}

func (s *script) clear() wire.Seq {
	return s.write(&content{head: wire.Envelope{Type: wire.KindClear}, cleared: true})
}

// decodeAll reads a JSON array of envelopes.
func decodeAll(t *testing.T, array []byte) []wire.Envelope {
	t.Helper()
	var all []wire.Envelope
	if err := json.Unmarshal(array, &all); err != nil {
		t.Fatalf("not an array of envelopes: %v\n%s", err, array)
	}
	return all
}

func record(t *testing.T, e wire.Envelope) wire.ChatRecord {
	t.Helper()
	var c wire.ChatRecord
	if err := json.Unmarshal(e.Data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTimelineFolds(t *testing.T) {
	s := newScript(t, 10)
	a := s.chat("one")
	b := s.chat("two")
	s.edit(a, "one, better")
	s.react("bob", a, "👍", true)
	s.react("cas", a, "👍", true)
	s.react("bob", a, "👍", false)
	s.remove(b)
	s.edit(b, "must not come back")

	array, more := s.line.newest()
	all := decodeAll(t, array)
	if len(all) != 2 || more {
		t.Fatalf("window has %d messages, more=%v", len(all), more)
	}
	first, second := record(t, all[0]), record(t, all[1])
	if first.Text != "one, better" || first.Edited == 0 {
		t.Errorf("the edit is not folded: %+v", first)
	}
	if got := first.Reactions["👍"]; len(got) != 1 || got[0] != "cas" {
		t.Errorf("reactions = %v", first.Reactions)
	}
	if !second.Deleted || second.Text != "" {
		t.Errorf("the deleted message shows %+v", second)
	}
	for _, e := range s.line.records {
		if strings.Contains(string(e.frame), "two") || strings.Contains(string(e.frame), "come back") {
			t.Errorf("a deleted text is still kept: %s", e.frame)
		}
	}
	if len(s.line.leftovers) != 2 {
		t.Errorf("leftovers to erase = %v, want the message and the late edit", s.line.leftovers)
	}
}

func TestTimelineChain(t *testing.T) {
	s := newScript(t, 10)
	a := s.chat("one")
	b := s.chat("two")
	s.edit(a, "x")
	last := s.remove(a)
	array, ok := s.line.since(&wire.Cursor{Seq: a, Epoch: "e1"}, maxJoinedBytes)
	if !ok {
		t.Fatal("not recovered")
	}
	prev := a
	for _, e := range decodeAll(t, array) {
		if e.Prev != prev {
			t.Errorf("seq %d has prev %d, want %d", e.Seq, e.Prev, prev)
		}
		prev = e.Seq
	}
	if prev != last {
		t.Errorf("resume ends at %d, want %d", prev, last)
	}
	if got := decodeAll(t, array)[0].Seq; got != b {
		t.Errorf("resume starts at %d, want %d", got, b)
	}
}

func TestTimelineSince(t *testing.T) {
	s := newScript(t, 2) // keeps 8 records
	var seqs []wire.Seq
	for i := range 12 {
		seqs = append(seqs, s.chat(fmt.Sprint(i)))
	}
	tests := []struct {
		name   string
		cursor *wire.Cursor
		want   int // records, -1 = not recovered
	}{
		{"none", nil, -1},
		{"other epoch", &wire.Cursor{Seq: seqs[11], Epoch: "e0"}, -1},
		{"up to date", &wire.Cursor{Seq: seqs[11], Epoch: "e1"}, 0},
		{"two behind", &wire.Cursor{Seq: seqs[9], Epoch: "e1"}, 2},
		{"the oldest kept", &wire.Cursor{Seq: seqs[4], Epoch: "e1"}, 7},
		{"the newest dropped: nothing is missing", &wire.Cursor{Seq: seqs[3], Epoch: "e1"}, 8},
		{"one more: a hole", &wire.Cursor{Seq: seqs[2], Epoch: "e1"}, -1},
		{"from the start", &wire.Cursor{Epoch: "e1"}, -1},
		{"ahead of the log", &wire.Cursor{Seq: seqs[11] + 1, Epoch: "e1"}, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			array, ok := s.line.since(tt.cursor, maxJoinedBytes)
			if ok != (tt.want >= 0) {
				t.Fatalf("recovered = %v", ok)
			}
			if ok && len(decodeAll(t, array)) != tt.want {
				t.Errorf("%d records, want %d", len(decodeAll(t, array)), tt.want)
			}
		})
	}
	array, more := s.line.newest()
	if all := decodeAll(t, array); len(all) != 2 || !more || all[1].Seq != seqs[11] {
		t.Errorf("window = %d messages, more=%v", len(all), more)
	}
}

func TestTimelineClear(t *testing.T) {
	s := newScript(t, 10)
	a := s.chat("secret")
	cleared := s.clear()
	b := s.chat("after")
	array, ok := s.line.since(&wire.Cursor{Seq: a, Epoch: "e1"}, maxJoinedBytes)
	if all := decodeAll(t, array); !ok || len(all) != 2 || all[0].Seq != cleared || all[1].Seq != b {
		t.Errorf("a client that was away gets %s (recovered %v)", array, ok)
	}
	if s.line.purgeBelow != cleared {
		t.Errorf("purgeBelow = %d, want %d", s.line.purgeBelow, cleared)
	}
	if array, _ := s.line.newest(); strings.Contains(string(array), "secret") {
		t.Error("the window still shows what was cleared")
	}
}

// A timeline that is loaded from what the log still has must show what the one in memory shows.
func TestTimelineLoadEqualsLive(t *testing.T) {
	for _, erased := range []bool{false, true} {
		t.Run(fmt.Sprintf("erased=%v", erased), func(t *testing.T) {
			s := newScript(t, 50)
			a := s.chat("a")
			b := s.chat("b")
			edit := s.edit(b, "b2")
			c := s.chat("c")
			s.react("bob", c, "🎉", true)
			s.remove(b)
			s.edit(a, "a2")
			var kept []Record
			for _, rec := range s.log {
				if erased && (rec.Seq == b || rec.Seq == edit) {
					continue
				}
				kept = append(kept, rec)
			}
			cold := newTimeline(50)
			cold.load(Tail{Epoch: "e1", Records: kept, Last: s.seq})
			hot, _ := s.line.newest()
			got, _ := cold.newest()
			if erased { // prev of what followed the erased edit has moved; all else is the same
				hot, got = withoutPrev(t, hot), withoutPrev(t, got)
			}
			if string(hot) != string(got) {
				t.Errorf("loaded:\n%s\nlive:\n%s", got, hot)
			}
			if erased != (len(cold.leftovers) == 0) {
				t.Errorf("leftovers = %v with erased=%v", cold.leftovers, erased)
			}
		})
	}
}

func withoutPrev(t *testing.T, array []byte) []byte {
	t.Helper()
	all := decodeAll(t, array)
	for i := range all {
		all[i].Prev = 0
	}
	return mustJSON(all)
}

func TestTimelinePages(t *testing.T) {
	s := newScript(t, 100)
	var seqs []wire.Seq
	for i := range 30 {
		seqs = append(seqs, s.chat(fmt.Sprint(i)))
	}
	before, seen := wire.Seq(0), 0
	for {
		array, more := s.line.before(before, 7)
		all := decodeAll(t, array)
		for i, e := range all {
			if want := seqs[30-seen-len(all)+i]; e.Seq != want {
				t.Fatalf("page before %d has %d, want %d", before, e.Seq, want)
			}
		}
		seen += len(all)
		if !more {
			break
		}
		before = all[0].Seq
	}
	if seen != 30 {
		t.Errorf("paged %d messages, want 30", seen)
	}
	big := newScript(t, 100)
	for range 40 {
		big.chat(strings.Repeat("x", wire.MaxTextBytes))
	}
	array, more := big.line.before(0, 100)
	if len(array) > maxPageBytes || !more {
		t.Errorf("a page of %d bytes, more=%v", len(array), more)
	}
}
