// Package plane moves SRTP and SRTCP past pion, on the socket that pion's ICE and DTLS use too.
//
// The model. A Plane has ports (Conn) and shards. A Conn is given to pion's UDP multiplexer as its socket; behind it are
// as many sockets of the one port as there are shards (SO_REUSEPORT), each with a goroutine that reads it in batches
// (recvmmsg), and one more for RTCP. A filter on the port decides which of them gets what: one takes all media until its
// goroutine is busy half of the time, and RTCP comes where it wakes nobody (control.go). The media of known remote
// addresses is decrypted and handed on at once, in the goroutine that has read it; pion gets what is left: STUN, DTLS,
// and what is unknown. A Shard is a set of peers that forward to each other, one lock for them, and
// an arena of encrypted packets; best, there is one for each core, and a room has all its peers on one. A Transport is
// the media of one PeerConnection: its keys, its remote addresses, who takes its streams (Sink) and its RTCP (Feedback).
// What is to be sent is encrypted by a Writer into the arena, straight from where the caller keeps it. Packets of one
// size to one address that follow each other make a run, which leaves as one message with UDP_SEGMENT; all runs of a
// batch leave by one sendmmsg on the shard's socket. Media never waits for more, reports do for some milliseconds, and
// nothing on the way allocates. No call waits in the kernel either, so the scheduler is not told of them: they are raw.
//
//	recvmmsg -> Plane.take -> Shard.take -> Transport.receive -> Sink.RTP -> (Task) -> Writer.RTP -> sendmmsg
//
// On other systems than Linux, and with Options.Plain, each datagram is a system call and a port has one socket. Where
// a kernel, device or path cannot segment, the run is sent packet by packet and the socket makes no more. Where a kernel
// takes no filter, it shares everything out by remote address, RTCP too.
//
// Who moves a Transport's media is decided once (Serve), when DTLS is connected and before anything was sent: the
// plane, if it has the keys, the profile is an AES-GCM and the selected pair is on a port of the plane; else pion, for
// good.
//
// # The rule
//
// AES-GCM is broken by two packets of one key and one nonce, and pion has contexts of its own with the same keys. So
// on a Transport that is served, pion sends no RTP and no RTCP: register no interceptor that does, and use neither
// WriteRTCP nor a TrackLocalWriter. A Conn enforces it and refuses pion's media to the addresses of a Transport that
// is not released. Each packet's number is used once: what is sent again goes out on the retransmission stream, as a
// packet of its own. A Writer enforces it too: the nonce is made from the index that the window of the stream gives out
// (crypto.go). A Transport that was served never goes back to pion; if its
// pair leaves the plane, the connection is to be ended.
//
// # The keys
//
// pion/webrtc v4.2.20 has no exporter of keying material, but what it is made of can be had by public settings of one
// PeerConnection, as long as we are the DTLS server. SettingEngine.SetDTLSServerHelloMessageHook (settingengine.go:652,
// used in dtlstransport.go:526) shows what pion/dtls v3.1.8 puts into the server hello (flight4handler.go:338): our
// random, the cipher suite, the SRTP profile. SettingEngine.SetDTLSKeyLogWriter (settingengine.go:603, used in
// dtlstransport.go:440) gets the client's random and the master secret (flight4handler.go:187), after the client's
// certificate has been verified (flight4handler.go:108). From these follows the exporter of RFC 5705, as in dtls
// state.go:238, and from that the keys of RFC 5764, as in dtlstransport.go:246. Our copy of the secret is wiped.
// The key log has the shape of TLS 1.2: with DTLS 1.3 in pion this must be looked at again; until keys are
// found, every Transport is pion's.
//
// # Concurrency
//
// What belongs to the transports of a Shard is guarded by its lock. Sinks, Feedback, Tasks and what Do is given run with
// it held: they must not block and not call the Plane, a Shard or a Transport. A socket's reader handles what it has
// received for one shard after the other; a peer's media comes to one socket, so it stays in order, but for a moment when
// the number of sockets in use changes. RTCP is taken by whichever reader is there, or by the port's own goroutine. They
// are started by Plane.Listen and awaited by Conn.Close. The Plane's own lock is taken with a shard's held and never the
// other way round.
//
// The package must import nothing of this module but media/prefetch.
package plane
