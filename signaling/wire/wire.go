// Package wire holds everything that crosses the socket: the envelope, one Go type for each message, the
// closed sets of error and close codes, and the limits. It is the one source of the protocol in this project:
// cmd/wiregen writes the TypeScript types and the reference tables from it.
//
// A message is an Envelope whose data is a body. Bodies are plain structs; each says by Kind which type it is
// and by its interface (ClientMessage, ServerMessage) which way it may travel. Catalog lists them all.
//
// Values are not safe for concurrent change; nothing here starts a goroutine. The package imports the
// standard library only.
package wire

import "encoding/json"

// Subprotocol is the WebSocket subprotocol of this version (RFC 6455 section 1.9).
const Subprotocol = "confab.v1"

// An Envelope is one message on the wire: one JSON object on a line of its own.
type Envelope struct {
	Type   Kind            `json:"type"`
	ID     RequestID       `json:"id,omitempty"`     // the client's id of this request; the answer bears the same
	Room   RoomID          `json:"room,omitempty"`   // absent on what concerns the connection alone
	Thread ThreadID        `json:"thread,omitempty"` // absent = the room's main timeline
	From   ParticipantID   `json:"from,omitempty"`   // set by the server; what a client writes there is ignored
	Author *Author         `json:"author,omitempty"` // on logged messages
	To     ParticipantID   `json:"to,omitempty"`     // the one addressee, on what is addressed
	Seq    Seq             `json:"seq,omitempty"`    // on logged messages: position in the log. On joined: the log's last position
	Prev   Seq             `json:"prev,omitempty"`   // seq of the logged message before it; absent or 0 = unknown
	TS     int64           `json:"ts,omitempty"`     // Unix time in milliseconds, set by the server
	Data   json.RawMessage `json:"data,omitempty"`   // the body, an object
}

// Author says who wrote a logged message, so that history reads well when the participant is gone.
type Author struct {
	User UserID          `json:"user"`
	Name string          `json:"name"`
	Kind ParticipantKind `json:"kind"`
}

// A ClientMessage is a body that a client may send.
type ClientMessage interface {
	// Kind is the envelope's type.
	Kind() Kind
	// Validate checks the body's own rules; the error is a *Error.
	Validate() error
}

// A ServerMessage is a body that the server may send.
type ServerMessage interface {
	Kind() Kind
	serverMessage()
}

// Kind is a message's type on the wire.
type Kind string

// The types of messages.
const (
	KindAuth         Kind = "auth"
	KindConnected    Kind = "connected"
	KindPing         Kind = "ping"
	KindPong         Kind = "pong"
	KindRefresh      Kind = "refresh"
	KindAck          Kind = "ack"
	KindError        Kind = "error"
	KindSystemStatus Kind = "system-status"

	KindJoin              Kind = "join"
	KindJoined            Kind = "joined"
	KindRemoved           Kind = "removed"
	KindLeave             Kind = "leave"
	KindPresence          Kind = "presence"
	KindChat              Kind = "chat"
	KindEdit              Kind = "edit"
	KindDelete            Kind = "delete"
	KindReaction          Kind = "reaction"
	KindRead              Kind = "read"
	KindTyping            Kind = "typing"
	KindClear             Kind = "clear"
	KindHistory           Kind = "history"
	KindSubscribeThread   Kind = "subscribe-thread"
	KindUnsubscribeThread Kind = "unsubscribe-thread"
	KindThreadHistory     Kind = "thread-history"
	KindMediaState        Kind = "media-state"
	KindModerate          Kind = "moderate"
	KindBans              Kind = "bans"
	KindRoom              Kind = "room"

	KindSignal         Kind = "webrtc-signal"
	KindMediaMode      Kind = "media-mode"
	KindICEServers     Kind = "ice-servers"
	KindSubscribeMedia Kind = "subscribe-media"
	KindPublishMedia   Kind = "publish-media"
	KindMediaQuality   Kind = "media-quality"
	KindActiveSpeakers Kind = "active-speakers"

	KindBotToggle      Kind = "bot-toggle"
	KindBotVoice       Kind = "bot-voice"
	KindAIRequest      Kind = "ai-request"
	KindAICancel       Kind = "ai-cancel"
	KindToolApproval   Kind = "tool-approval"
	KindAgentStarted   Kind = "agent-started"
	KindAgentThinking  Kind = "agent-thinking"
	KindToolExecuting  Kind = "tool-executing"
	KindToolCompleted  Kind = "tool-completed"
	KindStreamStart    Kind = "stream-start"
	KindStreamChunk    Kind = "stream-chunk"
	KindStreamEnd      Kind = "stream-end"
	KindAgentCompleted Kind = "agent-completed"
	KindAgentSpeaking  Kind = "agent-speaking"
	KindCaption        Kind = "caption"
)

