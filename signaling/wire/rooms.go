package wire

// Join enters a room; the answer is Joined.
type Join struct {
	Since *Cursor `json:"since,omitempty"` // what the client has already; absent = nothing
	Knock bool    `json:"knock,omitempty"` // wait at a locked door instead of failing: joined or removed comes when somebody answers
}

// Joined is the first frame of a room. Its envelope's seq is the last position of the main timeline.
type Joined struct {
	Self         Participant     `json:"self"` // the own participant, also in participants
	Role         Role            `json:"role"`
	Grants       Grants          `json:"grants"`
	Participants []Participant   `json:"participants"`
	History      []Envelope      `json:"history"`   // oldest first: the window, or all after since
	Recovered    bool            `json:"recovered"` // history is every logged message after since, as it was sent
	More         bool            `json:"more"`      // older messages can be had with history
	Threads      []ThreadSummary `json:"threads"`   // those with messages that this client may see
	Bots         []BotInfo       `json:"bots"`      // bots that this room may have; empty where the server runs none
	Runs         []RunState      `json:"runs"`      // answers being written now
	Media        MediaSetup      `json:"media"`
	Epoch        string          `json:"epoch"`
	Room         *RoomInfo       `json:"room,omitempty"`
	Reads        map[UserID]Seq  `json:"reads,omitempty"` // how far each person has read
}

// MediaSetup says how media flows in a room.
type MediaSetup struct {
	Mode       Mode        `json:"mode"`
	ICEServers []ICEServer `json:"iceServers"`
	TTL        int         `json:"ttl,omitempty"` // seconds that their credentials are good for; absent = for ever
	SFU        bool        `json:"sfu,omitempty"` // the server has one: the mode may change to sfu
}

// RemovedReason is why a client is out of a room.
type RemovedReason string

// The reasons.
const (
	Kicked RemovedReason = "kicked"
	Banned RemovedReason = "banned"
	Ended  RemovedReason = "ended"
	Denied RemovedReason = "denied"
)

// Removed says that this client is out of the room. It bears the id of a join that was waiting at the door.
type Removed struct {
	Reason RemovedReason `json:"reason"`
	Text   string        `json:"text,omitempty"`
}

// Leave leaves a room.
type Leave struct{}

// PresenceEvent is what happened to a participant.
type PresenceEvent string

// The events. An updated participant that a client does not know is one that joined.
const (
	PresenceJoined  PresenceEvent = "joined"
	PresenceLeft    PresenceEvent = "left"
	PresenceUpdated PresenceEvent = "updated"
)

// Presence says that a participant came, went or changed.
type Presence struct {
	Event       PresenceEvent `json:"event"`
	Participant Participant   `json:"participant"`
	Reason      string        `json:"reason,omitempty"` // of leaving: left, lost, kicked, banned, ended
}

// Chat says something in a timeline.
type Chat struct {
	Text     string   `json:"text"`
	ReplyTo  Seq      `json:"replyTo,omitempty"`
	Mentions []UserID `json:"mentions,omitempty"`
}

// ChatRecord is a chat message as the server sends it. In a window it is as it stands now.
type ChatRecord struct {
	Text      string              `json:"text"`
	ReplyTo   Seq                 `json:"replyTo,omitempty"`
	Mentions  []UserID            `json:"mentions,omitempty"`
	Edited    int64               `json:"edited,omitempty"` // Unix time in milliseconds of the last edit
	Deleted   bool                `json:"deleted,omitempty"`
	Reactions map[string][]UserID `json:"reactions,omitempty"` // by emoji, in the order they were given
	Run       *RunReceipt         `json:"run,omitempty"`       // of a bot's answer
}

// Edit replaces the text of a message.
type Edit struct {
	Message Seq    `json:"message"`
	Text    string `json:"text"`
}

// Delete takes a message back.
type Delete struct {
	Message Seq `json:"message"`
}

// Reaction puts an emoji on a message or takes it off.
type Reaction struct {
	Message Seq    `json:"message"`
	Emoji   string `json:"emoji"`
	On      bool   `json:"on"`
}

