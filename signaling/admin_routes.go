package signaling

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"confab/rooms"
	"confab/signaling/audit"
	"confab/signaling/openapi"
	"confab/signaling/wire"
)

const (
	defaultTokenTTL = 24 * time.Hour
	maxTokenTTL     = 365 * 24 * time.Hour
	maxTokenRooms   = 100
	roomsPage       = 50
	maxRoomsPage    = 200
	serviceUser     = "service" // who says what names nobody
	serviceName     = "Service"
)

const roomsPath = "/api/v1/rooms"

// adminRoutes is the API: it is mounted from this table, and described by it.
var adminRoutes = []adminRoute{
	{Operation: openapi.Operation{
		Method: "POST", Path: "/api/v1/tokens", ID: "createToken", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Makes a token that lets a person or a program in.",
		Body:    &openapi.Body{Type: TokenRequest{}}, Answers: []openapi.Answer{{Status: 201, Type: TokenAnswer{}}},
	}, serve: (*AdminHandler).createToken},
	{Operation: openapi.Operation{
		Method: "GET", Path: roomsPath, ID: "listRooms", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "The rooms that are open, by name, of every node that answers in time. Those in which nobody is and was lately are not.",
		Query: []openapi.Parameter{
			{Name: "after", Type: wire.RoomID(""), Summary: "The last name of the page before."},
			{Name: "limit", Type: 0, Summary: fmt.Sprintf("1 to %d; %d when it is left out.", maxRoomsPage, roomsPage)},
		},
		Answers:  []openapi.Answer{{Status: 200, Type: RoomsAnswer{}}},
		Problems: []wire.ErrorCode{wire.CodeBadMessage, wire.CodeUnavailable, wire.CodeTimeout},
	}, serve: (*AdminHandler).listRooms, quiet: true},
	{Operation: openapi.Operation{
		Method: "GET", Path: roomsPath + "/{room}", ID: "getRoom", Tag: "admin", Auth: openapi.AdminKey,
		Summary:  "A room: who is in it, and how it is set.",
		Answers:  []openapi.Answer{{Status: 200, Type: rooms.Overview{}}},
		Problems: roomProblems,
	}, serve: (*AdminHandler).getRoom, quiet: true},
	{Operation: openapi.Operation{
		Method: "PUT", Path: roomsPath + "/{room}", ID: "setRoom", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Sets a room, also one in which nobody has been yet; what is left out stays as it is.",
		Body:    &openapi.Body{Type: RoomSettings{}}, Answers: []openapi.Answer{{Status: 200, Type: rooms.Overview{}}},
		Problems: roomProblems,
	}, serve: (*AdminHandler).setRoom},
	{Operation: openapi.Operation{
		Method: "DELETE", Path: roomsPath + "/{room}", ID: "endRoom", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Ends the meeting: everybody is put out. With history the room forgets its messages, in storage too, title, bans and bots.",
		Query:   []openapi.Parameter{{Name: "history", Type: false, Summary: "Erase what the room keeps. Recordings stay."}},
		Answers: []openapi.Answer{{Status: 204}}, Problems: roomProblems,
	}, serve: (*AdminHandler).endRoom},
	{Operation: openapi.Operation{
		Method: "GET", Path: roomsPath + "/{room}/messages", ID: "listMessages", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "A page of messages as they stand now, oldest first. Private threads are not to be had.",
		Query: []openapi.Parameter{
			{Name: "before", Type: wire.Seq(0), Summary: "Only messages with a smaller seq; the newest when it is left out."},
			{Name: "limit", Type: 0, Summary: fmt.Sprintf("1 to %d; 50 when it is left out.", wire.MaxHistoryPage)},
			{Name: "thread", Type: wire.ThreadID(""), Summary: "Of this thread; of the main timeline when it is left out."},
		},
		Answers: []openapi.Answer{{Status: 200, Type: wire.HistoryPage{}}}, Problems: roomProblems,
	}, serve: (*AdminHandler).listMessages},
	{Operation: openapi.Operation{
		Method: "POST", Path: roomsPath + "/{room}/messages", ID: "createMessage", Tag: "admin", Auth: openapi.AdminKey,
		Summary:  "Says something in a room as a service. A repeat with the same id by the same user stores nothing.",
		Body:     &openapi.Body{Type: MessageRequest{}},
		Answers:  []openapi.Answer{{Status: 201, Type: MessageAnswer{}}, {Status: 200, Summary: "It was stored before.", Type: MessageAnswer{}}},
		Problems: roomProblems,
	}, serve: (*AdminHandler).createMessage},
	{Operation: openapi.Operation{
		Method: "DELETE", Path: roomsPath + "/{room}/participants/{id}", ID: "removeParticipant", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Puts a participant out, with every other session of the same user.",
		Query:   []openapi.Parameter{{Name: "ban", Type: false, Summary: "They cannot come back."}},
		Answers: []openapi.Answer{{Status: 204}}, Problems: roomProblems,
	}, serve: (*AdminHandler).removeParticipant},
	{Operation: openapi.Operation{
		Method: "GET", Path: roomsPath + "/{room}/bans", ID: "listBans", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Who is banned from a room, the newest first.",
		Answers: []openapi.Answer{{Status: 200, Type: wire.BanList{}}}, Problems: roomProblems,
	}, serve: (*AdminHandler).listBans, quiet: true},
	{Operation: openapi.Operation{
		Method: "DELETE", Path: roomsPath + "/{room}/bans/{user}", ID: "removeBan", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Takes a ban back.", Answers: []openapi.Answer{{Status: 204}}, Problems: roomProblems,
	}, serve: (*AdminHandler).removeBan},
	{Operation: openapi.Operation{
		Method: "PUT", Path: roomsPath + "/{room}/bots/{bot}", ID: "setBot", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Lets a bot into the room, or puts it out.",
		Body:    &openapi.Body{Type: BotSettings{}}, Answers: []openapi.Answer{{Status: 204}},
		Problems: append([]wire.ErrorCode{wire.CodeConflict}, roomProblems...),
	}, serve: (*AdminHandler).setBot},
	{Operation: openapi.Operation{
		Method: "GET", Path: "/api/v1/audit", ID: "listAudit", Tag: "admin", Auth: openapi.AdminKey,
		Summary: "Who did what to whom in rooms and by this API, newest first.",
		Query: []openapi.Parameter{
			{Name: "before", Type: int64(0), Summary: "Only entries with a smaller seq."},
			{Name: "limit", Type: 0, Summary: fmt.Sprintf("1 to %d; 100 when it is left out.", audit.MaxPage)},
			{Name: "room", Type: wire.RoomID(""), Summary: "Only of this room."},
		},
		Answers: []openapi.Answer{{Status: 200, Type: audit.Page{}}}, Problems: []wire.ErrorCode{wire.CodeBadMessage},
	}, serve: (*AdminHandler).listAudit, quiet: true},
}

