package bus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
)

const (
	linkPart  = 256 << 10 // bytes of one message at most; NATS takes 1 MiB
	linkQueue = 512       // messages that wait for a link's receiver; more end the link
	maxLinks  = 4096
	linkBuf   = 64 << 10 // a larger buffer is not kept
)

// The first byte of what comes to a node's subject. Behind it stand the link's number, the message's, both in eight
// bytes with the highest first, the sender's id, and the bytes of the stream.
const (
	linkFromDialer   = 'd'
	linkFromAcceptor = 'a'
	endFromDialer    = 'D'
	endFromAcceptor  = 'A'
	linkHead         = 1 + 8 + 8 + nodeIDBytes
)

// A linkKey tells links apart: one that a node has dialed, and one that another has dialed, may bear the same number.
type linkKey struct {
	peer   rooms.NodeID
	number uint64
	dialed bool // by this node
}

// A nodeLink is one end of a rooms.Link. NATS delivers at most once: messages are numbered, both ends send one at every
// heartbeat, and what is missing or late ends the link. Two goroutines serve it (send and receive) and end with it.
type nodeLink struct {
	// Set by newLink, then constant.
	nodes *Nodes
	key   linkKey
	self  rooms.NodeID  // this node when the link was made
	wake  chan struct{} // a value: there is something to send; never closed
	tick  chan struct{} // a value: send something in any case; never closed
	done  chan struct{} // closed by fail
	in    chan []byte   // written by take, never closed

	once sync.Once
	err  error // set before done is closed

	mu    sync.Mutex
	next  uint64    // number of the next message to come; guarded by mu
	heard time.Time // guarded by mu
}

var (
	errLinkGap    = errors.New("bus: a message between nodes was lost")
	errLinkBehind = errors.New("bus: this node does not keep up with another")
	errLinkSilent = errors.New("bus: the other node is silent")
	errLinkEnded  = errors.New("bus: the other node has ended the link")
)

// newLinkLocked makes a link that run must serve. Nodes.mu is held.
func (n *Nodes) newLinkLocked(key linkKey) *nodeLink {
	l := &nodeLink{
		nodes: n, key: key, self: n.id, next: 1, heard: time.Now(),
		wake: make(chan struct{}, 1), tick: make(chan struct{}, 1), done: make(chan struct{}), in: make(chan []byte, linkQueue),
	}
	n.links[key] = l
	return l
}

// Dial implements rooms.Nodes.
func (n *Nodes) Dial(to rooms.NodeID, end rooms.LinkEnd) (rooms.Link, error) {
	n.mu.Lock()
	if n.all[to] == nil || n.closed || len(n.links) >= maxLinks {
		n.mu.Unlock()
		return nil, rooms.ErrNodeGone
	}
	n.dialed++
	l := n.newLinkLocked(linkKey{to, n.dialed, true})
	n.mu.Unlock()
	if !l.run(end) {
		return nil, rooms.ErrLogClosed
	}
	poke(l.tick) // so that the other node knows of it
	return l, nil
}

// run starts the link's goroutines.
func (l *nodeLink) run(end rooms.LinkEnd) bool {
	if !l.nodes.bus.spawn(func() { l.receive(end) }) {
		l.fail(rooms.ErrLogClosed)
		l.nodes.forget(l)
		return false
	}
	l.nodes.bus.spawn(func() { l.send(end) })
	return true
}

// Wake implements rooms.Link.
func (l *nodeLink) Wake() { poke(l.wake) }

// Close implements rooms.Link.
func (l *nodeLink) Close(reason string) { l.fail(fmt.Errorf("bus: %s", reason)) }

// fail ends the link; only the first call counts. It holds no lock and does not block.
func (l *nodeLink) fail(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
	})
}

