package plane

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const receiveBatch = 64 // datagrams of one system call

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// controlSize is the space of one control message with the two bytes of UDP_SEGMENT.
var controlSize = unix.CmsgSpace(2)

// A job is what is being sent.
type job struct {
	arena []byte
	runs  []run
	stats *Stats
}

// batched is a socket of Linux: recvmmsg and sendmmsg, and UDP_SEGMENT where the kernel has it (since 4.18).
type batched struct {
	conn *net.UDPConn
	raw  syscall.RawConn
	v4   bool // AF_INET, else AF_INET6

	in inbox // owned by serve

	// Guarded by shard.mu.
	gso      bool
	out      []mmsghdr
	names    []unix.RawSockaddrInet6
	vectors  []unix.Iovec
	control  []byte
	job      job
	write    func(fd uintptr)                                       // sendAll, made once
	sendmmsg func(fd uintptr, messages []mmsghdr) (int, unix.Errno) // the system call, but in tests
}

// singles are spare ones, of all sockets.
var singles = sync.Pool{New: func() any {
	s := &single{}
	s.write = s.send
	return s
}}

// A single is one datagram on its way out.
type single struct {
	data  []byte
	name  unix.RawSockaddrInet6
	size  uint32 // of name
	errno unix.Errno
	write func(fd uintptr) // send, made once
}

// send makes the system call. It is raw, as in sendmmsg.
func (s *single) send(fd uintptr) {
	for s.errno = unix.EINTR; s.errno == unix.EINTR; {
		_, _, s.errno = unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&s.data[0])), uintptr(len(s.data)),
			unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&s.name)), uintptr(s.size))
	}
}

// share makes more sockets of a port, to which the kernel shares out what comes, by remote address. The port was opened
// without SO_REUSEPORT, so that one that another server has is not free.
func share(first *net.UDPConn, count int) ([]*net.UDPConn, error) {
	raw, err := first.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	reuse := func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }
	if err := errors.Join(raw.Control(reuse), failed); err != nil {
		return nil, err
	}
	listen := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return errors.Join(raw.Control(reuse), failed)
	}}
	var sockets []*net.UDPConn
	for range count {
		conn, err := listen.ListenPacket(context.Background(), first.LocalAddr().Network(), first.LocalAddr().String())
		if err != nil {
			return nil, errors.Join(err, closeAll(sockets))
		}
		sockets = append(sockets, conn.(*net.UDPConn))
	}
	return sockets, nil
}

func newSystem(conn *net.UDPConn, plain bool) (system, error) {
	if plain {
		return newPlain(conn), nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batched{conn: conn, raw: raw, sendmmsg: sendmmsg}
	var domain int
	var failed error
	err = raw.Control(func(fd uintptr) {
		domain, failed = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		_, unknown := unix.GetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT)
		b.gso = unknown == nil
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("asking the socket what it is: %w", err)
	}
	b.v4 = domain == unix.AF_INET
	b.in.prepare()
	b.prepareSending()
	b.write = b.sendAll
	return b, nil
}

func (b *batched) prepareSending() {
	b.out, b.names = make([]mmsghdr, maxRuns), make([]unix.RawSockaddrInet6, maxRuns)
	b.vectors, b.control = make([]unix.Iovec, maxRuns), make([]byte, maxRuns*controlSize)
	for i := range b.out {
		b.out[i].hdr.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		b.out[i].hdr.Iov = &b.vectors[i]
		b.out[i].hdr.SetIovlen(1)
		control := (*unix.Cmsghdr)(unsafe.Pointer(&b.control[i*controlSize]))
		control.Level, control.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT // another level would be ignored in silence
		control.SetLen(unix.CmsgLen(2))
	}
}

func (b *batched) serve(take func(batch []datagram)) error {
	var failed unix.Errno
	err := b.raw.Read(func(fd uintptr) bool {
		for full := true; full; {
			var batch []datagram
			if batch, full, failed = b.in.recv(fd); failed != 0 {
				return true
			}
			if len(batch) > 0 {
				take(batch)
			}
		}
		return false // nothing is left: the runtime's poller tells when something new has come
	})
	if err == nil {
		err = fmt.Errorf("plane: %w", os.NewSyscallError("recvmmsg", failed))
	}
	return err
}

// An inbox is what one call of recvmmsg fills.
type inbox struct {
	messages []mmsghdr
	names    []unix.RawSockaddrInet6
	buffers  [][]byte
	batch    []datagram
}

func (in *inbox) prepare() {
	in.messages, in.names = make([]mmsghdr, receiveBatch), make([]unix.RawSockaddrInet6, receiveBatch)
	in.buffers, in.batch = make([][]byte, receiveBatch), make([]datagram, receiveBatch)
	vectors := make([]unix.Iovec, receiveBatch)
	for i := range in.messages {
		in.buffers[i] = make([]byte, maxDatagram)
		vectors[i].Base = &in.buffers[i][0]
		vectors[i].SetLen(maxDatagram)
		hdr := &in.messages[i].hdr
		hdr.Iov = &vectors[i]
		hdr.SetIovlen(1)
		hdr.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		hdr.Namelen = unix.SizeofSockaddrInet6
	}
}

// recv reads what is there and does not wait; what it returns is good until the next call. Full: there may be more. The
// kernel stops short of a full batch only when nothing is left. The call is raw, as in sendmmsg.
func (in *inbox) recv(fd uintptr) (batch []datagram, full bool, failed unix.Errno) {
	for {
		got, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&in.messages[0])), receiveBatch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return in.collect(int(got)), got == receiveBatch, 0
		case unix.EINTR, unix.ECONNREFUSED: // the latter is of something sent before
		case unix.EAGAIN:
			return nil, false, 0
		default:
			return nil, false, errno
		}
	}
}

