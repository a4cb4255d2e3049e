package media

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"confab/media/pionlog"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/logging"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"
)

// Header extensions that are read or passed on.
const (
	uriMid                  = "urn:ietf:params:rtp-hdrext:sdes:mid"
	uriRid                  = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
	uriRepairedRid          = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
	uriTransportCC          = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
	uriAudioLevel           = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
	uriColorSpace           = "http://www.webrtc.org/experiments/rtp-hdrext/color-space"
	uriDependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

// Payload types offered where the client has not offered its own first.
const (
	payloadOpus = 111
	payloadRED  = 63
	payloadVP8  = 96
	payloadVP9  = 98
	payloadH264 = 102
	payloadAV1  = 45
)

const videoClock = 90000 // RFC 3551 section 5

// newConnection makes a PeerConnection that only negotiates and encrypts: no interceptor, all RTCP is ours. Each
// has its own API, since a BufferFactory is not told whose packets it is for.
func (s *Server) newConnection(p *Peer) (*webrtc.PeerConnection, error) {
	media, err := newMediaEngine()
	if err != nil {
		return nil, err
	}
	settings, err := s.newSettings()
	if err != nil {
		return nil, err
	}
	settings.BufferFactory = func(kind packetio.BufferPacketType, ssrc uint32) io.ReadWriteCloser {
		buffer := packetio.NewBuffer()
		buffer.SetLimitSize(idleBuffer)
		if kind == packetio.RTPBufferPacket {
			return p.taps.add(&tap{Buffer: buffer, peer: p, ssrc: ssrc})
		}
		return &controlTap{Buffer: buffer, peer: p}
	}
	if p.transport != nil {
		p.transport.Configure(settings)
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithSettingEngine(*settings),
		webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	return api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{s.certificate}})
}

// How many bytes one stream may have waiting for its reader. Beyond it pion drops.
const (
	readBuffer = 512 << 10
	idleBuffer = 64 << 10 // of RTCP, retransmissions and what belongs to no track
)

