package signaling

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"confab/signaling/wire"
)

const (
	ticketVersion = 2
	ticketMaxAge  = 24 * time.Hour // between two lives of a server; within one life the session decides
	sessionIDLen  = 16             // characters of lower-case base32: 80 random bits
	ticketHead    = 1 + 8 + 8 + 8 + sessionIDLen
	ticketMAC     = sha256.Size
)

// errTicket says nothing of why: whoever presents a bad ticket simply gets a new session.
var errTicket = errors.New("signaling: ticket is damaged")

var sessionIDEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newSessionID returns a random id. It names the session to everyone; the ticket is the secret.
func newSessionID() wire.ParticipantID {
	var raw [sessionIDLen * 5 / 8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	return wire.ParticipantID(sessionIDEncoding.EncodeToString(raw[:]))
}

// A ticket is what a client shows to get its session back.
type ticket struct {
	incarnation uint64 // of the process that issued it
	serial      uint64 // of the connection it was given to: of two with one session the larger is the newer
	issued      time.Time
	session     wire.ParticipantID // sessionIDLen characters
	user        wire.UserID
}

// sign makes the text of a ticket: version, incarnation, serial, seconds since 1970, session, user, and the
// HMAC-SHA256 of all that, as unpadded base64url.
func (t ticket) sign(key []byte) string {
	raw := make([]byte, 0, ticketHead+len(t.user)+ticketMAC)
	raw = append(raw, ticketVersion)
	raw = binary.BigEndian.AppendUint64(raw, t.incarnation)
	raw = binary.BigEndian.AppendUint64(raw, t.serial)
	raw = binary.BigEndian.AppendUint64(raw, uint64(t.issued.Unix()))
	raw = append(raw, t.session...)
	raw = append(raw, t.user...)
	mac := hmac.New(sha256.New, key)
	mac.Write(raw)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(raw))
}

// parseTicket reads what sign made. Errors: errTicket for everything else.
func parseTicket(text string, key []byte) (ticket, error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < ticketHead+ticketMAC || raw[0] != ticketVersion {
		return ticket{}, errTicket
	}
	body, sum := raw[:len(raw)-ticketMAC], raw[len(raw)-ticketMAC:]
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), sum) {
		return ticket{}, errTicket
	}
	return ticket{
		incarnation: binary.BigEndian.Uint64(body[1:]),
		serial:      binary.BigEndian.Uint64(body[9:]),
		issued:      time.Unix(int64(binary.BigEndian.Uint64(body[17:])), 0),
		session:     wire.ParticipantID(body[25:ticketHead]),
		user:        wire.UserID(body[ticketHead:]),
	}, nil
}