// collect makes datagrams of the messages that were received, and the messages ready for the next ones.
func (in *inbox) collect(got int) []datagram {
	n := 0
	for i := range got {
		m := &in.messages[i]
		m.hdr.Namelen = unix.SizeofSockaddrInet6
		if m.hdr.Flags&unix.MSG_TRUNC != 0 {
			continue // larger than anything that is for us
		}
		in.batch[n] = datagram{data: in.buffers[i][:m.len], from: addrOf(&in.names[i])}
		n++
	}
	return in.batch[:n]
}

func (b *batched) close() error { return b.conn.Close() }

// sendOne sends what pion has, such as answers to STUN. The call is raw, as in sendmmsg: even some tens of them a second
// would keep sysmon awake.
func (b *batched) sendOne(data []byte, to netip.AddrPort) (int, error) {
	if addr := to.Addr(); len(data) == 0 || addr.Zone() != "" || !addr.IsValid() || b.v4 && !addr.Unmap().Is4() {
		return b.conn.WriteToUDPAddrPort(data, to) // what is rare, or an error
	}
	s := singles.Get().(*single)
	s.data, s.size = data, b.putAddr(&s.name, to)
	err := b.raw.Control(s.write)
	errno := s.errno
	s.data = nil
	singles.Put(s)
	switch {
	case err != nil:
		return 0, err
	case errno == 0 || errno == unix.EAGAIN || errno == unix.ENOBUFS:
		return len(data), nil
	default:
		return 0, fmt.Errorf("plane: %w", os.NewSyscallError("sendto", errno))
	}
}

func (b *batched) segments() bool { return b.gso }

func (b *batched) send(arena []byte, runs []run, stats *Stats) {
	for i := range runs {
		b.fill(i, arena, &runs[i])
	}
	b.job = job{arena, runs, stats}
	_ = b.raw.Control(b.write) // an error is that the socket is closed
}

// fill makes message i of a run.
func (b *batched) fill(i int, arena []byte, r *run) {
	hdr := &b.out[i].hdr
	hdr.Namelen = b.putAddr(&b.names[i], r.to)
	b.vectors[i].Base = &arena[r.start]
	b.vectors[i].SetLen(r.end - r.start)
	hdr.Control = nil
	hdr.SetControllen(0)
	if r.count > 1 {
		at := i * controlSize
		binary.NativeEndian.PutUint16(b.control[at+unix.CmsgLen(0):], uint16(r.size))
		hdr.Control = &b.control[at]
		hdr.SetControllen(controlSize)
	}
}

// sendAll sends the messages of all runs. When the socket's buffer is full, the rest is dropped: a network does so too.
func (b *batched) sendAll(fd uintptr) {
	runs, stats := b.job.runs, b.job.stats
	for at := 0; at < len(runs); {
		stats.SendCalls++
		n, errno := b.sendmmsg(fd, b.out[at:len(runs)])
		switch {
		case errno == 0:
			for _, r := range runs[at : at+n] {
				stats.Sent += uint64(r.count)
			}
			at += n
		case errno == unix.EINTR:
		case errno == unix.EAGAIN || errno == unix.ENOBUFS:
			for _, r := range runs[at:] {
				stats.Dropped += uint64(r.count)
			}
			return
		case runs[at].count > 1 && (errno == unix.EINVAL || errno == unix.EIO || errno == unix.EMSGSIZE):
			// The kernel, the device or the path cannot segment.
			b.gso = false
			b.sendSingly(fd, at, b.job.arena, runs[at], stats)
			at++
		default:
			stats.Dropped += uint64(runs[at].count)
			at++
		}
	}
}

// sendSingly sends the packets of a run one by one, in message i.
func (b *batched) sendSingly(fd uintptr, i int, arena []byte, r run, stats *Stats) {
	for start := r.start; start < r.end; start += r.size {
		b.fill(i, arena, &run{to: r.to, start: start, end: min(start+r.size, r.end), size: r.size, count: 1})
		stats.SendCalls++
		if n, errno := b.sendmmsg(fd, b.out[i:i+1]); errno != 0 || n != 1 {
			stats.Dropped++
		} else {
			stats.Sent++
		}
	}
}

// sendmmsg is sendmmsg(2). The scheduler is not told of it, as it never waits: otherwise sysmon is woken for it, takes the
// processor away from a call that has been under way for 20 us, as one with some datagrams has, and gives it to another
// thread, and a thread is put to sleep when the call returns.
func sendmmsg(fd uintptr, messages []mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// putAddr writes an address in the socket's family and returns its length. It takes the place of either form.
func (b *batched) putAddr(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	if b.v4 {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		*v4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().Unmap().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&v4.Port))[:], to.Port())
		return unix.SizeofSockaddrInet4
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], to.Port())
	return unix.SizeofSockaddrInet6
}

// addrOf reads the address of either family.
func addrOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr), port)
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 {
		addr = addr.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	return netip.AddrPortFrom(addr, port)
}
