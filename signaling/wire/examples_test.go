package wire

import (
	"encoding/json"
	"testing"
)

// An example is one message: the golden files and the reference show it.
type example struct {
	head Envelope
	body any
}

func (e example) encode(t *testing.T) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(e.body)
	if err != nil {
		t.Fatal(err)
	}
	kind := e.body.(interface{ Kind() Kind }).Kind()
	return AppendEnvelope(nil, e.head, kind, data)
}

// A pair is what one golden file is made of.
type pair struct {
	full    example
	minimal *example
}

// The same small room stands in all examples: Ada moderates, Grace is a member, Linus knocks.
var (
	ada   = Author{User: "ada", Name: "Ada Lovelace", Kind: Human}
	grace = Author{User: "grace", Name: "Grace Hopper", Kind: Human}

	adaHere = Participant{
		ID: "p-4hc81x", User: "ada", Name: "Ada Lovelace", Kind: Human, Role: RoleModerator, Status: Online,
		JoinedAt: 1767225600123, Media: Media{Microphone: true, Camera: true},
	}
	graceHere = Participant{
		ID: "p-9tz02k", User: "grace", Name: "Grace Hopper", Kind: Human, Role: RoleMember, Status: Reconnecting,
		JoinedAt: 1767225642000, Media: Media{Microphone: true, Screen: true, Hand: true},
	}
	linusWaits = Participant{
		ID: "p-1qw77m", User: "linus", Name: "Linus", Kind: Human, Role: RoleViewer, Status: Online,
		JoinedAt: 1767225700000,
	}
)

const (
	requestID = RequestID("0b6f0d0e-6f0a-4c57-9c0c-2f3f5f0f8a11")
	sentAt    = int64(1767225660500)
	theEpoch  = "9f2c71d04be8a635"
)

// request is the envelope of a client's request in a room.
func request() Envelope { return Envelope{ID: requestID, Room: "daily"} }

// answer is the envelope of the answer to it.
func answer() Envelope { return Envelope{ID: requestID, Room: "daily", TS: sentAt} }

// logged is the envelope of a record by Ada.
func logged(seq, prev Seq) Envelope {
	author := ada
	return Envelope{ID: requestID, Room: "daily", From: adaHere.ID, Author: &author, Seq: seq, Prev: prev, TS: sentAt}
}

// state is the envelope of what is said of Grace.
func state() Envelope { return Envelope{Room: "daily", From: graceHere.ID, TS: sentAt} }

// record is an entry of a window.
func record(seq, prev Seq, author Author, body ServerMessage) Envelope {
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return Envelope{
		Type: body.Kind(), ID: requestID, Room: "daily", Author: &author, Seq: seq, Prev: prev, TS: sentAt, Data: data,
	}
}

func full(head Envelope, body any) pair { return pair{full: example{head, body}} }

func (p pair) orJust(head Envelope, body any) pair {
	p.minimal = &example{head, body}
	return p
}

func ptr[T any](v T) *T { return &v }

// examples maps each golden file to its messages.
var examples = merge(connectionExamples, roomExamples, timelineExamples, callExamples, botExamples)

func merge(parts ...map[string]pair) map[string]pair {
	all := map[string]pair{}
	for _, part := range parts {
		for name, p := range part {
			all[name] = p
		}
	}
	return all
}