// roomProblems are what rooms answer with.
var roomProblems = []wire.ErrorCode{wire.CodeBadMessage, wire.CodeNotFound, wire.CodeForbidden, wire.CodeConflict, wire.CodeUnavailable, wire.CodeTimeout}

// A TokenRequest says what a token shall be good for.
type TokenRequest struct {
	User       wire.UserID          `json:"user"`
	Name       string               `json:"name,omitempty" doc:"Shown to others; the user when it is left out."`
	Kind       wire.ParticipantKind `json:"kind,omitempty" doc:"human, which it is when it is left out, or bot."`
	Role       wire.Role            `json:"role,omitempty" doc:"member when it is left out."`
	Rooms      []string             `json:"rooms" doc:"Names, prefix-* or *."`
	Grants     *TokenGrants         `json:"grants,omitempty"`
	TTLSeconds int64                `json:"ttlSeconds,omitempty" doc:"How long it is good, up to a year; a day when it is left out."`
}

// A TokenAnswer is the token.
type TokenAnswer struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// A RoomsAnswer is a page of rooms.
type RoomsAnswer struct {
	Rooms []rooms.Overview `json:"rooms"`
	More  bool             `json:"more"`
}

// RoomSettings are what may be set of a room.
type RoomSettings struct {
	Title    *string `json:"title,omitempty" doc:"Shown instead of the name; empty = none."`
	Capacity *int    `json:"capacity,omitempty" doc:"Participants that it holds, bots aside; 0 = as the server has it."`
	Locked   *bool   `json:"locked,omitempty" doc:"A lock that is set here stays when the meeting ends; moderators may enter, and unlock it."`
}