func (s *Server) newSettings() (*webrtc.SettingEngine, error) {
	settings := &webrtc.SettingEngine{LoggerFactory: logFactory{s.log}}
	settings.DisableMediaEngineCopy(true) // it is made for this one connection
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if len(s.tcp.muxes) > 0 {
		settings.SetICETCPMux(s.tcp.muxes)
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	settings.SetNetworkTypes(networks)
	settings.DisableActiveTCP(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetICETimeouts(5*time.Second, 25*time.Second, 2*time.Second)
	settings.SetSRTPReplayProtectionWindow(512) // Firefox probes with packets that were sent before
	settings.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	settings.SetDTLSEllipticCurves(elliptic.X25519, elliptic.P256, elliptic.P384)
	settings.SetIgnoreRidPauseForRecv(true) // a layer that the client pauses now it may send later
	settings.SetIncludeLoopbackCandidate(s.opts.Listen.Addr().IsLoopback())
	network, err := s.interfaces.get(s.opts.network, time.Now())
	if err != nil {
		return nil, fmt.Errorf("media: the network: %w", err)
	}
	settings.SetNet(network)
	// As the DTLS server we choose the profile by our order.
	if err := settings.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return nil, fmt.Errorf("media: DTLS role: %w", err)
	}
	if err := s.face.apply(settings, s.mux); err != nil {
		return nil, fmt.Errorf("media: public addresses: %w", err)
	}
	return settings, nil
}

// interfaces are those of the system, for all connections that are made within interfacesAge: each would ask for them and
// keep them. It is safe for concurrent use.
type interfaces struct {
	mu  sync.Mutex
	net transport.Net // guarded by mu; nil = not asked yet
	at  time.Time     // guarded by mu: when that was
}

const interfacesAge = 10 * time.Second

// get returns other, if there is one, else the system's network. The error is that of asking for the interfaces.
func (i *interfaces) get(other transport.Net, now time.Time) (transport.Net, error) {
	if other != nil {
		return other, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.net != nil && now.Sub(i.at) < interfacesAge {
		return i.net, nil
	}
	system, err := stdnet.NewNet()
	if err != nil {
		return nil, err
	}
	i.net, i.at = system, now
	return system, nil
}

// newMediaEngine lists what is forwarded.
func newMediaEngine() (*webrtc.MediaEngine, error) {
	media := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecParameters{PayloadType: payloadOpus, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1",
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "transport-cc"}},
	}}
	if err := media.RegisterCodec(opus, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	red := webrtc.RTPCodecParameters{PayloadType: payloadRED, RTPCodecCapability: webrtc.RTPCodecCapability{
		MimeType: mimeRED, ClockRate: 48000, Channels: 2, SDPFmtpLine: fmt.Sprintf("%d/%d", payloadOpus, payloadOpus),
		RTCPFeedback: []webrtc.RTCPFeedback{{Type: "transport-cc"}},
	}}
	if err := media.RegisterCodec(red, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	feedback := []webrtc.RTCPFeedback{
		{Type: "transport-cc"}, {Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"},
	}
	for _, codec := range []struct {
		mime, fmtp string
		payload    webrtc.PayloadType
	}{
		{webrtc.MimeTypeVP8, "", payloadVP8},
		{webrtc.MimeTypeVP9, "profile-id=0", payloadVP9},
		{webrtc.MimeTypeH264, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f", payloadH264},
		{webrtc.MimeTypeAV1, "level-idx=5;profile=0;tier=0", payloadAV1},
	} {
		main := webrtc.RTPCodecParameters{PayloadType: codec.payload, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: codec.mime, ClockRate: videoClock, SDPFmtpLine: codec.fmtp, RTCPFeedback: feedback,
		}}
		rtx := webrtc.RTPCodecParameters{PayloadType: codec.payload + 1, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: videoClock, SDPFmtpLine: fmt.Sprintf("apt=%d", codec.payload),
		}}
		for _, params := range []webrtc.RTPCodecParameters{main, rtx} {
			if err := media.RegisterCodec(params, webrtc.RTPCodecTypeVideo); err != nil {
				return nil, fmt.Errorf("media: %w", err)
			}
		}
	}
	return media, registerExtensions(media)
}

// registerExtensions asks publishers for what routing and feedback need, and passes on what receivers can use. Packets
// are numbered for transport-wide feedback both ways.
func registerExtensions(media *webrtc.MediaEngine) error {
	const audio, video = webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo
	in := []webrtc.RTPTransceiverDirection{webrtc.RTPTransceiverDirectionRecvonly}
	for _, ext := range []struct {
		uri        string
		kinds      []webrtc.RTPCodecType
		directions []webrtc.RTPTransceiverDirection
	}{
		{uriMid, []webrtc.RTPCodecType{audio, video}, in},
		{uriTransportCC, []webrtc.RTPCodecType{audio, video}, nil},
		{uriRid, []webrtc.RTPCodecType{video}, in},
		{uriRepairedRid, []webrtc.RTPCodecType{video}, in},
		{uriAudioLevel, []webrtc.RTPCodecType{audio}, nil},
		{uriColorSpace, []webrtc.RTPCodecType{video}, nil},
		{uriDependencyDescriptor, []webrtc.RTPCodecType{video}, nil},
	} {
		for _, kind := range ext.kinds {
			if err := media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: ext.uri}, kind, ext.directions...); err != nil {
				return fmt.Errorf("media: header extension %s: %w", ext.uri, err)
			}
		}
	}
	return nil
}

// uriExtra names the header extension that receivers get as it comes: of audio its level, of video its color space, which
// browsers believe before the bitstream. Without it a picture in another range of values has wrong colors.
func uriExtra(video bool) string {
	if video {
		return uriColorSpace
	}
	return uriAudioLevel
}

// extensionID finds the negotiated id of a header extension, 0 if there is none.
func extensionID(list []webrtc.RTPHeaderExtensionParameter, uri string) uint8 {
	for _, ext := range list {
		if ext.URI == uri && ext.ID > 0 && ext.ID < 256 {
			return uint8(ext.ID)
		}
	}
	return 0
}

