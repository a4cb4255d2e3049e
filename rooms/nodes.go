package rooms

import (
	"context"
	"errors"

	"confab/signaling/wire"
)

// A NodeID names one life of a process of a cluster: a process that starts again is another node.
type NodeID string

// Errors of Owners and Nodes.
var (
	// ErrOtherOwner: another node runs the room, or has taken it over.
	ErrOtherOwner = errors.New("rooms: another node owns the room")
	// ErrNodeGone: there is no such node, or it is not reachable now.
	ErrNodeGone = errors.New("rooms: the node is gone")
)

// Owners says which process runs a room. A Registry without one runs every room: it is the only process there is. A
// room has one owner at a time, so that one actor decides who comes in and what they may do.
type Owners interface {
	// Hold makes this process the owner of room, which is about to be loaded, and keeps it until Release, until
	// Log.SaveState gives ErrOtherOwner for it, or until Registry.Abandon.
	// Errors: ErrOtherOwner, ErrUnavailable, ErrLogClosed, ctx's cause.
	Hold(ctx context.Context, room wire.RoomID) error
	// Release gives the room up, after it has ended. It does not block.
	Release(room wire.RoomID)
}

// Nodes connects the processes that share a log.
type Nodes interface {
	// Owner returns the node that runs room, empty = this one. A room that nobody runs is taken, for this node or for
	// one that has much less to do. While an owner does not answer, it waits for it to come back or to be declared gone.
	// Errors: ErrUnavailable after some seconds, ErrLogClosed, ctx's cause.
	Owner(ctx context.Context, room wire.RoomID) (NodeID, error)
	// Disown says that node was asked for room and does not own it: what Owner knows of it is stale.
	Disown(room wire.RoomID, node NodeID)
	// Dial opens a link to a node. It does not wait for the node: a link that cannot be made ends.
	Dial(to NodeID, end LinkEnd) (Link, error)
	// Serve begins to take links and questions. accept is called for each link that another node dials; answer is
	// called with what another node asks, on a goroutine of its own, and what it returns is the answer. Called once.
	Serve(accept func(from NodeID, link Link) LinkEnd, answer func(question []byte) []byte)
	// Ask puts a question to every other node and returns the answers of those that give one in time.
	Ask(ctx context.Context, question []byte) [][]byte
	// AskOne puts a question to one node and waits for its answer. Errors: ErrNodeGone, ctx's cause.
	AskOne(ctx context.Context, to NodeID, question []byte) ([]byte, error)
}

// A Link is a stream of bytes between two nodes in both directions. What arrives is complete and in order; when anything
// is lost, or the other node is silent for 3 s, the link ends. Its methods may be called from any goroutine and do not
// block.
type Link interface {
	// Wake says that LinkEnd.Fill has something to give.
	Wake()
	// Close ends the link at both sides. LinkEnd.Ended follows.
	Close(reason string)
}

// A LinkEnd is what is done with a link. Each method is called by one goroutine at a time. It may be called before the
// Link has been returned.
type LinkEnd interface {
	// Fill appends what is to be sent to buf; it is called until nothing is added.
	Fill(buf []byte) []byte
	// Receive takes in what has arrived. The bytes are the receiver's to keep. What it returns as an error ends the link.
	Receive(data []byte) error
	// Ended says that the link is over, once: nothing is sent or received any more.
	Ended(err error)
}
