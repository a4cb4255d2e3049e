package hearing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/textproto"
	"strings"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/resilient"
)

// The times of a transcription endpoint where nothing else is set. What comes later than that, the talk has gone on from.
const (
	connectWithin = 10 * time.Second
	firstWithin   = 15 * time.Second
	stallWithin   = 10 * time.Second
)

const (
	maxAnswer = 64 << 10 // bytes that are read of an answer
	maxText   = 2 << 10  // bytes of what is said in one segment: more than anybody can say in 15 s
)

// TranscriberOptions say what turns speech into text.
type TranscriberOptions struct {
	Endpoint endpoint.Options // URL is that of the request: .../audio/transcriptions
	Model    string
	Language string          // of what is said, ISO 639-1; empty = the model finds out
	Meter    resilient.Meter // nil = none
	Logger   *slog.Logger    // nil = slog.Default()
}

// A Transcriber turns speech into text by OpenAI's transcription API, which servers of other makers speak too. It asks again
// where that may help, and lets a server that fails rest. Any number of goroutines may use it.
type Transcriber struct {
	endpoint *endpoint.Endpoint
	patience *resilient.Provider
	opts     TranscriberOptions
}

// NewTranscriber returns a Transcriber. It opens no connection.
func NewTranscriber(opts TranscriberOptions) *Transcriber {
	times := &opts.Endpoint.Times
	for _, p := range []struct {
		of  *time.Duration
		def time.Duration
	}{{&times.Connect, connectWithin}, {&times.First, firstWithin}, {&times.Stall, stallWithin}} {
		if *p.of <= 0 {
			*p.of = p.def
		}
	}
	return &Transcriber{endpoint: endpoint.New(opts.Endpoint), opts: opts, patience: resilient.NewProvider(resilient.Options{
		Name: opts.Endpoint.Provider, First: times.First, Meter: opts.Meter, Logger: opts.Logger,
	})}
}

var errNoText = errors.New("the answer is not what the API says")

// Transcribe returns what is said in an Ogg stream of Opus, in one line; empty = nothing is. Errors: *provider.Error, or
// ctx's cause.
func (t *Transcriber) Transcribe(ctx context.Context, sound []byte) (text string, err error) {
	contentType, body, err := t.form(sound)
	if err != nil {
		return "", fmt.Errorf("hearing: a form that cannot be written: %w", err)
	}
	_, err = t.patience.Do(ctx, func(ctx context.Context, began func()) (provider.Usage, error) {
		if text, err = t.once(ctx, contentType, body); err == nil {
			began() // it comes all at once
		}
		return provider.Usage{}, err
	})
	return text, err
}

func (t *Transcriber) once(ctx context.Context, contentType string, body []byte) (string, error) {
	answer, err := t.endpoint.Open(ctx, contentType, body)
	if err != nil {
		return "", err
	}
	defer answer.Close()
	data, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil {
		return "", err
	}
	var said struct {
		Text *string `json:"text"`
	}
	if json.Unmarshal(data, &said) != nil || said.Text == nil {
		return "", &provider.Error{Code: provider.Broken, Provider: t.opts.Endpoint.Provider, Status: 200, Err: errNoText}
	}
	return line(*said.Text), nil
}

// form is the request (RFC 7578).
func (t *Transcriber) form(sound []byte) (contentType string, body []byte, err error) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for _, field := range [][2]string{{"model", t.opts.Model}, {"response_format", "json"}, {"language", t.opts.Language}} {
		if field[1] == "" {
			continue
		}
		if err := w.WriteField(field[0], field[1]); err != nil {
			return "", nil, err
		}
	}
	part, err := w.CreatePart(textproto.MIMEHeader{ // by its name, servers know what it is
		"Content-Disposition": {`form-data; name="file"; filename="speech.ogg"`}, "Content-Type": {"audio/ogg"},
	})
	if err != nil {
		return "", nil, err
	}
	if _, err := part.Write(sound); err != nil {
		return "", nil, err
	}
	err = w.Close()
	return w.FormDataContentType(), out.Bytes(), err
}

// line makes one line of text, of at most maxText bytes.
func line(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}
