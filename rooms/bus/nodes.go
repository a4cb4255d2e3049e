package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

// The times of a cluster. They depend on each other: a node must have stopped acting before another may take its rooms,
// by clocks that only run equally fast.
const (
	lookEvery  = 125 * time.Millisecond
	beatEvery  = 2 * lookEvery
	renewEvery = 4 * lookEvery
	lateAfter  = 600 * time.Millisecond // a heartbeat that is so late makes others look what is wrong

	// How long after its last confirmed sign of life a node takes rooms and lets people into them (admitTime), and acts for
	// those who are in them (actTime); cutTime is the same after it has lost its connection to NATS.
	admitTime = 1200 * time.Millisecond
	actTime   = 2500 * time.Millisecond
	cutTime   = 600 * time.Millisecond
	// A node is declared gone when nothing was heard of it for silentTime, or when NATS has said for unheardTime that
	// nobody listens to its subject, which is how a killed process looks, or one whose NATS server is cut off. Its record
	// must not have changed meanwhile, for unheardTime at least. This is longer than admitTime: it lets nobody in any more.
	silentTime  = 3 * time.Second
	unheardTime = 1300 * time.Millisecond
	// A node that may not act for so long ends its rooms and sends its clients elsewhere, if there is an elsewhere; so
	// does one that may act but not admit, for so long that every stream has elected a leader.
	giveUpTime  = 500 * time.Millisecond // after the lease, so 3 s after the last confirmation
	waitToAdmit = 12 * time.Second

	watchTry     = time.Second // a stream without a leader does not answer
	forgetGone   = time.Hour
	maxGone      = 4096
	maxQuestions = 64 // that are being answered at a time
)

const (
	beatSubject = "node.beat"
	nodePrefix  = "node."
	inSuffix    = ".in"    // what other nodes send: links and probes
	askSuffix   = ".ask"   // questions
	noneSuffix  = ".none." // NATS says here that nobody listens to the node named last
	recordMark  = "N-"     // begins the name of a node's record in STATE, where no room's name can
	nodeIDBytes = 16       // length of an id
	shortID     = 6        // bytes of an id in logs
	nodesConn   = "nodes"  // the name of the connection
	noNode      = rooms.NodeID("")
)

// Nodes is this process among the others that share its NATS: who is there, who owns which room, and the links between
// them. It implements rooms.Owners and rooms.Nodes. There is none where NATS is inside the process.
//
// # The lease
//
// The owner of a room is written beside the room's document in STATE, by optimistic concurrency: each write names the
// sequence of the one before (the fence). So a node that has lost a room cannot save it any more.
//
// All leases of a node live by one sign of life. Each node sends a heartbeat four times a second, which says what it has
// heard of the others, and writes its own record in STATE twice a second. A node is confirmed by the heartbeat that every other
// live node has heard, or by a record that was stored, whichever is newer, so that neither the election of a stream's
// leader nor the death of a node stops the others. It takes rooms and lets people into them (MayAdmit) for admitTime after
// that, by its own monotonic clock, counted from the sending.
//
// For those who are in its rooms already a node acts on a little longer (MayAct), and when a machine dies with a node and
// the NATS server that led STATE, as long as most of the nodes hear it: what they say gets its place in the log, which
// another owner would follow too, and what moderators do is not stored without the fence.
//
// To take a node's rooms another node must declare it gone. It may when it has heard nothing of it for longer than
// admitTime, and its record has not changed for as long; see silentTime and unheardTime. The declaration replaces the record by an empty one and fails if the record
// has changed after all. A node that is gone finds its record taken, ends its rooms and goes on as a new node.
//
// # What a node that was paused can still do
//
// Nothing is appended unless MayAct is asked right before it is given to NATS. What was given to NATS in the
// moment before a pause may be stored after another node took the room. That is harmless: the log gives it one place
// in one order, the new owner hears of it from the log as everybody does, and it was said by somebody who was allowed to
// say it when it was said.
type Nodes struct {
	// Set by openNodes, then constant.
	bus       *Bus
	name      string
	conn      *nats.Conn
	start     time.Time
	questions chan struct{} // a place in it allows one answer

	admits   atomic.Int64 // the lease ends then, in nanoseconds since start
	acts     atomic.Int64 // the same, for those who are in its rooms; not before admits
	takeover atomic.Uint64
	losses   atomic.Uint64

	mu sync.Mutex
	// Guarded by mu.
	id       rooms.NodeID
	subs     []*nats.Subscription
	fence    uint64 // sequence of the own record
	stored   time.Time
	renewing bool
	dead     bool // declared gone, not reborn yet
	beat     uint64
	sent     map[uint64]time.Time // heartbeats of the last seconds
	gaveUp   bool                 // since the lease ended
	draining bool
	closed   bool
	all      map[rooms.NodeID]*node
	gone     map[rooms.NodeID]time.Time
	held     map[wire.RoomID]*lease
	owners   map[wire.RoomID]rooms.NodeID // of other nodes' rooms, as last heard
	links    map[linkKey]*nodeLink
	dialed   uint64
	load     func() float64
	loaded   float64 // as the last heartbeat said
	lost     func()
	accept   func(rooms.NodeID, rooms.Link) rooms.LinkEnd
	answer   func([]byte) []byte
}

