package rooms

import (
	"encoding/json"
	"net/netip"
	"slices"

	"confab/signaling/wire"
)

// A ban keeps a user out of a room until a moderator takes it back.
type ban struct {
	User wire.UserID `json:"user"`
	Name string      `json:"name,omitempty"` // at the time
	At   int64       `json:"at,omitempty"`   // Unix time in milliseconds
}

// UnmarshalJSON reads what earlier versions have stored too: the user alone.
func (b *ban) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &b.User)
	}
	type plain ban
	return json.Unmarshal(data, (*plain)(b))
}

// An addressBan keeps guests of an address out for this meeting: one who was banned would come back under another name.
// It is kept in memory alone, so that no address is ever stored.
type addressBan struct {
	address netip.Prefix
	user    wire.UserID // goes with the ban of this user
}

// ban keeps a person out. The oldest bans go when there are more than maxBans.
func (r *Room) ban(target *Member) {
	if !slices.ContainsFunc(r.doc.Bans, func(b ban) bool { return b.User == target.User }) {
		r.doc.Bans = append(r.doc.Bans, ban{User: target.User, Name: target.Name, At: now().UnixMilli()})
		if len(r.doc.Bans) > maxBans {
			r.doc.Bans = slices.Delete(r.doc.Bans, 0, len(r.doc.Bans)-maxBans)
		}
	}
	if !target.Guest || !bannable(target.Address) {
		return
	}
	door := r.needDoor()
	if slices.ContainsFunc(door.addresses, func(b addressBan) bool { return b.address == target.Address && b.user == target.User }) {
		return
	}
	door.addresses = append(door.addresses, addressBan{target.Address, target.User})
	if len(door.addresses) > maxBans {
		door.addresses = slices.Delete(door.addresses, 0, len(door.addresses)-maxBans)
	}
}

// bannable reports whether an address stands for somebody. One of a private network may be that of a proxy in front of
// the server, behind which everybody is.
func bannable(address netip.Prefix) bool {
	ip := address.Addr()
	return ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// unban takes the ban of a user back.
func (r *Room) unban(user wire.UserID, answer Answer) {
	before := len(r.doc.Bans)
	r.doc.Bans = slices.DeleteFunc(r.doc.Bans, func(b ban) bool { return b.User == user })
	if r.door != nil {
		r.door.addresses = slices.DeleteFunc(r.door.addresses, func(b addressBan) bool { return b.user == user })
	}
	if len(r.doc.Bans) == before {
		answer(nil, wire.Errorf(wire.CodeNotFound, "this user is not banned"))
		return
	}
	r.saveThenAck(answer)
}

// banned reports whether m must stay out. Those of an address are let in who bear a token that is no guest's, and
// those who are in the meeting already.
func (r *Room) banned(m *Member) bool {
	if slices.ContainsFunc(r.doc.Bans, func(b ban) bool { return b.User == m.User }) {
		return true
	}
	return r.door != nil && m.Guest && r.roleOf(m) != wire.RoleModerator && !r.hasUser(m.User) &&
		slices.ContainsFunc(r.door.addresses, func(b addressBan) bool { return b.address == m.Address })
}

func (r *Room) hasUser(user wire.UserID) bool {
	return slices.ContainsFunc(r.order, func(m *Member) bool { return m.User == user })
}

// bans answers a moderator with who is banned, the newest first.
func (r *Room) bans(m *Member, answer Answer) {
	if r.roleOf(m) != wire.RoleModerator {
		answer(nil, wire.Errorf(wire.CodeForbidden, "only a moderator may see this"))
		return
	}
	list := wire.BanList{Bans: make([]wire.Ban, 0, len(r.doc.Bans))}
	for _, b := range slices.Backward(r.doc.Bans) {
		list.Bans = append(list.Bans, wire.Ban{User: b.User, Name: b.Name, At: b.At})
	}
	answer(list, nil)
}
