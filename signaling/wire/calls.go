package wire

import "encoding/json"

// Signal carries an offer, an answer, an ICE candidate or the end of candidates (candidate null) between
// two participants. The server relays its data unread.
type Signal struct {
	Description *SessionDescription   `json:"description,omitempty"`
	Candidate   json.RawMessage       `json:"candidate,omitempty"`  // RTCIceCandidateInit or null
	Generation  int                   `json:"generation,omitempty"` // grows with each new connection and ICE restart
	Tracks      map[string]TrackLabel `json:"tracks,omitempty"`     // by mid
	Ready       bool                  `json:"ready,omitempty"`      // between participants: what the other sends comes by the room's new media mode
}

// TheSFU is the addressee of signals for the SFU, and their sender. No participant has this id.
const TheSFU ParticipantID = "sfu"

// MediaMode says how this room's media flows from now on.
type MediaMode struct {
	Mode   Mode   `json:"mode"`
	Reason string `json:"reason"`
}

// RequestMode asks for the SFU, because this client cannot reach a participant directly. The room comes back to the
// mesh when that client has left.
type RequestMode struct {
	Mode   Mode   `json:"mode"`             // sfu
	Reason string `json:"reason,omitempty"` // for people who look after the server
}

// ICEServersRequest asks for fresh credentials of the relays, before those at hand expire; the answer is ICEServers.
type ICEServersRequest struct{}

// ICEServers are the STUN and TURN servers that this client may use.
type ICEServers struct {
	ICEServers []ICEServer `json:"iceServers"`
	TTL        int         `json:"ttl,omitempty"` // seconds that the credentials are good for; absent = for ever
}

// SubscribeMedia says what this client wants to see from the SFU, and how large it shows it.
type SubscribeMedia struct {
	Participant ParticipantID `json:"participant"`
	Source      Source        `json:"source"`
	Enabled     bool          `json:"enabled"`
	Width       int           `json:"width,omitempty"`  // CSS pixels x device pixel ratio; absent = as large as there is
	Height      int           `json:"height,omitempty"` // the same
	FPS         int           `json:"fps,omitempty"`    // frames a second; absent = as many as there are
}

// PublishMedia tells a publisher how much of a source somebody receives, so that it encodes no more.
type PublishMedia struct {
	Source  Source `json:"source"`
	Layers  int    `json:"layers"`            // how many, from the smallest one up; 0 = none: encode nothing
	Bitrate int    `json:"bitrate,omitempty"` // bits a second that the largest of them may have; absent = as the client likes
	Avoid   string `json:"avoid,omitempty"`   // codec that somebody here cannot decode, as in "AV1"; it is to be sent in another one
}

// MediaQuality is what the SFU sends, and why not more.
type MediaQuality struct {
	Participant ParticipantID `json:"participant"`
	Source      Source        `json:"source"`
	Width       int           `json:"width"`
	Height      int           `json:"height"`
	FPS         int           `json:"fps"`
	Bitrate     int           `json:"bitrate"`         // bits a second
	Codec       string        `json:"codec,omitempty"` // its RTP name: VP8, VP9, H264, AV1, opus
	Layer       string        `json:"layer,omitempty"` // of how many: "2/3"; with temporal layers "2/3 T1/3"
	Reason      QualityReason `json:"reason"`
}

// QualityReason is what limits the quality of what a client receives.
type QualityReason string

// The reasons. When several hold it is the one that limits most.
const (
	QualityFull      QualityReason = "full"      // nothing: it is all that the publisher sends
	QualitySize      QualityReason = "size"      // the client shows it no larger
	QualityHidden    QualityReason = "hidden"    // the client does not want it now
	QualityBandwidth QualityReason = "bandwidth" // the way to the client carries no more
	QualityServer    QualityReason = "server"    // the server is under load
	QualityPublisher QualityReason = "publisher" // the publisher sends less than it could, or nothing
)

// ActiveSpeakers says who is heard, loudest first.
type ActiveSpeakers struct {
	Speakers []Speaker `json:"speakers"`
}

// A Speaker is one of them.
type Speaker struct {
	Participant ParticipantID `json:"participant"`
	Level       float64       `json:"level"` // 0 to 1
}

// Kind implements ClientMessage and ServerMessage.
func (Signal) Kind() Kind { return KindSignal }

// Kind implements ClientMessage.
func (RequestMode) Kind() Kind { return KindMediaMode }

// Kind implements ClientMessage.
func (ICEServersRequest) Kind() Kind { return KindICEServers }

// Kind implements ServerMessage.
func (ICEServers) Kind() Kind { return KindICEServers }

// Kind implements ClientMessage.
func (SubscribeMedia) Kind() Kind { return KindSubscribeMedia }

// Kind implements ServerMessage.
func (PublishMedia) Kind() Kind { return KindPublishMedia }

// Kind implements ServerMessage.
func (MediaMode) Kind() Kind { return KindMediaMode }

// Kind implements ServerMessage.
func (MediaQuality) Kind() Kind { return KindMediaQuality }

// Kind implements ServerMessage.
func (ActiveSpeakers) Kind() Kind { return KindActiveSpeakers }

func (Signal) serverMessage()         {}
func (MediaMode) serverMessage()      {}
func (ICEServers) serverMessage()     {}
func (PublishMedia) serverMessage()   {}
func (MediaQuality) serverMessage()   {}
func (ActiveSpeakers) serverMessage() {}
