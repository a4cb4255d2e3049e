package wire

import "encoding/json"

// Signal carries an offer, an answer, an ICE candidate or the end of candidates (candidate null) between
// two participants. The server relays its data unread.
type Signal struct {
	Description *SessionDescription   `json:"description,omitempty"`
	Candidate   json.RawMessage       `json:"candidate,omitempty"`  // RTCIceCandidateInit or null
	Generation  int                   `json:"generation,omitempty"` // grows with each new connection and ICE restart
	Tracks      map[string]TrackLabel `json:"tracks,omitempty"`     // by mid
}

// MediaMode says how this room's media flows from now on.
type MediaMode struct {
	Mode   Mode   `json:"mode"`
	Reason string `json:"reason"`
}

// SubscribeMedia says what this client wants to see from the SFU, and how large it shows it.
type SubscribeMedia struct {
	Participant ParticipantID `json:"participant"`
	Source      Source        `json:"source"`
	Enabled     bool          `json:"enabled"`
	Width       int           `json:"width,omitempty"`  // CSS pixels x device pixel ratio
	Height      int           `json:"height,omitempty"` // the same
	FPS         int           `json:"fps,omitempty"`    // frames a second
}

// MediaQuality is what the SFU sends, and why not more.
type MediaQuality struct {
	Participant ParticipantID `json:"participant"`
	Source      Source        `json:"source"`
	Width       int           `json:"width"`
	Height      int           `json:"height"`
	FPS         int           `json:"fps"`
	Bitrate     int           `json:"bitrate"` // bits a second
	Reason      string        `json:"reason"`
}

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
func (SubscribeMedia) Kind() Kind { return KindSubscribeMedia }

// Kind implements ServerMessage.
func (MediaMode) Kind() Kind { return KindMediaMode }

// Kind implements ServerMessage.
func (MediaQuality) Kind() Kind { return KindMediaQuality }

// Kind implements ServerMessage.
func (ActiveSpeakers) Kind() Kind { return KindActiveSpeakers }

func (Signal) serverMessage()         {}
func (MediaMode) serverMessage()      {}
func (MediaQuality) serverMessage()   {}
func (ActiveSpeakers) serverMessage() {}
