// Package media is the SFU: it receives what each participant of a room publishes and forwards it to the others.
//
// The model: a Server has one UDP port and a set of rooms; a room has peers; a Peer is one PeerConnection with one
// participant and carries both directions. What a participant publishes enters by an ingress, whose ring keeps the
// newest packets and is at once the answer to retransmission requests, the key frame cache for who comes late and
// the source of the fan-out. An egress is one media section towards a subscriber: it reads the ring at its own pace,
// rewrites the header (rewriter) and writes. No interceptor of pion is registered: RTCP is ours.
//
// SRTP is moved by the plane (package plane), in the goroutine that reads the port: what a batch of received packets
// brings is stored, and at its end each peer that has something to get is pumped. A peer whose media the plane cannot
// move (over TCP or a relay of ours, or encrypted in another way) is pion's, from its first packet to its last; the two
// kinds share rings and rooms. pion also brings the first packets of each stream, and says by them what it is.
//
//	plane: stream.RTP -> stream.receive -> ring -> (end of batch) -> Peer.pump -> egress.pump -> rewriter -> Writer
//	pion:  stream.read -> stream.receive -> ring -> (wake) -> Peer.write -> egress.pump -> rewriter -> TrackLocalWriter
//
// Concurrency. A Peer is an actor: its run goroutine owns negotiation; exported methods post to it and wait. Each
// peer has a writer goroutine. With pion it alone sends the peer's media, so that a receiver whose transport blocks
// delays nobody else: it falls behind in the ring and goes on with the next key frame. The plane never waits; there the
// writer sends only what is due by time. The order of locks: the plane's shard, egress.mu, stream.mu; who holds a
// stream's or an egress's must not call the plane. A control goroutine sends the RTCP that is
// due. Each published track has two readers (RTP and RTCP) and each sent one has one (RTCP). A peer's run goroutine
// waits for all of them before it returns; the Server waits for all peers. Rooms tell peers only "look again":
// what a peer sends is worked out from the room's state, so no change can be lost or arrive twice.
//
// The package is the only one that imports pion. It imports signaling/wire and must not import rooms or signaling.
package media