var (
	_ rooms.Owners = (*Nodes)(nil)
	_ rooms.Nodes  = (*Nodes)(nil)
)

// A node is another node that is not known to be gone.
type node struct {
	id       rooms.NodeID
	name     string
	load     float64
	draining bool
	heard    time.Time // when its last heartbeat came, or it was first heard of
	beat     uint64    // of the last heartbeat
	known    bool      // a heartbeat came
	echoed   time.Time // when the newest of our heartbeats was sent that it has heard
	unheard  time.Time // since when nobody listens to its subject; zero = somebody does

	watching bool // its record is being read
	fence    uint64
	since    time.Time // since when the record has this fence
}

// heartbeat is what every node hears of every other, as JSON.
type heartbeat struct {
	ID       rooms.NodeID            `json:"id"`
	Name     string                  `json:"name"`
	Beat     uint64                  `json:"beat"`
	Fence    uint64                  `json:"fence"` // of its record
	Load     float64                 `json:"load"`
	Draining bool                    `json:"draining,omitempty"`
	Gone     bool                    `json:"gone,omitempty"`
	Heard    map[rooms.NodeID]uint64 `json:"heard,omitempty"`
}

// Nodes returns the cluster that this process is a node of, nil where it is alone with its log.
func (b *Bus) Nodes() *Nodes { return b.nodes }

// openNodes makes this process a node. The streams are there.
func (b *Bus) openNodes(ctx context.Context) error {
	conn, err := b.dial(nodesConn)
	if err != nil {
		return err
	}
	n := &Nodes{
		bus: b, name: b.opts.NodeName, conn: conn, start: time.Now(), questions: make(chan struct{}, maxQuestions),
		sent: make(map[uint64]time.Time), all: make(map[rooms.NodeID]*node), gone: make(map[rooms.NodeID]time.Time),
		held: make(map[wire.RoomID]*lease), owners: make(map[wire.RoomID]rooms.NodeID), links: make(map[linkKey]*nodeLink),
	}
	b.nodes = n
	beats := func(msg *nats.Msg) { n.hearBeat(msg.Data) }
	if _, err := conn.Subscribe(beatSubject, beats); err != nil {
		return fmt.Errorf("bus: subscribing to heartbeats: %w", err)
	}
	return b.persist(ctx, ensureTimeout, func(error) bool { return false }, n.enter)
}

