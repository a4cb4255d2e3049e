package rooms

import (
	"net/netip"
	"slices"
	"time"

	"confab/signaling/wire"
)

const (
	// A room with more members than this does not keep the list of them: those who come back are seen to join.
	maxStoredMembers = 500
	// The list is saved this long after it changed, so that many who come at once are one write.
	keepMembersAfter = 200 * time.Millisecond
)

// A storedMember is a member in the room's document: when the room's process dies, another one seats it as
// reconnecting, so that nobody is seen to leave who comes back in time.
type storedMember struct {
	Participant wire.ParticipantID   `json:"participant"`
	User        wire.UserID          `json:"user"`
	Name        string               `json:"name"`
	Kind        wire.ParticipantKind `json:"kind"`
	Role        wire.Role            `json:"role"`
	Grants      wire.Grants          `json:"grants"`
	Guest       bool                 `json:"guest,omitempty"`
	Address     netip.Prefix         `json:"address"`
	JoinedAt    int64                `json:"joinedAt"` // Unix time in milliseconds
	Media       wire.Media           `json:"media"`
}

// keepMembers has the list saved soon, where another process may need it.
func (r *Room) keepMembers() {
	if r.registry.opts.Owners == nil || r.keepList != nil || r.abandoned {
		return
	}
	r.keepList = r.after(keepMembersAfter, func() {
		r.keepList = nil
		r.save(nil)
	})
}

// storedMembers is the list for the document. Bots are seated anew, and encoders do not take up what they had.
func (r *Room) storedMembers() []storedMember {
	if r.registry.opts.Owners == nil || len(r.order)-r.seats > maxStoredMembers {
		return nil
	}
	var all []storedMember
	for _, m := range r.order {
		if m.seat != nil || m.Kind == wire.Ingress {
			continue
		}
		all = append(all, storedMember{
			Participant: m.Participant, User: m.User, Name: m.Name, Kind: m.Kind, Role: m.Role, Grants: m.Grants, Guest: m.Guest,
			Address: m.Address, JoinedAt: m.joinedAt.UnixMilli(), Media: m.media,
		})
	}
	return all
}

// restoreMembers seats those of a process that is gone. They have wire.ReconnectWindow to come back. Nothing else touches
// the room meanwhile.
func (r *Room) restoreMembers() {
	stored := r.doc.Members
	r.doc.Members = nil
	if r.registry.opts.Owners == nil {
		return
	}
	for _, s := range stored {
		if r.members[s.Participant] != nil {
			continue
		}
		m := &Member{
			Identity: Identity{
				Participant: s.Participant, User: s.User, Name: s.Name, Kind: s.Kind, Role: s.Role, Grants: s.Grants, Guest: s.Guest,
				Address: s.Address,
			},
			room: r, out: nowhere{}, state: memberReconnecting, joinedAt: time.UnixMilli(s.JoinedAt), media: s.Media,
		}
		r.registry.retain(r)
		r.members[m.Participant] = m
		r.order = append(r.order, m)
		r.awaitReturn(m)
	}
	r.updateMode()
}

// awaitReturn drops m when it has not come back within wire.ReconnectWindow.
func (r *Room) awaitReturn(m *Member) {
	m.lost = r.after(wire.ReconnectWindow, func() {
		if m.state == memberReconnecting {
			r.drop(m, "lost")
		}
	})
}

// abandon ends the room because another process may run it. Its members are sent there.
func (r *Room) abandon() {
	if r.abandoned {
		return
	}
	r.abandoned, r.over = true, true
	r.registry.remove(r)
	r.logger.Warn("the room is no longer this node's; its members look for it anew")
	for _, m := range slices.Clone(r.order) {
		if m.seat != nil {
			continue
		}
		was := m.state
		m.state = memberGone
		if sfu := r.registry.opts.SFU; sfu != nil {
			sfu.Leave(r.id, m.Participant)
		}
		if was != memberOnline {
			continue
		}
		if mover, ok := m.out.(Mover); ok {
			mover.Moved(r.id)
		} else {
			m.out.Removed(r.id, wire.Ended)
		}
	}
	for _, k := range slices.Clone(r.knocks()) {
		if mover, ok := k.m.out.(Mover); ok && k.m.state == memberKnocking {
			mover.Moved(r.id)
		}
		r.leaveDoor(k)
		r.dismiss(k, errRoomMoved())
	}
	r.stopRecording(true)
	r.dropSaves(ErrOtherOwner)
}

// dropSaves answers those who wait for a save that will not be.
func (r *Room) dropSaves(err error) {
	waiting := r.saves.waiting
	r.saves.waiting, r.saves.dirty = nil, false
	for _, then := range waiting {
		then(err)
	}
}
