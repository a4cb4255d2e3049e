package forwardbench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// A message is a description on its way between load and server, with all candidates known by then.
type message struct {
	SDP        string                     `json:"sdp"`
	Candidates []webrtc.ICECandidateInit  `json:"candidates,omitempty"` // of a server; clients write theirs into the SDP
	Labels     map[string]wire.TrackLabel `json:"labels,omitempty"`     // of what is sent, by mid
}

// Stats are what a server says about itself.
type Stats struct {
	Mallocs uint64 `json:"mallocs"` // objects allocated so far
}

// A forwarder is a server under test. Its methods may be called concurrently.
type forwarder interface {
	// publish takes an offer of what a participant sends and returns the answer.
	publish(ctx context.Context, who participant, offer message) (message, error)
	// offer returns the next offer of what a participant is to receive: at least one track, at best all.
	offer(ctx context.Context, who participant, tracks int) (message, error)
	// answer takes the answer to it.
	answer(ctx context.Context, who participant, answer message) error
	close() error
}

type participant struct {
	room wire.RoomID
	id   wire.ParticipantID
}

func (p participant) query() string {
	return url.Values{"room": {string(p.room)}, "id": {string(p.id)}}.Encode()
}

func participantOf(r *http.Request) participant {
	query := r.URL.Query()
	return participant{wire.RoomID(query.Get("room")), wire.ParticipantID(query.Get("id"))}
}

// A remote is a server as a load sees it.
type remote struct {
	base string // URL
	http http.Client
}

// post sends a message and reads what comes back into reply, unless that is nil.
func (r *remote) post(ctx context.Context, path string, body, reply any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	response, err := r.http.Do(request)
	if err != nil {
		return fmt.Errorf("forwardbench: %s: %w", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxMessage))
	if err != nil {
		return fmt.Errorf("forwardbench: %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("forwardbench: %s: %s: %s", path, response.Status, bytes.TrimSpace(text))
	}
	if reply == nil {
		return nil
	}
	return json.Unmarshal(text, reply)
}

// maxMessage bounds what is read of one message, in bytes.
const maxMessage = 1 << 20