// enter begins a life as a new node: subjects of its own and a record.
func (n *Nodes) enter(ctx context.Context) error {
	id := rooms.NodeID(newEpoch())
	own := nodePrefix + string(id)
	var subs []*nats.Subscription
	drop := func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe() // fails only when the connection is closed
		}
	}
	for subject, take := range map[string]nats.MsgHandler{
		own + inSuffix: n.takeIn, own + askSuffix: n.takeQuestion, own + noneSuffix + "*": n.takeNone,
	} {
		sub, err := n.conn.Subscribe(subject, take)
		if err != nil {
			drop()
			return fmt.Errorf("bus: subscribing to %s: %w", subject, err)
		}
		subs = append(subs, sub)
	}
	if err := n.conn.FlushTimeout(requestTimeout); err != nil {
		drop()
		return fmt.Errorf("bus: subscribing: %w", err)
	}
	began := time.Now()
	fence, err := n.write(ctx, recordOfNode(id), id, []byte(n.name), 0)
	if err != nil {
		drop()
		return fmt.Errorf("bus: writing the node's record: %w", err)
	}
	n.mu.Lock()
	old := n.subs
	n.id, n.subs, n.fence, n.stored, n.dead, n.gaveUp = id, subs, fence, began, false, false
	n.confirmLocked()
	n.mu.Unlock()
	for _, sub := range old {
		_ = sub.Unsubscribe() // fails only when the connection is closed
	}
	n.bus.log.Info("this process is a node", "node", n.name, "id", string(id))
	return nil
}

func recordOfNode(id rooms.NodeID) string { return statePrefix + recordMark + string(id) }

// MayAct reports whether this node may act for those who are in its rooms.
func (n *Nodes) MayAct() bool { return time.Since(n.start) < time.Duration(n.acts.Load()) }

// MayAdmit reports whether no other node can have taken this node's rooms: it may let people in, and take rooms.
func (n *Nodes) MayAdmit() bool { return time.Since(n.start) < time.Duration(n.admits.Load()) }

// confirmLocked moves the end of the lease. mu is held.
func (n *Nodes) confirmLocked() {
	if n.dead {
		n.admits.Store(0)
		n.acts.Store(0)
		return
	}
	echoes := make([]time.Time, 0, len(n.all))
	for _, p := range n.all {
		echoes = append(echoes, p.echoed)
	}
	slices.SortFunc(echoes, func(x, y time.Time) int { return y.Compare(x) }) // the newest first
	byAll, byMost := n.stored, n.stored
	if others := len(echoes); others > 0 {
		byAll = later(byAll, echoes[others-1])
		byMost = later(byAll, echoes[(others+1)/2-1]) // with this node more than half
	}
	n.admits.Store(int64(byAll.Sub(n.start) + admitTime))
	n.acts.Store(int64(byMost.Sub(n.start) + actTime))
	if n.MayAdmit() {
		n.gaveUp = false
	}
}

func later(x, y time.Time) time.Time {
	if y.After(x) {
		return y
	}
	return x
}

// cut is told that the connection to NATS is lost.
func (n *Nodes) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	end := int64(time.Since(n.start) + cutTime)
	n.admits.Store(min(end, n.admits.Load()))
	n.acts.Store(min(end, n.acts.Load()))
}

// run looks after the cluster until the bus ends.
func (n *Nodes) run() {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for look := 0; ; look++ {
		if look%int(beatEvery/lookEvery) == 0 {
			n.sendBeat()
			n.tickLinks()
		}
		if look%int(renewEvery/lookEvery) == 0 {
			n.renew()
		}
		n.look()
		select {
		case <-n.bus.lifetime.Done():
			return
		case <-ticker.C:
		}
	}
}

// sendBeat tells the others that this node lives. An error means that the connection is lost: the next one comes soon.
func (n *Nodes) sendBeat() {
	n.mu.Lock()
	if n.dead {
		n.mu.Unlock()
		return
	}
	n.beat++
	now := time.Now()
	n.sent[n.beat] = now
	for beat, at := range n.sent {
		if now.Sub(at) > 2*silentTime {
			delete(n.sent, beat)
		}
	}
	h := heartbeat{ID: n.id, Name: n.name, Beat: n.beat, Fence: n.fence, Draining: n.draining, Gone: n.closed, Heard: make(map[rooms.NodeID]uint64, len(n.all))}
	for id, p := range n.all {
		h.Heard[id] = p.beat
	}
	load := n.load
	n.mu.Unlock()
	if load != nil { // which may hold locks under which Release is called
		h.Load = load()
		n.mu.Lock()
		n.loaded = h.Load
		n.mu.Unlock()
	}
	data, err := json.Marshal(h)
	if err != nil {
		panic(err) // numbers and strings
	}
	_ = n.conn.Publish(beatSubject, data)
}

