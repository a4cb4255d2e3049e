package main

import (
	"slices"

	"confab/media/record"
	"confab/signaling"
	"confab/signaling/openapi"
	"confab/signaling/webhook"
	"confab/signaling/wire"
)

// operations describes the routes of a server that has everything; the document leaves out what is not mounted.
func operations() []openapi.Operation {
	return slices.Concat(signaling.AdminOperations(), signaling.GuestOperations, recordingOperations, gatewayOperations, exportOperations,
		[]openapi.Operation{webhook.Operation})
}

var recordingOperations = []openapi.Operation{
	{
		Method: "GET", Path: "/api/v1/recordings", ID: "listRecordings", Tag: "recordings", Auth: openapi.Token,
		Summary: "The recordings that the token may see: what its user has started, and of a moderator's token all of its rooms. Newest first.",
		Query:   []openapi.Parameter{{Name: "room", Type: wire.RoomID(""), Summary: "Only of this room."}},
		Answers: []openapi.Answer{{Status: 200, Type: record.List{}}}, Problems: []wire.ErrorCode{wire.CodeBadMessage},
	},
	{
		Method: "GET", Path: "/api/v1/recordings/{id}", ID: "getRecording", Tag: "recordings", Auth: openapi.Token, Summary: "The manifest of a recording.",
		Answers: []openapi.Answer{{Status: 200, Type: record.Manifest{}}}, Problems: []wire.ErrorCode{wire.CodeNotFound},
	},
	{
		Method: "GET", Path: "/api/v1/recordings/{id}/{file}", ID: "getRecordingFile", Tag: "recordings", Auth: openapi.Token,
		Summary:  "A file that the manifest names.",
		Query:    []openapi.Parameter{{Name: "Range", In: "header", Summary: "A part of it (RFC 9110 section 14.2)."}},
		Answers:  []openapi.Answer{{Status: 200, Media: "*/*"}, {Status: 206, Media: "*/*"}, {Status: 304}, {Status: 416, Media: "text/plain"}},
		Problems: []wire.ErrorCode{wire.CodeNotFound},
	},
	{
		Method: "DELETE", Path: "/api/v1/recordings/{id}", ID: "deleteRecording", Tag: "recordings", Auth: openapi.Token, Summary: "Deletes a recording that has ended.",
		Answers: []openapi.Answer{{Status: 204}}, Problems: []wire.ErrorCode{wire.CodeNotFound, wire.CodeConflict},
	},
}

// What WHIP and WHEP have in common (RFC 9725 and the draft of WHEP).
var (
	sdpOffer      = &openapi.Body{Media: "application/sdp"}
	sdpAnswer     = []openapi.Answer{{Status: 201, Media: "application/sdp", Headers: []string{"Location", "ETag", "Link"}}, {Status: 406, Type: openapi.Problem{}}, {Status: 408, Type: openapi.Problem{}}, {Status: 415, Type: openapi.Problem{}}}
	fragment      = &openapi.Body{Media: "application/trickle-ice-sdpfrag"}
	patched       = []openapi.Answer{{Status: 204}, {Status: 200, Summary: "ICE was restarted.", Media: "application/trickle-ice-sdpfrag", Headers: []string{"ETag"}}, {Status: 408, Type: openapi.Problem{}}, {Status: 412, Type: openapi.Problem{}}, {Status: 415, Type: openapi.Problem{}}, {Status: 428, Type: openapi.Problem{}}}
	ifMatch       = []openapi.Parameter{{Name: "If-Match", In: "header", Summary: "The ETag of the ICE session, or * for a new one."}}
	sessionLost   = []wire.ErrorCode{wire.CodeForbidden, wire.CodeNotFound, wire.CodeRateLimited, wire.CodeUnavailable}
	sessionBegins = []wire.ErrorCode{wire.CodeForbidden, wire.CodeRoomLocked, wire.CodeNotFound, wire.CodeRateLimited, wire.CodeConflict, wire.CodeRoomFull, wire.CodeUnavailable, wire.CodeTimeout}
	sourceChoice  = []openapi.Parameter{
		{Name: "audio", Type: wire.Source(""), Summary: "microphone, or screen-audio."}, {Name: "video", Type: wire.Source(""), Summary: "camera, or screen."},
	}
)

var gatewayOperations = []openapi.Operation{
	{
		Method: "POST", Path: "/whip/{room}", ID: "publish", Tag: "media", Auth: openapi.Token, Summary: "WHIP: publishes media as a participant of the room (RFC 9725).",
		Query: sourceChoice, Body: sdpOffer, Answers: sdpAnswer, Problems: sessionBegins,
	},
	{
		Method: "PATCH", Path: "/whip/{room}/{session}", ID: "patchPublisher", Tag: "media", Auth: openapi.Token, Summary: "Brings candidates, or restarts ICE.",
		Query: ifMatch, Body: fragment, Answers: patched, Problems: sessionLost,
	},
	{
		Method: "DELETE", Path: "/whip/{room}/{session}", ID: "endPublisher", Tag: "media", Auth: openapi.Token, Summary: "Ends the session.",
		Answers: []openapi.Answer{{Status: 200}}, Problems: sessionLost,
	},
	{
		Method: "POST", Path: "/whep/{room}/{participant}", ID: "play", Tag: "media", Auth: openapi.Token, Summary: "WHEP: plays what a participant sends.",
		Query: sourceChoice, Body: sdpOffer, Answers: sdpAnswer, Problems: sessionBegins,
	},
	{
		Method: "PATCH", Path: "/whep/{room}/{participant}/{session}", ID: "patchPlayer", Tag: "media", Auth: openapi.Token, Summary: "Brings candidates, or restarts ICE.",
		Query: ifMatch, Body: fragment, Answers: patched, Problems: sessionLost,
	},
	{
		Method: "DELETE", Path: "/whep/{room}/{participant}/{session}", ID: "endPlayer", Tag: "media", Auth: openapi.Token, Summary: "Ends the session.",
		Answers: []openapi.Answer{{Status: 200}}, Problems: sessionLost,
	},
}

var exportOperations = []openapi.Operation{
	{
		Method: "POST", Path: "/api/v1/rooms/{room}/bots/{bot}/agui", ID: "askBot", Tag: "bots", Auth: openapi.Token,
		Summary: "Asks a bot by a RunAgentInput of AG-UI 1.0, and streams its answer.",
		Body:    &openapi.Body{Type: map[string]any{}}, Answers: []openapi.Answer{{Status: 200, Media: "text/event-stream"}},
		Problems: []wire.ErrorCode{wire.CodeForbidden, wire.CodeRoomLocked, wire.CodeNotFound, wire.CodeRateLimited, wire.CodeConflict, wire.CodeUnavailable, wire.CodeTimeout},
	},
	{
		Method: "GET", Path: "/api/v1/rooms/{room}/runs/{run}/agui", ID: "followRun", Tag: "bots", Auth: openapi.Token,
		Summary: "Follows an answer that is under way, as AG-UI 1.0.", Answers: []openapi.Answer{{Status: 200, Media: "text/event-stream"}},
		Problems: []wire.ErrorCode{wire.CodeBadMessage, wire.CodeForbidden, wire.CodeRoomLocked, wire.CodeNotFound, wire.CodeRateLimited, wire.CodeUnavailable, wire.CodeTimeout},
	},
}
