package signaling

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"confab/signaling/wire"
)

// tokenClaims is the body of a token: the registered claims of RFC 7519 section 4.1 and ours. Audience and
// issuer are left to the choice of keys: a server trusts exactly the keys that it was given.
type tokenClaims struct {
	jwt.RegisteredClaims
	Name   string               `json:"name,omitempty"`
	Kind   wire.ParticipantKind `json:"kind,omitempty"`   // human or bot; absent = human
	Role   *wire.Role           `json:"role,omitempty"`   // absent = member
	Rooms  []string             `json:"rooms,omitempty"`  // absent = none
	Grants *TokenGrants         `json:"grants,omitempty"` // absent = as the role has them
	Guest  bool                 `json:"guest,omitempty"`  // private to this server's guest endpoint
}

// TokenGrants is wire.Grants in which each field may be absent: then it is as the role has it.
type TokenGrants struct {
	Publish   *[]wire.Source `json:"publish,omitempty"`
	Subscribe *bool          `json:"subscribe,omitempty"`
	Chat      *bool          `json:"chat,omitempty"`
	Bots      *bool          `json:"bots,omitempty"`
}

// RoleGrants is what a role may do when its token does not say otherwise: moderators and members all, viewers
// watch and chat.
func RoleGrants(role wire.Role) wire.Grants {
	if role == wire.RoleViewer {
		return wire.Grants{Publish: []wire.Source{}, Subscribe: true, Chat: true}
	}
	return wire.Grants{Publish: slices.Clone(wire.Sources), Subscribe: true, Chat: true, Bots: true}
}

// CleanName makes a display name of what a person or an issuer wrote: trimmed, on one line, without control
// characters and without those that turn the direction of the text around it (UAX #9 section 2), at most
// wire.MaxDisplayName runes. Empty when nothing is left.
func CleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\ufeff':
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, "\ufffd"))
	name = strings.TrimSpace(name)
	runes := 0
	for i := range name {
		if runes++; runes > wire.MaxDisplayName {
			return strings.TrimSpace(name[:i])
		}
	}
	return name
}

// ValidRoomPattern reports whether s may stand in a token's rooms: a room's name, the beginning of names
// followed by *, or * alone.
func ValidRoomPattern(s string) bool {
	prefix, open := strings.CutSuffix(s, "*")
	return wire.ValidName(prefix) || open && prefix == ""
}

// latestExpiry is the largest exp that is read: past it seconds no longer fit where they are computed with.
var latestExpiry = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)

// claims checks what the token says beyond its signature and its times, and fills in what it leaves out.
//
// Errors: *wire.Error with CodeUnauthorized; it names the claim and not its value.
func (t *tokenClaims) claims() (*Claims, error) {
	if t.ExpiresAt != nil && t.ExpiresAt.After(latestExpiry) {
		return nil, wire.Errorf(wire.CodeUnauthorized, "the token's exp is no Unix time in seconds; make a new token")
	}
	c := &Claims{
		User: wire.UserID(t.Subject), Name: CleanName(t.Name), Kind: t.Kind, Role: wire.RoleMember, Rooms: t.Rooms, Guest: t.Guest,
	}
	if t.Role != nil {
		c.Role = *t.Role
	}
	if t.ExpiresAt != nil {
		c.ExpiresAt = t.ExpiresAt.Time
	}
	c.Grants = RoleGrants(c.Role)
	if g := t.Grants; g != nil {
		override(&c.Grants.Publish, g.Publish)
		override(&c.Grants.Subscribe, g.Subscribe)
		override(&c.Grants.Chat, g.Chat)
		override(&c.Grants.Bots, g.Bots)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.Name == "" {
		c.Name = CleanName(t.Subject)
	}
	return c, nil
}

func override[T any](have *T, said *T) {
	if said != nil {
		*have = *said
	}
}

// validate checks the rules that hold for tokens read and tokens made.
//
// Errors: *wire.Error with CodeUnauthorized.
func (c *Claims) validate() error {
	switch {
	case c.User == "":
		return wire.Errorf(wire.CodeUnauthorized, "the token has no sub; make one that names its user")
	case len(c.User) > wire.MaxUserIDLength:
		return wire.Errorf(wire.CodeUnauthorized, "the token's sub is %d bytes; at most %d", len(c.User), wire.MaxUserIDLength)
	case strings.ContainsFunc(string(c.User), func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }):
		// It becomes part of headers in the log, where a line break would start another header.
		return wire.Errorf(wire.CodeUnauthorized, "the token's sub holds control characters; use printable ones")
	case wire.BotOf(c.User) != "":
		return wire.Errorf(wire.CodeUnauthorized, "the token's sub is that of a bot of the server; choose another one")
	case c.Kind != "" && c.Kind != wire.Human && c.Kind != wire.Bot:
		return wire.Errorf(wire.CodeUnauthorized, "the token's kind is neither human nor bot")
	case c.Role != wire.RoleViewer && c.Role != wire.RoleMember && c.Role != wire.RoleModerator:
		return wire.Errorf(wire.CodeUnauthorized, "the token's role is none of viewer, member, moderator")
	}
	for _, pattern := range c.Rooms {
		if !ValidRoomPattern(pattern) {
			return wire.Errorf(wire.CodeUnauthorized,
				"the token's rooms hold something that is no room; use names of a-z 0-9 - _ up to %d, prefix-* or *", wire.MaxNameLength)
		}
	}
	for _, source := range c.Grants.Publish {
		if !slices.Contains(wire.Sources, source) {
			return wire.Errorf(wire.CodeUnauthorized,
				"the token's grants.publish holds an unknown source; use microphone, camera, screen or screen-audio")
		}
	}
	return nil
}

// token is the body of a token that says c. Grants that the role has anyway are left out.
func (c *Claims) token(now time.Time) *tokenClaims {
	t := &tokenClaims{Name: CleanName(c.Name), Role: &c.Role, Rooms: c.Rooms, Guest: c.Guest}
	if c.Kind == wire.Bot {
		t.Kind = c.Kind
	}
	t.Subject = string(c.User)
	t.IssuedAt = jwt.NewNumericDate(now)
	if !c.ExpiresAt.IsZero() {
		t.ExpiresAt = jwt.NewNumericDate(c.ExpiresAt)
	}
	usual := RoleGrants(c.Role)
	var g TokenGrants
	if !slices.Equal(c.Grants.Publish, usual.Publish) {
		publish := append([]wire.Source{}, c.Grants.Publish...) // [] and not null, which would be read as absent
		g.Publish = &publish
	}
	g.Subscribe = differs(c.Grants.Subscribe, usual.Subscribe)
	g.Chat = differs(c.Grants.Chat, usual.Chat)
	g.Bots = differs(c.Grants.Bots, usual.Bots)
	if g != (TokenGrants{}) {
		t.Grants = &g
	}
	return t
}

func differs(have, usual bool) *bool {
	if have == usual {
		return nil
	}
	return &have
}
