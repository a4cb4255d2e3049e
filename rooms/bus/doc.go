// Package bus keeps the log of every room on NATS JetStream and tells the rooms what is appended to it.
// It implements [rooms.Log] and is the only package that imports NATS.
//
// # Model
//
// The log is sixteen streams, ROOMS_0 to ROOMS_15. A room belongs to the partition fnv32a(room) % 16, for
// ever. Each timeline is one literal subject, room.<p>.<room> for a room and room.<p>.<room>~<thread> for a
// thread, so that reads never need a wildcard and NATS chains the sequences of exactly one timeline. One more
// stream, STATE, holds the newest small document of each room.
//
// NATS is either a server inside the process, reached over a pipe with no listening port, or a cluster that a
// URL names. Each process holds connections to publish, to subscribe, and for the history, that is everything
// that reads or administers, because a read blocks the connection it is asked on.
//
// An append costs one message from NATS. A cluster republishes what a stream stores to live.<timeline>; an
// open timeline has one subscription to that, shared by all its feeds, and the echo of an append from here is
// its confirmation. Nobody but the process itself writes to the server inside it, so there the confirmation
// is the echo: nothing is republished, and a confirmed append is handed to the timeline's feeds. A store can
// pass from one kind of server to the other.
//
// Both are delivered at most once. A follower therefore checks the sequence of a republished record's
// predecessor (Nats-Last-Sequence, 0 = unknown); of confirmations the partition's sequences must follow one
// another without a gap, or every open timeline of it looks. A follower compares itself with the log's last
// sequence, too, shortly after it opened and every 10 to 30 s. On a gap it holds what comes, reads what is
// missing from the stream and goes on. A sequence is valid within the epoch in the stream's metadata, which
// changes whenever sequences may have been used twice.
//
// # Nodes
//
// Processes that share a NATS are the nodes of a cluster: see Nodes for who owns which room, and for the links between them.
// The documents of rooms are then written by their owners alone.
//
// # Concurrency
//
// All methods may be called from any goroutine. Callbacks of Append run on goroutines of the bus. The methods of one
// feed are called one at a time, from a shard's goroutine, from a healing worker or from Open itself. Locks
// are taken in the order shard.mu, follower.mu, keeper.mu; none is held while NATS is asked for something.
// Each goroutine is started by Open and waited for by Close.
//
// The package must not import signaling, media or bots.
package bus
