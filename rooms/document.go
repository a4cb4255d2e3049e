package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"confab/signaling/wire"
)

const (
	maxBans  = 1000
	maxReads = 5000
	maxMuted = 1000 // users whose encoders are muted; beyond it nobody else's can be
	// The oldest bans and read marks go when there are more.
	saveTimeout = 10 * time.Second
)

// A document is what a room keeps beside its log: the rules of the meeting, and who is banned.
type document struct {
	Locked   bool                          `json:"locked,omitempty"`
	Admitted []wire.UserID                 `json:"admitted,omitempty"` // may come back while it is locked
	Roles    map[wire.UserID]wire.Role     `json:"roles,omitempty"`    // given by moderators, for this meeting
	Muted    map[wire.UserID][]wire.Source `json:"muted,omitempty"`    // of encoders, by moderators, for this meeting
	Bans     []ban                         `json:"bans,omitempty"`     // oldest first
	Reads    map[wire.UserID]wire.Seq      `json:"reads,omitempty"`
	Threads  []storedThread                `json:"threads,omitempty"`
	Epoch    string                        `json:"epoch,omitempty"` // that the positions in threads belong to
	Bots     []wire.BotID                  `json:"bots,omitempty"`  // that are let in, in that order
	Runs     []openRun                     `json:"runs,omitempty"`  // of bots, that go on
	Later    []promise                     `json:"later,omitempty"`
	Spent    spending                      `json:"spent,omitzero"`

	Title       string         `json:"title,omitempty"`
	Capacity    int            `json:"capacity,omitempty"`    // participants; 0 = as the server has it
	StaysLocked bool           `json:"staysLocked,omitempty"` // an operator has locked it, and no meeting's end unlocks it
	Began       int64          `json:"began,omitempty"`       // when the meeting began, Unix time in milliseconds; kept where events are told
	Members     []storedMember `json:"members,omitempty"`     // where another process may take the room over
}

// saveQueue holds who waits for the document to be saved. One save runs at a time.
type saveQueue struct {
	busy    bool
	dirty   bool
	waiting []func(error)
}

func (r *Room) openDocument(doc []byte) {
	if len(doc) > 0 {
		if err := json.Unmarshal(doc, &r.doc); err != nil {
			r.logger.Error("the room's saved state cannot be read; starting without it", "error", err)
			r.doc = document{}
		}
	}
	if r.doc.Roles == nil {
		r.doc.Roles = make(map[wire.UserID]wire.Role)
	}
	if r.doc.Muted == nil {
		r.doc.Muted = make(map[wire.UserID][]wire.Source)
	}
	for user, seq := range r.doc.Reads {
		r.reads[user] = seq
	}
	r.openThreads(r.doc.Threads, r.doc.Epoch)
	r.doc.Reads, r.doc.Threads, r.doc.Epoch = nil, nil, ""
}

// save stores the document; then is called as a command of the room when that is done or has failed.
func (r *Room) save(then func(error)) {
	r.saves.dirty = true
	if then != nil {
		r.saves.waiting = append(r.saves.waiting, then)
	}
	r.runSave()
}

func (r *Room) runSave() {
	q := &r.saves
	if q.busy || !q.dirty {
		return
	}
	if r.abandoned {
		r.dropSaves(ErrOtherOwner)
		return
	}
	waiting := q.waiting
	q.busy, q.dirty, q.waiting = true, false, nil
	r.unkept = false
	doc := r.doc
	doc.Reads = r.reads
	if doc.Threads = r.storedThreads(); doc.Threads != nil {
		doc.Epoch = r.threads.epoch
	}
	doc.Reads, doc.Runs, doc.Members = r.reads, r.openRuns(), r.storedMembers()
	data := mustJSON(doc)
	r.background(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, saveTimeout)
		defer cancel()
		err := r.registry.log.SaveState(ctx, r.id, data)
		return func() {
			q.busy = false
			if err != nil {
				r.logger.Error("cannot save the room's state", "error", err)
				r.unkept = r.doc.Spent.Bots != nil
			}
			for _, then := range waiting {
				then(err)
			}
			if errors.Is(err, ErrOtherOwner) && !r.abandoned {
				r.abandon()
			}
			r.runSave()
		}
	})
}

// roleOf is what m may do now: what a moderator gave it, else its token's role.
func (r *Room) roleOf(m *Member) wire.Role {
	if role, ok := r.doc.Roles[m.User]; ok {
		return role
	}
	return m.Role
}

