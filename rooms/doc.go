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
// # Concurrency
//
// Everything exported may be called from any goroutine. Answers and Outlets are called by who is at work in the room,
// which may be any caller, and must not block. A room never waits for I/O while it serves: loading, saving and erasing run beside it.
//
// The package knows the wire's types and nothing of sockets, media or NATS.
package rooms
