package rooms

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"confab/signaling/wire"
)

// maxPending bounds the appends under way in one room.
const maxPending = 4096

// echoPatience is how long a stored record may wait for its echo before its author is answered without.
const echoPatience = 500 * time.Millisecond

// A pendingAppend is a record between Append and its answer or echo, whichever comes first: either proves that it
// is stored.
type pendingAppend struct {
	content *content
	by      *Member
	thread  *thread        // nil = the main timeline
	id      wire.RequestID // the client's; empty = none
	answers []Answer       // one (first), and one more for each repeat meanwhile
	first   [1]Answer      // where answers begins
	settled bool           // the answers are given
	overdue bool           // the last look found it stored, but not echoed

	stored atomic.Uint64 // its seq, once the log has said so
}

func (r *Room) chat(m *Member, t *timeline, id wire.RequestID, msg wire.Chat, answer Answer) {
	if err := r.mayWrite(m); err != nil {
		answer(nil, err)
		return
	}
	if msg.ReplyTo != 0 && t.find(msg.ReplyTo) == nil && msg.ReplyTo > t.floor {
		answer(nil, wire.Errorf(wire.CodeNotFound, "the message replied to is not in this room"))
		return
	}
	if t.thread != nil && (!t.thread.kept || t.thread.births != nil) {
		r.firstChat(m, t.thread, id, msg, answer)
		return
	}
	r.clearTyping(m)
	r.append(m, t, id, &content{
		head: r.head(m, t, wire.KindChat, id),
		chat: &wire.ChatRecord{Text: msg.Text, ReplyTo: msg.ReplyTo, Mentions: msg.Mentions},
	}, answer)
}

// firstChat is chat in a thread that storage does not know of yet.
func (r *Room) firstChat(m *Member, t *thread, id wire.RequestID, msg wire.Chat, answer Answer) {
	r.whenKept(t, func(err error) {
		switch {
		case err != nil:
			answer(nil, err)
		case m.state != memberOnline:
			answer(nil, errNotOnline())
		default:
			r.chat(m, t.log.line, id, msg, answer)
		}
	})
}

func (r *Room) edit(m *Member, t *timeline, id wire.RequestID, msg wire.Edit, answer Answer) {
	answer = r.auditedChange(m, t, ActEdit, msg.Message, answer)
	if _, err := r.mayChange(m, t, msg.Message); err != nil {
		if !r.repeated(m, t, id, answer) {
			answer(nil, err)
		}
		return
	}
	r.append(m, t, id, &content{head: r.head(m, t, wire.KindEdit, id), edit: &msg}, answer)
}

func (r *Room) remove(m *Member, t *timeline, id wire.RequestID, msg wire.Delete, answer Answer) {
	answer = r.auditedChange(m, t, ActDelete, msg.Message, answer)
	was, err := r.mayChange(m, t, msg.Message)
	if err != nil {
		if !r.repeated(m, t, id, answer) {
			answer(nil, err)
		}
		return
	}
	old := was.open()
	head := old.head
	r.append(m, t, id, &content{
		head: r.head(m, t, wire.KindDelete, id),
		remove: &deletion{Delete: msg, Was: &remains{
			ID: head.ID, Room: head.Room, Thread: head.Thread, From: head.From, Author: head.Author, ReplyTo: old.body.ReplyTo, TS: head.TS,
		}},
	}, answer)
}

func (r *Room) react(m *Member, t *timeline, id wire.RequestID, msg wire.Reaction, answer Answer) {
	if err := r.mayWrite(m); err != nil {
		answer(nil, err)
		return
	}
	if r.repeated(m, t, id, answer) {
		return
	}
	to := t.find(msg.Message)
	if to == nil || to.deleted {
		answer(nil, wire.Errorf(wire.CodeNotFound, "there is no such message"))
		return
	}
	reactions := to.open().body.Reactions
	users, known := reactions[msg.Emoji]
	if slices.Contains(users, m.User) == msg.On {
		answer(wire.Ack{Duplicate: true}, nil) // as asked already: nothing to store
		return
	}
	if msg.On && !known && len(reactions) >= wire.MaxReactionKinds {
		answer(nil, wire.Errorf(wire.CodeTooLarge, "a message bears at most %d kinds of reactions", wire.MaxReactionKinds))
		return
	}
	r.append(m, t, id, &content{head: r.head(m, t, wire.KindReaction, id), reaction: &msg}, answer)
}

