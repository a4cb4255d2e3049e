package plane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A filter is the steering of Linux (since 4.5): a program that the kernel asks for each datagram to a port with
// SO_REUSEPORT which of its sockets gets it. The last socket is that of RTCP.
type filter struct {
	fd     int // of the last socket, which the runtime's poller does not know
	socket int // its place among those of the port

	mu sync.Mutex
	in inbox // guarded by mu
}

// drainBatches is how many batches are taken at one look: a flood of RTCP must not keep media waiting.
const drainBatches = 8

// steer makes the last socket of a port that of RTCP. It is duplicated and may be closed. The steering is nil where the
// kernel knows no such programs.
func steer(sockets []*net.UDPConn) (steering, error) {
	f := &filter{socket: len(sockets) - 1}
	_ = sockets[f.socket].SetReadBuffer(socketBuffer)
	raw, err := sockets[f.socket].SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { f.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("the socket of RTCP: %w", err)
	}
	if err := f.spread(1); err != nil {
		return nil, f.close()
	}
	f.in.prepare()
	return f, nil
}

func (f *filter) close() error { return os.NewSyscallError("close", unix.Close(f.fd)) }

func (f *filter) drain(take func(batch []datagram)) {
	if !f.mu.TryLock() {
		return
	}
	defer f.mu.Unlock()
	for range drainBatches {
		batch, full, _ := f.in.recv(uintptr(f.fd))
		if len(batch) > 0 {
			take(batch)
		}
		if !full {
			return
		}
	}
}

func (f *filter) spread(sockets int) error {
	program := program(sockets, f.socket)
	err := unix.SetsockoptSockFprog(f.fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	return os.NewSyscallError("setsockopt", err)
}

// What a program may look at besides the payload: a load from here on reads the IP header (linux/filter.h).
const networkHeader = 0xfff00000 // SKF_NET_OFF

// Instructions of classic BPF, as linux/bpf_common.h puts them together.
const (
	loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
	loadHalf = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
	loadWord = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	toX      = unix.BPF_MISC | unix.BPF_TAX
	addX     = unix.BPF_ALU | unix.BPF_ADD | unix.BPF_X
	and      = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	multiply = unix.BPF_ALU | unix.BPF_MUL | unix.BPF_K
	right    = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K
	modulo   = unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K
	ifEqual  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	ifAbove  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	ifLeast  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	jump     = unix.BPF_JMP | unix.BPF_JA
	result   = unix.BPF_RET | unix.BPF_K
	resultA  = unix.BPF_RET | unix.BPF_A
)

// program returns the number of the socket that a datagram is for: control for RTCP, as classify tells it, else one of
// the first sockets, always the same one for one remote address. What is too short to be read goes to the first.
func program(sockets, control int) []unix.SockFilter {
	return []unix.SockFilter{
		0:  {Code: loadByte, K: 0},
		1:  {Code: and, K: 0xc0},
		2:  {Code: ifEqual, K: 0x80, Jf: 4}, // 7
		3:  {Code: loadByte, K: 1},
		4:  {Code: ifLeast, K: 192, Jf: 2}, // 7
		5:  {Code: ifAbove, K: 223, Jt: 1}, // 7
		6:  {Code: result, K: uint32(control)},
		7:  {Code: loadByte, K: networkHeader},
		8:  {Code: right, K: 4},
		9:  {Code: ifEqual, K: 4, Jf: 4},            // 14
		10: {Code: loadWord, K: networkHeader + 12}, // source address of IPv4
		11: {Code: toX},
		12: {Code: loadHalf, K: networkHeader + 20}, // source port, if there are no options; else it is always the same
		13: {Code: jump, K: 3},                      // 17
		14: {Code: loadWord, K: networkHeader + 20}, // the end of that of IPv6
		15: {Code: toX},
		16: {Code: loadHalf, K: networkHeader + 40},
		17: {Code: addX},
		18: {Code: multiply, K: 0x9e3779b1}, // so that the middle bits depend on all
		19: {Code: right, K: 16},
		20: {Code: modulo, K: uint32(sockets)},
		21: {Code: resultA},
	}
}
