package wire

import "reflect"

// Delivery says what the server promises for a type of message.
type Delivery string

// The classes of delivery.
const (
	Answered  Delivery = "answer"    // one answer to one request
	Logged    Delivery = "logged"    // stored before it is acknowledged, never dropped
	State     Delivery = "state"     // conflated: only the newest value per sender need arrive
	Signalled Delivery = "signal"    // in order per sender and addressee; waits while the addressee is reconnecting
	Notice    Delivery = "notice"    // told once, in order
	Request   Delivery = "request"   // from a client only
	Stream    Delivery = "stream"    // in order, never lost; pieces may be merged
	Handshake Delivery = "handshake" // the start of a connection
)

// An Entry of the Catalog is one type of message. Client and Server are zero values of the bodies that may
// travel each way, nil where none may.
type Entry struct {
	Kind     Kind
	Section  string // of the reference: connection, rooms, calls, bots
	Client   ClientMessage
	Server   ServerMessage
	Delivery Delivery
	Answer   Kind // to a request with an id, when it takes effect; empty = no request
	Doc      string
}

// Catalog lists every type of message, in the order of the reference.
var Catalog = []Entry{
	{KindAuth, "connection", Auth{}, nil, Handshake, KindConnected, "Opens a session; nothing else is accepted before it."},
	{KindConnected, "connection", nil, Connected{}, Handshake, "", "Always the first frame after auth."},
	{KindPing, "connection", Ping{}, nil, Request, KindPong, "Keeps the connection alive."},
	{KindPong, "connection", nil, Pong{}, Answered, "", "Answers ping."},
	{KindRefresh, "connection", Refresh{}, nil, Request, KindAck, "Brings a new token on a live connection."},
	{KindAck, "connection", nil, Ack{}, Answered, "", "The request with this id took effect."},
	{KindError, "connection", nil, ErrorBody{}, Answered, "", "The request with this id did not take effect."},
	{KindSystemStatus, "connection", nil, SystemStatus{}, Notice, "", "A notice for the person and the client."},

	{KindJoin, "rooms", Join{}, nil, Request, KindJoined, "Enters a room."},
	{KindJoined, "rooms", nil, Joined{}, Answered, "", "The first frame of a room."},
	{KindRemoved, "rooms", nil, Removed{}, Notice, "", "This client is out of the room."},
	{KindLeave, "rooms", Leave{}, nil, Request, KindAck, "Leaves a room."},
	{KindPresence, "rooms", nil, Presence{}, State, "", "A participant came, went or changed."},
	{KindChat, "rooms", Chat{}, ChatRecord{}, Logged, KindAck, "Says something in a timeline."},
	{KindEdit, "rooms", Edit{}, Edit{}, Logged, KindAck, "Replaces the text of a message: an own one, or any for a moderator."},
	{KindDelete, "rooms", Delete{}, Delete{}, Logged, KindAck, "Takes a message back: an own one, or any for a moderator. Its text is erased from storage."},
	{KindReaction, "rooms", Reaction{}, Reaction{}, Logged, KindAck, "Puts an emoji on a message or takes it off."},
	{KindRead, "rooms", Read{}, Read{}, State, KindAck, "How far a person has read."},
	{KindTyping, "rooms", Typing{}, Typing{}, State, KindAck, "A person writes; cleared by the server after 5 s."},
	{KindClear, "rooms", Clear{}, Clear{}, Logged, KindAck, "Erases the history of a timeline, in storage too. Moderators only."},
	{KindHistory, "rooms", History{}, HistoryPage{}, Answered, KindHistory, "Pages back through the log."},
	{KindSubscribeThread, "rooms", SubscribeThread{}, nil, Request, KindThreadHistory, "Follows a thread, until the next join or leave."},
	{KindUnsubscribeThread, "rooms", UnsubscribeThread{}, nil, Request, KindAck, "Stops following a thread."},
	{KindThreadHistory, "rooms", nil, ThreadHistory{}, Answered, "", "A thread's window, or all after since."},
	{KindMediaState, "rooms", SetMedia{}, MediaState{}, State, KindAck, "What a participant sends now, and its hand."},
	{KindModerate, "rooms", Moderate{}, nil, Request, KindAck, "What moderators do."},
	{KindBans, "rooms", Bans{}, BanList{}, Answered, KindBans, "Who is banned from the room. Moderators only."},
	{KindRoom, "rooms", nil, RoomInfo{}, State, "", "What changed of the room's state."},

	{KindSignal, "calls", Signal{}, Signal{}, Signalled, KindAck, "Offer, answer, candidate or end of candidates, relayed unread."},
	{KindMediaMode, "calls", RequestMode{}, MediaMode{}, State, KindAck, "How this room's media flows from now on. From a client: it cannot reach a participant directly."},
	{KindICEServers, "calls", ICEServersRequest{}, ICEServers{}, Answered, KindICEServers, "Fresh credentials of the relays."},
	{KindSubscribeMedia, "calls", SubscribeMedia{}, nil, Request, KindAck, "What this client wants to see from the SFU."},
	{KindPublishMedia, "calls", nil, PublishMedia{}, State, "", "How much of a source somebody receives, told to its publisher."},
	{KindMediaQuality, "calls", nil, MediaQuality{}, State, "", "What the SFU sends, and why not more."},
	{KindActiveSpeakers, "calls", nil, ActiveSpeakers{}, State, "", "Who is heard, at most 4 times a second."},

	{KindBotToggle, "bots", BotToggle{}, nil, Request, KindAck, "Lets a bot into the room, or puts it out; presence tells everyone."},
	{KindBotVoice, "bots", BotVoice{}, nil, Request, KindAck, "Gives a bot a voice or an ear in the call, or takes it away; media-state and room tell everyone."},
	{KindAIRequest, "bots", AIRequest{}, nil, Request, KindAck, "Asks a bot. A mention of it in chat does the same."},
	{KindAICancel, "bots", AICancel{}, nil, Request, KindAck, "Ends a run; what was written stays. A lost connection is not a cancel."},
	{KindToolApproval, "bots", ToolDecision{}, ToolApproval{}, Stream, KindAck, "A tool that writes waits for a person's word, and what that was. From a client: the word."},
	{KindAgentStarted, "bots", nil, AgentStarted{}, Stream, "", "A run begins."},
	{KindAgentThinking, "bots", nil, AgentThinking{}, Stream, "", "The bot is at work."},
	{KindToolExecuting, "bots", nil, ToolExecuting{}, Stream, "", "The bot uses a tool."},
	{KindToolCompleted, "bots", nil, ToolCompleted{}, Stream, "", "What became of it."},
	{KindStreamStart, "bots", nil, StreamStart{}, Stream, "", "The text of the answer begins."},
	{KindStreamChunk, "bots", nil, StreamChunk{}, Stream, "", "A piece of it."},
	{KindStreamEnd, "bots", nil, StreamEnd{}, Stream, "", "The text is whole, or ends here."},
	{KindAgentCompleted, "bots", nil, AgentCompleted{}, Stream, "", "A run has ended: exactly one for each that began."},
	{KindAgentSpeaking, "bots", nil, AgentSpeaking{}, Stream, "", "A bot speaks an answer into the call."},
	{KindCaption, "bots", nil, Caption{}, State, "", "What a participant says."},
}