// hearBeat takes in the heartbeat of a node.
func (n *Nodes) hearBeat(data []byte) {
	var h heartbeat
	if json.Unmarshal(data, &h) != nil || len(h.ID) != nodeIDBytes {
		return // of another program, or of a version to come
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, gone := n.gone[h.ID]; gone || h.ID == n.id {
		return // one that is gone will find out by its record
	}
	if h.Gone {
		n.goneLocked(h.ID, "it has left")
		return
	}
	p := n.nodeLocked(h.ID)
	if !p.known {
		n.bus.log.Info("another node is here", "node", h.Name, "id", string(h.ID))
	}
	p.known, p.name, p.load, p.draining, p.beat = true, h.Name, h.Load, h.Draining, h.Beat
	p.heard, p.unheard = time.Now(), time.Time{}
	p.fence, p.since = h.Fence, p.heard // if it is found to be that, it was not written later
	if sent, ok := n.sent[h.Heard[n.id]]; ok && sent.After(p.echoed) {
		p.echoed = sent
		n.confirmLocked()
	}
}

// nodeLocked returns the node, which is not known to be gone. mu is held.
func (n *Nodes) nodeLocked(id rooms.NodeID) *node {
	p := n.all[id]
	if p == nil {
		p = &node{id: id, heard: time.Now()}
		n.all[id] = p
	}
	return p
}

// goneLocked notes that a node is gone: its rooms may be taken. mu is held.
func (n *Nodes) goneLocked(id rooms.NodeID, why string) {
	if p := n.all[id]; p != nil && p.known {
		n.bus.log.Warn("a node is gone", "node", p.name, "id", string(id), "reason", why)
	}
	delete(n.all, id)
	n.gone[id] = time.Now()
	for room, owner := range n.owners {
		if owner == id {
			delete(n.owners, room)
		}
	}
	for key, l := range n.links {
		if key.peer == id {
			l.fail(rooms.ErrNodeGone)
		}
	}
	n.confirmLocked()
}

// look decides what is due: nodes to be watched or declared gone, a lease that has ended.
func (n *Nodes) look() {
	now := time.Now()
	n.mu.Lock()
	for id, at := range n.gone {
		if now.Sub(at) > forgetGone || len(n.gone) > maxGone {
			delete(n.gone, id)
		}
	}
	var watch, probe []rooms.NodeID
	for id, p := range n.all {
		if now.Sub(p.heard) < lateAfter && p.unheard.IsZero() {
			continue
		}
		probe = append(probe, id)
		if !p.watching {
			p.watching = true
			watch = append(watch, id)
		}
	}
	acted := now.Sub(n.start) - time.Duration(n.acts.Load())
	admitted := now.Sub(n.start) - time.Duration(n.admits.Load())
	giveUp := !n.dead && !n.gaveUp && len(n.all) > 0 && (acted >= giveUpTime || admitted >= waitToAdmit)
	if giveUp {
		n.gaveUp = true
	}
	n.mu.Unlock()
	for _, id := range probe {
		n.probe(id)
	}
	for _, id := range watch {
		if !n.bus.spawn(func() { n.watch(id) }) {
			return
		}
	}
	if giveUp {
		n.bus.log.Error("this node was not confirmed in time: its rooms end here")
		n.endAll()
	}
}

// probe makes NATS say at once when nobody listens to a node.
func (n *Nodes) probe(id rooms.NodeID) {
	_ = n.conn.PublishRequest(nodePrefix+string(id)+inSuffix, n.noneSubject(id), nil) // lost with the connection
}

func (n *Nodes) noneSubject(id rooms.NodeID) string {
	return nodePrefix + string(n.self()) + noneSuffix + string(id)
}

func (n *Nodes) self() rooms.NodeID {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.id
}

// takeNone hears that nobody listens to a node: it is dead, or about to be connected anew.
func (n *Nodes) takeNone(msg *nats.Msg) {
	if first(msg.Header, headerStatus) != "503" {
		return
	}
	id := rooms.NodeID(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.all[id]; p != nil && p.unheard.IsZero() {
		p.unheard = time.Now()
	}
	for key, l := range n.links {
		if key.peer == id {
			l.fail(rooms.ErrNodeGone)
		}
	}
}

// watch reads the record of a node that is late, and declares it gone when it is time.
func (n *Nodes) watch(id rooms.NodeID) {
	ctx, cancel := context.WithTimeout(n.bus.lifetime, watchTry)
	defer cancel()
	record, err := n.bus.leaderGet(ctx, stateStream, getRequest{Last: recordOfNode(id)})
	now := time.Now()
	n.mu.Lock()
	p := n.all[id]
	if p == nil {
		n.mu.Unlock()
		return
	}
	p.watching = false
	var due bool
	switch {
	case err != nil:
	case record == nil || len(record.Data) == 0:
		n.goneLocked(id, "it has no record")
	case p.since.IsZero() || p.fence != uint64(record.Seq):
		p.fence, p.since = uint64(record.Seq), now
	default:
		silent := now.Sub(p.heard)
		due = now.Sub(p.since) >= unheardTime && (silent >= silentTime ||
			silent >= unheardTime && !p.unheard.IsZero() && now.Sub(p.unheard) >= unheardTime)
	}
	fence := p.fence
	n.mu.Unlock()
	if !due {
		return
	}
	if _, err := n.write(ctx, recordOfNode(id), id, nil, fence); err != nil {
		return // it lives, or another node was faster, or it is tried again
	}
	n.mu.Lock()
	n.goneLocked(id, "it was silent")
	n.mu.Unlock()
	n.purge(ctx, recordOfNode(id))
}

// endAll ends the rooms and links of this node.
func (n *Nodes) endAll() {
	n.mu.Lock()
	clear(n.held)
	clear(n.owners)
	for _, l := range n.links {
		l.fail(errLeaseEnded)
	}
	lost := n.lost
	n.mu.Unlock()
	n.losses.Add(1)
	if lost != nil {
		lost()
	}
}

// SetLoad says how much this node has to do, in any unit that grows with it; load must not block. It is set once.
func (n *Nodes) SetLoad(load func() float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.load = load
}

// OnLost has fn called each time that this node has lost all its rooms: see Registry.Abandon. It is set once.
func (n *Nodes) OnLost(fn func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = fn
}

// Drain says that this node is about to end: others give it no more to do, and wait for its rooms.
func (n *Nodes) Drain() {
	n.mu.Lock()
	n.draining = true
	for key, l := range n.links {
		if !key.dialed {
			l.fail(errDraining)
		}
	}
	n.mu.Unlock()
	n.sendBeat()
}

// Leave says goodbye: the rooms of this node, which have ended, may be taken at once. Close does it too.
func (n *Nodes) Leave() {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return
	}
	n.closed, n.draining = true, true
	for _, l := range n.links {
		l.fail(errDraining)
	}
	id, dead := n.id, n.dead
	n.mu.Unlock()
	if dead {
		return
	}
	ctx, cancel := context.WithTimeout(n.bus.lifetime, time.Second)
	defer cancel()
	n.purge(ctx, recordOfNode(id))
	n.sendBeat()
	_ = n.conn.FlushTimeout(time.Second) // whoever does not hear it finds no record
}

// A NodeStatus is what is known of a node.
type NodeStatus struct {
	ID       rooms.NodeID
	Name     string
	Load     float64
	Draining bool
	Self     bool
	Silent   time.Duration // since its last heartbeat
}

// NodesStats counts what a node sees and does.
type NodesStats struct {
	Nodes     []NodeStatus // by name, this one too
	Rooms     int          // owned
	Links     int
	Takeovers uint64 // rooms taken from a node that is gone
	Losses    uint64 // times that this node lost all its rooms
	Admits    bool   // see Nodes.MayAdmit
}

// Stats returns the counts of this moment.
func (n *Nodes) Stats() NodesStats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := NodesStats{Rooms: len(n.held), Links: len(n.links), Takeovers: n.takeover.Load(), Losses: n.losses.Load(), Admits: n.MayAdmit()}
	s.Nodes = append(s.Nodes, NodeStatus{ID: n.id, Name: n.name, Draining: n.draining, Self: true})
	for _, p := range n.all {
		if p.known {
			s.Nodes = append(s.Nodes, NodeStatus{ID: p.id, Name: p.name, Load: p.load, Draining: p.draining, Silent: time.Since(p.heard)})
		}
	}
	slices.SortFunc(s.Nodes, compareNodes)
	return s
}

