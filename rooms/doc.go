// Package rooms is what people share: who is there, what was said, who may do what.
//
// # Model
//
// A Room is an actor: its state is owned by one goroutine at a time (Room.work), every exported method of a Member
// posts one command to it, and the room answers through the command's Answer and speaks to its members through their
// Outlets. A Registry owns the rooms of this process: it starts one when somebody joins and lets it go when it
// has been empty for a while. A timeline is the room's memory of its Log: a ring of the records as they were
// sent, and the messages folded from them as they stand now. Joins and resumes are served from it alone.
//
// A chat message goes Member.Chat -> Room (checks) -> Log.Append (stored, gets its seq) -> Feed -> Room ->
// every Outlet. The acknowledgement and the echo may come in either order.
//
// # Threads
//
// A thread is a log of its own in the room, with its own cursor and window, and reaches only the members that have
// subscribed to it; the others are told of its summary. Its name says what it hangs on:
//
//   - m<seq> is the thread on the message seq of the main timeline, which must be there when the thread is made. The
//     beginning of that message is the thread's title, as long as the message is in memory and not deleted.
//   - dm-<hash> is the private thread between a person and a bot. Nobody names it: it is made by subscribing with
//     private, and its name follows from the two users. To anybody else, moderators too, it does not exist. Only its two
//     users may clear it.
//   - Any other name is free for all to use, and hangs on nothing.
//
// A thread comes into being with its first message, and the room's document names it before that one is stored. The
// document keeps the names, counts and read marks, but no text. Counts are written down seldom: a room that is loaded
// asks the log for the newest record of each thread, and counts anew those that have newer ones than the document
// knows. A room lists wire.MaxThreads threads; one more takes the place of the one without messages, or else of the one
// that has been silent longest, whose log stays and which is listed again when somebody writes in it. The log of a thread
// is in memory while somebody follows it and for a short while after it was last asked for.
//
// Bots hear every thread that they may see without subscribing: they cannot know in which one they are spoken to next.
// A subscription ends when its member leaves, joins again or is disconnected; who comes back subscribes with since.
//
// # Followers
//
// Who is not in a room may hold on to a part of it and is seen by nobody: a Watch is for what one participant sends, a
// Follower for one answer of a bot. The rules that keep people out keep these out too.
//
// # Owners
//
// Where several processes share a log, each room is run by one of them, which holds it (Owners) from before it is loaded until
// it has ended or is abandoned. The document then has the list of members, too: whoever loads the room next seats them as
// reconnecting. Members of a room that is abandoned are sent to look for it (Mover).
//
// # Concurrency
//
// Everything exported may be called from any goroutine. Answers and Outlets are called by who is at work in the room,
// which may be any caller, and must not block. A room never waits for I/O while it serves: loading, saving and erasing run beside it.
//
// The package knows the wire's types and nothing of sockets, media or NATS.
package rooms
