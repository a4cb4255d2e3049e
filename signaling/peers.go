package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	claimPatience = 700 * time.Millisecond // for other nodes to say what they know of a session; a live one answers in one
	maxMoves      = 3                      // tries to find a room's owner for one join
)

// peers is this server among the other nodes of a cluster.
//
// A client's session stays at the node that it is connected to, its edge. A room is run by its owner. What a session
// says to a room of another node is relayed there as it came, where a session without a connection (virtual) handles it
// with the same mux and the same rooms as any other, and what the room answers comes back as the frames that the client
// gets. So one actor decides who comes in and what everyone may do, wherever they are connected. The edge checks what
// concerns the connection: its token, frames, rates and signs of life.
//
// A link that ends takes the connections with it that use it: the clients come back and resume from their cursors, so
// nothing is lost and nothing comes twice.
type peers struct {
	// Set by newPeers, then constant.
	server *Server
	nodes  rooms.Nodes

	mu    sync.Mutex
	links map[rooms.NodeID]*edgeLink // dialed by this node; guarded by mu
}

func newPeers(server *Server, nodes rooms.Nodes) *peers {
	p := &peers{server: server, nodes: nodes, links: make(map[rooms.NodeID]*edgeLink)}
	nodes.Serve(func(_ rooms.NodeID, link rooms.Link) rooms.LinkEnd { return newOwnerLink(server, link) }, p.answer)
	return p
}

// route sends a join where the room is. It reports false when that is here.
//
// Errors: *wire.Error with CodeUnavailable.
func (p *peers) route(ctx context.Context, s *Session, env wire.Envelope) (relayed bool, err error) {
	for range maxMoves {
		node, err := p.nodes.Owner(ctx, env.Room)
		if err == nil && node != "" && s.virtual != nil {
			// The edge believes that it is ours, and may know better than our memory.
			p.nodes.Disown(env.Room, node)
			node, err = p.nodes.Owner(ctx, env.Room)
		}
		switch {
		case err != nil:
			return false, &wire.Error{Code: wire.CodeUnavailable, Text: "the room cannot be reached now; try again", Err: err}
		case node == "":
			s.unrelay(env.Room)
			return false, nil
		case s.virtual != nil:
			s.virtual.moved(env)
			return true, nil
		}
		if link := p.linkTo(node); link != nil && s.relayJoin(link, env) {
			return true, nil
		}
		p.nodes.Disown(env.Room, node)
	}
	return false, wire.Errorf(wire.CodeUnavailable, "the room cannot be reached now; try again")
}

// linkTo returns the link to a node, dialing it when there is none; nil when the node is gone.
func (p *peers) linkTo(node rooms.NodeID) *edgeLink {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.links[node]; l != nil {
		return l
	}
	l := &edgeLink{peers: p, node: node, sessions: make(map[uint64]*Session)}
	link, err := p.nodes.Dial(node, l)
	if err != nil {
		return nil
	}
	l.out.attach(link)
	p.links[node] = l
	return l
}

func (p *peers) forget(l *edgeLink) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.links[l.node] == l {
		delete(p.links, l.node)
	}
}

// A claimQuestion asks other nodes for a session whose client has come here.
type claimQuestion struct {
	Session     wire.ParticipantID `json:"session"`
	User        wire.UserID        `json:"user"`
	Incarnation uint64             `json:"incarnation"` // of the process that has issued the ticket
}

// A claimAnswer is what a node knows of it.
type claimAnswer struct {
	Refused bool   `json:"refused,omitempty"` // the session was this node's, and is over
	Serial  uint64 `json:"serial,omitempty"`  // of the connection that it had here
}

// claim asks the other nodes to give a session up. It returns false when one of them says that it is over; a node that
// does not answer is no reason, for it may be the dead one that the client comes from.
func (p *peers) claim(ctx context.Context, t ticket) (serial uint64, ok bool) {
	question, err := json.Marshal(claimQuestion{t.session, t.user, t.incarnation})
	if err != nil {
		panic(err) // strings and numbers
	}
	ctx, cancel := context.WithTimeout(ctx, claimPatience)
	defer cancel()
	serial = t.serial
	for _, data := range p.nodes.Ask(ctx, question) {
		var answer claimAnswer
		if json.Unmarshal(data, &answer) != nil {
			continue // of a version to come
		}
		if answer.Refused {
			return 0, false
		}
		serial = max(serial, answer.Serial)
	}
	return serial, true
}

// answer gives up a session that has come to another node, or does what a route of another node asks.
func (p *peers) answer(question []byte) []byte {
	if asked := p.server.opts.Asked; asked != nil {
		if answer, ok := asked(question); ok {
			return answer
		}
	}
	var q claimQuestion
	if json.Unmarshal(question, &q) != nil {
		return nil
	}
	var a claimAnswer
	previous, known := p.server.index.yield(q.Session, q.User, p.server.clock.now())
	switch {
	case previous != nil:
		a.Serial = previous.serial
		previous.supersede()
	case !known:
		a.Refused = q.Incarnation == p.server.incarnation
	}
	data, err := json.Marshal(a)
	if err != nil {
		panic(err) // a number
	}
	return data
}

var errNoSession = errors.New("signaling: a link names a session that is not open")
