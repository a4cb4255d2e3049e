package admission

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A stub is a connection from somewhere.
type stub struct {
	net.Conn
	from   string
	closed int
}

func (s *stub) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s.from))
}

func (s *stub) Close() error {
	s.closed++
	return nil
}

func TestDoor(t *testing.T) {
	d := NewDoor(4, 2)
	admit := func(from string, want bool) net.Conn {
		t.Helper()
		s := &stub{from: from}
		c := d.Admit(s)
		if (c != nil) != want || (s.closed == 0) != want {
			t.Errorf("%s: admitted %v, closed %d times", from, c != nil, s.closed)
		}
		return c
	}
	first := admit("192.0.2.1:1", true)
	admit("[::ffff:192.0.2.1]:2", true)
	admit("192.0.2.1:3", false) // the third of its address
	admit("[2001:db8:1:2::1]:1", true)
	admit("[2001:db8:1:2:ffff::1]:1", true)
	admit("192.0.2.2:1", false) // the fifth in all
	for range 2 {
		if err := first.Close(); err != nil { // a second time counts for nothing
			t.Error(err)
		}
	}
	admit("[2001:db8:1:2:3::1]:1", false) // the third of its network
	last := admit("192.0.2.1:4", true)
	if d.Open() != 4 {
		t.Errorf("%d open", d.Open())
	}
	d.Close()
	d.Close()
	admit("192.0.2.9:1", false)
	if d.Open() != 0 {
		t.Errorf("%d open after Close", d.Open())
	}
	if err := last.Close(); err != nil {
		t.Error(err)
	}
}

// A listener fails a few times and is then closed.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	if err != nil {
		return nil, err
	}
	return &stub{from: "192.0.2.1:1"}, nil
}

func TestAccept(t *testing.T) {
	d := NewDoor(1, 1)
	l := &failing{errs: []error{errors.New("too many open files"), nil, nil, &net.OpError{Err: net.ErrClosed}}}
	if c, err := d.Accept(l); c == nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	if c, err := d.Accept(l); c != nil || !errors.Is(err, net.ErrClosed) { // it passes over one for which there is no place
		t.Errorf("%v, %v", c, err)
	}
	d.Close()
	if _, err := d.Accept(&failing{errs: []error{errors.New("too many open files"), nil}}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("with the door closed: %v", err)
	}
}

func TestSourceOf(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:5": "192.0.2.7/32", "[::ffff:192.0.2.7]:5": "192.0.2.7/32", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::/64", "[fe80::1%eth0]:5": "fe80::/64",
	} {
		if got := sourceOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))); got.String() != want {
			t.Errorf("%s: %v, want %s", addr, got, want)
		}
	}
}
