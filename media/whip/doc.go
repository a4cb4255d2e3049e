// Package whip lets publishers and players that speak HTTP and no WebSocket take part in calls: WHIP (RFC 9725) in,
// WHEP (draft-ietf-wish-whep) out.
//
//	POST   /whip/{room}                    publish: offer in, 201 with the answer and the session's address
//	POST   /whep/{room}/{participant}      play what one participant publishes
//	PATCH  the session's address           trickled candidates (204) and ICE restart (200), RFC 8840
//	DELETE the session's address           ends it
//
// With ?source=screen the audio and video are screen-audio and screen, else microphone and camera. Each request bears
// a token as Bearer. A session is known by an address that cannot be guessed and answers to the user who began it.
//
// The model: a Handler holds sessions; a session is one media.Peer together with a place in the room. A publisher
// takes a seat, as a participant of kind ingress; a player takes a place that nobody sees. One goroutine a session
// waits for its end: DELETE, a connection that is lost for 30 s, the room's word that the place is gone, or the
// server's end. It closes the peer and gives the place back; Handler.Close waits for all of them.
//
// Negotiation is one offer and one answer with all candidates of the server; nothing is offered to the client
// afterwards. A player therefore gets what its sections can take, whether published before or after it came; one that
// comes before anything is published waits for it (201), and one whose participant is not in the room is told to come
// back (404 with Retry-After). An ICE restart is the first offer once more with other credentials.
//
// The package is a client of media's exported methods and of what it declares of tokens and rooms; it imports neither
// rooms nor signaling.
package whip
