package wire

// Identifiers that cross the wire. All are plain strings in JSON.
type (
	// RoomID names a room: 1 to 64 of a-z 0-9 - _.
	RoomID string
	// ThreadID names a thread within a room, same alphabet; empty = the room's main timeline.
	ThreadID string
	// ParticipantID names one session in a room. A person with two tabs is two participants.
	ParticipantID string
	// UserID names a person: a token's sub. 1 to 128 bytes.
	UserID string
	// RequestID is a client's own name for a request: 1 to 64 of A-Z a-z 0-9 - _ and the full stop.
	RequestID string
	// Seq is a position in a timeline's log: it grows within the timeline and is sparse. 0 = none.
	Seq uint64
)

// ValidName reports whether s may name a room or a thread: 1 to MaxNameLength of a-z 0-9 - _.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > MaxNameLength {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// ValidRequestID reports whether s may be a request's id: 1 to MaxNameLength of A-Z a-z 0-9 - _ and '.'.
func ValidRequestID(s string) bool {
	if len(s) == 0 || len(s) > MaxNameLength {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}
