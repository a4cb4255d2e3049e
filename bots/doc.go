// Package bots puts bots into rooms: who they are, which messages are meant for them, and how an answer comes about.
//
// # Model
//
// A Service holds the personas of this server and gives them seats in rooms (rooms.Bots). The bots of one room share a
// hall, which hears what is said there, decides by package address who is meant, and starts runs. A run reads the
// conversation from the room, asks the persona's model for turns, uses the tools that these want, and feeds the
// rooms.Run, which tells everyone and ends exactly once.
//
// Nothing of a conversation is kept here between runs but what people could read in the room at that time: the context
// is read anew for each, so that what was deleted or cleared is gone from the next. Answers kept for the same question
// are let go with the messages that they rest on. What was said aloud in a call that bots hear is remembered as long as they
// hear it, in memory alone.
//
// # Concurrency
//
// A hall has one goroutine, each run another. All of them end with their seat, and with the Service. What a seat hears
// never blocks the room: what is too much at once is dropped and caught up with from the room's history.
//
// The package knows rooms and wire, no socket and no media.
package bots