// Read says how far a person has read.
type Read struct {
	Seq Seq `json:"seq"`
}

// Typing says that a person writes. The server clears it after 5 s.
type Typing struct {
	Typing bool `json:"typing"`
}

// Clear erases the history of a timeline.
type Clear struct{}

// History asks for messages below a position.
type History struct {
	Before Seq `json:"before,omitempty"` // 0 = from the newest
	Limit  int `json:"limit,omitempty"`  // 1 to 256; 0 = 50
}

// HistoryPage answers History: messages as they stand now, oldest first.
type HistoryPage struct {
	Messages []Envelope `json:"messages"`
	More     bool       `json:"more"`
}

// SubscribeThread follows a thread; the answer is ThreadHistory. With private no thread is named: it is the one between
// this person and a bot, which nobody else can see, and the answer says its name.
type SubscribeThread struct {
	Since   *Cursor `json:"since,omitempty"`   // what the client has already; absent = nothing
	Private UserID  `json:"private,omitempty"` // a bot of the room; for a bot, a person in it
}

// UnsubscribeThread stops following it.
type UnsubscribeThread struct{}

// ThreadHistory is the first frame of a thread. Its envelope's seq is the last position of the thread's log.
type ThreadHistory struct {
	Messages  []Envelope `json:"messages"`  // oldest first: the window, or all after since
	Recovered bool       `json:"recovered"` // messages is every logged message after since, as it was sent
	More      bool       `json:"more"`      // older messages can be had with history
	Runs      []RunState `json:"runs"`      // answers being written in it now
	Epoch     string     `json:"epoch"`     // of the room

	Reads map[UserID]Seq `json:"reads,omitempty"` // how far each person has read it
}

// SetMedia is a participant's own media-state; what is absent stays as it is.
type SetMedia struct {
	Microphone *bool `json:"microphone,omitempty"`
	Camera     *bool `json:"camera,omitempty"`
	Screen     *bool `json:"screen,omitempty"`
	Hand       *bool `json:"hand,omitempty"`
}

// MediaState is what the participant in from sends now.
type MediaState Media

// Action is what a moderator does.
type Action string

// The actions.
const (
	ActionMute    Action = "mute"
	ActionUnmute  Action = "unmute" // of an encoder; people turn their own on
	ActionKick    Action = "kick"
	ActionBan     Action = "ban"
	ActionUnban   Action = "unban"
	ActionLock    Action = "lock"
	ActionUnlock  Action = "unlock"
	ActionPromote Action = "promote"
	ActionDemote  Action = "demote"
	ActionAdmit   Action = "admit"
	ActionDeny    Action = "deny"
	ActionEnd     Action = "end"

	ActionRecord        Action = "record"
	ActionStopRecording Action = "stop-recording"

	ActionCapacity Action = "capacity" // how many participants the room holds; not for guests who moderate
)

// Moderate is a moderator's request.
type Moderate struct {
	Action      Action        `json:"action"`
	Participant ParticipantID `json:"participant,omitempty"` // whom; not for lock, unlock, end, unban, capacity and those of recording
	Source      Source        `json:"source,omitempty"`      // what to mute or unmute; absent = microphone
	User        UserID        `json:"user,omitempty"`        // whose ban unban takes back
	Capacity    int           `json:"capacity,omitempty"`    // of capacity; absent = as the server has it
}

// Bans asks who is banned.
type Bans struct{}

// BanList answers Bans, the newest first.
type BanList struct {
	Bans []Ban `json:"bans"`
}

// A Ban keeps a user out of a room.
type Ban struct {
	User UserID `json:"user"`
	Name string `json:"name,omitempty"` // at the time; absent = not known
	At   int64  `json:"at,omitempty"`   // Unix time in milliseconds; absent = not known
}

