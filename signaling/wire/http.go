package wire

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// HTTPStatus is the status of an answer over HTTP with this code (RFC 9110 section 15, RFC 6585 section 4).
func (c ErrorCode) HTTPStatus() int {
	switch c {
	case CodeBadMessage, CodeUnknownType:
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden, CodeNotJoined, CodeRoomLocked:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeRateLimited:
		return http.StatusTooManyRequests
	case CodeConflict, CodeCancelled:
		return http.StatusConflict
	case CodeRoomFull, CodeUnavailable:
		return http.StatusServiceUnavailable
	case CodeTimeout:
		return http.StatusGatewayTimeout
	case CodeBotFailed:
		return http.StatusBadGateway
	case CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// WriteProblem answers an HTTP request with {error:{code,message}}, with the headers that the problem and the status
// ask for. A status of 0 is that of the code. The cause is not sent.
func WriteProblem(w http.ResponseWriter, status int, problem *Error) {
	if status == 0 {
		status = problem.Code.HTTPStatus()
	}
	h := w.Header()
	if problem.RetryAfter > 0 { // in whole seconds, RFC 9110 section 10.2.3
		h.Set("Retry-After", strconv.Itoa(int((problem.RetryAfter+time.Second-1)/time.Second)))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer") // RFC 6750 section 3
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	type body struct {
		Code    ErrorCode `json:"code"`
		Message string    `json:"message"`
	}
	_ = json.NewEncoder(w).Encode(map[string]body{"error": {problem.Code, problem.Text}}) // the client may be gone
}