func (r *Room) clear(m *Member, t *timeline, id wire.RequestID, answer Answer) {
	answer = r.audited(m, Act{Action: ActClear, Thread: t.name()}, answer)
	if err := r.mayWrite(m); err != nil {
		answer(nil, err)
		return
	}
	if r.roleOf(m) != wire.RoleModerator && (t.thread == nil || t.thread.with == nil) {
		answer(nil, wire.Errorf(wire.CodeForbidden, "only a moderator may clear the history"))
		return
	}
	r.append(m, t, id, &content{head: r.head(m, t, wire.KindClear, id), cleared: true}, answer)
}

func (t *timeline) history(msg wire.History, answer Answer) {
	limit := msg.Limit
	if limit == 0 {
		limit = 50
	}
	array, more := t.before(msg.Before, limit)
	answer(page{messages: array, more: more}, nil)
}

// page is wire.HistoryPage with its messages encoded already.
type page struct {
	wire.HistoryPage
	messages []byte
	more     bool
}

// MarshalJSON implements json.Marshaler.
func (p page) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, len(p.messages)+32), `{"messages":`...)
	out = append(out, p.messages...)
	if p.more {
		return append(out, `,"more":true}`...), nil
	}
	return append(out, `,"more":false}`...), nil
}

func errNoThread() error {
	return wire.Errorf(wire.CodeNotFound, "there is no such thread in this room")
}

// head is the envelope of a record that m writes.
func (r *Room) head(m *Member, t *timeline, kind wire.Kind, id wire.RequestID) wire.Envelope {
	return wire.Envelope{Type: kind, ID: id, Room: r.id, Thread: t.name(), From: m.Participant, Author: m.author()}
}

// mayWrite checks what every logged message needs.
func (r *Room) mayWrite(m *Member) error {
	if !r.grantsOf(m).Chat {
		return wire.Errorf(wire.CodeForbidden, "this token may not write in the chat")
	}
	return nil
}

// mayChange returns the message if m may edit or delete it.
func (r *Room) mayChange(m *Member, t *timeline, seq wire.Seq) (*message, error) {
	if err := r.mayWrite(m); err != nil {
		return nil, err
	}
	msg := t.find(seq)
	if msg == nil || msg.deleted {
		return nil, wire.Errorf(wire.CodeNotFound, "there is no such message")
	}
	if msg.user != m.User && r.roleOf(m) != wire.RoleModerator {
		return nil, wire.Errorf(wire.CodeForbidden, "only its author or a moderator may change a message")
	}
	return msg, nil
}

// repeated answers a request that took effect before, and reports whether it did.
func (r *Room) repeated(m *Member, t *timeline, id wire.RequestID, answer Answer) bool {
	return r.known(t, keyOf(r.id, m.User, id), answer)
}

// known is repeated for a request whose key is at hand.
func (r *Room) known(t *timeline, key string, answer Answer) bool {
	if key == "" {
		return false
	}
	if seq, ok := t.keys.find(hashKey(key)); ok {
		answer(wire.Ack{Seq: seq, Duplicate: true, Durability: r.registry.opts.Durability}, nil)
		return true
	}
	if p := r.pending[key]; p != nil {
		if p.settled {
			answer(wire.Ack{Seq: wire.Seq(p.stored.Load()), Duplicate: true, Durability: r.registry.opts.Durability}, nil)
		} else {
			p.answers = append(p.answers, answer)
		}
		return true
	}
	return false
}

