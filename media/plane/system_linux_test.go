package plane

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSegmentsAreMerged makes sure that the fast way is taken where the kernel has it.
func TestSegmentsAreMerged(t *testing.T) {
	w := newWire(t, Options{}, loopback)
	if !w.conn.system.segments() {
		t.Skip("this kernel has no UDP_SEGMENT")
	}
	w.mustWrite(t, 0, append(repeated(1200, 40), repeated(600, 40)...))
	if stats := w.shard.Stats(); stats.SendCalls != 1 || stats.Sent != 80 {
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
			system := w.conn.system.(*batched)
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
			if w.conn.system.segments() {
				t.Error("the socket still makes runs")
			}
			w.mustWrite(t, 50, sizes)
			w.checkArrived(t, 50, sizes)
			if stats := w.shard.Stats(); stats.Sent != 20 || stats.Dropped != 0 {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// TestWhatTheSystemDoesNotTakeIsDropped fills the socket: the shard goes on at once.
func TestWhatTheSystemDoesNotTakeIsDropped(t *testing.T) {
	w := newWire(t, Options{}, loopback)
	system := w.conn.system.(*batched)
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
	if stats := w.shard.Stats(); stats.Sent != 5 || stats.Dropped != 5 {
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
	if err := w.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
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