// matchCodec finds what a codec of one peer is called by another, and the payload type of its retransmissions (0 =
// none). The parameters that make two streams undecodable by one decoder must be the same; single NAL units of H264
// (mode 0, RFC 6184 section 6.2) are a part of what who takes mode 1 can decode.
func matchCodec(want webrtc.RTPCodecParameters, have []webrtc.RTPCodecParameters) (codec webrtc.RTPCodecParameters, rtx uint8, ok bool) {
	for _, codec = range have {
		if !strings.EqualFold(codec.MimeType, want.MimeType) || codec.ClockRate != want.ClockRate {
			continue
		}
		mode := parameter(want.SDPFmtpLine, "packetization-mode")
		same := mode == "0" || mode == parameter(codec.SDPFmtpLine, "packetization-mode")
		for _, name := range []string{"profile-id", "profile"} {
			same = same && parameter(codec.SDPFmtpLine, name) == parameter(want.SDPFmtpLine, name)
		}
		if !same {
			continue
		}
		for _, other := range have {
			if strings.EqualFold(other.MimeType, webrtc.MimeTypeRTX) && parameter(other.SDPFmtpLine, "apt") == fmt.Sprint(codec.PayloadType) {
				rtx = uint8(other.PayloadType)
			}
		}
		return codec, rtx, true
	}
	return webrtc.RTPCodecParameters{}, 0, false
}

// parameter reads one parameter of a format line; what is absent counts as its default, 0.
func parameter(line, name string) string {
	for part := range strings.SplitSeq(line, ";") {
		if key, value, _ := strings.Cut(strings.TrimSpace(part), "="); strings.EqualFold(key, name) {
			return value
		}
	}
	return "0"
}

// A tap is the buffer of one received stream, retransmissions included. It notes each packet's arrival for the
// transport-wide feedback before any reader, also of those that readers never see, such as padding.
type tap struct {
	*packetio.Buffer
	peer  *Peer
	ssrc  uint32
	stray bool // one stream too many: what comes is dropped
}

func (t *tap) Write(b []byte) (int, error) {
	t.peer.feedback.arrived(t.ssrc, b, time.Now())
	if t.stray {
		return len(b), nil
	}
	return t.Buffer.Write(b)
}

func (t *tap) Close() error {
	t.peer.taps.remove(t)
	return t.Buffer.Close()
}

// maxStray is how many streams beyond the limit a client may bring until it is sent away. pion keeps a kilobyte of each
// for as long as the connection lasts; only packets with the client's own keys bring one.
const maxStray = 1024

// taps are those of one peer, at most limit of them with room for packets. It is safe for concurrent use.
type taps struct {
	limit int

	mu     sync.Mutex
	open   map[uint32]*tap // guarded by mu; by SSRC, those that are not stray
	strays int             // guarded by mu: how many have come
}

func (l *taps) add(t *tap) *tap {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.stray = len(l.open) >= l.limit; !t.stray {
		l.open[t.ssrc] = t
	} else if l.strays++; l.strays > maxStray {
		t.peer.end(ErrStreams)
	}
	return t
}

func (l *taps) remove(t *tap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[t.ssrc] == t {
		delete(l.open, t.ssrc)
	}
}

// read makes room for a stream that has a reader.
func (l *taps) read(ssrc uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.open[ssrc]; t != nil {
		t.SetLimitSize(readBuffer)
	}
}

// A controlTap is the buffer of the RTCP about one stream. What concerns the whole way to the client is taken from it
// at once: it comes with the SSRC of any stream, also of one whose RTCP nobody reads.
type controlTap struct {
	*packetio.Buffer
	peer *Peer
}

func (t *controlTap) Write(b []byte) (int, error) {
	if t.peer.downlink.reported(b, time.Now()) {
		poke(t.peer.due)
	}
	return t.Buffer.Write(b)
}

// logFactory makes pion's loggers.
type logFactory struct{ log *slog.Logger }

// NewLogger implements logging.LoggerFactory.
func (f logFactory) NewLogger(scope string) logging.LeveledLogger {
	return pionlog.New(f.log, slog.LevelWarn).NewLogger(scope)
}
