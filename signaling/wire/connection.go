package wire

// Auth opens a session. Nothing else is accepted before it.
type Auth struct {
	Token  string `json:"token"`            // a JWT
	Ticket string `json:"ticket,omitempty"` // resumes an earlier session; a stale one is no error
	Client string `json:"client,omitempty"` // what the client is, for the server's log, at most 128 bytes
}

// Connected is always the first frame after auth.
type Connected struct {
	Session     ParticipantID `json:"session"`
	Ticket      string        `json:"ticket"`
	User        User          `json:"user"`
	Resumed     bool          `json:"resumed"`
	HeartbeatMS int64         `json:"heartbeatMs"`
	Deprecated  bool          `json:"deprecated,omitempty"` // authenticated the old way, by a token in the URL
	ExpiresAt   int64         `json:"expiresAt,omitempty"`  // of the token, Unix time in milliseconds
	Limits      Limits        `json:"limits"`
}

// User is who a session belongs to.
type User struct {
	ID   UserID `json:"id"`
	Name string `json:"name"`
}

// Limits are those of this server.
type Limits struct {
	MessageBytes  int `json:"messageBytes"`  // of one frame from the client, after decompression
	RatePerSecond int `json:"ratePerSecond"` // messages a second for this session; 0 = none
	History       int `json:"history"`       // messages of a room's window
}

// Ping keeps a connection alive; the answer is Pong.
type Ping struct{}

// Pong answers Ping.
type Pong struct{}

// Refresh brings a new token on a live connection.
type Refresh struct {
	Token string `json:"token"`
}

// Ack says that the request with this id took effect.
type Ack struct {
	Seq        Seq    `json:"seq,omitempty"`        // of what was logged
	Duplicate  bool   `json:"duplicate,omitempty"`  // it had taken effect before; seq is the first one's
	Durability string `json:"durability,omitempty"` // how it is stored: "file" (in the log's file) or "fsync"
	Run        RunID  `json:"run,omitempty"`        // of an ai-request: the answer that has begun, or is queued
}

// ErrorBody says that the request with this id did not take effect.
type ErrorBody struct {
	Code         ErrorCode `json:"code"`
	Message      string    `json:"message"`
	Retryable    bool      `json:"retryable"`
	RetryAfterMS int64     `json:"retryAfterMs,omitempty"`
}

// ServerStatus is the server's state as the people in it see it.
type ServerStatus string

// The states of the server.
const (
	Draining ServerStatus = "draining"
	Degraded ServerStatus = "degraded"
	OK       ServerStatus = "ok"
)

// SystemStatus is a notice for the person and the client.
type SystemStatus struct {
	Status           ServerStatus `json:"status"`
	Message          string       `json:"message"`
	ReconnectAfterMS int64        `json:"reconnectAfterMs,omitempty"`
}

// Kind implements ClientMessage.
func (Auth) Kind() Kind { return KindAuth }

// Kind implements ClientMessage.
func (Ping) Kind() Kind { return KindPing }

// Kind implements ClientMessage.
func (Refresh) Kind() Kind { return KindRefresh }

// Kind implements ServerMessage.
func (Connected) Kind() Kind { return KindConnected }

// Kind implements ServerMessage.
func (Pong) Kind() Kind { return KindPong }

// Kind implements ServerMessage.
func (Ack) Kind() Kind { return KindAck }

// Kind implements ServerMessage.
func (ErrorBody) Kind() Kind { return KindError }

// Kind implements ServerMessage.
func (SystemStatus) Kind() Kind { return KindSystemStatus }

func (Connected) serverMessage()    {}
func (Pong) serverMessage()         {}
func (Ack) serverMessage()          {}
func (ErrorBody) serverMessage()    {}
func (SystemStatus) serverMessage() {}

// Validate implements ClientMessage.
func (m Auth) Validate() error {
	if m.Token == "" {
		return Errorf(CodeUnauthorized, "auth needs a token")
	}
	if len(m.Client) > 128 {
		return Errorf(CodeBadMessage, "client is longer than 128 bytes")
	}
	return nil
}

// Validate implements ClientMessage.
func (Ping) Validate() error { return nil }

// Validate implements ClientMessage.
func (m Refresh) Validate() error {
	if m.Token == "" {
		return Errorf(CodeUnauthorized, "refresh needs a token")
	}
	return nil
}