// SeenNodes lists the nodes that send heartbeats over the NATS that opts name, by name. It listens for the time
// of four of them. Errors: NATS does not answer, ctx's cause.
func SeenNodes(ctx context.Context, opts Options) ([]NodeStatus, error) {
	options := []nats.Option{nats.Name("confab doctor"), nats.Timeout(startTry), nats.NoReconnect()}
	if opts.CredsFile != "" {
		options = append(options, nats.UserCredentials(opts.CredsFile))
	}
	if len(opts.RootCAs) > 0 {
		options = append(options, nats.RootCAs(opts.RootCAs...))
	}
	conn, err := nats.Connect(opts.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("bus: connecting to NATS: %w", err)
	}
	defer conn.Close()
	beats := make(chan *nats.Msg, 1024)
	if _, err := conn.ChanSubscribe(beatSubject, beats); err != nil {
		return nil, fmt.Errorf("bus: subscribing to heartbeats: %w", err)
	}
	seen := make(map[rooms.NodeID]NodeStatus)
	end := time.NewTimer(4 * beatEvery)
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-end.C:
			return slices.SortedFunc(maps.Values(seen), compareNodes), nil
		case msg := <-beats:
			var h heartbeat
			if json.Unmarshal(msg.Data, &h) == nil && !h.Gone {
				seen[h.ID] = NodeStatus{ID: h.ID, Name: h.Name, Load: h.Load, Draining: h.Draining}
			}
		}
	}
}