// send gives NATS what there is to send, until the link ends; then it tells the other node.
func (l *nodeLink) send(end rooms.LinkEnd) {
	kind, last := byte(linkFromDialer), byte(endFromDialer)
	if !l.key.dialed {
		kind, last = linkFromAcceptor, endFromAcceptor
	}
	var number uint64
	var buf []byte
	for {
		always := false
		select {
		case <-l.done:
			_ = l.nodes.conn.Publish(nodePrefix+string(l.key.peer)+inSuffix, l.head(last, 0)) // else it hears nothing more
			return
		case <-l.wake:
		case <-l.tick:
			always = true
		}
		for ; ; always = false {
			buf = end.Fill(buf[:0])
			if len(buf) == 0 && !always {
				break
			}
			for rest := buf; len(rest) > 0 || always; always = false {
				part := rest[:min(len(rest), linkPart)]
				rest = rest[len(part):]
				number++
				if err := l.publish(kind, number, part); err != nil {
					l.fail(err)
					break
				}
			}
		}
		if cap(buf) > linkBuf {
			buf = nil
		}
	}
}

func (l *nodeLink) head(kind byte, number uint64) []byte {
	head := make([]byte, 0, linkHead)
	head = binary.BigEndian.AppendUint64(append(head, kind), l.key.number)
	return append(binary.BigEndian.AppendUint64(head, number), l.self...)
}

// publish sends one message. When nobody listens NATS says so to the reply subject.
func (l *nodeLink) publish(kind byte, number uint64, part []byte) error {
	data := append(l.head(kind, number), part...)
	return l.nodes.conn.PublishRequest(nodePrefix+string(l.key.peer)+inSuffix,
		nodePrefix+string(l.self)+noneSuffix+string(l.key.peer), data)
}

// receive hands on what comes until the link ends.
func (l *nodeLink) receive(end rooms.LinkEnd) {
	for {
		select {
		case <-l.done:
			l.nodes.forget(l)
			end.Ended(l.err)
			return
		case data := <-l.in:
			if err := end.Receive(data); err != nil {
				l.fail(err)
			}
		}
	}
}

func (n *Nodes) forget(l *nodeLink) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.links[l.key] == l {
		delete(n.links, l.key)
	}
}

// takeIn takes one message from another node.
func (n *Nodes) takeIn(msg *nats.Msg) {
	data := msg.Data
	if len(data) < linkHead {
		return // a probe
	}
	kind, number := data[0], binary.BigEndian.Uint64(data[9:])
	key := linkKey{rooms.NodeID(data[17:linkHead]), binary.BigEndian.Uint64(data[1:]), kind == linkFromAcceptor || kind == endFromAcceptor}
	n.mu.Lock()
	l := n.links[key]
	var accept func(rooms.NodeID, rooms.Link) rooms.LinkEnd
	if l == nil && kind == linkFromDialer && number == 1 && n.accept != nil && !n.draining && len(n.links) < maxLinks {
		l, accept = n.newLinkLocked(key), n.accept
	}
	self := n.id
	n.mu.Unlock()
	switch {
	case kind == endFromDialer || kind == endFromAcceptor:
		if l != nil {
			l.fail(errLinkEnded)
		}
		return
	case l == nil: // it has ended here: the other end may not know
		refusal := nodeLink{self: self, key: key}
		end := byte(endFromDialer)
		if kind == linkFromDialer {
			end = endFromAcceptor
		}
		_ = n.conn.Publish(nodePrefix+string(key.peer)+inSuffix, refusal.head(end, 0)) // it ends by its own clock otherwise
		return
	case accept != nil:
		if !l.run(accept(key.peer, l)) {
			return
		}
	}
	l.take(number, data[linkHead:])
}

// take queues one message, which must be the next one.
func (l *nodeLink) take(number uint64, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number != l.next {
		l.fail(errLinkGap)
		return
	}
	l.next++
	l.heard = time.Now()
	if len(data) == 0 {
		return
	}
	select {
	case l.in <- data:
	default:
		l.fail(errLinkBehind)
	}
}

// tickLinks has every link say something, and ends those that say nothing.
func (n *Nodes) tickLinks() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
		l.mu.Lock()
		silent := time.Since(l.heard) > silentTime
		l.mu.Unlock()
		if silent {
			l.fail(errLinkSilent)
		}
		poke(l.tick)
	}
}
