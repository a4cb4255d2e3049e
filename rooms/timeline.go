package rooms

import (
	"encoding/json"
	"slices"
	"strconv"

	"confab/signaling/wire"
)

const (
	// A joined frame holds at most this much history, the newest; the rest can be paged.
	maxJoinedBytes = 1 << 20
	maxPageBytes   = 256 << 10
)

// A timeline is the room's memory of one log: the records as they were sent and the messages folded from them.
// It has no goroutine and no lock: its owner is the room.
type timeline struct {
	// Set by newTimeline, then constant.
	window int     // messages a new client gets
	limit  int     // records kept, as many as the log keeps
	thread *thread // nil = the room's main timeline

	epoch   string
	records []entry // oldest first; contiguous: nothing of the log is missing between them
	last    wire.Seq
	// floor is the newest position that records no longer reach back to; 0 = they hold all there ever was.
	// A cursor at floor or above can be resumed.
	floor    wire.Seq
	messages []*message // folded, oldest first
	keys     keyTable
	joined   []byte // the window as a JSON array; nil = has changed
	older    bool   // joined leaves out older messages

	// What storage may still hold although it is not shown any more; the room erases it.
	leftovers  []wire.Seq
	purgeBelow wire.Seq
}

// An entry is one record as clients get it.
type entry struct {
	seq    wire.Seq
	kind   wire.Kind
	target wire.Seq   // of an edit, delete or reaction: the message
	key    requestKey // of its author and id; 0 = none
	frame  []byte     // with seq, prev and ts
}

// A message is a chat message as it stands now. Most never change: only one that does is decoded.
type message struct {
	seq     wire.Seq
	user    wire.UserID // who wrote it
	deleted bool
	folded  []byte // the frame; nil = has changed
	opened  *opened
}

// opened is a message to look at or to change; nearly all are never opened.
type opened struct {
	head wire.Envelope // type to ts, without data
	body wire.ChatRecord
}

func newTimeline(window int) *timeline {
	return &timeline{window: window, limit: window * wire.RecordsPerMessage}
}

// name is that of the thread, empty for the main timeline.
func (t *timeline) name() wire.ThreadID {
	if t.thread == nil {
		return ""
	}
	return t.thread.name
}

// load takes a tail in. The timeline must be new.
func (t *timeline) load(tail Tail) {
	t.epoch = tail.Epoch
	for i, rec := range tail.Records {
		if i == 0 && len(tail.Records) >= t.limit {
			t.floor = rec.Seq // what came before it is gone; the cursor must be at least here
		}
		c, err := parseContent(rec.Payload)
		if err != nil {
			continue // not ours: nothing that the room can show
		}
		t.apply(rec, c)
	}
	t.last = max(t.last, tail.Last)
}

// apply takes in the next record and returns the frame for everyone.
func (t *timeline) apply(rec Record, c *content) []byte {
	e := entry{
		seq: rec.Seq, kind: c.head.Type, key: hashKey(c.key(rec.ID)),
		frame: frameRecord(rec, t.last),
	}
	t.keys.put(e.key, rec.Seq)
	t.last = rec.Seq
	switch {
	case c.chat != nil:
		t.messages = append(t.messages, &message{seq: rec.Seq, user: c.user(), folded: e.frame})
		t.joined = nil
	case c.edit != nil:
		e.target = c.edit.Message
		if m := t.find(e.target); m != nil && !m.deleted {
			body := &m.open().body
			body.Text, body.Edited = c.edit.Text, rec.Time.UnixMilli()
			t.touch(m)
		} else {
			e.frame = blankEdit(headOf(e.frame), e.target) // of a message that is gone: no text may come back
			t.leftovers = append(t.leftovers, rec.Seq)
		}
	case c.remove != nil:
		e.target = c.remove.Message
		t.blank(c.remove)
	case c.reaction != nil:
		e.target = c.reaction.Message
		if m := t.find(e.target); m != nil && !m.deleted {
			m.react(c.user(), c.reaction)
			t.touch(m)
		}
	case c.cleared:
		t.purgeBelow = rec.Seq
		t.records, t.messages, t.floor, t.joined = nil, nil, 0, nil
		t.keys = keyTable{}
		t.keys.put(e.key, rec.Seq)
	}
	t.records = append(t.records, e)
	t.trim()
	return e.frame
}

