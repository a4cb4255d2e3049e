package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	ownerPatience = 12 * time.Second // for an owner that does not answer to come back or be declared gone
	ownerPause    = 60 * time.Millisecond
	maxOwners     = 1 << 16 // other nodes' rooms that are remembered; they can be asked for again
	// A room goes to another node when this one has so many times as much to do, and enough to do at all.
	loadFactor = 2
	loadLeast  = 100
)

const (
	headerOwner  = "Confab-Owner"                        // the node that a room's document belongs to
	headerExpect = "Nats-Expected-Last-Subject-Sequence" // the fence
)

// Error codes with which NATS refuses a write whose fence is stale (nats-server, server/errors.json).
const (
	codeWrongSequence      = 10071
	codeWrongSequenceConst = 10164
)

var (
	errStale      = errors.New("bus: another node has written meanwhile")
	errLeaseEnded = errors.New("bus: this node's lease has ended")
	errDraining   = errors.New("bus: the node is about to end")
)

// A lease is this node's hold on a room.
type lease struct {
	fence    uint64 // sequence of the document; guarded by Nodes.mu
	released bool   // is being given up; guarded by Nodes.mu
}

// write stores a record of STATE in place of the one with the sequence fence, 0 = none. Error: errStale.
func (n *Nodes) write(ctx context.Context, subject string, owner rooms.NodeID, data []byte, fence uint64) (uint64, error) {
	msg := nats.NewMsg(subject)
	msg.Data = data
	msg.Header[headerExpect] = []string{strconv.FormatUint(fence, 10)}
	if owner != noNode {
		msg.Header[headerOwner] = []string{string(owner)}
	}
	ctx, cancel := context.WithTimeout(ctx, startTry)
	defer cancel()
	reply, err := n.conn.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return 0, err
	}
	ack, err := parseAck(reply)
	if refusal, ok := errors.AsType[*apiError](err); ok && (refusal.ErrCode == codeWrongSequence || refusal.ErrCode == codeWrongSequenceConst) {
		return 0, errStale
	}
	return uint64(ack.Seq), err
}

// purge removes a record of STATE. What it cannot remove says the same as none.
func (n *Nodes) purge(ctx context.Context, subject string) {
	body, err := json.Marshal(map[string]string{"filter": subject})
	if err != nil {
		panic(err) // strings
	}
	if _, err := n.conn.RequestWithContext(ctx, "$JS.API.STREAM.PURGE."+stateStream, body); err != nil && n.bus.lifetime.Err() == nil {
		n.bus.log.Debug("a record was not removed", "record", subject, "err", err)
	}
}

// renew writes this node's own record, beside what run does. When the record has been taken, the node is gone.
func (n *Nodes) renew() {
	n.mu.Lock()
	busy := n.renewing || n.closed
	n.renewing = true
	n.mu.Unlock()
	if busy {
		return
	}
	if !n.bus.spawn(n.renewOnce) {
		n.renewed()
	}
}

func (n *Nodes) renewed() {
	n.mu.Lock()
	n.renewing = false
	n.mu.Unlock()
}

func (n *Nodes) renewOnce() {
	defer n.renewed()
	ctx, cancel := context.WithTimeout(n.bus.lifetime, requestTimeout)
	defer cancel()
	n.mu.Lock()
	id, fence, dead := n.id, n.fence, n.dead
	n.mu.Unlock()
	if dead {
		_ = n.enter(ctx) // tried again
		return
	}
	sent := time.Now()
	next, err := n.write(ctx, recordOfNode(id), id, []byte(n.name), fence)
	if errors.Is(err, errStale) {
		next, err = n.ownRecord(ctx, id)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.closed:
	case err == nil:
		n.fence, n.stored = next, sent
		n.confirmLocked()
	case errors.Is(err, errStale):
		n.dead = true
		n.confirmLocked()
		n.bus.log.Error("this node was declared gone: its rooms end here, and it goes on as a new node")
		n.bus.spawn(n.endAll)
	}
}

