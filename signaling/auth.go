package signaling

import (
	"context"
	"strings"
	"time"

	"confab/signaling/wire"
)

// Claims are what a verified token says of a person.
type Claims struct {
	User      wire.UserID          // 1 to wire.MaxUserIDLength bytes
	Name      string               // 1 to wire.MaxDisplayName runes, free of control characters
	Kind      wire.ParticipantKind // empty or human; or bot: a program that takes part by itself
	Role      wire.Role
	Grants    wire.Grants // as the token has them; what it leaves out is filled in from the role
	Rooms     []string    // names, prefix-* or *; empty = no room at all
	Guest     bool        // a token that this server's guest endpoint issued
	ExpiresAt time.Time   // zero = never
}

// Allows reports whether the token is good for room.
func (c *Claims) Allows(room wire.RoomID) bool {
	for _, pattern := range c.Rooms {
		prefix, open := strings.CutSuffix(pattern, "*")
		if pattern == string(room) || open && strings.HasPrefix(string(room), prefix) {
			return true
		}
	}
	return false
}

// A Verifier decides whether a token is good. It may be used from any goroutine.
type Verifier interface {
	// Verify returns what the token says.
	//
	// Errors: *wire.Error with CodeUnauthorized, or CodeUnavailable when it cannot be decided now. Its text says what to do
	// about it and never holds the token.
	Verify(ctx context.Context, token string) (*Claims, error)
}