// A MessageRequest is what a service says.
type MessageRequest struct {
	Text     string         `json:"text"`
	ID       wire.RequestID `json:"id,omitempty" doc:"Makes a repeat harmless."`
	User     wire.UserID    `json:"user,omitempty" doc:"Who says it; service when it is left out."`
	Name     string         `json:"name,omitempty" doc:"Shown to others; Service when it is left out."`
	Thread   wire.ThreadID  `json:"thread,omitempty"`
	ReplyTo  wire.Seq       `json:"replyTo,omitempty"`
	Mentions []wire.UserID  `json:"mentions,omitempty"`
}

// A MessageAnswer says where it is stored.
type MessageAnswer struct {
	Seq       wire.Seq `json:"seq"`
	Duplicate bool     `json:"duplicate,omitempty"`
}

// BotSettings are what may be set of a bot in a room.
type BotSettings struct {
	Enabled *bool `json:"enabled"`
}

// Sealed implements openapi.Sealed.
func (TokenRequest) Sealed() bool { return true }

// Sealed implements openapi.Sealed.
func (TokenGrants) Sealed() bool { return true }

// Sealed implements openapi.Sealed.
func (RoomSettings) Sealed() bool { return true }

// Sealed implements openapi.Sealed.
func (MessageRequest) Sealed() bool { return true }

// Sealed implements openapi.Sealed.
func (BotSettings) Sealed() bool { return true }

func (TokenAnswer) isNew() bool     { return true }
func (a MessageAnswer) isNew() bool { return !a.Duplicate }

func (h *AdminHandler) createToken(r *adminRequest) (any, error) {
	var body TokenRequest
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	claims, err := body.claims(time.Now())
	if err != nil {
		return nil, err
	}
	r.entry.TargetUser = claims.User
	r.entry.Detail = fmt.Sprintf("%s for %.200s", claims.Role, strings.Join(claims.Rooms, " "))
	token, err := h.tokens.Mint(*claims)
	if errors.Is(err, ErrTokenTooLong) {
		return nil, wire.Errorf(wire.CodeBadMessage, "the token would be too long; name fewer rooms, or a prefix of them")
	}
	if err != nil {
		return nil, badClaims(err)
	}
	return TokenAnswer{Token: token, ExpiresAt: claims.ExpiresAt.UTC().Truncate(time.Second)}, nil
}

// badClaims says that it is the request that is wrong, and not the key that came with it.
func badClaims(err error) error {
	problem := wire.AsError(err)
	if problem.Code == wire.CodeUnauthorized {
		return wire.Errorf(wire.CodeBadMessage, "%s", problem.Text)
	}
	return problem
}

