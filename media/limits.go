package media

import (
	"cmp"
	"sync"
	"time"
)

// Limits bound what one server, room or peer may hold. A field that is 0 takes the default named beside it.
type Limits struct {
	PeersPerRoom  int // 100; beyond it Join fails with room-full
	UpTracks      int // 8 media sections a client may send on; an offer or answer with more fails with too-large
	Streams       int // 64 RTP streams open from one client, retransmissions included; what others bring is dropped, and beyond maxStray of them the peer ends
	DownTracks    int // 128 tracks sent to one client; later ones are not sent until others end
	MediaSections int // 192 media sections in one description, four times as many in all; beyond it too-large
	SDPBytes      int // 64 KiB; a larger description fails with too-large
	Candidates    int // 64 of one generation; beyond it rate-limited
	Subscriptions int // 256 explicit subscriptions, of tracks there are or will be, until their participants leave; beyond it rate-limited
	RTCPPerSecond int // 500 RTCP packets processed of one peer; what comes above is read and dropped
	Requests      int // 64 signals waiting for one peer; beyond it the caller waits, as long as its context lets it
	TCPConns      int // 1024 connections of each TCP port; beyond it they are closed
	// 64 of them from one IPv4 address or IPv6 /64, which an office may share; beyond it they are closed
	TCPConnsPerAddress int
}

func (l Limits) withDefaults() Limits {
	return Limits{
		PeersPerRoom:  cmp.Or(l.PeersPerRoom, 100),
		UpTracks:      cmp.Or(l.UpTracks, 8),
		Streams:       cmp.Or(l.Streams, 64),
		DownTracks:    cmp.Or(l.DownTracks, 128),
		MediaSections: cmp.Or(l.MediaSections, 192),
		SDPBytes:      cmp.Or(l.SDPBytes, 64<<10),
		Candidates:    cmp.Or(l.Candidates, 64),
		Subscriptions: cmp.Or(l.Subscriptions, 256),
		RTCPPerSecond: cmp.Or(l.RTCPPerSecond, 500),
		Requests:      cmp.Or(l.Requests, 64),
		TCPConns:      cmp.Or(l.TCPConns, 1024),

		TCPConnsPerAddress: cmp.Or(l.TCPConnsPerAddress, 64),
	}
}

// Timing of the media plane.
const (
	coalesceOffers  = 10 * time.Millisecond  // changes of a room within it make one offer
	answerTimeout   = 20 * time.Second       // an offer without an answer ends the peer
	failedGrace     = 30 * time.Second       // a peer whose ICE failed waits this long for a restart
	controlTick     = 100 * time.Millisecond // transport-wide feedback and delayed key frame requests
	calmTick        = 200 * time.Millisecond // the same for who sends no video and gets all that it is to have
	controlPhases   = 4                      // moments of a tick on which those of all peers fall
	feedbackSlow    = 200 * time.Millisecond // feedback to who sends no video
	reportInterval  = time.Second            // sender and receiver reports
	keyInterval     = 500 * time.Millisecond // least time between two key frame requests for one source
	nackInterval    = 40 * time.Millisecond  // least time between two requests for one packet, both ways; ours take twice as long each time
	maxNACKs        = 5                      // requests for one packet of a publisher: within 600 ms
	maxResends      = 10                     // of one packet to a subscriber: libwebrtc asks so often, and for a key frame only seconds later
	maxMissing      = 128                    // packets of one source waited for; a wider hole needs a key frame
	videoSlots      = 1024                   // packets kept of a video track: 4 s at 2.5 Mb/s
	audioSlots      = 256                    // packets kept of an audio track: 5 s at 20 ms
	maxReplay       = 512                    // kept packets sent to who comes late; a longer group needs a key frame
	maxPacket       = 1500                   // bytes of one RTP packet; larger ones are dropped
	maxDropout      = 3000                   // RFC 3550 appendix A.1: a jump beyond it is a new start
	resendBurst     = 256                    // resends a track may owe at once
	resendPerPacket = 0.5                    // resends earned by each packet sent: at most half on top
)

// A rate counts events against a number a second. It is safe for concurrent use.
type rate struct {
	perSecond int

	mu     sync.Mutex
	second int64 // guarded by mu: Unix time
	count  int   // guarded by mu: events in that second
}

// allow counts one event and reports whether it is within the rate.
func (r *rate) allow(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := now.Unix(); s != r.second {
		r.second, r.count = s, 0
	}
	r.count++
	return r.count <= r.perSecond
}