// Enums maps each closed set of strings to its values, for the generated types.
var Enums = map[reflect.Type][]string{
	reflect.TypeFor[Role]():            {string(RoleViewer), string(RoleMember), string(RoleModerator)},
	reflect.TypeFor[ParticipantKind](): {string(Human), string(Bot), string(Ingress), string(Recorder)},
	reflect.TypeFor[Status]():          {string(Online), string(Reconnecting)},
	reflect.TypeFor[Source]():          {string(Microphone), string(Camera), string(Screen), string(ScreenAudio)},
	reflect.TypeFor[Mode]():            {string(Mesh), string(SFU)},
	reflect.TypeFor[ServerStatus]():    {string(Draining), string(Degraded), string(OK)},
	reflect.TypeFor[RemovedReason]():   {string(Kicked), string(Banned), string(Ended), string(Denied)},
	reflect.TypeFor[PresenceEvent]():   {string(PresenceJoined), string(PresenceLeft), string(PresenceUpdated)},
	reflect.TypeFor[RecordingEnd](): {
		string(RecordingStopped), string(RecordingEmpty), string(RecordingServerDown), string(RecordingSizeLimit),
		string(RecordingDiskFull), string(RecordingDiskSlow), string(RecordingFailed),
	},
	reflect.TypeFor[Action](): {
		string(ActionMute), string(ActionUnmute), string(ActionKick), string(ActionBan), string(ActionUnban), string(ActionLock), string(ActionUnlock),
		string(ActionPromote), string(ActionDemote), string(ActionAdmit), string(ActionDeny), string(ActionEnd),
		string(ActionRecord), string(ActionStopRecording), string(ActionCapacity),
	},
	reflect.TypeFor[QualityReason](): {
		string(QualityFull), string(QualitySize), string(QualityHidden), string(QualityBandwidth), string(QualityServer),
		string(QualityPublisher),
	},
	reflect.TypeFor[Phase]():         {string(PhaseQueued), string(PhaseContext), string(PhaseModel), string(PhaseApproval)},
	reflect.TypeFor[ApprovalState](): {string(ApprovalAsked), string(ApprovalGranted), string(ApprovalDenied), string(ApprovalExpired)},
	reflect.TypeFor[StreamReason]():  {string(StreamStop), string(StreamLength), string(StreamCancelled), string(StreamFailed)},
	reflect.TypeFor[SpeakingState](): {string(SpeakingStarted), string(SpeakingStopped), string(SpeakingInterrupted)},
	reflect.TypeFor[RunStatus]():     {string(RunCompleted), string(RunCancelled), string(RunFailed)},
	reflect.TypeFor[ErrorCode]():     codes(),
}

func codes() []string {
	all := make([]string, len(ErrorCodes))
	for i, c := range ErrorCodes {
		all[i] = string(c)
	}
	return all
}
