package wire

import "time"

// Limits of the protocol. Those a server may set differently are sent in connected.limits.
const (
	MaxNameLength      = 64        // room, thread and request ids, in bytes
	MaxUserIDLength    = 128       // a token's sub, in bytes
	MaxDisplayName     = 80        // a participant's name, in runes
	MaxFrameBytes      = 64 << 10  // one frame from an authenticated client
	MaxAuthFrameBytes  = 4 << 10   // one frame before authentication
	MaxTextBytes       = 16 << 10  // the text of a chat message or edit
	MaxMentions        = 50        // of one chat message
	MaxEmojiBytes      = 32        // of one reaction
	MaxReasonBytes     = 200       // of a client that asks for the SFU
	MaxReactionKinds   = 50        // different emoji on one message
	MaxRoomsPerSession = 64        // rooms one session may be in at a time
	MaxHistoryPage     = 256       // messages of one history answer
	MaxThreadsFollowed = 32        // threads one participant may be subscribed to in a room at a time
	MaxKnocking        = 64        // people who wait at the door of a room
	MaxKnocksPerUser   = 4         // of them sessions of one user
	MaxThreads         = 500       // threads of a room that are listed; the one that was silent longest goes
	MaxThreadTitle     = 80        // the beginning of the message that a thread hangs on, in runes
	DefaultHistory     = 256       // messages of a room's window
	RecordsPerMessage  = 4         // log records kept = window x this, so that edits push no message out
	MaxCallBytes       = 128       // a tool call's id, and the digest of an approval
	MaxOutboxBytes     = 256 << 10 // waiting for one client before it is too slow
	MaxBatchBytes      = 32 << 10  // one frame of gathered messages to a client

	Heartbeat        = 30 * time.Second // a client with nothing else to send pings this often
	AuthTimeout      = 30 * time.Second // from the upgrade to the first auth
	ReconnectWindow  = 15 * time.Second // a lost session is kept this long as reconnecting
	ExpiryGrace      = 25 * time.Second // from a token's exp to close 4001
	KnockTimeout     = 10 * time.Minute // after which one who waits at a door is told that nobody came
	TypingTimeout    = 5 * time.Second  // after which the server clears typing
	ErrorWindow      = 10 * time.Second // MaxErrors within it: close 4503
	MaxErrors        = 100
	SlowCloseTimeout = 250 * time.Millisecond
)