// Role is what a participant may do in a room.
type Role string

// The roles, from least to most.
const (
	RoleViewer    Role = "viewer"
	RoleMember    Role = "member"
	RoleModerator Role = "moderator"
)

// ParticipantKind says what takes part.
type ParticipantKind string

// The kinds of participants.
const (
	Human    ParticipantKind = "human"
	Bot      ParticipantKind = "bot"
	Ingress  ParticipantKind = "ingress"
	Recorder ParticipantKind = "recorder"
)

// Status says whether a participant's connection is up.
type Status string

// The states of a participant's connection.
const (
	Online       Status = "online"
	Reconnecting Status = "reconnecting"
)

// Source is what a media track shows or carries.
type Source string

// The sources of media.
const (
	Microphone  Source = "microphone"
	Camera      Source = "camera"
	Screen      Source = "screen"
	ScreenAudio Source = "screen-audio"
)

// Sources lists all of them.
var Sources = []Source{Microphone, Camera, Screen, ScreenAudio}

// Mode is how a room's media flows.
type Mode string

// The modes of media.
const (
	Mesh Mode = "mesh"
	SFU  Mode = "sfu"
)

// SFUParticipant is what `to` says for the room's SFU.
const SFUParticipant ParticipantID = "sfu"

// Media is what a participant sends now, and whether its hand is up.
type Media struct {
	Microphone bool `json:"microphone"`
	Camera     bool `json:"camera"`
	Screen     bool `json:"screen"`
	Hand       bool `json:"hand"`
}

// A Participant is one session in a room.
type Participant struct {
	ID       ParticipantID   `json:"id"`
	User     UserID          `json:"user"`
	Name     string          `json:"name"`
	Kind     ParticipantKind `json:"kind"`
	Role     Role            `json:"role"`
	Status   Status          `json:"status"`
	JoinedAt int64           `json:"joinedAt"` // Unix time in milliseconds
	Media    Media           `json:"media"`
}

// Grants is what a participant may do beside its role.
type Grants struct {
	Publish   []Source `json:"publish"` // sources it may send
	Subscribe bool     `json:"subscribe"`
	Chat      bool     `json:"chat"`
	Bots      bool     `json:"bots"`
}

// May reports whether g allows sending s.
func (g Grants) May(s Source) bool {
	for _, have := range g.Publish {
		if have == s {
			return true
		}
	}
	return false
}

// RoleGrants is what a role may do where the token names no grants.
func RoleGrants(role Role) Grants {
	if role == RoleViewer {
		return Grants{Publish: []Source{}, Subscribe: true, Chat: true}
	}
	return Grants{Publish: Sources, Subscribe: true, Chat: true, Bots: true}
}

// A Cursor is how far a client has read a timeline.
type Cursor struct {
	Seq   Seq    `json:"seq"`
	Epoch string `json:"epoch"`
}

// A ThreadSummary is what the main timeline says of a thread.
type ThreadSummary struct {
	Thread   ThreadID `json:"thread"`
	Title    string   `json:"title,omitempty"`  // the beginning of the message that it hangs on
	With     []UserID `json:"with,omitempty"`   // of a private thread: its person and its bot
	Messages int      `json:"messages"`         // that are not deleted; 0 = it is not listed any more
	Unread   int      `json:"unread,omitempty"` // in joined only: messages after what this person has read
	Last     ThreadAt `json:"last"`
}

// ThreadAt is a thread's newest message.
type ThreadAt struct {
	Seq  Seq    `json:"seq"`
	TS   int64  `json:"ts"`
	User UserID `json:"user,omitempty"` // who wrote it, and so has read all before it
}

// An ICEServer is a STUN or TURN server, as RTCConfiguration.iceServers has it (W3C WebRTC section 4.2.2).
type ICEServer struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username,omitempty"`
	Credential string   `json:"credential,omitempty"`
}

// A SessionDescription is an RTCSessionDescriptionInit (W3C WebRTC section 4.6.2).
type SessionDescription struct {
	Type string `json:"type"`
	SDP  string `json:"sdp"`
}

// A TrackLabel says what the media section of one mid carries.
type TrackLabel struct {
	Participant ParticipantID `json:"participant"`
	Source      Source        `json:"source"`
}
