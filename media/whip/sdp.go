package whip

import (
	"strings"

	"confab/signaling/wire"

	"github.com/pion/sdp/v3"
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// A purpose is what a session is for.
type purpose bool

const (
	publish purpose = false
	play    purpose = true
)

// An offer is what a client has offered, kept for the next ICE restart.
type offer struct {
	desc    sdp.SessionDescription
	ufrag   string            // of the client
	mids    map[string]string // of the section that carries audio, and of that for video
	passive bool              // the client waits for the DTLS handshake (RFC 8842 section 5.2); most let us choose
}

// parseOffer reads an offer. Sections that go both ways are made to go the one that the session is for (RFC 9725
// section 4.2: the client may say sendrecv).
//
// Errors: *refusal with 400 for what is no SDP and 422 for SDP that the session cannot have.
func parseOffer(text string, what purpose) (*offer, error) {
	o := &offer{mids: map[string]string{}}
	if err := o.desc.UnmarshalString(text); err != nil || text == "" {
		return nil, refuse(400, wire.CodeBadMessage, "the offer is no SDP: %v", err)
	}
	mids := map[string]bool{}
	for _, m := range o.desc.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		if mid == "" || mids[mid] {
			return nil, unusable("a media section has no mid of its own")
		}
		mids[mid] = true
		if err := o.takeSection(m, mid, what); err != nil {
			return nil, err
		}
	}
	o.ufrag = o.first("ice-ufrag")
	o.passive = o.first("setup") == "passive"
	switch {
	case len(o.mids) == 0 && what == play:
		return nil, unusable("the offer has no audio or video to receive")
	case len(o.mids) == 0:
		return nil, unusable("the offer has no audio or video to send")
	case o.ufrag == "":
		return nil, unusable("the offer has no ice-ufrag")
	}
	return o, nil
}

// first returns the first value of an attribute, which may stand above the sections or in each.
func (o *offer) first(name string) string {
	if value, ok := o.desc.Attribute(name); ok {
		return value
	}
	for _, m := range o.desc.MediaDescriptions {
		if value, ok := m.Attribute(name); ok {
			return value
		}
	}
	return ""
}

func unusable(format string, args ...any) error {
	return refuse(422, wire.CodeBadMessage, format, args...)
}

// takeSection looks at one section.
func (o *offer) takeSection(m *sdp.MediaDescription, mid string, what purpose) error {
	kind := m.MediaName.Media
	wanted, other := "sendonly", "recvonly"
	if what == play {
		wanted, other = other, wanted
	}
	if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value == 0 && !bundled || kind != "audio" && kind != "video" {
		return nil
	}
	if has(m, other) || has(m, "inactive") {
		return nil
	}
	if o.mids[kind] != "" { // RFC 9725 section 4.4.2: one stream
		return unusable("the offer has more than one %s section; use one session for each", kind)
	}
	o.mids[kind] = mid
	if !has(m, wanted) {
		m.Attributes = append(without(m.Attributes, "sendrecv"), sdp.NewPropertyAttribute(wanted))
	}
	return nil
}

func has(m *sdp.MediaDescription, name string) bool {
	_, ok := m.Attribute(name)
	return ok
}

func without(list []sdp.Attribute, names ...string) []sdp.Attribute {
	kept := make([]sdp.Attribute, 0, len(list)+1)
next:
	for _, a := range list {
		for _, name := range names {
			if a.Key == name {
				continue next
			}
		}
		kept = append(kept, a)
	}
	return kept
}

// signal is the offer as media takes it.
func (o *offer) signal(generation int, labels map[string]wire.TrackLabel) (wire.Signal, error) {
	text, err := o.desc.Marshal()
	if err != nil {
		return wire.Signal{}, refuse(400, wire.CodeBadMessage, "the offer is no SDP: %v", err)
	}
	return wire.Signal{
		Description: &wire.SessionDescription{Type: "offer", SDP: string(text)}, Generation: generation, Tracks: labels,
	}, nil
}