func compareNodes(x, y NodeStatus) int {
	return strings.Compare(x.Name+string(x.ID), y.Name+string(y.ID))
}

// Serve implements rooms.Nodes.
func (n *Nodes) Serve(accept func(rooms.NodeID, rooms.Link) rooms.LinkEnd, answer func([]byte) []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.accept, n.answer = accept, answer
}

// Ask implements rooms.Nodes.
func (n *Nodes) Ask(ctx context.Context, question []byte) [][]byte {
	n.mu.Lock()
	ids := slices.Collect(maps.Keys(n.all))
	n.mu.Unlock()
	answers := make(chan []byte, len(ids))
	for _, id := range ids {
		asks := n.bus.spawn(func() {
			msg, err := n.conn.RequestWithContext(ctx, nodePrefix+string(id)+askSuffix, question)
			if err != nil {
				answers <- nil // it is gone or late
				return
			}
			answers <- msg.Data
		})
		if !asks {
			return nil
		}
	}
	var all [][]byte
	for range ids {
		if data := <-answers; len(data) > 0 {
			all = append(all, data)
		}
	}
	return all
}

// AskOne puts a question to one node; see rooms.Nodes.
func (n *Nodes) AskOne(ctx context.Context, to rooms.NodeID, question []byte) ([]byte, error) {
	msg, err := n.conn.RequestWithContext(ctx, nodePrefix+string(to)+askSuffix, question)
	switch {
	case err == nil:
		return msg.Data, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, fmt.Errorf("%w: %w", rooms.ErrNodeGone, err)
}

// takeQuestion answers another node. Questions beyond maxQuestions wait in NATS's queue.
func (n *Nodes) takeQuestion(msg *nats.Msg) {
	n.mu.Lock()
	answer := n.answer
	n.mu.Unlock()
	if answer == nil {
		return
	}
	n.questions <- struct{}{}
	asked := n.bus.spawn(func() {
		defer func() { <-n.questions }()
		_ = msg.Respond(answer(msg.Data)) // lost with the connection
	})
	if !asked {
		<-n.questions
	}
}