// grantsOf is what m may do beside its role. A role that a moderator gave brings that role's grants with it: a
// promoted viewer may publish, one who was made a viewer may not. An encoder may not publish what is muted of it.
func (r *Room) grantsOf(m *Member) wire.Grants {
	grants := m.Grants
	if role := r.roleOf(m); role != m.Role {
		grants = wire.RoleGrants(role)
	}
	if muted := r.doc.Muted[m.User]; len(muted) > 0 && m.Kind == wire.Ingress {
		grants.Publish = slices.DeleteFunc(slices.Clone(grants.Publish), func(source wire.Source) bool {
			return slices.Contains(muted, muteOf(source))
		})
	}
	return grants
}

// newMeeting forgets the rules of the last meeting when nobody is left of it. After a start it waits until those
// who were there have had time to come back.
func (r *Room) newMeeting() {
	if !r.empty() || r.vacated() || time.Since(r.registry.started) < returnWindow {
		return
	}
	r.endMeeting()
}

// endMeeting unlocks the room, unless an operator has locked it, takes back given roles and the voices and ears
// of bots, and unmutes encoders.
func (r *Room) endMeeting() {
	r.dropVoices()
	if r.door != nil {
		r.door.addresses = nil
	}
	began := r.doc.Began
	r.meetingOver()
	if began == 0 && r.doc.Locked == r.doc.StaysLocked && len(r.doc.Admitted) == 0 && len(r.doc.Roles) == 0 && len(r.doc.Muted) == 0 {
		return
	}
	r.doc.Locked, r.doc.Admitted = r.doc.StaysLocked, nil
	clear(r.doc.Roles)
	clear(r.doc.Muted)
	r.save(nil)
	r.openDoor()
}

// mayEnter reports why m must stay outside, nil when it may come in.
func (r *Room) mayEnter(m *Member) error {
	if r.banned(m) {
		return wire.Errorf(wire.CodeForbidden, "you are banned from this room")
	}
	if r.doc.Locked && r.roleOf(m) != wire.RoleModerator && !slices.Contains(r.doc.Admitted, m.User) {
		return wire.Errorf(wire.CodeRoomLocked, "the room is locked; knock, or ask somebody inside to unlock it")
	}
	return r.hasRoom()
}

// hasRoom reports that the room is full, nil when there is a place.
func (r *Room) hasRoom() error {
	if len(r.members)-r.seats >= r.capacity() {
		return &wire.Error{Code: wire.CodeRoomFull, Text: "the room is full; try again when somebody has left", RetryAfter: 5 * time.Second}
	}
	return nil
}

// capacity is how many participants the room holds: its own setting, else the server's.
func (r *Room) capacity() int {
	most := r.registry.opts.Capacity
	if r.doc.Capacity > 0 {
		return min(r.doc.Capacity, most)
	}
	return min(r.registry.opts.RoomCapacity, most)
}

// setCapacity changes how many participants the room holds, 0 = as the server has it. Who is inside stays.
func (r *Room) setCapacity(m *Member, capacity int, answer Answer) {
	switch most := r.registry.opts.Capacity; {
	case m.Guest: // the setting outlives the meeting
		answer(nil, wire.Errorf(wire.CodeForbidden, "a guest who moderates may not set this"))
	case capacity > most:
		answer(nil, wire.Errorf(wire.CodeConflict, "a room of this server holds at most %d", most))
	default:
		r.doc.Capacity = capacity
		r.openDoor()
		r.saveThenAck(answer)
	}
}

// firstGuest makes the first guest of a meeting its moderator.
func (r *Room) firstGuest(m *Member) {
	if !m.Guest || r.roleOf(m) == wire.RoleModerator || r.hasModerator() {
		return
	}
	r.doc.Roles[m.User] = wire.RoleModerator
	r.save(nil)
}

// hasModerator reports whether the meeting has one, present or about to come back.
func (r *Room) hasModerator() bool {
	for _, role := range r.doc.Roles {
		if role == wire.RoleModerator {
			return true
		}
	}
	for _, m := range r.order {
		if r.roleOf(m) == wire.RoleModerator {
			return true
		}
	}
	return false
}

// setRead moves a person's read mark forward; it reports whether it moved.
func (r *Room) setRead(user wire.UserID, seq wire.Seq) bool {
	if seq <= r.reads[user] {
		return false
	}
	if _, known := r.reads[user]; !known && len(r.reads) >= maxReads {
		r.dropOldestRead()
	}
	r.reads[user] = seq
	return true
}

func (r *Room) dropOldestRead() {
	var oldest wire.UserID
	for user, seq := range r.reads {
		if oldest == "" || seq < r.reads[oldest] {
			oldest = user
		}
	}
	delete(r.reads, oldest)
}