// restarted is the offer with other ICE credentials and no candidates (RFC 9725 section 4.3.3: all that does not
// concern ICE stays as it was).
func (o *offer) restarted(f *fragment) *offer {
	next := *o
	next.ufrag = f.ufrag
	next.desc.Origin.SessionVersion++
	next.desc.Attributes = withCredentials(o.desc.Attributes, f)
	next.desc.MediaDescriptions = nil
	for _, m := range o.desc.MediaDescriptions {
		section := *m
		section.Attributes = withCredentials(m.Attributes, f)
		next.desc.MediaDescriptions = append(next.desc.MediaDescriptions, &section)
	}
	return &next
}

func withCredentials(list []sdp.Attribute, f *fragment) []sdp.Attribute {
	list = without(list, "candidate", "end-of-candidates")
	for i := range list {
		switch list[i].Key {
		case "ice-ufrag":
			list[i].Value = f.ufrag
		case "ice-pwd":
			list[i].Value = f.pwd
		}
	}
	return list
}

// An answer is what the server says to an offer: a description without candidates, and the candidates.
type answer struct {
	desc       sdp.SessionDescription
	candidates []string // from "candidate:" on
}

// activate says that this side begins the DTLS handshake. Media does so by itself for a client that waits, and yet
// writes passive, which is its choice for those that leave it the choice.
func (a *answer) activate() {
	for _, m := range a.desc.MediaDescriptions {
		for i := range m.Attributes {
			if m.Attributes[i].Key == "setup" {
				m.Attributes[i].Value = "active"
			}
		}
	}
}

// check refuses a session of which too little has come about: a publisher has all that it offers accepted or nothing
// (RFC 9725 section 4.4.3), a player gets what there is a codec for. Sections answer each other by their place.
func (a *answer) check(o *offer, what purpose) error {
	refused := ""
	for i, m := range o.desc.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		if kind := m.MediaName.Media; o.mids[kind] == mid && (i >= len(a.desc.MediaDescriptions) || a.desc.MediaDescriptions[i].MediaName.Port.Value == 0) {
			refused = kind
		}
	}
	if refused != "" && what == publish || a.tagged() == nil {
		return unusable("none of the %s codecs that are offered can be used", refused)
	}
	return nil
}

// complete is the answer in one piece. The candidates stand in the section that the bundle is negotiated by.
func (a *answer) complete() ([]byte, error) {
	if m := a.tagged(); m != nil {
		m.Attributes = without(m.Attributes, "candidate", "end-of-candidates")
		for _, line := range a.candidates {
			m.Attributes = append(m.Attributes, sdp.NewAttribute("candidate", strings.TrimPrefix(line, "candidate:")))
		}
		m.Attributes = append(m.Attributes, sdp.NewPropertyAttribute("end-of-candidates"))
	}
	return a.desc.Marshal()
}

// tagged returns the first section that is not refused (RFC 9143 section 7.3.2), nil if there is none.
func (a *answer) tagged() *sdp.MediaDescription {
	for _, m := range a.desc.MediaDescriptions {
		if m.MediaName.Port.Value != 0 {
			return m
		}
	}
	return nil
}

// fragment is the part of the answer that concerns ICE, the body of the answer to a restart.
func (a *answer) fragment() []byte {
	var b strings.Builder
	attribute := func(list []sdp.Attribute, name string) {
		for _, attr := range list {
			if attr.Key == name {
				b.WriteString("a=" + name)
				if attr.Value != "" {
					b.WriteString(":" + attr.Value)
				}
				b.WriteString("\r\n")
			}
		}
	}
	m := a.tagged()
	if m == nil {
		return nil
	}
	for _, name := range []string{"ice-lite", "ice-options", "group"} {
		attribute(a.desc.Attributes, name)
	}
	b.WriteString("m=" + m.MediaName.Media + " 9 " + strings.Join(m.MediaName.Protos, "/") + " 0\r\n")
	for _, name := range []string{"mid", "ice-options", "ice-ufrag", "ice-pwd"} {
		attribute(m.Attributes, name)
	}
	for _, line := range a.candidates {
		b.WriteString("a=" + line + "\r\n")
	}
	b.WriteString("a=end-of-candidates\r\n")
	return []byte(b.String())
}
