// Package turn is the TURN server (RFC 8656): it relays media for clients that can send to this server and to nobody
// else, over UDP, TCP and TLS.
//
// The model: pion/turn speaks the protocol; this package decides who may use it and for what. Credentials expire and
// name a participant (credentials.go). A relay, the socket of an allocation, is ours (relay.go): it counts, limits
// the rate, and sends only where relays may (peers.go), which in this host is other relays and the SFU and nothing
// else. Connections over TCP and TLS are ours too (stream.go): bounded, framed, with time limits. book.go knows
// which client has what.
//
//	client -> pion -> relay.WriteTo -> peer
//	client <- pion <- relay.ReadFrom <- peer
//
// Concurrency. pion has a goroutine for the UDP port, one for each listener, connection and allocation, and ends each
// when what it reads from is closed. All that it reads from is made here and says when its reader has ended, so that
// Close waits for them.
//
// The package imports pion and signaling/wire, and must not import the rest of media, rooms or signaling.
package turn
