package bus

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// openNode opens a bus of the external server as a node that others see.
func openNode(t *testing.T, server *externalServer, name string, others ...*Bus) *Bus {
	t.Helper()
	b := openBus(t, Options{URL: server.url(), NodeName: name})
	eventually(t, "the nodes see each other", func() bool {
		for _, other := range append(others, b) {
			if len(other.Nodes().Stats().Nodes) != len(others)+1 {
				return false
			}
		}
		return true
	})
	return b
}

// TestRoomOwner: of nodes that ask at the same time one becomes the owner, and all say so.
func TestRoomOwner(t *testing.T) {
	t.Parallel()
	server := startExternal(t)
	a := openNode(t, server, "a")
	b := openNode(t, server, "b", a)
	for i := range 20 {
		room := wire.RoomID("owned-" + strconv.Itoa(i))
		var asking sync.WaitGroup
		var owners [4]rooms.NodeID
		for k, nodes := range []*Nodes{a.Nodes(), b.Nodes(), a.Nodes(), b.Nodes()} {
			asking.Go(func() {
				id, err := nodes.Owner(testContext(t), room)
				if err != nil {
					t.Errorf("%s: %v", room, err)
				}
				if id == noNode {
					id = nodes.self()
				}
				owners[k] = id
			})
		}
		asking.Wait()
		if len(slices.Compact(owners[:])) != 1 {
			t.Fatalf("%s is owned by %v", room, owners)
		}
	}
	if sum := a.Nodes().Stats().Rooms + b.Nodes().Stats().Rooms; sum != 20 {
		t.Errorf("20 rooms are held %d times", sum)
	}
}

// TestFence: what a node saves that has lost a room is refused, and a room that was released is anybody's.
func TestFence(t *testing.T) {
	t.Parallel()
	server, ctx, room := startExternal(t), testContext(t), wire.RoomID("fenced")
	a := openNode(t, server, "a")
	b := openNode(t, server, "b", a)
	must(t, a.Nodes().Hold(ctx, room))
	must(t, a.SaveState(ctx, room, []byte("first")))
	if err := b.Nodes().Hold(ctx, room); !errors.Is(err, rooms.ErrOtherOwner) {
		t.Fatalf("a second owner: %v", err)
	}
	if err := b.SaveState(ctx, room, []byte("stolen")); !errors.Is(err, rooms.ErrOtherOwner) {
		t.Fatalf("saved by another node: %v", err)
	}
	a.Nodes().Release(room)
	eventually(t, "the room is free", func() bool { return b.Nodes().Hold(ctx, room) == nil })
	must(t, b.SaveState(ctx, room, []byte("second")))

	// As if a had been paused before the release: it believes that the room is still its own.
	a.Nodes().mu.Lock()
	a.Nodes().held[room] = &lease{fence: 1}
	a.Nodes().mu.Unlock()
	if err := a.SaveState(ctx, room, []byte("late")); !errors.Is(err, rooms.ErrOtherOwner) {
		t.Fatalf("saved by the owner before: %v", err)
	}
	if doc, err := b.LoadState(ctx, room); err != nil || string(doc) != "second" {
		t.Fatalf("the document is %q, %v", doc, err)
	}
}

// TestNodeGone: the rooms of a node that is cut off from NATS are taken, after it has stopped acting; when it is back it
// is a new node without rooms.
func TestNodeGone(t *testing.T) {
	t.Parallel()
	server, ctx := startExternal(t), testContext(t)
	p := startProxy(t, server.addr)
	a := openBus(t, Options{URL: "nats://" + p.listener.Addr().String(), NodeName: "a"})
	b := openNode(t, server, "b", a)
	room, before := wire.RoomID("taken"), a.Nodes().self()
	lost := make(chan struct{}, 4)
	a.Nodes().OnLost(func() { lost <- struct{}{} })
	must(t, a.Nodes().Hold(ctx, room))
	if id, err := b.Nodes().Owner(ctx, room); err != nil || id != before {
		t.Fatalf("owner %q %v", id, err)
	}
	began := time.Now()
	p.cut()
	id, err := b.Nodes().Owner(ctx, room)
	if err != nil || id != before && id != noNode {
		t.Fatalf("owner %q %v", id, err)
	}
	eventually(t, "b owns the room", func() bool { id, err := b.Nodes().Owner(ctx, room); return err == nil && id == noNode })
	if a.Nodes().MayAct() {
		t.Error("the node before acts while another has its room")
	}
	t.Logf("taken %v after the cut", time.Since(began).Round(time.Millisecond))
	if _, err := b.Nodes().Dial(before, nil); !errors.Is(err, rooms.ErrNodeGone) {
		t.Errorf("dialing a node that is gone: %v", err)
	}
	p.mend()
	<-lost
	eventually(t, "a is back", func() bool { return a.Nodes().MayAct() && len(b.Nodes().Stats().Nodes) == 2 })
	if a.Nodes().self() == before {
		t.Error("a node that was gone came back under the same id")
	}
	if id, err := a.Nodes().Owner(ctx, room); err != nil || id != b.Nodes().self() {
		t.Errorf("owner %q %v", id, err)
	}
}