var connectionExamples = map[string]pair{
	"auth.client.json": full(Envelope{ID: requestID}, Auth{
		Token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl", Ticket: "t1.p-4hc81x.5b0e", Client: "confab-web/1.0",
	}).orJust(Envelope{}, Auth{Token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"}),
	"connected.server.json": full(Envelope{ID: requestID, TS: sentAt}, Connected{
		Session: adaHere.ID, Ticket: "t1.p-4hc81x.77aa", User: User{ID: "ada", Name: "Ada Lovelace"}, Resumed: true,
		HeartbeatMS: 30000, Deprecated: true, ExpiresAt: 1767229200000,
		Limits: Limits{MessageBytes: 65536, RatePerSecond: 20, History: 256},
	}).orJust(Envelope{}, Connected{
		Session: adaHere.ID, Ticket: "t1.p-4hc81x.77aa", User: User{ID: "ada", Name: "Ada Lovelace"},
		HeartbeatMS: 30000, Limits: Limits{MessageBytes: 65536, History: 256},
	}),
	"ping.client.json":    full(Envelope{ID: requestID}, Ping{}).orJust(Envelope{}, Ping{}),
	"pong.server.json":    full(Envelope{ID: requestID, TS: sentAt}, Pong{}).orJust(Envelope{}, Pong{}),
	"refresh.client.json": full(Envelope{ID: requestID}, Refresh{Token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.bmV3"}),
	"ack.server.json":     full(answer(), Ack{Seq: 4711, Duplicate: true, Durability: "file", Run: "run-1"}).orJust(answer(), Ack{}),
	"error.server.json": full(answer(), ErrorBody{
		Code: CodeRateLimited, Message: "more than 20 messages a second; slow down", Retryable: true, RetryAfterMS: 1500,
	}).orJust(Envelope{ID: requestID}, ErrorBody{Code: CodeUnauthorized, Message: "the token has expired"}),
	"system-status.server.json": full(Envelope{TS: sentAt}, SystemStatus{
		Status: Draining, Message: "This server restarts for an update.", ReconnectAfterMS: 5000,
	}).orJust(Envelope{}, SystemStatus{Status: OK, Message: ""}),
}

var roomExamples = map[string]pair{
	"join.client.json": full(request(), Join{Since: &Cursor{Seq: 4706, Epoch: theEpoch}, Knock: true}).
		orJust(request(), Join{}),
	"joined.server.json": {
		full: example{
			Envelope{ID: requestID, Room: "daily", Seq: 4711, TS: sentAt},
			Joined{
				Self: adaHere, Role: RoleModerator,
				Grants:       Grants{Publish: Sources, Subscribe: true, Chat: true, Bots: true},
				Participants: []Participant{adaHere, graceHere},
				History: []Envelope{
					record(4709, 4706, ada, ChatRecord{Text: "Good morning! 👋", Reactions: map[string][]UserID{"👋": {"grace"}}}),
					record(4711, 4709, grace, ChatRecord{Text: "Morning, shall we start?", ReplyTo: 4709}),
				},
				Recovered: true, More: true,
				Threads: []ThreadSummary{
					{Thread: "m4709", Title: "Good morning! 👋", Messages: 12, Unread: 3, Last: ThreadAt{Seq: 4720, TS: sentAt, User: "grace"}},
					{Thread: "dm-5d41402abc4b2a76b9719d911017c592", With: []UserID{"ada", "scribe"}, Messages: 2, Last: ThreadAt{Seq: 4702, TS: sentAt}},
				},
				Bots: []BotInfo{scribe, {Bot: "host", User: BotUser("host"), Name: "Host", Description: "Keeps time.", Engine: "built-in", Tools: []BotTool{}}},
				Runs: []RunState{running, {Start: AgentStarted{Run: "run-2", Bot: "scribe", By: grace}, From: scribeHere}},
				Media: MediaSetup{Mode: Mesh, ICEServers: []ICEServer{
					{URLs: []string{"stun:stun.example.org:3478"}},
					{URLs: []string{"turn:turn.example.org:3478?transport=udp"}, Username: "1767229200:ada", Credential: "c2VjcmV0"},
				}, TTL: 3600, SFU: true},
				Epoch: theEpoch,
				Room:  &RoomInfo{Locked: ptr(false), Mode: Mesh, Recording: ptr(false), Title: ptr("Daily"), Hearing: &[]BotID{}},
				Reads: map[UserID]Seq{"ada": 4711, "grace": 4709},
			},
		},
		minimal: &example{
			answer(),
			Joined{
				Self: linusWaits, Role: RoleViewer, Grants: Grants{Publish: []Source{}},
				Participants: []Participant{linusWaits}, History: []Envelope{}, Threads: []ThreadSummary{},
				Bots: []BotInfo{}, Runs: []RunState{},
				Media: MediaSetup{Mode: SFU, ICEServers: []ICEServer{}}, Epoch: theEpoch,
			},
		},
	},
	"removed.server.json": full(Envelope{Room: "daily", TS: sentAt}, Removed{Reason: Kicked, Text: "by Ada Lovelace"}).
		orJust(Envelope{Room: "daily"}, Removed{Reason: Ended}),
	"leave.client.json": full(request(), Leave{}),
	"presence.server.json": full(state(), Presence{Event: PresenceLeft, Participant: graceHere, Reason: "lost"}).
		orJust(state(), Presence{Event: PresenceJoined, Participant: graceHere}),
	"moderate.client.json": full(request(), Moderate{Action: ActionMute, Participant: graceHere.ID, Source: Screen, User: "grace", Capacity: 50}).
		orJust(request(), Moderate{Action: ActionLock}),
	"bans.client.json": full(request(), Bans{}),
	"bans.server.json": full(answer(), BanList{Bans: []Ban{{User: "linus", Name: "Linus", At: 1767225690000}}}).
		orJust(answer(), BanList{Bans: []Ban{}}),
	"room.server.json": full(Envelope{Room: "daily", TS: sentAt}, RoomInfo{
		Locked: ptr(true), Mode: SFU, Recording: ptr(false), Title: ptr("Daily"), Knocking: []Participant{linusWaits},
		Hearing:        &[]BotID{"scribe"},
		Threads:        []ThreadSummary{{Thread: "m4709", Title: "Good morning! 👋", Messages: 13, Last: ThreadAt{Seq: 4724, TS: sentAt, User: "ada"}}},
		RecordingEnded: RecordingDiskFull,
	}).orJust(Envelope{Room: "daily"}, RoomInfo{Locked: ptr(false)}),
	"media-state.client.json": full(request(), SetMedia{Microphone: ptr(true), Camera: ptr(false), Screen: ptr(false), Hand: ptr(true)}).
		orJust(Envelope{Room: "daily"}, SetMedia{Hand: ptr(true)}),
	"media-state.server.json": full(state(), MediaState{Microphone: true, Screen: true, Hand: true}),
}

// threadHead puts an envelope into a thread.
func threadHead(head Envelope) Envelope {
	head.Thread = "m4709"
	return head
}

var timelineExamples = map[string]pair{
	"chat.client.json": full(threadHead(request()), Chat{
		Text: "@grace shall we say 10:00? See https://example.org/plan", ReplyTo: 4709, Mentions: []UserID{"grace"},
	}).orJust(request(), Chat{Text: "Good morning! 👋"}),
	"chat.server.json": full(threadHead(logged(4711, 4709)), ChatRecord{
		Text: "@grace shall we say 10:30?", ReplyTo: 4709, Mentions: []UserID{"grace"}, Edited: 1767225720000,
		Reactions: map[string][]UserID{"👍": {"grace", "linus"}}, Run: &receipt,
	}).orJust(logged(4706, 0), ChatRecord{Deleted: true}),
	"edit.client.json":     full(request(), Edit{Message: 4711, Text: "Shall we say 10:30?"}),
	"edit.server.json":     full(logged(4713, 4711), Edit{Message: 4711, Text: "Shall we say 10:30?"}),
	"delete.client.json":   full(request(), Delete{Message: 4711}),
	"delete.server.json":   full(logged(4714, 4713), Delete{Message: 4711}),
	"reaction.client.json": full(request(), Reaction{Message: 4709, Emoji: "👋", On: true}),
	"reaction.server.json": full(logged(4712, 4711), Reaction{Message: 4709, Emoji: "👋", On: true}).
		orJust(logged(4712, 4711), Reaction{Message: 4709, Emoji: "👋"}),
	"read.client.json":   full(threadHead(request()), Read{Seq: 4711}).orJust(request(), Read{Seq: 4711}),
	"read.server.json":   full(threadHead(state()), Read{Seq: 4711}).orJust(state(), Read{Seq: 4711}),
	"typing.client.json": full(threadHead(Envelope{Room: "daily"}), Typing{Typing: true}).orJust(Envelope{Room: "daily"}, Typing{Typing: true}),
	"typing.server.json": full(threadHead(state()), Typing{Typing: true}).orJust(state(), Typing{}),
	"clear.client.json":  full(request(), Clear{}),
	"clear.server.json":  full(logged(4715, 0), Clear{}),
	"history.client.json": full(request(), History{Before: 4706, Limit: 100}).
		orJust(request(), History{}),
	"history.server.json": full(answer(), HistoryPage{
		Messages: []Envelope{
			record(4698, 4690, grace, ChatRecord{Text: "The old plan", Edited: 1767225000000}),
			record(4703, 4698, ada, ChatRecord{Deleted: true}),
		},
		More: true,
	}).orJust(answer(), HistoryPage{Messages: []Envelope{}}),
	"subscribe-thread.client.json": full(threadHead(request()), SubscribeThread{Since: &Cursor{Seq: 4718, Epoch: theEpoch}, Private: "scribe"}).
		orJust(threadHead(request()), SubscribeThread{}),
	"unsubscribe-thread.client.json": full(threadHead(request()), UnsubscribeThread{}),
	"thread-history.server.json": full(threadHead(Envelope{ID: requestID, Room: "daily", Seq: 4720, TS: sentAt}), ThreadHistory{
		Messages:  []Envelope{threadHead(record(4720, 4718, grace, ChatRecord{Text: "Notes are ready."}))},
		Recovered: true, More: true, Epoch: theEpoch, Reads: map[UserID]Seq{"ada": 4718},
		Runs: []RunState{{Start: AgentStarted{Run: "run-2", Bot: "scribe", By: grace}, From: scribeHere, Thread: "m4709"}},
	}).orJust(threadHead(answer()), ThreadHistory{Messages: []Envelope{}, Runs: []RunState{}, Epoch: theEpoch}),
}

var callExamples = map[string]pair{
	"webrtc-signal.client.json": full(Envelope{ID: requestID, Room: "daily", To: SFUParticipant}, Signal{
		Description: &SessionDescription{Type: "offer", SDP: "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"},
		Candidate:   json.RawMessage(`{"candidate":"candidate:1 1 udp 2122260223 192.0.2.7 54400 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"a1b2"}`),
		Generation:  2,
		Tracks:      map[string]TrackLabel{"0": {adaHere.ID, Microphone}, "1": {adaHere.ID, Camera}},
		Ready:       true,
	}).orJust(Envelope{Room: "daily", To: graceHere.ID}, Signal{Candidate: json.RawMessage("null")}),
	"webrtc-signal.server.json": full(Envelope{Room: "daily", From: graceHere.ID, To: adaHere.ID, TS: sentAt}, Signal{
		Description: &SessionDescription{Type: "answer", SDP: "v=0\r\no=- 7614219274584779017 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"},
		Candidate:   json.RawMessage(`{"candidate":"candidate:2 1 tcp 1518280447 192.0.2.9 9 typ host tcptype active","sdpMid":"0","sdpMLineIndex":0}`),
		Generation:  2,
		Tracks:      map[string]TrackLabel{"2": {graceHere.ID, ScreenAudio}},
		Ready:       true,
	}).orJust(Envelope{Room: "daily", From: graceHere.ID, To: adaHere.ID}, Signal{Candidate: json.RawMessage("null"), Generation: 1}),
	"media-mode.server.json":  full(Envelope{Room: "daily", TS: sentAt}, MediaMode{Mode: SFU, Reason: "more than 4 participants"}),
	"media-mode.client.json":  full(request(), RequestMode{Mode: SFU, Reason: "unreachable"}).orJust(request(), RequestMode{Mode: SFU}),
	"ice-servers.client.json": full(request(), ICEServersRequest{}),
	"ice-servers.server.json": full(answer(), ICEServers{
		ICEServers: []ICEServer{{URLs: []string{"turn:confab.example:3478?transport=udp"}, Username: "1793664000:p1", Credential: "secret"}}, TTL: 3600,
	}).orJust(answer(), ICEServers{ICEServers: []ICEServer{}}),
	"subscribe-media.client.json": full(request(), SubscribeMedia{
		Participant: graceHere.ID, Source: Screen, Enabled: true, Width: 1920, Height: 1080, FPS: 15,
	}).orJust(request(), SubscribeMedia{Participant: graceHere.ID, Source: Camera}),
	"publish-media.server.json": full(Envelope{Room: "daily", TS: sentAt}, PublishMedia{Source: Camera, Layers: 2, Bitrate: 500000, Avoid: "AV1"}).
		orJust(Envelope{Room: "daily"}, PublishMedia{Source: Camera}),
	"media-quality.server.json": full(Envelope{Room: "daily", TS: sentAt}, MediaQuality{
		Participant: graceHere.ID, Source: Screen, Width: 1280, Height: 720, FPS: 15, Bitrate: 900000, Codec: "VP8", Layer: "2/3",
		Reason: QualityBandwidth,
	}).orJust(Envelope{Room: "daily"}, MediaQuality{Participant: graceHere.ID, Source: Camera, Reason: QualityHidden}),
	"active-speakers.server.json": full(Envelope{Room: "daily", TS: sentAt}, ActiveSpeakers{
		Speakers: []Speaker{{adaHere.ID, 0.62}, {graceHere.ID, 0.18}},
	}).orJust(Envelope{Room: "daily"}, ActiveSpeakers{Speakers: []Speaker{}}),
}
