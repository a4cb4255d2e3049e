// Package agui exports the answers of bots as AG-UI, the protocol between agents and the front ends of others, version
// 1.0 (docs.ag-ui.com): a run as a stream of Server-Sent Events. It also takes questions in that form.
//
// # Model
//
// A State turns the events of one run into those of AG-UI; it is pure. A Handler answers the two routes: it asks or
// follows by a rooms.Follower, which nobody sees in the room, and writes what comes as events. Between the room and the
// connection stands a feed, bounded in bytes: who does not keep up is cut off. A client that goes away ends no run.
//
//	a run            AG-UI
//	begun            RUN_STARTED; all that there is so far follows at once
//	phase            STEP_STARTED … STEP_FINISHED, by the phase's name
//	thinking         REASONING_START, REASONING_MESSAGE_START, …_CONTENT, …_END, REASONING_END
//	tool             TOOL_CALL_START, TOOL_CALL_ARGS, TOOL_CALL_END; TOOL_CALL_RESULT when it is done
//	approval         CUSTOM confab.tool-approval (the body of tool-approval): a person in the room decides
//	text             TEXT_MESSAGE_START, TEXT_MESSAGE_CONTENT, TEXT_MESSAGE_END; the message's id is the chat message's
//	end              CUSTOM confab.receipt (data.run of the chat message, and its seq), then
//	                 RUN_FINISHED (outcome success or cancelled) or RUN_ERROR (one of the codes of wire)
//
// threadId is a thread of the room, or the room's own name for its main timeline. runId is the client's own where it has
// asked, and the room's where it follows; RUN_STARTED says both.
//
// # Concurrency
//
// A Handler may be used from any goroutine. It starts none: each stream lives in its request.
//
// The package knows rooms and wire, no socket and no other package of bots.
package agui
