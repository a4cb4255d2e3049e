// Package rtctest makes the pion connections of tests and benchmarks, as net/http/httptest makes their HTTP: clients on
// the loopback, one negotiation between two of them, and a client's side of the negotiation with the SFU.
//
// It may be imported by tests and by programs that measure, by nothing that serves. It imports signaling/wire, pion and
// media/pionlog; not media, whose own tests use it.
package rtctest

import (
	"fmt"
	"log/slog"
	"net"
	"time"

	"confab/media/pionlog"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
)

// socketBuffer is what a client's socket may have waiting, in bytes, as far as the system allows: a test is not to lose
// packets when its reader gets no time for a while.
const socketBuffer = 4 << 20

// A bufferedNet is the system's network with large buffers.
type bufferedNet struct{ *stdnet.Net }

// ListenUDP implements transport.Net.
func (n bufferedNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, addr)
	if err == nil {
		_ = conn.SetReadBuffer(socketBuffer)
	}
	return conn, err
}

// Loopback returns the settings of a connection on 127.0.0.1: UDP over IPv4, no names of multicast DNS, no log.
func Loopback() webrtc.SettingEngine {
	settings := webrtc.SettingEngine{LoggerFactory: pionlog.New(slog.New(slog.DiscardHandler), slog.LevelDebug)}
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	if system, err := stdnet.NewNet(); err == nil { // else pion finds out by itself what is wrong
		settings.SetNet(bufferedNet{system})
	}
	return settings
}

// Options are what differs between connections. The zero value is one on the loopback with pion's default codecs and
// interceptors.
type Options struct {
	Settings      *webrtc.SettingEngine // nil = Loopback()
	Media         *webrtc.MediaEngine   // nil = one with the default codecs
	Interceptors  *interceptor.Registry // nil = pion's default ones
	Configuration webrtc.Configuration
}

// New makes a connection. The error is pion's.
func New(opts Options) (*webrtc.PeerConnection, error) {
	if opts.Settings == nil {
		settings := Loopback()
		opts.Settings = &settings
	}
	if opts.Media == nil {
		opts.Media = &webrtc.MediaEngine{}
		if err := opts.Media.RegisterDefaultCodecs(); err != nil {
			return nil, err
		}
	}
	with := []func(*webrtc.API){webrtc.WithSettingEngine(*opts.Settings), webrtc.WithMediaEngine(opts.Media)}
	if opts.Interceptors != nil {
		with = append(with, webrtc.WithInterceptorRegistry(opts.Interceptors))
	}
	return webrtc.NewAPI(with...).NewPeerConnection(opts.Configuration)
}

// Negotiate is one offer and its answer, with all candidates in them. options may be nil.
func Negotiate(from, to *webrtc.PeerConnection, options *webrtc.OfferOptions) error {
	offer, err := from.CreateOffer(options)
	if err != nil {
		return err
	}
	if offer, err = Gather(from, offer); err != nil {
		return err
	}
	if err := to.SetRemoteDescription(offer); err != nil {
		return err
	}
	answer, err := to.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if answer, err = Gather(to, answer); err != nil {
		return err
	}
	return from.SetRemoteDescription(answer)
}

// Gather makes description the local one and returns it with all candidates in it.
func Gather(pc *webrtc.PeerConnection, description webrtc.SessionDescription) (webrtc.SessionDescription, error) {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(description); err != nil {
		return description, fmt.Errorf("own %s: %w", description.Type, err)
	}
	<-gathered
	return *pc.LocalDescription(), nil
}

// Eventually polls until ok holds, which other goroutines bring about, and reports whether it did within patience.
func Eventually(patience time.Duration, ok func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
