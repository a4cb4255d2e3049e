package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"

	"confab/bots"
	"confab/bots/hearing"
	"confab/bots/provider/resilient"
	"confab/bots/voice"
	"confab/media"
	"confab/rooms"
	"confab/signaling/wire"
)

// An sfu is the media server of this process, with what binds it to the rooms. The zero value is none.
type sfu struct {
	server  *media.Server
	calls   *media.Calls
	gateway *whipRooms // publishers and players that speak HTTP
}

// openSFU opens the media port beside the address that the server listens at. registry is called for what the SFU has
// to say to participants; it exists by the time that any has joined.
func openSFU(s *Settings, listen net.Addr, registry func() *rooms.Registry, log *slog.Logger) (sfu, error) {
	if s.SFU == "off" {
		return sfu{}, nil
	}
	addr, err := mediaAddress(s, listen)
	if err != nil {
		return sfu{}, err
	}
	options := media.Options{Listen: addr, TCP: listen, STUN: s.STUN, Log: log}
	if s.ICETCP != "" {
		if options.ListenTCP, err = parseListen(s.ICETCP); err != nil {
			return sfu{}, err // it was checked with the settings
		}
	}
	for _, ip := range s.PublicIP {
		options.PublicIPs = append(options.PublicIPs, netip.MustParseAddr(ip)) // checked with the settings
	}
	server, err := media.New(options)
	if errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, media.ErrListenTCP) && s.UDPPort == 0 {
		options.Listen = netip.AddrPortFrom(addr.Addr(), 0)
		if server, err = media.New(options); err == nil {
			log.Warn("the UDP port of the same number is taken; media uses another one, which a firewall may not let through",
				"wanted", addr.Port(), "udp", fmt.Sprint(server.Addrs()), "remedy", "set --udp-port")
		}
	}
	if errors.Is(err, media.ErrListenTCP) {
		return sfu{}, fmt.Errorf("cannot listen at %s for media by TCP: %s; choose another with --ice-tcp", s.ICETCP, listenProblem(err))
	}
	if err != nil {
		return sfu{}, fmt.Errorf("cannot open UDP port %d for media: %s; choose another with --udp-port, or set --sfu off", addr.Port(), listenProblem(err))
	}
	calls := media.NewCalls(server, func(room wire.RoomID, to wire.ParticipantID, msg wire.ServerMessage) {
		registry().Deliver(room, to, msg)
	})
	return sfu{server: server, calls: calls, gateway: newWHIPRooms(registry)}, nil
}

// mediaAddress is where the media port opens.
func mediaAddress(s *Settings, listen net.Addr) (netip.AddrPort, error) {
	host, err := s.portHost(listen)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if s.UDPPort != 0 {
		return netip.AddrPortFrom(host, uint16(s.UDPPort)), nil
	}
	return netip.AddrPortFrom(host, listen.(*net.TCPAddr).AddrPort().Port()), nil // portHost has seen that it is one
}

// takeTCP takes media that comes by the port of HTTP; nil when there is no SFU.
func (m sfu) takeTCP() func(net.Conn) {
	if m.server == nil {
		return nil
	}
	return m.server.TakeTCP
}

// udpAddrs are where the media port is, for the relay beside it.
func (m sfu) udpAddrs() []netip.AddrPort {
	if m.server == nil {
		return nil
	}
	return m.server.UDPAddrs()
}

// publicIPs finds out by which addresses others reach this host, when it is asked.
func (m sfu) publicIPs(s *Settings) func() []netip.Addr {
	if m.server != nil {
		return m.server.PublicIPs
	}
	var ips []netip.Addr
	for _, ip := range s.PublicIP {
		ips = append(ips, netip.MustParseAddr(ip)) // checked with the settings
	}
	return func() []netip.Addr { return ips }
}

// forRooms is the SFU as rooms take it: nil when there is none.
func (m sfu) forRooms() rooms.SFU {
	if m.calls == nil {
		return nil
	}
	return sfuWithGateway{m.calls, m.gateway}
}

// openVoices gives bots voices that the SFU forwards; nil when there is none.
func (m sfu) openVoices(settings *bots.Speech, meter resilient.Meter, log *slog.Logger) (*voice.Service, error) {
	speech, err := settings.Open(meter, log)
	if err != nil || m.server == nil {
		return nil, err
	}
	return voice.New(voice.Options{Speech: speech, Logger: log, Microphones: func(room wire.RoomID, bot wire.ParticipantID) (voice.Microphone, error) {
		microphone, err := m.server.OpenMicrophone(room, bot)
		if err != nil {
			return nil, err // not a nil *media.Microphone
		}
		return microphone, nil
	}}), nil
}

// openEars lets bots hear what people send to the SFU; nil when there is none.
func (m sfu) openEars(settings *bots.Hearing, metrics *botMetrics, log *slog.Logger) (*hearing.Service, error) {
	transcriber, err := settings.Open(meter{metrics}, log)
	if err != nil || m.server == nil {
		return nil, err
	}
	return hearing.New(hearing.Options{Transcriber: transcriber, Tap: tapEar(m.server), Metrics: metrics, Logger: log}), nil
}

// close ends all media. Participants are gone, or come back to another process.
func (m sfu) close() error {
	if m.server == nil {
		return nil
	}
	m.calls.Close()
	return wrap("closing the media port", m.server.Close())
}
