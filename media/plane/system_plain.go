package plane

import (
	"net"
	"net/netip"
)

// plain is a socket with one system call for each datagram, as the standard library has it. Shards may share it.
type plain struct {
	conn *net.UDPConn
	one  [1]datagram
}

func newPlain(conn *net.UDPConn) *plain {
	p := &plain{conn: conn}
	p.one[0].data = make([]byte, maxDatagram)
	return p
}

func (p *plain) serve(take func(batch []datagram)) error {
	for buf := p.one[0].data; ; {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return err
		}
		p.one[0] = datagram{data: buf[:n], from: canonical(from)}
		take(p.one[:])
	}
}

func (p *plain) sendOne(b []byte, to netip.AddrPort) (int, error) {
	return p.conn.WriteToUDPAddrPort(b, to)
}

func (p *plain) close() error { return p.conn.Close() }

func (p *plain) segments() bool { return false }

// send may wait a moment where a socket's buffer is full: the standard library does.
func (p *plain) send(arena []byte, runs []run, stats *Stats) {
	for _, r := range runs {
		stats.SendCalls++
		if _, err := p.conn.WriteToUDPAddrPort(arena[r.start:r.end], r.to); err != nil {
			stats.Dropped++
		} else {
			stats.Sent++
		}
	}
}