func (b *TokenRequest) claims(now time.Time) (*Claims, error) {
	ttl := defaultTokenTTL
	switch {
	case b.TTLSeconds < 0 || b.TTLSeconds > int64(maxTokenTTL/time.Second):
		return nil, wire.Errorf(wire.CodeBadMessage, "ttlSeconds is 1 to %d", int64(maxTokenTTL/time.Second))
	case b.TTLSeconds > 0:
		ttl = time.Duration(b.TTLSeconds) * time.Second
	}
	if len(b.Rooms) == 0 || len(b.Rooms) > maxTokenRooms {
		return nil, wire.Errorf(wire.CodeBadMessage, "rooms holds 1 to %d names, prefix-* or *", maxTokenRooms)
	}
	role := cmp.Or(b.Role, wire.RoleMember)
	c := &Claims{
		User: b.User, Name: CleanName(b.Name), Kind: b.Kind, Role: role, Grants: RoleGrants(role), Rooms: b.Rooms, ExpiresAt: now.Add(ttl),
	}
	if c.Name == "" {
		c.Name = CleanName(string(b.User))
	}
	if g := b.Grants; g != nil {
		override(&c.Grants.Publish, g.Publish)
		override(&c.Grants.Subscribe, g.Subscribe)
		override(&c.Grants.Chat, g.Chat)
		override(&c.Grants.Bots, g.Bots)
	}
	if err := c.validate(); err != nil {
		return nil, badClaims(err)
	}
	return c, nil
}

func (h *AdminHandler) listRooms(r *adminRequest) (any, error) {
	after, err := r.name("after")
	if err != nil {
		return nil, err
	}
	limit, err := r.number("limit", maxRoomsPage)
	if err != nil {
		return nil, err
	}
	page := cmp.Or(int(limit), roomsPage)
	all, more, err := h.rooms.Overviews(r.ctx, wire.RoomID(after), page)
	if err != nil {
		return nil, err
	}
	return h.listElsewhere(r, RoomsAnswer{append([]rooms.Overview{}, all...), more}, page), nil
}

func (h *AdminHandler) getRoom(r *adminRequest) (any, error) { return h.rooms.Overview(r.ctx, r.room) }

func (h *AdminHandler) setRoom(r *adminRequest) (any, error) {
	var body RoomSettings
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	var said []string
	setup := rooms.Setup{Locked: body.Locked, Capacity: body.Capacity}
	if c := body.Capacity; c != nil {
		if *c < 0 {
			return nil, wire.Errorf(wire.CodeBadMessage, "capacity is not negative")
		}
		said = append(said, fmt.Sprintf("capacity %d", *c))
	}
	if body.Title != nil {
		title := CleanName(*body.Title)
		if len([]rune(strings.TrimSpace(*body.Title))) > wire.MaxDisplayName {
			return nil, wire.Errorf(wire.CodeBadMessage, "title is longer than %d characters", wire.MaxDisplayName)
		}
		setup.Title, said = &title, append(said, "title")
	}
	if body.Locked != nil {
		said = append(said, fmt.Sprintf("locked %t", *body.Locked))
	}
	r.entry.Detail = strings.Join(said, ", ")
	return h.rooms.Configure(r.ctx, r.room, setup)
}

func (h *AdminHandler) endRoom(r *adminRequest) (any, error) {
	erase, err := r.flag("history")
	if err != nil {
		return nil, err
	}
	if erase {
		r.entry.Detail = "with history"
	}
	return nil, h.rooms.End(r.ctx, r.room, erase)
}

func (h *AdminHandler) listMessages(r *adminRequest) (any, error) {
	before, err := r.number("before", math.MaxInt64)
	if err != nil {
		return nil, err
	}
	limit, err := r.number("limit", wire.MaxHistoryPage)
	if err != nil {
		return nil, err
	}
	thread, err := r.name("thread")
	if err != nil {
		return nil, err
	}
	return h.rooms.History(r.ctx, r.room, wire.ThreadID(thread), wire.History{Before: wire.Seq(before), Limit: int(limit)})
}

