package rooms

import (
	"slices"
	"strconv"

	"confab/signaling/wire"
)

// subscribe makes m a follower of a thread: the thread's window or what m has missed is the first that it hears of it,
// and what comes then follows without a hole.
func (r *Room) subscribe(m *Member, id wire.RequestID, name wire.ThreadID, msg wire.SubscribeThread, answer Answer) {
	t, err := r.threadToFollow(m, name, msg.Private)
	if err != nil {
		answer(nil, err)
		return
	}
	r.whenOpen(t, m, answer, func(line *timeline) {
		r.flushThread(t) // what is gathered is in what m begins with
		if !slices.Contains(t.log.followers, m) {
			if len(m.following) >= wire.MaxThreadsFollowed {
				answer(nil, wire.Errorf(wire.CodeConflict, "a participant follows at most %d threads; leave one first", wire.MaxThreadsFollowed))
				return
			}
			t.log.followers = append(t.log.followers, m)
			m.following = append(m.following, t)
		}
		m.out.SendJoined(r.threadFrame(line, id, msg.Since))
		answer(nil, nil)
	})
}

func (r *Room) threadToFollow(m *Member, name wire.ThreadID, private wire.UserID) (*thread, error) {
	switch {
	case private == "" && name == "":
		return nil, wire.Errorf(wire.CodeBadMessage, "subscribe-thread needs a thread, or private")
	case private == "":
		return r.threadOf(m, name)
	case name != "" && name != privateName(m.User, private):
		return nil, wire.Errorf(wire.CodeBadMessage, "this is not the name of that private thread; leave thread out")
	default:
		return r.privateThread(m, private)
	}
}

// threadFrame is the first frame of a thread.
func (r *Room) threadFrame(line *timeline, id wire.RequestID, since *wire.Cursor) []byte {
	messages, recovered := line.since(since, maxThreadBytes)
	more := false
	if !recovered {
		messages, more = line.page(len(line.messages), line.window, maxThreadBytes)
	}
	data := append(newFrame(len(messages)+256), `{"messages":`...)
	data = append(data, messages...)
	data = strconv.AppendBool(append(data, `,"recovered":`...), recovered)
	data = strconv.AppendBool(append(data, `,"more":`...), more)
	data = r.appendRuns(append(data, `,"runs":`...), line.thread)
	data = append(append(append(data, `,"epoch":"`...), line.epoch...), '"')
	if marks := line.thread.marks; len(marks) > 0 {
		reads := make(map[wire.UserID]wire.Seq, len(marks))
		for user, m := range marks {
			reads[user] = m.seq
		}
		data = append(append(data, `,"reads":`...), mustJSON(reads)...)
	}
	data = append(data, '}')
	head := wire.Envelope{ID: id, Room: r.id, Thread: line.thread.name, Seq: line.last}
	frame := wire.AppendEnvelope(newFrame(len(data)+256), head, wire.KindThreadHistory, data)
	Recycle(data)
	return frame
}

// unsubscribe ends what subscribe began.
func (r *Room) unsubscribe(m *Member, name wire.ThreadID, answer Answer) {
	i := slices.IndexFunc(m.following, func(t *thread) bool { return t.name == name })
	if i < 0 {
		answer(wire.Ack{Duplicate: true}, nil)
		return
	}
	r.unfollow(m, m.following[i])
	m.following = slices.Delete(m.following, i, i+1)
	answer(wire.Ack{}, nil)
}

// unfollowAll takes m out of every thread: it leaves, or joins again and then subscribes again.
func (r *Room) unfollowAll(m *Member) {
	for _, t := range m.following {
		r.unfollow(m, t)
	}
	m.following = nil
}

func (r *Room) unfollow(m *Member, t *thread) {
	t.log.followers = slices.DeleteFunc(t.log.followers, func(other *Member) bool { return other == m })
	t.log.used = now()
}

// tellThread sends a frame to who follows a thread, but for except, and to the bots that may see it: those hear every
// thread, for they cannot know in which one they are spoken to next. With a key the frame is state, as of Outlet.Send.
// What is not is gathered where many follow, as it is in a large room.
func (r *Room) tellThread(t *thread, frame []byte, key string, except *Member) {
	if log := t.log; key == "" && log != nil && (len(log.followers) >= largeRoom || log.batch.armed) {
		if log.batch.timer == nil {
			log.batch.timer = r.newTimer(func() { r.flushThread(t) })
		}
		log.batch.add(stateFrame{frame: frame}, largeTick)
		if log.batch.bytes >= wire.MaxBatchBytes {
			r.flushThread(t)
		}
		return
	}
	r.sendThread(t, frame, key, except)
}

// flushThread sends what is gathered of a thread.
func (r *Room) flushThread(t *thread) {
	if t.log == nil || len(t.log.batch.frames) == 0 {
		return
	}
	r.sendThread(t, joinFrames(t.log.batch.take(), nil), "", nil)
}

func (r *Room) sendThread(t *thread, frame []byte, key string, except *Member) {
	var followers []*Member
	if t.log != nil {
		followers = t.log.followers
	}
	for _, m := range followers {
		if m != except {
			m.out.Send(frame, key)
		}
	}
	for _, m := range r.hearers {
		if m != except && m.state == memberOnline && t.visible(m) && !slices.Contains(followers, m) {
			m.out.Send(frame, key)
		}
	}
}