// trim drops what the log has dropped too.
func (t *timeline) trim() {
	for len(t.records) > t.limit {
		old := t.records[0]
		t.records[0] = entry{}
		t.records = t.records[1:]
		t.floor = old.seq
		t.keys.drop(old.key, old.seq)
		if len(t.messages) > 0 && t.messages[0].seq <= old.seq {
			t.messages[0] = nil
			t.messages = t.messages[1:]
			t.joined = nil
		}
	}
}

// find returns the message at seq, nil when there is none.
func (t *timeline) find(seq wire.Seq) *message {
	i, ok := slices.BinarySearchFunc(t.messages, seq, func(m *message, s wire.Seq) int { return compareSeq(m.seq, s) })
	if !ok {
		return nil
	}
	return t.messages[i]
}

// alive reports whether there is a message at seq that is not deleted.
func (t *timeline) alive(seq wire.Seq) bool {
	m := t.find(seq)
	return m != nil && !m.deleted
}

func compareSeq(a, b wire.Seq) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// touch marks a message as changed.
func (t *timeline) touch(m *message) {
	m.folded = nil
	t.joined = nil
}

// blank takes the text of a deleted message out of everything that is kept. When the message itself is gone from
// the log already (its bytes were erased before a restart), its place is restored from the delete record.
func (t *timeline) blank(d *deletion) {
	m := t.find(d.Message)
	if m == nil {
		if d.Was == nil || d.Message <= t.floor {
			return
		}
		m = t.restore(d)
	} else {
		t.leftovers = append(t.leftovers, d.Message)
	}
	body := &m.open().body
	*body = wire.ChatRecord{Deleted: true, ReplyTo: body.ReplyTo}
	m.deleted = true
	t.touch(m)
	for i := range t.records {
		e := &t.records[i]
		switch {
		case e.seq == d.Message:
			e.frame = m.frame()
		case e.kind == wire.KindEdit && e.target == d.Message:
			e.frame = blankEdit(headOf(e.frame), d.Message)
			t.leftovers = append(t.leftovers, e.seq)
		}
	}
}

// restore puts a message back whose record was erased, in its place.
func (t *timeline) restore(d *deletion) *message {
	head := wire.Envelope{
		Type: wire.KindChat, ID: d.Was.ID, Room: d.Was.Room, Thread: d.Was.Thread, From: d.Was.From, Author: d.Was.Author,
		Seq: d.Message, TS: d.Was.TS,
	}
	at, _ := slices.BinarySearchFunc(t.records, d.Message, func(e entry, s wire.Seq) int { return compareSeq(e.seq, s) })
	if at > 0 {
		head.Prev = t.records[at-1].seq
	}
	m := &message{
		seq: d.Message, deleted: true,
		opened: &opened{head: head, body: wire.ChatRecord{ReplyTo: d.Was.ReplyTo, Deleted: true}},
	}
	i, _ := slices.BinarySearchFunc(t.messages, d.Message, func(m *message, s wire.Seq) int { return compareSeq(m.seq, s) })
	t.messages = slices.Insert(t.messages, i, m)
	key := requestKey(0)
	if d.Was.Author != nil {
		m.user = d.Was.Author.User
		key = hashKey(keyOf(d.Was.Room, m.user, d.Was.ID))
		t.keys.put(key, d.Message)
	}
	t.records = slices.Insert(t.records, at, entry{seq: d.Message, kind: wire.KindChat, key: key, frame: m.frame()})
	return m
}

// react folds one reaction in.
func (m *message) react(user wire.UserID, r *wire.Reaction) {
	body := &m.open().body
	users := body.Reactions[r.Emoji]
	i := slices.Index(users, user)
	switch {
	case r.On && i < 0:
		if body.Reactions == nil {
			body.Reactions = make(map[string][]wire.UserID)
		}
		body.Reactions[r.Emoji] = append(slices.Clone(users), user)
	case !r.On && i >= 0:
		users = slices.Delete(slices.Clone(users), i, i+1)
		if len(users) == 0 {
			delete(body.Reactions, r.Emoji)
			return
		}
		body.Reactions[r.Emoji] = users
	}
}