// append stores a record and answers when it is stored. A repeat of an id gets the first one's answer. A request
// without an id gets one of the server's own, so that a retry inside the log stays harmless.
func (r *Room) append(m *Member, t *timeline, id wire.RequestID, c *content, answer Answer) {
	key := keyOf(r.id, m.User, id)
	if r.known(t, key, answer) {
		return
	}
	if len(r.pending) >= maxPending {
		answer(nil, wire.Errorf(wire.CodeUnavailable, "too much is waiting to be stored; try again"))
		return
	}
	p := &pendingAppend{content: c, by: m, thread: t.thread, id: id, first: [1]Answer{answer}}
	p.answers = p.first[:]
	if id == "" {
		key = keyOf(r.id, m.User, newServerID())
	}
	r.pending[key] = p
	if !r.looking { // it is not stopped for each: it would be started again at once
		r.looking = true
		r.overdue.Reset(echoPatience)
	}
	r.registry.log.Append(Timeline{Room: r.id, Thread: t.name()}, key, c.payload(), func(a Appended, err error) {
		if err == nil && !a.Duplicate {
			p.stored.Store(uint64(a.Seq)) // the echo is the answer, unless it is late
			return
		}
		r.post(noAnswer, func() { r.onAppended(key, p, a, err) })
	})
}

// onAppended takes the log's answer to what has no echo: a failure, or a duplicate.
func (r *Room) onAppended(key string, p *pendingAppend, a Appended, err error) {
	if p.settled {
		return // it was stored by an earlier attempt, and its echo has come
	}
	delete(r.pending, key)
	if err != nil {
		err = appendError(err)
	}
	r.settle(p, p.answers, wire.Ack{Seq: a.Seq, Duplicate: a.Duplicate}, err)
}

// settleOverdue answers what is stored although its echo does not come: the log's feed is behind, and heals.
func (r *Room) settleOverdue() {
	for _, p := range r.pending {
		seq := wire.Seq(p.stored.Load())
		if seq != 0 && p.overdue && !p.settled {
			r.settle(p, p.answers, wire.Ack{Seq: seq}, nil)
		}
		p.overdue = seq != 0
	}
	if r.looking = len(r.pending) > 0; r.looking {
		r.overdue.Reset(echoPatience)
	}
}

// settle gives answers what became of an append.
func (r *Room) settle(p *pendingAppend, answers []Answer, ack wire.Ack, err error) {
	p.settled = true
	ack.Durability = r.registry.opts.Durability
	for _, answer := range answers {
		if err != nil {
			answer(nil, err)
			continue
		}
		answer(ack, nil)
	}
}

func appendError(err error) error {
	if errors.Is(err, ErrUnavailable) || errors.Is(err, ErrLogClosed) {
		return &wire.Error{Code: wire.CodeUnavailable, Text: "not stored yet; send it again with the same id", Err: err}
	}
	return err
}

// onRecord takes in the log's next record and tells everyone.
func (r *Room) onRecord(rec Record) {
	if rec.Seq <= r.main.last {
		return
	}
	p := r.pending[rec.ID]
	var c *content
	if p == nil || p.thread != nil {
		var err error
		if c, err = parseContent(rec.Payload); err != nil {
			r.logger.Warn("skipped a record that cannot be read", "seq", uint64(rec.Seq), "error", err)
			return
		}
		frame := r.main.apply(rec, c)
		r.recordChat(frame)
		r.broadcast(frame, nil)
	} else {
		delete(r.pending, rec.ID)
		c = p.content
		frame := r.main.apply(rec, c)
		r.recordChat(frame)
		r.echo(p, rec.Seq, frame)
		r.messageStored(c, rec, nil)
	}
	if r.threads != nil {
		r.rootChanged(c)
	}
	r.eraseLeftovers(r.main)
}

// echo tells everyone of a record that a member here wrote. Its author gets the acknowledgement and the message as
// one frame: one write instead of two.
func (r *Room) echo(p *pendingAppend, seq wire.Seq, frame []byte) {
	if p.settled {
		r.broadcast(frame, nil)
		return
	}
	ack := wire.Ack{Seq: seq, Durability: r.registry.opts.Durability}
	if p.id == "" || p.by.state != memberOnline || p.by.seat != nil || p.by.absent || r.gathers() {
		r.broadcast(frame, nil) // a bot says that it is done when it has the answer
		r.settle(p, p.answers[:1], ack, nil)
	} else {
		own := wire.AppendAck(make([]byte, 0, wire.AckSize+len(frame)+1), wire.Envelope{ID: p.id, Room: r.id}, ack)
		own = append(append(own, '\n'), frame...)
		p.by.out.Send(own, "")
		r.settle(p, nil, ack, nil)
		p.answers[0](nil, nil)
		r.broadcast(frame, p.by)
	}
	ack.Duplicate = true
	r.settle(p, p.answers[1:], ack, nil)
}
