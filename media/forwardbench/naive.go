package forwardbench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"

	"confab/signaling/wire"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
)

// naive is the forwarder that one writes with pion in an afternoon: what comes of a TrackRemote is written to a
// TrackLocalStaticRTP, which all subscribers share. It is the yardstick.
type naive struct {
	mux     *ice.UDPMuxDefault
	api     func() (*webrtc.API, error)
	reading sync.WaitGroup

	mu    sync.Mutex
	peers map[participant]*webrtc.PeerConnection // guarded by mu
	rooms map[wire.RoomID]*naiveRoom             // guarded by mu
}

type naiveRoom struct {
	tracks  []naiveTrack  // guarded by naive.mu
	changed chan struct{} // closed and replaced with each new track; guarded by naive.mu
}

type naiveTrack struct {
	owner participant
	local *webrtc.TrackLocalStaticRTP
}

func newNaive(interceptors bool) (*naive, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(socketBuffer) // as much as the system allows
	_ = conn.SetWriteBuffer(socketBuffer)
	n := &naive{
		mux:   ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn}),
		peers: map[participant]*webrtc.PeerConnection{}, rooms: map[wire.RoomID]*naiveRoom{},
	}
	n.api = func() (*webrtc.API, error) {
		settings := loopbackSettings()
		settings.SetICEUDPMux(n.mux)
		media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
		if err := media.RegisterDefaultCodecs(); err != nil {
			return nil, err
		}
		if interceptors {
			if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
				return nil, err
			}
		}
		return webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry)), nil
	}
	return n, nil
}

// socketBuffer is what each server's socket may have waiting, in bytes.
const socketBuffer = 4 << 20

// loopbackSettings are for both sides: UDP on 127.0.0.1.
func loopbackSettings() webrtc.SettingEngine {
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	settings.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	return settings
}

// roomLocked returns a room, which is made at the first call. mu is held.
func (n *naive) roomLocked(id wire.RoomID) *naiveRoom {
	r := n.rooms[id]
	if r == nil {
		r = &naiveRoom{changed: make(chan struct{})}
		n.rooms[id] = r
	}
	return r
}

func (n *naive) peer(who participant) (*webrtc.PeerConnection, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if pc := n.peers[who]; pc != nil {
		return pc, nil
	}
	api, err := n.api()
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) { n.forward(who, pc, track, receiver) })
	n.peers[who] = pc
	return pc, nil
}

// forward takes a track into the room and writes all its packets to whom it has by then.
func (n *naive) forward(who participant, pc *webrtc.PeerConnection, remote *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	local, err := webrtc.NewTrackLocalStaticRTP(remote.Codec().RTPCodecCapability, remote.ID(), string(who.id))
	if err != nil {
		return
	}
	_ = pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(remote.SSRC())}})
	n.mu.Lock()
	room := n.roomLocked(who.room)
	room.tracks = append(room.tracks, naiveTrack{who, local})
	close(room.changed)
	room.changed = make(chan struct{})
	n.mu.Unlock()
	n.reading.Go(func() { drain(receiver.ReadRTCP) })
	for buf := make([]byte, 1500); ; {
		size, _, err := remote.Read(buf)
		if err != nil {
			return
		}
		if _, err := local.Write(buf[:size]); err != nil {
			continue // a subscriber that has gone
		}
	}
}

var sendOnly = webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}

// drain reads RTCP for the interceptors' sake.
func drain(read func() ([]rtcp.Packet, interceptor.Attributes, error)) {
	for {
		if _, _, err := read(); err != nil {
			return
		}
	}
}

// others waits until the room has so many tracks for a participant.
func (n *naive) others(ctx context.Context, who participant, count int) ([]*webrtc.TrackLocalStaticRTP, error) {
	for {
		n.mu.Lock()
		room := n.roomLocked(who.room)
		var found []*webrtc.TrackLocalStaticRTP
		for _, t := range room.tracks {
			if t.owner != who {
				found = append(found, t.local)
			}
		}
		changed := room.changed
		n.mu.Unlock()
		if len(found) >= count {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("forwardbench: %d of %d tracks: %w", len(found), count, ctx.Err())
		}
	}
}

func (n *naive) publish(_ context.Context, who participant, offer message) (message, error) {
	pc, err := n.peer(who)
	if err != nil {
		return message{}, err
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}); err != nil {
		return message{}, err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return message{}, err
	}
	return describe(pc, answer)
}

// describe makes a description the local one and returns it with all candidates.
func describe(pc *webrtc.PeerConnection, description webrtc.SessionDescription) (message, error) {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(description); err != nil {
		return message{}, err
	}
	<-gathered
	return message{SDP: pc.LocalDescription().SDP}, nil
}

func (n *naive) offer(ctx context.Context, who participant, tracks int) (message, error) {
	pc, err := n.peer(who)
	if err != nil {
		return message{}, err
	}
	found, err := n.others(ctx, who, tracks)
	if err != nil {
		return message{}, err
	}
	for _, track := range found {
		transceiver, err := pc.AddTransceiverFromTrack(track, sendOnly)
		if err != nil {
			return message{}, err
		}
		n.reading.Go(func() { drain(transceiver.Sender().ReadRTCP) })
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return message{}, err
	}
	described, err := describe(pc, offer)
	if err != nil {
		return message{}, err
	}
	described.Labels = map[string]wire.TrackLabel{}
	for _, transceiver := range pc.GetTransceivers() {
		if sender := transceiver.Sender(); sender != nil && sender.Track() != nil {
			described.Labels[transceiver.Mid()] = wire.TrackLabel{Participant: wire.ParticipantID(sender.Track().StreamID())}
		}
	}
	return described, nil
}

func (n *naive) answer(_ context.Context, who participant, answer message) error {
	pc, err := n.peer(who)
	if err != nil {
		return err
	}
	return pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer.SDP})
}

func (n *naive) close() error {
	n.mu.Lock()
	peers := slices.Collect(maps.Values(n.peers))
	n.mu.Unlock()
	var errs []error
	for _, pc := range peers {
		errs = append(errs, pc.GracefulClose())
	}
	n.reading.Wait()
	return errors.Join(append(errs, n.mux.Close())...)
}