// ownRecord finds the fence of this node's record when a write was refused: the confirmation of an earlier one may have
// been lost. Error: errStale when the record has been taken.
func (n *Nodes) ownRecord(ctx context.Context, id rooms.NodeID) (uint64, error) {
	record, err := n.bus.leaderGet(ctx, stateStream, getRequest{Last: recordOfNode(id)})
	switch {
	case err != nil:
		return 0, err
	case record == nil || len(record.Data) == 0:
		return 0, errStale
	}
	return uint64(record.Seq), nil
}

// Hold implements rooms.Owners.
func (n *Nodes) Hold(ctx context.Context, room wire.RoomID) error {
	owner, err := n.owner(ctx, room, false)
	if err == nil && owner != noNode {
		err = rooms.ErrOtherOwner
	}
	return err
}

// Owner implements rooms.Nodes.
func (n *Nodes) Owner(ctx context.Context, room wire.RoomID) (rooms.NodeID, error) {
	return n.owner(ctx, room, true)
}

// owner finds or becomes the owner of a room; with spread another node may become it.
func (n *Nodes) owner(ctx context.Context, room wire.RoomID, spread bool) (rooms.NodeID, error) {
	subject, err := n.bus.stateOf(room)
	if err != nil {
		return noNode, err
	}
	if id, known := n.knownOwner(room); known && (spread || id == noNode) { // who wants to hold it looks
		return id, nil
	}
	ctx, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	for {
		id, err := n.seekOwner(ctx, room, subject, spread)
		if err == nil {
			return id, nil
		}
		pause := ownerPause
		if errors.Is(err, errStale) {
			pause = time.Millisecond // somebody was faster
		}
		if sleep(ctx, pause) != nil {
			if n.bus.lifetime.Err() != nil || n.bus.closing.Load() {
				return noNode, rooms.ErrLogClosed
			}
			return noNode, fmt.Errorf("%w: no owner of %s: %w", rooms.ErrUnavailable, room, err)
		}
	}
}

// knownOwner answers from memory.
func (n *Nodes) knownOwner(room wire.RoomID) (rooms.NodeID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.held[room]; l != nil && !l.released && n.MayAdmit() {
		return noNode, true
	}
	id, known := n.owners[room]
	return id, known && n.freshLocked(id)
}

// freshLocked reports whether a node can be given something to do. mu is held.
func (n *Nodes) freshLocked(id rooms.NodeID) bool {
	p := n.all[id]
	return p != nil && p.known && !p.draining && p.unheard.IsZero() && time.Since(p.heard) < 2*lateAfter
}

var errOwnerSilent = errors.New("its owner does not answer")

// seekOwner is one look at the room's document, and one try to take the room. Every error passes.
func (n *Nodes) seekOwner(ctx context.Context, room wire.RoomID, subject string, spread bool) (rooms.NodeID, error) {
	if !n.MayAdmit() {
		return noNode, errLeaseEnded
	}
	record, err := n.bus.leaderGet(ctx, stateStream, getRequest{Last: subject})
	if err != nil {
		return noNode, err
	}
	if record == nil {
		record = &storedMessage{}
	}
	owner := record.owner()
	n.mu.Lock()
	self := n.id
	if l := n.held[room]; l != nil && (l.released || owner == self) { // released is about to become free
		n.mu.Unlock()
		if l.released {
			return noNode, errOwnerSilent
		}
		return noNode, nil
	}
	_, gone := n.gone[owner]
	switch {
	case owner == self: // another node has given it to this one, or a confirmation was lost
		n.held[room] = &lease{fence: uint64(record.Seq)}
		n.mu.Unlock()
		return noNode, nil
	case owner != noNode && !gone && n.freshLocked(owner):
		n.rememberLocked(room, owner)
		n.mu.Unlock()
		return owner, nil
	case owner != noNode && !gone:
		n.suspectLocked(owner)
		n.mu.Unlock()
		return noNode, errOwnerSilent
	}
	target := self
	if spread {
		target = n.leastLocked(self)
	}
	n.mu.Unlock()
	return n.take(ctx, room, subject, record, target, owner != noNode)
}

