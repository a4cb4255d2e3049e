// Package media is the SFU: it receives what each participant of a room publishes and forwards it to the others.
//
// The model: a Server has one UDP port, TCP ports for who has no UDP (tcp.go), and a set of rooms; a room has peers; a
// Peer is one PeerConnection with one participant and carries both directions. What a participant publishes enters by
// an ingress: one track, of one RTP stream or of one for each simulcast layer. The ring of a stream keeps the newest
// packets and is at once the answer to retransmission requests, the key frame cache for who comes late and the source
// of the fan-out. An egress is one media section towards a subscriber: it reads the ring of the layer that it sends at
// its own pace, leaves out what its receiver does not need (selector), rewrites the header (rewriter) and writes.
// No interceptor of pion is registered: RTCP is ours.
//
// SRTP is moved by the plane (package plane), in the goroutine that reads the port: what a batch of received packets
// brings is stored, and at its end each peer that has something to get is pumped. A peer whose media the plane cannot
// move (over TCP or a relay of ours, or encrypted in another way) is pion's, from its first packet to its last; the two
// kinds share rings and rooms. pion also brings the first packets of each stream, and says by them what it is.
//
//	plane: stream.RTP -> stream.receive -> ring -> (end of batch) -> Peer.pump -> egress.pump -> selector -> rewriter -> Writer
//	pion:  stream.read -> stream.receive -> ring -> (wake) -> Peer.write -> egress.pump -> selector -> rewriter -> TrackLocalWriter
//
// Layers. What a packet is of its picture, its frame rate and its size is read once, when it comes in (layering): from
// the dependency descriptor, which browsers send with every codec, else from the payload. What comes is measured a few
// times a second (ingress.look), with sizes from key frames, never from descriptions. From that, from what a client
// shows, priorities and a budget, one place decides what it gets of each video (Peer.choose); the writer does it: from
// one stream to another at a key frame, which is asked for, while the old one flows on; within a stream where the codec
// allows. What nobody uses, or no client's way has room for (narrow), the publisher is told (demand); what a client gets
// and why not more it is told too (report).
//
// How much a client gets is found out by its downlink: all that is sent there, on whatever stream, bears one count of
// transport-wide numbers, and what the client reports of them says what its path carries (media/bandwidth). That less
// audio and resends is the budget that its videos share. Where more is wanted than is known to fit, padding is sent to
// find out. Video leaves in step with that; what has to wait stays in the ring. What one client's path does changes
// nothing for another. When the process uses nearly all of the CPU, all get less of what matters least to them (load).
//
//	RTCP: controlTap -> downlink.reported -> (due) -> Peer.choose -> downlink.steer -> Allocator -> egress.take
//
// Concurrency. A Peer is an actor: its run goroutine owns negotiation; exported methods post to it and wait. Each
// peer has a writer goroutine. With pion it alone sends the peer's media, so that a receiver whose transport blocks
// delays nobody else: it falls behind in the ring and goes on with the next key frame. The plane never waits; there the
// writer sends only what is due by time. A control goroutine measures, chooses, and sends the RTCP that is due; messages
// for the client it posts to run. Each received stream has two readers (RTP and RTCP) and each sent one has one (RTCP).
// A peer's run goroutine waits for all of them before it returns; the Server waits for all peers. Rooms tell peers only
// "look again": what a peer sends is worked out from the room's state, so no change can be lost or arrive twice.
//
// Locks are taken in this order, each only briefly: the shard's of the plane, then an egress's, then a stream's; a
// room's listener's, then the room's, then a stream's; a demand's last. Two streams' are never held at once. What the
// plane calls (stream.RTP, Peer.RTCP, Peer.EndOfBatch) holds the shard and passes its Writer on; whoever has none must
// hold no other lock when it calls the plane.
//
// By which addresses clients reach the ports is told by Options.PublicIPs (public.go) or found out (discover.go).
//
// Bots have no connection: what one says comes as Opus packets from the process, by a Microphone, into a ring like any
// other's (microphone.go). It also tells, packet by packet, when people speak.
//
// The package and those below it are the only ones that import pion. It imports signaling/wire and media/..., and must
// not import rooms or signaling.
package media
