package media

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"confab/signaling/wire"
)

// candidatesOf returns the addresses, with protocol and type, that a server tells a client about.
func candidatesOf(t *testing.T, s *Server) []string {
	t.Helper()
	told, ended := make(chan string, 100), make(chan struct{})
	p, err := s.Join("room", "ann", PeerOptions{Grants: allGrants(), Send: signals(func(signal wire.Signal) {
		switch candidate, err := readCandidate(signal.Candidate); {
		case len(signal.Candidate) == 0:
		case err != nil:
			t.Error(err)
		case candidate.Candidate == "":
			close(ended)
		default:
			f := strings.Fields(candidate.Candidate)
			told <- strings.Join([]string{f[2], f[4], f[7]}, " ")
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(t.Context(), wire.Signal{Description: sdpOffer("audio sendonly"), Tracks: labels(wire.Microphone)}); err != nil {
		t.Fatal(err)
	}
	<-ended
	p.Close()
	close(told)
	var all []string
	for c := range told {
		all = append(all, c)
	}
	return all
}

// Clients hear of the public addresses only, each once for UDP and once for TCP, however many interfaces there are.
func TestPublicAddresses(t *testing.T) {
	public := netip.MustParseAddr("198.51.100.7")
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		addr := netip.MustParseAddrPort(listen)
		if addr.Addr().IsUnspecified() && !routeTo(public).IsValid() {
			t.Log("no route to the Internet here")
			continue
		}
		s, err := New(Options{Listen: addr, ListenTCP: addr, PublicIPs: []netip.Addr{public}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(candidatesOf(t, s), ", ")
		if got != "udp 198.51.100.7 host, tcp 198.51.100.7 host" {
			t.Errorf("%s: clients hear of %s", listen, got)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
