package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"confab/bots/provider"
)

// maxRetryAfter bounds what is believed of Retry-After.
const maxRetryAfter = time.Hour

// maxWord bounds the words of a server's that are repeated in an error.
const maxWord = 64

// A Failure is what a server says of an error, in an answer's body or in its stream. It is an error that a Decoder
// returns. Its message is looked at and never repeated.
type Failure struct {
	Type    string
	Code    string
	Param   string
	Message string
}

// Error implements error, without the message.
func (f *Failure) Error() string { return strings.Join(f.words(), ", ") }

// words are what can be repeated of f: identifiers.
func (f *Failure) words() []string {
	var words []string
	for _, word := range []string{f.Code, f.Type, f.Param} {
		if isWord(word) {
			words = append(words, word)
		}
	}
	return words
}

func isWord(text string) bool {
	return text != "" && len(text) <= maxWord && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.[]", r)
	})
}

// UnmarshalJSON takes the forms that servers have: {"error": {...}}, {"error": "..."}, the object by itself, and codes
// that are numbers. What it does not know leaves f empty.
func (f *Failure) UnmarshalJSON(text []byte) error {
	var object struct {
		Error   json.RawMessage `json:"error"`
		Type    json.RawMessage `json:"type"`
		Code    json.RawMessage `json:"code"`
		Param   json.RawMessage `json:"param"`
		Message json.RawMessage `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	*f = Failure{}
	if err := json.Unmarshal(text, &object); err != nil {
		f.Message = word(text)
		return nil
	}
	switch inner := object.Error; {
	case len(inner) > 0 && inner[0] == '{':
		if err := json.Unmarshal(inner, &object); err != nil { // what stands within wins
			return err // it cannot: the scanner has read it
		}
	case len(inner) > 0 && inner[0] == '"':
		object.Message = inner
	}
	*f = Failure{Type: word(object.Type), Code: word(object.Code), Param: word(object.Param), Message: word(object.Message)}
	if f.Message == "" {
		f.Message = word(object.Detail)
	}
	return nil
}

// word is a JSON string's text, or a number as it stands.
func word(text json.RawMessage) string {
	var s string
	if json.Unmarshal(text, &s) == nil {
		return s
	}
	if len(text) > 0 && (text[0] == '-' || text[0] >= '0' && text[0] <= '9') {
		return string(text)
	}
	return ""
}

// tooLong are how servers say that a conversation is larger than the model's window: codes, and parts of messages.
var tooLong = []string{
	"context_length_exceeded", "exceed_context_size", "model_context_window_exceeded", // OpenAI and vLLM, llama.cpp, Anthropic
	"maximum context length", "prompt is too long", "exceed context limit", "exceeds the available context size",
	"exceeds the context window",
}

// ofWords are the words for an error's kind, of all APIs together.
var ofWords = map[string]provider.Code{
	"invalid_api_key":           provider.Unauthorized,
	"authentication_error":      provider.Unauthorized,
	"permission_error":          provider.Unauthorized,
	"billing_error":             provider.Unauthorized,
	"insufficient_quota":        provider.Unauthorized, // asking less often does not help: nobody paid
	"rate_limit_error":          provider.RateLimited,
	"rate_limit_exceeded":       provider.RateLimited,
	"invalid_request_error":     provider.BadRequest,
	"invalid_prompt":            provider.BadRequest,
	"not_found_error":           provider.BadRequest,
	"model_not_found":           provider.BadRequest,
	"request_too_large":         provider.ContextTooLong,
	"overloaded_error":          provider.Unavailable,
	"api_error":                 provider.Unavailable,
	"server_error":              provider.Unavailable,
	"timeout_error":             provider.Unavailable,
	"internal_server_error":     provider.Unavailable,
	"service_unavailable_error": provider.Unavailable,
}

// code is what a failure means; status is 200 for one within a stream.
func (f *Failure) code(status int) provider.Code {
	for _, sign := range tooLong {
		if strings.Contains(f.Code+" "+f.Type+" "+strings.ToLower(f.Message), sign) {
			return provider.ContextTooLong
		}
	}
	if f.Code == "insufficient_quota" || f.Type == "insufficient_quota" {
		return provider.Unauthorized
	}
	if status >= 300 {
		return ofStatus(status)
	}
	for _, word := range []string{f.Code, f.Type} {
		if code, known := ofWords[word]; known {
			return code
		}
	}
	if n, err := strconv.Atoi(f.Code); err == nil && n >= 400 && n < 600 { // some put a status there
		return ofStatus(n)
	}
	return provider.Unavailable
}

// ofStatus is what a status of HTTP means (RFC 9110 section 15, RFC 6585 section 4, and 529 for Anthropic's "overloaded").
func ofStatus(status int) provider.Code {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusPaymentRequired,
		status == http.StatusProxyAuthRequired:
		return provider.Unauthorized
	case status == http.StatusTooManyRequests:
		return provider.RateLimited
	case status == http.StatusRequestEntityTooLarge:
		return provider.ContextTooLong
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly, status >= 500:
		return provider.Unavailable
	}
	return provider.BadRequest
}

// refused is the error of an answer that is no 200.
func (e *Endpoint) refused(ctx context.Context, resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxErrorBody))
	if err != nil && ctx.Err() != nil {
		return failure(ctx, provider.Unavailable, resp.StatusCode, err)
	}
	var f Failure
	if json.Unmarshal(body, &f) != nil { // no JSON, or more than is read
		f.Message = string(body)
	}
	return &provider.Error{
		Code:       f.code(resp.StatusCode),
		Status:     resp.StatusCode,
		RetryAfter: retryAfter(resp.Header, time.Now()),
		Err:        e.told(&f, resp.StatusCode),
	}
}

// reported is the error of a Failure within a stream.
func (e *Endpoint) reported(f *Failure) error {
	return &provider.Error{Code: f.code(http.StatusOK), Status: http.StatusOK, Err: e.told(f, http.StatusOK)}
}

// told is what an error may say of f: its words, without the key, and what helps.
func (e *Endpoint) told(f *Failure, status int) error {
	words := f.words()
	if key := e.key.Reveal(); key != "" {
		for i, word := range words {
			if strings.Contains(word, key) || strings.Contains(key, word) && len(word) >= 8 {
				words[i] = "***"
			}
		}
	}
	switch {
	case status >= 300 && status < 400:
		words = append(words, "redirects are not followed; set url to the address it leads to")
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		words = append(words, "the url or the model is not known there")
	}
	if len(words) == 0 {
		return nil
	}
	return errors.New(strings.Join(words, ", "))
}

// retryAfter reads when a server may be asked again (RFC 9110 section 10.2.3: seconds or a date; OpenAI also says
// milliseconds).
func retryAfter(h http.Header, now time.Time) time.Duration {
	bounded := func(d time.Duration) time.Duration { return min(max(d, 0), maxRetryAfter) }
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil && ms >= 0 && ms < 1e9 {
		return bounded(time.Duration(ms * float64(time.Millisecond)))
	}
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 {
		return bounded(time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second)))
	}
	if at, err := http.ParseTime(text); err == nil {
		return bounded(at.Sub(now))
	}
	return 0
}

// failure is the error of a request or a stream that broke: the watch's, where that ended it.
func failure(ctx context.Context, code provider.Code, status int, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		late, ok := errors.AsType[*lateError](cause)
		if !ok {
			return cause
		}
		return &provider.Error{Code: late.code, Status: status, Err: late}
	}
	return &provider.Error{Code: code, Status: status, Err: harmless(err)}
}

// harmless is what can be told of an error of net/http: it may hold the URL, which may hold what is secret.
func harmless(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}

// parentAlive reports whether nobody but the watch ended a request.
func parentAlive(ctx context.Context) bool {
	cause := context.Cause(ctx)
	_, late := errors.AsType[*lateError](cause)
	return cause == nil || late
}

// ErrUnreadable is the error of an event that is no JSON of the expected shape. It says nothing of what stands there.
var ErrUnreadable = errors.New("an event is not what the API says")

// Decode reads an event's data. Errors: ErrUnreadable.
func Decode(event []byte, into any) error {
	if json.Unmarshal(event, into) != nil {
		return ErrUnreadable
	}
	return nil
}
