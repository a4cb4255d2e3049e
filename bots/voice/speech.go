package voice

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/resilient"
)

// The times of a speech endpoint where nothing else is set: people wait for it with an answer before their eyes.
const (
	speechConnect = 10 * time.Second
	speechFirst   = 15 * time.Second
	speechStall   = 10 * time.Second
)

// SpeechOptions say what turns text into sound.
type SpeechOptions struct {
	Endpoint endpoint.Options // URL is that of the request: .../audio/speech
	Model    string
	Voice    string  // where a bot has none of its own
	Speed    float64 // 1 = as the voice speaks; 0 = not sent
	Meter    resilient.Meter
	Logger   *slog.Logger // nil = slog.Default()
}

// A Speech turns text into sound by OpenAI's speech API, which servers of other makers speak too. It asks again what may
// succeed a little later, and lets a server rest that fails too often (package resilient). Any number of goroutines may
// use it.
type Speech struct {
	endpoint *endpoint.Endpoint
	asked    *resilient.Provider
	opts     SpeechOptions
}

// NewSpeech returns a Speech. It opens no connection.
func NewSpeech(opts SpeechOptions) *Speech {
	times := &opts.Endpoint.Times
	for _, p := range []struct {
		of  *time.Duration
		def time.Duration
	}{{&times.Connect, speechConnect}, {&times.First, speechFirst}, {&times.Stall, speechStall}} {
		if *p.of <= 0 {
			*p.of = p.def
		}
	}
	return &Speech{
		endpoint: endpoint.New(opts.Endpoint), opts: opts,
		asked: resilient.NewProvider(resilient.Options{
			Name: opts.Endpoint.Provider, First: times.First, Meter: opts.Meter, Logger: opts.Logger,
		}),
	}
}

// Say turns text into an Ogg stream of Opus, spoken by a voice, empty for the usual one, and has take read it as it comes.
// take may be called again as long as nothing came. Errors: *provider.Error, which wraps an error of take's, or ctx's
// cause.
func (s *Speech) Say(ctx context.Context, voice, text string, take func(io.Reader) error) error {
	if voice == "" {
		voice = s.opts.Voice
	}
	request, err := json.Marshal(struct {
		Model  string  `json:"model"`
		Input  string  `json:"input"`
		Voice  string  `json:"voice"`
		Format string  `json:"response_format"`
		Speed  float64 `json:"speed,omitempty"`
	}{s.opts.Model, text, voice, "opus", s.opts.Speed})
	if err != nil {
		return fmt.Errorf("voice: a text that cannot be written: %w", err)
	}
	_, err = s.asked.Do(ctx, func(ctx context.Context, began func()) (provider.Usage, error) {
		return provider.Usage{}, s.once(ctx, request, began, take)
	})
	return err
}

// once makes one request.
func (s *Speech) once(ctx context.Context, request []byte, began func(), take func(io.Reader) error) error {
	sound, err := s.endpoint.Open(ctx, "application/json", request)
	if err != nil {
		return err
	}
	defer sound.Close()
	err = take(beginning{sound, began})
	if _, known := errors.AsType[*provider.Error](err); err != nil && !known && ctx.Err() == nil {
		return &provider.Error{Code: provider.Broken, Provider: s.opts.Endpoint.Provider, Err: err} // it is no sound, or too much
	}
	return err
}

// A beginning tells of what is read that there is something.
type beginning struct {
	io.Reader
	began func()
}

// Read implements io.Reader.
func (b beginning) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if n > 0 {
		b.began()
	}
	return n, err
}
