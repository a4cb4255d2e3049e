package bus

import (
	"errors"
	"strings"
	"testing"

	"confab/rooms"
	"confab/signaling/wire"
)

// FuzzLocate names two timelines: each is refused, or lies at a subject that is its own and that NATS reads as one name.
func FuzzLocate(f *testing.F) {
	f.Add("daily", "", "daily", "m12")
	f.Add("a", "b-c", "a-b", "c")
	f.Add("a~b", "", "a", "b")
	f.Add("a.b", "*", ">", "")
	f.Add(strings.Repeat("z", wire.MaxNameLength), "_", strings.Repeat("z", wire.MaxNameLength+1), "-")
	f.Fuzz(func(t *testing.T, room, thread, otherRoom, otherThread string) {
		one := rooms.Timeline{Room: wire.RoomID(room), Thread: wire.ThreadID(thread)}
		other := rooms.Timeline{Room: wire.RoomID(otherRoom), Thread: wire.ThreadID(otherThread)}
		at, err := locate(one)
		if err != nil {
			if !errors.Is(err, ErrBadName) || wire.ValidName(room) && (thread == "" || wire.ValidName(thread)) {
				t.Fatalf("%+v: %v", one, err)
			}
			return
		}
		tokens := strings.Split(at.subject, ".")
		if len(tokens) != 3 || tokens[0] != "room" || strings.ContainsAny(at.subject, "*> \t\r\n\x00") || at.live != livePrefix+tokens[2] {
			t.Fatalf("%+v lies at %q and %q", one, at.subject, at.live)
		}
		if back, sub, _ := strings.Cut(tokens[2], "~"); back != room || sub != thread {
			t.Fatalf("%q reads as room %q, thread %q", at.subject, back, sub)
		}
		elsewhere, err := locate(other)
		if err == nil && one != other && (elsewhere.subject == at.subject || elsewhere.live == at.live) {
			t.Fatalf("%+v and %+v lie at %q", one, other, at.subject)
		}
		if err == nil && one.Room == other.Room && elsewhere.partition != at.partition {
			t.Fatalf("threads of %q lie in %d and %d", room, at.partition, elsewhere.partition)
		}
	})
}
