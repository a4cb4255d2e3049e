package wire

import (
	"errors"
	"fmt"
	"time"
)

// ErrorCode is why a request did not take effect. The set is closed.
type ErrorCode string

// The error codes.
const (
	CodeBadMessage   ErrorCode = "bad-message"  // malformed envelope, bad name, wrong type of a field
	CodeUnknownType  ErrorCode = "unknown-type" // no such type of message
	CodeUnauthorized ErrorCode = "unauthorized" // the token is not good
	CodeForbidden    ErrorCode = "forbidden"    // role, grant, ban or authorship does not allow it
	CodeNotJoined    ErrorCode = "not-joined"   // join the room first
	CodeNotFound     ErrorCode = "not-found"    // no such message, participant, room or bot
	CodeTooLarge     ErrorCode = "too-large"
	CodeRateLimited  ErrorCode = "rate-limited"
	CodeConflict     ErrorCode = "conflict" // it contradicts what is already so
	CodeRoomFull     ErrorCode = "room-full"
	CodeRoomLocked   ErrorCode = "room-locked"
	CodeUnavailable  ErrorCode = "unavailable" // a part of the server does not answer; try again
	CodeTimeout      ErrorCode = "timeout"
	CodeCancelled    ErrorCode = "cancelled"
	CodeBotFailed    ErrorCode = "bot-failed"
	CodeInternal     ErrorCode = "internal"
)

// ErrorCodes lists the closed set.
var ErrorCodes = []ErrorCode{
	CodeBadMessage, CodeUnknownType, CodeUnauthorized, CodeForbidden, CodeNotJoined, CodeNotFound, CodeTooLarge,
	CodeRateLimited, CodeConflict, CodeRoomFull, CodeRoomLocked, CodeUnavailable, CodeTimeout, CodeCancelled,
	CodeBotFailed, CodeInternal,
}

// Retryable reports whether the same request may succeed later without a change.
func (c ErrorCode) Retryable() bool {
	switch c {
	case CodeRateLimited, CodeUnavailable, CodeTimeout, CodeRoomFull, CodeInternal:
		return true
	default:
		return false
	}
}

// An Error is the only kind of error that crosses the socket.
type Error struct {
	Code       ErrorCode
	Text       string        // for the person or the developer: what is wrong and what to do
	RetryAfter time.Duration // 0 = unknown
	Err        error         // the cause, for the log only; never sent
}

// Errorf makes an Error with a formatted text.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	if e.Err != nil {
		return string(e.Code) + ": " + e.Text + ": " + e.Err.Error()
	}
	return string(e.Code) + ": " + e.Text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Body is the error as it crosses the socket.
func (e *Error) Body() *ErrorBody {
	wait := e.RetryAfter + time.Millisecond - 1 // rounded up: 0 would be unknown
	return &ErrorBody{Code: e.Code, Message: e.Text, Retryable: e.Code.Retryable(), RetryAfterMS: wait.Milliseconds()}
}

// AsError returns err as it may cross the socket: itself when it is an *Error, else CodeInternal with err
// as the cause. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: CodeInternal, Text: "something went wrong on the server; try again", Err: err}
}

// CloseCode is a WebSocket close code (RFC 6455 section 7.4). Its number alone tells a client what to do.
type CloseCode int

// The close codes that the server sends or knows.
const (
	CloseNormal         CloseCode = 1000 // the client is done: it leaves its rooms at once
	CloseGoingAway      CloseCode = 1001 // the same, a page that is closed
	CloseProtocolError  CloseCode = 1002
	CloseUnsupported    CloseCode = 1003 // a binary frame
	CloseInvalidPayload CloseCode = 1007 // not UTF-8
	ClosePolicy         CloseCode = 1008 // not authenticated in time, or not at all
	CloseTooBig         CloseCode = 1009
	CloseInternalError  CloseCode = 1011
	CloseServiceRestart CloseCode = 1012
	CloseTryAgainLater  CloseCode = 1013
	CloseTokenExpired   CloseCode = 4001
	CloseSilent         CloseCode = 4008
	CloseTooSlow        CloseCode = 4009 // resume from the cursor
	CloseReplaced       CloseCode = 4010 // by a newer connection of the same session
	CloseKicked         CloseCode = 4500
	CloseBanned         CloseCode = 4501
	CloseRoomEnded      CloseCode = 4502
	CloseTooManyErrors  CloseCode = 4503
)

// CloseCodes lists the codes with their meaning, for the generated reference.
var CloseCodes = []struct {
	Code    CloseCode
	Meaning string
}{
	{CloseNormal, "the client is done and leaves its rooms at once"},
	{CloseGoingAway, "the page is closed; as 1000 from a client, reconnect from a server"},
	{CloseProtocolError, "protocol error"},
	{CloseUnsupported, "a binary frame"},
	{CloseInvalidPayload, "not UTF-8"},
	{ClosePolicy, "not authenticated, or not in time"},
	{CloseTooBig, "frame over the limit"},
	{CloseInternalError, "the server failed"},
	{CloseServiceRestart, "the server restarts"},
	{CloseTryAgainLater, "too many connections; try again later"},
	{CloseTokenExpired, "the token expired and was not refreshed"},
	{CloseSilent, "nothing heard for two heartbeats"},
	{CloseTooSlow, "too much waiting for this client; resume from the cursor"},
	{CloseReplaced, "replaced by a newer connection of the same session"},
	{CloseKicked, "kicked from the last room"},
	{CloseBanned, "banned from the last room"},
	{CloseRoomEnded, "the last room was ended"},
	{CloseTooManyErrors, "too many errors"},
}

// Reconnect reports whether a client should come back by itself after this code.
func (c CloseCode) Reconnect() bool {
	switch {
	case c == CloseReplaced:
		return false // the newer connection has the session
	case c >= 4000 && c < 4500:
		return true
	}
	switch c {
	case CloseGoingAway, 1006, CloseInternalError, CloseServiceRestart, CloseTryAgainLater:
		return true
	default:
		return false
	}
}
