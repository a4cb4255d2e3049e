package rooms

import (
	"hash/maphash"

	"confab/signaling/wire"
)

// A requestKey stands for what keyOf has named: a hash with a seed of this process, so that nobody can look for two of
// the same. A ring of 1,024 holds one by chance for one in 10^16 messages. A table of the names themselves would be a
// fiftieth of what a message costs.
type requestKey uint64

var requestSeed = maphash.MakeSeed()

// hashKey is 0 for an empty name, and for no other.
func hashKey(name string) requestKey {
	if name == "" {
		return 0
	}
	return requestKey(max(maphash.String(requestSeed, name), 1))
}

// keyOf names a request for good: a repeat by the same user in the same room is found by it, here and in the log.
func keyOf(room wire.RoomID, user wire.UserID, id wire.RequestID) string {
	if id == "" {
		return ""
	}
	return string(room) + "." + string(user) + "." + string(id)
}

// A keyTable finds records by the keys of their requests. Every message asks for a key that is not there, puts it in and
// takes another out, in a table that has gone cold since the room's last one, so what counts is how many lines of memory
// that touches: mostly one for each. The zero value is empty.
//
// It is open addressing with linear probing, at most half full. Keys are hashes already.
type keyTable struct {
	slots []keySlot // a power of two; key 0 = free
	used  int
}

type keySlot struct {
	key requestKey
	seq wire.Seq
}

const minKeySlots = 8

// find returns the record of a key; 0 is the key of none.
func (t *keyTable) find(key requestKey) (wire.Seq, bool) {
	if key == 0 || t.used == 0 {
		return 0, false
	}
	slot := &t.slots[t.place(key)]
	return slot.seq, slot.key == key
}

// put makes seq the record of key.
func (t *keyTable) put(key requestKey, seq wire.Seq) {
	if key == 0 {
		return
	}
	if 2*(t.used+1) > len(t.slots) {
		t.grow()
	}
	slot := &t.slots[t.place(key)]
	if slot.key == 0 {
		t.used++
	}
	*slot = keySlot{key, seq}
}

// drop removes key, if seq is its record.
func (t *keyTable) drop(key requestKey, seq wire.Seq) {
	if found, ok := t.find(key); !ok || found != seq {
		return
	}
	// Those behind it move up, unless that would put them before where they belong.
	mask := len(t.slots) - 1
	free := t.place(key)
	for i := (free + 1) & mask; t.slots[i].key != 0; i = (i + 1) & mask {
		if home := int(t.slots[i].key) & mask; (i-home)&mask >= (i-free)&mask {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
	t.slots[free] = keySlot{}
	t.used--
}

// place is where key is, or where it would be put. There must be a slot.
func (t *keyTable) place(key requestKey) int {
	mask := len(t.slots) - 1
	i := int(key) & mask
	for t.slots[i].key != 0 && t.slots[i].key != key {
		i = (i + 1) & mask
	}
	return i
}

func (t *keyTable) grow() {
	old := t.slots
	t.slots = make([]keySlot, max(minKeySlots, 2*len(old)))
	for _, slot := range old {
		if slot.key != 0 {
			t.slots[t.place(slot.key)] = slot
		}
	}
}