// open returns the message to look at or to change, decoded from the frame at the first call. Whoever changes it
// calls touch.
func (m *message) open() *opened {
	if m.opened == nil {
		o := &opened{head: headOf(m.folded)}
		if err := json.Unmarshal(o.head.Data, &o.body); err != nil {
			panic("rooms: a chat of ours that cannot be read: " + err.Error())
		}
		o.head.Data = nil
		m.opened = o
	}
	return m.opened
}

// frame returns the message as it stands now.
func (m *message) frame() []byte {
	if m.folded == nil {
		m.folded = wire.Encode(m.opened.head, m.opened.body)
	}
	return m.folded
}

// since returns every record after the cursor as frames joined into a JSON array, or false when the cursor is
// of another epoch, not reached back to, or more than limit bytes back.
func (t *timeline) since(c *wire.Cursor, limit int) ([]byte, bool) {
	if c == nil || c.Epoch != t.epoch || c.Seq < t.floor || c.Seq > t.last {
		return nil, false
	}
	from, found := slices.BinarySearchFunc(t.records, c.Seq, func(e entry, s wire.Seq) int { return compareSeq(e.seq, s) })
	if found {
		from++
	}
	size := 2
	for _, e := range t.records[from:] {
		size += len(e.frame) + 1
	}
	if size > limit {
		return nil, false
	}
	out := append(make([]byte, 0, size), '[')
	for i, e := range t.records[from:] {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e.frame...)
	}
	return append(out, ']'), true
}

// newest returns the window as a JSON array, and whether there are older messages. The array is shared.
func (t *timeline) newest() ([]byte, bool) {
	if t.joined == nil {
		t.joined, t.older = t.page(len(t.messages), t.window, maxJoinedBytes)
	}
	return t.joined, t.older
}

// before returns up to limit messages below seq (0 = the newest) as a JSON array.
func (t *timeline) before(seq wire.Seq, limit int) ([]byte, bool) {
	end := len(t.messages)
	if seq != 0 {
		end, _ = slices.BinarySearchFunc(t.messages, seq, func(m *message, s wire.Seq) int { return compareSeq(m.seq, s) })
	}
	return t.page(end, limit, maxPageBytes)
}

// page returns the messages that end before index end: at most limit, and at most size bytes but at least one.
func (t *timeline) page(end, limit, size int) (array []byte, more bool) {
	start, bytes := end, 2
	for start > 0 && end-start < limit {
		bytes += len(t.messages[start-1].frame()) + 1
		if bytes > size && start < end {
			break
		}
		start--
	}
	out := append(make([]byte, 0, bytes), '[')
	for i, m := range t.messages[start:end] {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, m.frame()...)
	}
	return append(out, ']'), start > 0
}

// frameRecord is a record as clients get it: its payload with seq, prev and ts.
func frameRecord(rec Record, prev wire.Seq) []byte {
	body := rec.Payload[:len(rec.Payload)-1] // without the closing brace
	out := append(make([]byte, 0, len(body)+64), body...)
	out = strconv.AppendUint(append(out, `,"seq":`...), uint64(rec.Seq), 10)
	if prev == 0 {
		prev = rec.Prev
	}
	if prev != 0 {
		out = strconv.AppendUint(append(out, `,"prev":`...), uint64(prev), 10)
	}
	out = strconv.AppendInt(append(out, `,"ts":`...), rec.Time.UnixMilli(), 10)
	return append(out, '}')
}

// blankEdit is an edit without its text: of a message that was deleted.
func blankEdit(head wire.Envelope, message wire.Seq) []byte {
	return wire.Encode(head, wire.Edit{Message: message})
}

// headOf reads the envelope back from a frame of ours.
func headOf(frame []byte) wire.Envelope {
	var e wire.Envelope
	if err := json.Unmarshal(frame, &e); err != nil {
		panic("rooms: a frame of ours that cannot be read: " + err.Error())
	}
	return e
}