// RoomInfo is a room's state: what changed, or all of it in joined.
type RoomInfo struct {
	Locked    *bool         `json:"locked,omitempty"`
	Mode      Mode          `json:"mode,omitempty"`
	Recording *bool         `json:"recording,omitempty"`
	Title     *string       `json:"title,omitempty"`
	Knocking  []Participant `json:"knocking,omitzero"` // who waits at the door, all of them; moderators only
	Hearing   *[]BotID      `json:"hearing,omitempty"` // the bots that hear what is said in the call

	Threads []ThreadSummary `json:"threads,omitempty"` // those that changed; never in the room of joined

	RecordingEnded RecordingEnd `json:"recordingEnded,omitempty"` // why, with recording: false when one has ended
}

// RecordingEnd is why a recording has ended.
type RecordingEnd string

// The ends of a recording.
const (
	RecordingStopped    RecordingEnd = "stopped"     // a moderator wanted it
	RecordingEmpty      RecordingEnd = "empty"       // nobody was left
	RecordingServerDown RecordingEnd = "server-down" // the server was stopped
	RecordingSizeLimit  RecordingEnd = "size-limit"  // it was as large as one may be
	RecordingDiskFull   RecordingEnd = "disk-full"   // the server's disk has no room for more
	RecordingDiskSlow   RecordingEnd = "disk-slow"   // the server's disk could not keep up
	RecordingFailed     RecordingEnd = "failed"      // the server's disk refused to write
)

// Kind implements ClientMessage.
func (Join) Kind() Kind { return KindJoin }

// Kind implements ClientMessage.
func (Leave) Kind() Kind { return KindLeave }

// Kind implements ClientMessage.
func (Chat) Kind() Kind { return KindChat }

// Kind implements ClientMessage and ServerMessage.
func (Edit) Kind() Kind { return KindEdit }

// Kind implements ClientMessage and ServerMessage.
func (Delete) Kind() Kind { return KindDelete }

// Kind implements ClientMessage and ServerMessage.
func (Reaction) Kind() Kind { return KindReaction }

// Kind implements ClientMessage and ServerMessage.
func (Read) Kind() Kind { return KindRead }

// Kind implements ClientMessage and ServerMessage.
func (Typing) Kind() Kind { return KindTyping }

// Kind implements ClientMessage and ServerMessage.
func (Clear) Kind() Kind { return KindClear }

// Kind implements ClientMessage.
func (History) Kind() Kind { return KindHistory }

// Kind implements ClientMessage.
func (SubscribeThread) Kind() Kind { return KindSubscribeThread }

// Kind implements ClientMessage.
func (UnsubscribeThread) Kind() Kind { return KindUnsubscribeThread }

// Kind implements ClientMessage.
func (SetMedia) Kind() Kind { return KindMediaState }

// Kind implements ClientMessage.
func (Moderate) Kind() Kind { return KindModerate }

// Kind implements ClientMessage.
func (Bans) Kind() Kind { return KindBans }

// Kind implements ServerMessage.
func (BanList) Kind() Kind { return KindBans }

// Kind implements ServerMessage.
func (Joined) Kind() Kind { return KindJoined }

// Kind implements ServerMessage.
func (Removed) Kind() Kind { return KindRemoved }

// Kind implements ServerMessage.
func (Presence) Kind() Kind { return KindPresence }

// Kind implements ServerMessage.
func (ChatRecord) Kind() Kind { return KindChat }

// Kind implements ServerMessage.
func (HistoryPage) Kind() Kind { return KindHistory }

// Kind implements ServerMessage.
func (ThreadHistory) Kind() Kind { return KindThreadHistory }

// Kind implements ServerMessage.
func (MediaState) Kind() Kind { return KindMediaState }

// Kind implements ServerMessage.
func (RoomInfo) Kind() Kind { return KindRoom }

func (Joined) serverMessage()        {}
func (Removed) serverMessage()       {}
func (Presence) serverMessage()      {}
func (ChatRecord) serverMessage()    {}
func (Edit) serverMessage()          {}
func (Delete) serverMessage()        {}
func (Reaction) serverMessage()      {}
func (Read) serverMessage()          {}
func (Typing) serverMessage()        {}
func (Clear) serverMessage()         {}
func (HistoryPage) serverMessage()   {}
func (ThreadHistory) serverMessage() {}
func (MediaState) serverMessage()    {}
func (RoomInfo) serverMessage()      {}
func (BanList) serverMessage()       {}
