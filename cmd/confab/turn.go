package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"confab/media/turn"
	"confab/signaling/wire"
)

// A relay is the TURN server of this process. The zero value is none.
type relay struct {
	server      *turn.Server
	certificate *certificate // of its own, nil = none
}

// openTURN opens the TURN server beside the address that the server listens at. Where nobody has asked for it, a port
// that cannot be had is no error.
func openTURN(s *Settings, key []byte, listen net.Addr, media sfu, front *transport, log *slog.Logger) (relay, error) {
	if !s.turnOn() {
		return relay{}, nil
	}
	host, err := s.portHost(listen)
	if err != nil {
		return relay{}, err
	}
	options := turn.Options{
		Listen: netip.AddrPortFrom(host, uint16(s.TURNPort)), Host: s.TURNHost, Key: key, TTL: s.TURNTTL, AllowPeers: s.turnAllowPeers(),
		PublicIPs: media.publicIPs(s), SFU: media.udpAddrs, Log: log,
	}
	var found *certificate
	if s.TURNTLSPort != 0 {
		get := front.get() // that of the server, if TURN has none of its own
		if s.TURNCert != "" {
			if found, err = loadCertificate(s.TURNCert, s.TURNKey, log); err != nil {
				return relay{}, fmt.Errorf("the certificate of --turn-cert and --turn-key cannot be used: %w", err)
			}
			get = found.get
		}
		options.ListenTLS = netip.AddrPortFrom(host, uint16(s.TURNTLSPort))
		options.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get}
	}
	server, err := turn.New(options)
	switch {
	case err == nil:
		return relay{server, found}, nil
	case s.TURN == "auto":
		log.Warn("no TURN: those whose network lets nothing else through cannot call", "error", err, "remedy", "choose another port with --turn-port, or set --turn off")
		return relay{}, nil
	}
	return relay{}, fmt.Errorf("cannot open the ports of TURN: %s; choose others with --turn-port and --turn-tls-port, or set --turn off", listenProblem(err))
}

// turnOn says whether there is a TURN server. auto is on where others can come.
func (s *Settings) turnOn() bool {
	return s.TURN == "on" || s.TURN == "auto" && s.public()
}

// turnAllowPeers is for settings that were checked.
func (s *Settings) turnAllowPeers() []netip.Prefix {
	var allowed []netip.Prefix
	for _, text := range s.TURNAllowPeers {
		if prefix, err := parseNetwork(text); err == nil {
			allowed = append(allowed, prefix)
		}
	}
	return allowed
}

// encoderTTL is how long credentials of encoders and players are good for that come by WHIP and WHEP: they are told of
// ICE servers once (RFC 9725 section 4.6), and a relay ends with its credentials.
const encoderTTL = 24 * time.Hour

// ice adds this server's relay, with credentials of the participant's own that are good for ttl, to the servers of the
// settings.
func (r relay) ice(configured func(wire.ParticipantID) wire.ICEServers, ttl time.Duration) func(wire.ParticipantID) wire.ICEServers {
	if r.server == nil {
		return configured
	}
	return func(id wire.ParticipantID) wire.ICEServers {
		servers := configured(id)
		servers.ICEServers = append(slices.Clip(servers.ICEServers), r.server.CredentialsFor(id, ttl))
		servers.TTL = int(ttl.Seconds())
		return servers
	}
}

// register adds the counters to the metrics of the process.
func (r relay) register(metrics prometheus.Registerer) error {
	if r.server == nil {
		return nil
	}
	value := func(read func(turn.Stats) float64) func() float64 {
		return func() float64 { return read(r.server.Stats()) }
	}
	counter := func(name, help string, labels prometheus.Labels, read func(turn.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels},
			value(func(s turn.Stats) float64 { return float64(read(s)) }))
	}
	const (
		outcomes = "TURN allocations by outcome: made, or refused because a quota was reached."
		dropped  = "Packets that relays dropped: for or from another port of this host, or above the rate of an allocation."
		bytes    = "Bytes that relays sent to peers and received from them."
	)
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "confab_turn_open_allocations", Help: "TURN allocations that are open."},
			value(func(s turn.Stats) float64 { return float64(s.Open) })),
		counter("confab_turn_allocations_total", outcomes, prometheus.Labels{"outcome": "made"}, func(s turn.Stats) uint64 { return s.Allocated }),
		counter("confab_turn_allocations_total", outcomes, prometheus.Labels{"outcome": "quota"}, func(s turn.Stats) uint64 { return s.Refused }),
		counter("confab_turn_unauthorized_total", "TURN requests with credentials that were malformed or expired.", nil, func(s turn.Stats) uint64 { return s.Unauthorized }),
		counter("confab_turn_denied_total", "Permissions to send to an address that TURN has refused.", nil, func(s turn.Stats) uint64 { return s.Denied }),
		counter("confab_turn_dropped_packets_total", dropped, prometheus.Labels{"reason": "host"}, func(s turn.Stats) uint64 { return s.Forbidden }),
		counter("confab_turn_dropped_packets_total", dropped, prometheus.Labels{"reason": "rate"}, func(s turn.Stats) uint64 { return s.Dropped }),
		counter("confab_turn_bytes_total", bytes, prometheus.Labels{"direction": "sent"}, func(s turn.Stats) uint64 { return s.Sent }),
		counter("confab_turn_bytes_total", bytes, prometheus.Labels{"direction": "received"}, func(s turn.Stats) uint64 { return s.Received }),
	} {
		if err := metrics.Register(c); err != nil {
			return fmt.Errorf("registering the metrics of TURN: %w", err)
		}
	}
	if r.certificate == nil {
		return nil
	}
	return registerCertificate(metrics, "turn", r.certificate.leaf)
}

func (r relay) close() error {
	if r.server == nil {
		return nil
	}
	return wrap("closing the ports of TURN", r.server.Close())
}