func (h *AdminHandler) createMessage(r *adminRequest) (any, error) {
	var body MessageRequest
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	as := wire.Author{User: cmp.Or(body.User, serviceUser), Name: CleanName(body.Name), Kind: wire.Bot}
	if as.Name == "" {
		as.Name = cmp.Or(CleanName(string(body.User)), serviceName)
	}
	msg := wire.Chat{Text: body.Text, ReplyTo: body.ReplyTo, Mentions: body.Mentions}
	r.entry.TargetUser = as.User
	switch {
	case body.ID != "" && !wire.ValidRequestID(string(body.ID)):
		return nil, wire.Errorf(wire.CodeBadMessage, "id is 1 to %d of A-Z a-z 0-9 - _ .", wire.MaxNameLength)
	case body.Thread != "" && !wire.ValidName(string(body.Thread)):
		return nil, wire.Errorf(wire.CodeBadMessage, "thread is 1 to %d of a-z 0-9 - _", wire.MaxNameLength)
	case len(as.User) > wire.MaxUserIDLength || wire.BotOf(as.User) != "" || strings.ContainsFunc(string(as.User), unprintable):
		r.entry.TargetUser = ""
		return nil, wire.Errorf(wire.CodeBadMessage, "user is up to %d printable bytes, and not that of a bot of the server", wire.MaxUserIDLength)
	}
	if err := msg.Validate(); err != nil {
		return nil, err
	}
	ack, err := h.rooms.Say(r.ctx, r.room, body.Thread, as, body.ID, msg)
	if err == nil {
		r.entry.Detail = fmt.Sprintf("message %d", ack.Seq)
	}
	return MessageAnswer{Seq: ack.Seq, Duplicate: ack.Duplicate}, err
}

// unprintable is what no user id holds: it becomes part of headers in the log.
func unprintable(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }

func (h *AdminHandler) removeParticipant(r *adminRequest) (any, error) {
	ban, err := r.flag("ban")
	if err != nil {
		return nil, err
	}
	who := wire.ParticipantID(r.Param("id"))
	if len(who) > wire.MaxUserIDLength {
		return nil, wire.Errorf(wire.CodeNotFound, "there is no such participant in this room")
	}
	r.entry.Target = who
	msg := wire.Moderate{Action: wire.ActionKick, Participant: who}
	if ban {
		msg.Action, r.entry.Detail = wire.ActionBan, "ban"
	}
	return nil, h.rooms.Moderate(r.ctx, r.room, msg)
}

func (h *AdminHandler) listBans(r *adminRequest) (any, error) { return h.rooms.Bans(r.ctx, r.room) }

func (h *AdminHandler) removeBan(r *adminRequest) (any, error) {
	user := wire.UserID(r.Param("user"))
	if len(user) > wire.MaxUserIDLength {
		return nil, wire.Errorf(wire.CodeNotFound, "this user is not banned")
	}
	r.entry.TargetUser = user
	return nil, h.rooms.Moderate(r.ctx, r.room, wire.Moderate{Action: wire.ActionUnban, User: user})
}

func (h *AdminHandler) setBot(r *adminRequest) (any, error) {
	var body BotSettings
	if err := r.decode(&body); err != nil {
		return nil, err
	}
	if body.Enabled == nil {
		return nil, wire.Errorf(wire.CodeBadMessage, "enabled is missing; it is true or false")
	}
	bot := wire.BotID(r.Param("bot"))
	if !wire.ValidName(string(bot)) {
		return nil, wire.Errorf(wire.CodeNotFound, "this server has no such bot")
	}
	r.entry.Detail = fmt.Sprintf("%s %t", bot, *body.Enabled)
	return nil, h.rooms.ToggleBot(r.ctx, r.room, wire.BotToggle{Bot: bot, Enabled: *body.Enabled})
}

func (h *AdminHandler) listAudit(r *adminRequest) (any, error) {
	before, err := r.number("before", math.MaxInt64)
	if err != nil {
		return nil, err
	}
	limit, err := r.number("limit", audit.MaxPage)
	if err != nil {
		return nil, err
	}
	room, err := r.name("room")
	if err != nil {
		return nil, err
	}
	page, err := h.audit.Page(audit.Query{Before: int64(before), Limit: int(limit), Room: wire.RoomID(room)})
	if errors.Is(err, audit.ErrNoFile) {
		return nil, wire.Errorf(wire.CodeNotFound, "this server keeps no audit log that could be read; see --audit-log")
	}
	return page, err
}
