// Package bus keeps the log of every room on NATS JetStream and tells the rooms what is appended to it.
// It implements [rooms.Log] and is the only package that imports NATS.
//
// # Model
//
// The log is sixteen streams, ROOMS_0 to ROOMS_15. A room belongs to the partition fnv32a(room) % 16, for
// ever. Each timeline is one literal subject, room.<p>.<room> for a room and room.<p>.<room>~<thread> for a
// thread, so that reads never need a wildcard and NATS chains the sequences of exactly one timeline. What a
// stream stores it republishes to live.<timeline>; an open timeline has one subscription to that, shared by
// all its feeds. One more stream, STATE, holds the newest small document of each room.
//
// NATS is either a server inside the process, reached over a pipe with no listening port, or a cluster that a
// URL names. The code past the connection is the same. Each process holds three connections: publish,
// subscribe, and history for everything that reads or administers, because a read blocks the connection it is
// asked on.
//
// Republished records are delivered at most once. A follower therefore checks the sequence of the record
// before (Nats-Last-Sequence, 0 = unknown), and the log's last sequence shortly after it opened and every 10 to
// 30 s; on a gap it holds what comes, reads what is missing from the stream and goes on. A sequence is valid
// within the epoch in the stream's metadata, which changes whenever sequences may have been used twice.
//
// # Concurrency
//
// All methods may be called from any goroutine. Callbacks of Append run on one goroutine. The methods of one
// feed are called one at a time, from a shard's goroutine, from a healing worker or from Open itself. Locks
// are taken in the order shard.mu, follower.mu, keeper.mu; none is held while NATS is asked for something.
// Each goroutine is started by Open and waited for by Close.
//
// The package must not import signaling, media or bots.
package bus
