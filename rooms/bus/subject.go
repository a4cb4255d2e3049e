package bus

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"confab/rooms"
	"confab/signaling/wire"
)

// partitions is the number of log streams. It is part of where every record lies and never changes: a read scans
// a block linearly, and sixteen streams make that 2 ms for 256 messages among 1,000 rooms where one stream
// makes it 16.
const partitions = 16

// ErrBadName says that a room or thread is not named as wire.ValidName asks. Anything else in a subject could be stored
// elsewhere, or swallowed with no answer.
var ErrBadName = errors.New("bus: not a valid room or thread name")

const (
	streamPrefix = "ROOMS_"
	stateStream  = "STATE"
	statePrefix  = "state."
	livePrefix   = "live."
)

// A place is where a timeline is stored.
type place struct {
	partition int
	subject   string // in the stream: room.<partition>.<room>[~<thread>]
	live      string // on which an external stream repeats what it stored: live.<room>[~<thread>]
}

// locate finds the place of t. Error: ErrBadName.
func locate(t rooms.Timeline) (place, error) {
	if !wire.ValidName(string(t.Room)) || t.Thread != "" && !wire.ValidName(string(t.Thread)) {
		return place{}, fmt.Errorf("%w: %q, thread %q", ErrBadName, t.Room, t.Thread)
	}
	p, name := partitionOf(t.Room), string(t.Room)
	if t.Thread != "" {
		name += "~" + string(t.Thread)
	}
	return place{p, "room." + strconv.Itoa(p) + "." + name, livePrefix + name}, nil
}

// partitionOf is FNV-1a over the room's name, modulo the partitions. Threads lie with their room.
func partitionOf(room wire.RoomID) int {
	hash := uint32(2166136261)
	for i := 0; i < len(room); i++ {
		hash = (hash ^ uint32(room[i])) * 16777619
	}
	return int(hash % partitions)
}

// Ids travel in a header, which cannot carry control characters and loses spaces at its ends. Escaping keeps
// any id apart from any other. A record appended without an id gets one that starts with ownID, so that it can
// be retried; the escaping keeps callers out of that range.
const ownID = '~'

func escapeID(id string) string {
	clean := id == "" || id[0] != ownID
	for i := 0; clean && i < len(id); i++ {
		clean = id[i] > ' ' && id[i] != 0x7f && id[i] != '%'
	}
	if clean {
		return id
	}
	var out strings.Builder
	for i := 0; i < len(id); i++ {
		if c := id[i]; c <= ' ' || c == 0x7f || c == '%' || i == 0 && c == ownID {
			fmt.Fprintf(&out, "%%%02X", c)
		} else {
			out.WriteByte(c)
		}
	}
	return out.String()
}

// unescapeID is the inverse of escapeID; the ids that the bus made are none.
func unescapeID(header string) string {
	if header == "" || header[0] == ownID {
		return ""
	}
	if strings.IndexByte(header, '%') < 0 {
		return header
	}
	out := make([]byte, 0, len(header))
	for i := 0; i < len(header); i++ {
		if header[i] == '%' && i+2 < len(header) {
			if c, err := strconv.ParseUint(header[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(c))
				i += 2
				continue
			}
		}
		out = append(out, header[i])
	}
	return string(out)
}