// TestGoodbye: the rooms of a node that ends in good order are free at once.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	server, ctx, room := startExternal(t), testContext(t), wire.RoomID("left")
	a := openNode(t, server, "a")
	b := openNode(t, server, "b", a)
	must(t, a.Nodes().Hold(ctx, room))
	closeBus(t, a)
	began := time.Now()
	must(t, b.Nodes().Hold(ctx, room))
	if took := time.Since(began); took > silentTime/2 {
		t.Errorf("it took %v", took)
	}
}

// A pipe is a link end that sends what it is given and keeps what it gets.
type pipe struct {
	mu    sync.Mutex
	out   []byte
	got   []byte
	ended chan error
	echo  bool
	link  rooms.Link
}

func (p *pipe) Fill(buf []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	buf = append(buf, p.out...)
	p.out = nil
	return buf
}

func (p *pipe) Receive(data []byte) error {
	p.mu.Lock()
	p.got = append(p.got, data...)
	if p.echo {
		p.out = append(p.out, data...)
	}
	p.mu.Unlock()
	if p.echo {
		p.link.Wake()
	}
	return nil
}

func (p *pipe) Ended(err error) { p.ended <- err }

func (p *pipe) send(link rooms.Link, data []byte) {
	p.mu.Lock()
	p.out = append(p.out, data...)
	p.mu.Unlock()
	link.Wake()
}

func (p *pipe) length() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got)
}

// TestLink: everything arrives in both directions, and a lost message ends both ends.
func TestLink(t *testing.T) {
	t.Parallel()
	server := startExternal(t)
	a := openNode(t, server, "a")
	b := openNode(t, server, "b", a)
	far := make(chan *pipe, 1)
	b.Nodes().Serve(func(_ rooms.NodeID, link rooms.Link) rooms.LinkEnd {
		p := &pipe{ended: make(chan error, 1), echo: true, link: link}
		far <- p
		return p
	}, func(question []byte) []byte { return append([]byte("re: "), question...) })
	near := &pipe{ended: make(chan error, 1)}
	link, err := a.Nodes().Dial(b.Nodes().self(), near)
	must(t, err)
	var want []byte
	for i := range 200 {
		part := bytes.Repeat([]byte(strconv.Itoa(i)+";"), i*20) // the last ones are more than NATS takes at once
		want = append(want, part...)
		near.send(link, part)
	}
	eventually(t, "everything is echoed", func() bool { return near.length() >= len(want) })
	if !bytes.Equal(near.got, want) {
		t.Error("what came back is not what was sent")
	}
	ctx, cancel := context.WithTimeout(testContext(t), time.Second)
	defer cancel()
	if answers := a.Nodes().Ask(ctx, []byte("who?")); len(answers) != 1 || string(answers[0]) != "re: who?" {
		t.Errorf("answers %q", answers)
	}

	other := <-far
	number := link.(*nodeLink).key.number
	forged := nodeLink{key: linkKey{b.Nodes().self(), number, true}, self: a.Nodes().self()}
	must(t, a.Nodes().conn.Publish(nodePrefix+string(b.Nodes().self())+inSuffix, forged.head(linkFromDialer, 1<<40)))
	if err := <-other.ended; !errors.Is(err, errLinkGap) {
		t.Errorf("the far end ended with %v", err)
	}
	if err := <-near.ended; !errors.Is(err, errLinkEnded) {
		t.Errorf("the near end ended with %v", err)
	}
	eventually(t, "no link is left", func() bool { return a.Nodes().Stats().Links+b.Nodes().Stats().Links == 0 })
}

// TestLoad: a new room goes to the node that has much less to do.
func TestLoad(t *testing.T) {
	t.Parallel()
	server := startExternal(t)
	a := openNode(t, server, "a")
	b := openNode(t, server, "b", a)
	a.Nodes().SetLoad(func() float64 { return 1000 })
	b.Nodes().SetLoad(func() float64 { return 10 })
	eventually(t, "b is told what a has to do", func() bool {
		for _, n := range b.Nodes().Stats().Nodes {
			if n.Name == "a" && n.Load == 1000 {
				return true
			}
		}
		return false
	})
	if id, err := a.Nodes().Owner(testContext(t), "spread"); err != nil || id != b.Nodes().self() {
		t.Errorf("owner %q %v", id, err)
	}
	must(t, b.Nodes().Hold(testContext(t), "spread"))
	if id, err := b.Nodes().Owner(testContext(t), "stays"); err != nil || id != noNode {
		t.Errorf("owner %q %v", id, err)
	}
}
