package plane

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSegmentsAreMerged makes sure that the fast way is taken where the kernel has it.
func TestSegmentsAreMerged(t *testing.T) {
	w := newWire(t, Options{}, loopback)
	if !w.conn.systems[0].segments() {
		t.Skip("this kernel has no UDP_SEGMENT")
	}
	w.mustWrite(t, 0, append(repeated(1200, 40), repeated(600, 40)...))
	if stats := w.shard.plane.Stats(); stats.SendCalls != 1 || stats.Sent != 80 {
		t.Errorf("%+v", stats)
	}
	w.checkArrived(t, 0, append(repeated(1200, 40), repeated(600, 40)...))
}

// TestSegmentsThatAreNotTakenGoOneByOne has the kernel refuse the first message of several packets, in each way that
// devices and paths do: nothing may be lost or come in another order, and no more such messages are made.
func TestSegmentsThatAreNotTakenGoOneByOne(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EINVAL, unix.EIO, unix.EMSGSIZE} {
		t.Run(errno.Error(), func(t *testing.T) {
			w := newWire(t, Options{}, loopback)
			system := w.conn.systems[0].(*batched)
			if !system.gso {
				t.Skip("this kernel has no UDP_SEGMENT")
			}
			system.sendmmsg = func(fd uintptr, messages []mmsghdr) (int, unix.Errno) {
				for i := range messages {
					if messages[i].hdr.Control == nil {
						continue
					}
					if i == 0 {
						return 0, errno
					}
					messages = messages[:i] // the ones before it are sent, as the kernel does
					break
				}
				return sendmmsg(fd, messages)
			}
			sizes := []int{100, 1200, 1200, 1200, 700, 50, 50, 900, 900, 20}
			w.mustWrite(t, 0, sizes)
			w.checkArrived(t, 0, sizes)
			if w.conn.systems[0].segments() {
				t.Error("the socket still makes runs")
			}
			w.mustWrite(t, 50, sizes)
			w.checkArrived(t, 50, sizes)
			if stats := w.shard.plane.Stats(); stats.Sent != 20 || stats.Dropped != 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// TestWhatTheSystemDoesNotTakeIsDropped fills the socket: the shard goes on at once.
func TestWhatTheSystemDoesNotTakeIsDropped(t *testing.T) {
	w := newWire(t, Options{}, loopback)
	system := w.conn.systems[0].(*batched)
	full := true
	system.sendmmsg = func(fd uintptr, messages []mmsghdr) (int, unix.Errno) {
		if full {
			return 0, unix.EAGAIN
		}
		return sendmmsg(fd, messages)
	}
	w.mustWrite(t, 0, repeated(100, 5))
	full = false
	w.mustWrite(t, 5, repeated(100, 5))
	w.checkArrived(t, 5, repeated(100, 5))
	if stats := w.shard.plane.Stats(); stats.Sent != 5 || stats.Dropped != 5 {
		t.Errorf("%+v", stats)
	}
}

// TestBatchesAreReadWhole has many datagrams waiting, more than a batch, some too large: all others are read, in
// order, and the reader sleeps only when there are none.
func TestBatchesAreReadWhole(t *testing.T) {
	w := newWire(t, Options{}, loopback)
	to := net.UDPAddrFromAddrPort(w.conn.local)
	const count = 3*receiveBatch + 7
	for i := range count {
		if _, err := w.far.WriteTo([]byte{0, byte(i), 0, 0}, to); err != nil {
			t.Fatal(err)
		}
		if i%50 == 0 {
			if _, err := w.far.WriteTo(make([]byte, maxDatagram+1), to); err != nil {
				t.Fatal(err)
			}
		}
	}
	buf := make([]byte, maxDatagram)
	for i := range count {
		n, from, err := w.conn.ReadFromAddrPort(buf)
		if err != nil || n != 4 || buf[1] != byte(i) || from != w.far.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Fatalf("datagram %d: %x from %v, %v", i, buf[:n], from, err)
		}
	}
	read := make(chan error)
	go func() {
		_, _, err := w.conn.ReadFromAddrPort(buf)
		read <- err
	}()
	if err := w.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket reads %v", err)
	}
}

// TestPortIsShared has many peers send to one port with several sockets: all arrives, each peer's in order, and every
// socket has its share.
func TestPortIsShared(t *testing.T) {
	const shards, peers, each = 4, 64, 8
	p := New(Options{Shards: shards})
	conn, err := p.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := New(Options{Shards: shards}).Listen(conn.local); err == nil {
		t.Fatal("the port is free for another server")
	}
	if len(conn.systems) != shards {
		t.Fatalf("%d sockets", len(conn.systems))
	}
	if err := conn.steering.spread(shards); err != nil {
		t.Fatal(err)
	}
	next := map[netip.AddrPort]byte{}
	for range peers {
		far, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(conn.local))
		if err != nil {
			t.Fatal(err)
		}
		defer far.Close()
		next[far.LocalAddr().(*net.UDPAddr).AddrPort()] = 0
		for n := range byte(each) {
			if _, err := far.Write([]byte{0, n}); err != nil {
				t.Fatal(err)
			}
		}
	}
	buf := make([]byte, 100)
	for range peers * each {
		n, from, err := conn.ReadFromAddrPort(buf)
		if err != nil || n != 2 || buf[1] != next[from] {
			t.Fatalf("%x from %v, %v; want number %d", buf[:n], from, err, next[from])
		}
		next[from]++
	}
	if err := conn.Close(); err != nil { // no reader is left, so what they own can be looked at
		t.Fatal(err)
	}
	if conn.steering == nil {
		t.Error("nothing is steered")
	}
	for i, s := range conn.systems {
		if s.(*batched).in.batch[0].data == nil {
			t.Errorf("nothing came to socket %d", i)
		}
	}
}

// TestRTCPIsTakenWithoutWakeUp has RTCP come to the socket that nobody waits at, by both address families and where a
// server listens on all: it is taken all the same, and no reader has seen it. Where nothing is steered, a reader has.
func TestRTCPIsTakenWithoutWakeUp(t *testing.T) {
	for name, c := range map[string]struct {
		opts         Options
		listen, from netip.AddrPort
	}{
		"IPv4":      {Options{}, loopback, loopback},
		"IPv6":      {Options{}, netip.MustParseAddrPort("[::1]:0"), netip.MustParseAddrPort("[::1]:0")},
		"both":      {Options{}, netip.MustParseAddrPort("[::]:0"), loopback},
		"unsteered": {Options{unsteered: true}, loopback, loopback},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, c.opts, c.listen)
			far, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.from.Addr(), w.conn.local.Port())))
			if err != nil {
				t.Skip(err) // no IPv6
			}
			defer far.Close()
			w.shard.mu.Lock()
			w.addPath(far)
			w.shard.mu.Unlock()
			for range 3 {
				report, err := w.back.EncryptRTCP(nil, []byte{0x80, 201, 0, 1, 0, 0, 0, 9}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := far.Write(report); err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "three reports", func() bool {
				w.shard.mu.Lock()
				defer w.shard.mu.Unlock()
				return w.feedback.(*taken).rtcp == 3
			})
			if err := w.conn.Close(); err != nil { // no reader is left, so what they own can be looked at
				t.Fatal(err)
			}
			if woken := w.conn.systems[0].(*batched).in.batch[0].data != nil; woken != (w.conn.steering == nil) {
				t.Errorf("a reader was woken: %v", woken)
			}
		})
	}
}
