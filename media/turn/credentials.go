package turn

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"confab/signaling/wire"

	"github.com/pion/turn/v5"
)

const (
	minKey = 32 // bytes, the size of HMAC-SHA256's output (RFC 2104 section 3)
	realm  = "confab"
)

// credentials are those of draft-uberti-behave-turn-rest-00: the name is the time of expiry and a participant, the
// password a MAC of the name, so that the server keeps none. The MAC is HMAC-SHA256 instead of SHA-1: nobody but this
// server computes it.
type credentials struct {
	key []byte
	ttl time.Duration
	now func() time.Time
}

// issue makes credentials for a participant.
func (c credentials) issue(participant wire.ParticipantID) (name, password string) {
	name = strconv.FormatInt(c.now().Add(c.ttl).Unix(), 10) + ":" + string(participant)
	return name, c.password(name)
}

func (c credentials) password(name string) string {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(name))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// participant returns whose credentials a name is of; ok is false when it is malformed or expired. Whether it was
// issued shows when the message's integrity is checked with its key.
func (c credentials) participant(name string) (participant string, ok bool) {
	expires, participant, found := strings.Cut(name, ":")
	at, err := strconv.ParseInt(expires, 10, 64)
	if !found || err != nil || participant == "" || at <= c.now().Unix() {
		return "", false
	}
	return participant, true
}

// authenticate implements turn.AuthHandler. pion calls it for each request, so that an allocation is neither made nor
// kept with credentials that have expired.
func (s *Server) authenticate(request *turn.RequestAttributes) (userID string, key []byte, ok bool) {
	participant, ok := s.credentials.participant(request.Username)
	if !ok || request.Realm != realm {
		s.stats.unauthorized.Add(1)
		return "", nil, false
	}
	return participant, turn.GenerateAuthKey(request.Username, realm, s.credentials.password(request.Username)), true
}

// Credentials are what a participant may use this server with, for Options.TTL.
func (s *Server) Credentials(participant wire.ParticipantID) wire.ICEServer {
	name, password := s.credentials.issue(participant)
	return wire.ICEServer{URLs: s.urls(), Username: name, Credential: password}
}