// suspectLocked makes the next look find out what is with a node. mu is held.
func (n *Nodes) suspectLocked(id rooms.NodeID) {
	if _, known := n.all[id]; !known && id != n.id {
		n.nodeLocked(id).heard = time.Now().Add(-lateAfter)
	}
}

// take makes target the owner of a room that has none, or none any more.
func (n *Nodes) take(ctx context.Context, room wire.RoomID, subject string, record *storedMessage, target rooms.NodeID, over bool) (rooms.NodeID, error) {
	fence, err := n.write(ctx, subject, target, record.Data, uint64(record.Seq))
	if err != nil {
		return noNode, err
	}
	if over {
		n.takeover.Add(1)
		n.bus.log.Info("took over a room", "room", string(room), "from", string(record.owner()), "node", string(target))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if target == n.id {
		n.held[room] = &lease{fence: fence}
		return noNode, nil
	}
	n.rememberLocked(room, target)
	return target, nil
}

func (n *Nodes) rememberLocked(room wire.RoomID, owner rooms.NodeID) {
	if len(n.owners) >= maxOwners {
		clear(n.owners)
	}
	n.owners[room] = owner
}

// leastLocked returns the node that a new room goes to: this one, unless another has much less to do. mu is held.
func (n *Nodes) leastLocked(self rooms.NodeID) rooms.NodeID {
	own := n.loaded
	best, least := self, own
	for id, p := range n.all {
		if n.freshLocked(id) && (p.load < least || n.draining && best == self) {
			best, least = id, p.load
		}
	}
	if n.draining || own >= loadLeast && own > loadFactor*least {
		return best
	}
	return self
}

// Disown implements rooms.Nodes.
func (n *Nodes) Disown(room wire.RoomID, id rooms.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owners[room] == id {
		delete(n.owners, room)
	}
}

// Release implements rooms.Owners.
func (n *Nodes) Release(room wire.RoomID) {
	n.mu.Lock()
	l := n.held[room]
	if l != nil {
		l.released = true
	}
	n.mu.Unlock()
	if l == nil {
		return
	}
	if !n.bus.spawn(func() { n.giveUp(room, l) }) {
		n.drop(room, l)
	}
}

// giveUp writes the document once more, without an owner. When that fails the record still names this node, which takes
// the room up again when it is asked for.
func (n *Nodes) giveUp(room wire.RoomID, l *lease) {
	defer n.drop(room, l)
	ctx, cancel := context.WithTimeout(n.bus.lifetime, requestTimeout)
	defer cancel()
	subject := statePrefix + string(room)
	record, err := n.bus.leaderGet(ctx, stateStream, getRequest{Last: subject})
	if err != nil || record == nil || record.owner() != n.self() {
		return
	}
	if _, err := n.write(ctx, subject, noNode, record.Data, uint64(record.Seq)); err != nil {
		n.bus.log.Debug("a room was not released", "room", string(room), "err", err)
	}
}

func (n *Nodes) drop(room wire.RoomID, l *lease) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[room] == l {
		delete(n.held, room)
	}
}

// save stores the document of a room that this node holds. Error: rooms.ErrOtherOwner, which lasts; others pass.
func (n *Nodes) save(ctx context.Context, room wire.RoomID, doc []byte) error {
	n.mu.Lock()
	l, self := n.held[room], n.id
	if l == nil {
		n.mu.Unlock()
		return rooms.ErrOtherOwner
	}
	fence := l.fence
	n.mu.Unlock()
	subject := statePrefix + string(room)
	next, err := n.write(ctx, subject, self, doc, fence)
	if errors.Is(err, errStale) {
		record, lookErr := n.bus.leaderGet(ctx, stateStream, getRequest{Last: subject})
		switch {
		case lookErr != nil:
			return lookErr
		case record == nil || record.owner() != self:
			n.drop(room, l)
			return rooms.ErrOtherOwner
		}
		next, err = n.write(ctx, subject, self, doc, uint64(record.Seq)) // the confirmation of an earlier one was lost
	}
	if err != nil {
		return err
	}
	n.mu.Lock()
	l.fence = next
	n.mu.Unlock()
	return nil
}
