package voice

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"confab/bots/provider/endpoint"
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
	Voice    string
	Speed    float64 // 1 = as the voice speaks; 0 = not sent
}

// A Speech turns text into sound by OpenAI's speech API, which servers of other makers speak too. Any number of
// goroutines may use it.
type Speech struct {
	endpoint *endpoint.Endpoint
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
	return &Speech{endpoint: endpoint.New(opts.Endpoint), opts: opts}
}

// Say returns text as an Ogg stream of Opus, as it comes. The caller closes it. Errors, of reading too:
// *provider.Error, or ctx's cause.
func (s *Speech) Say(ctx context.Context, text string) (io.ReadCloser, error) {
	body, err := json.Marshal(struct {
		Model  string  `json:"model"`
		Input  string  `json:"input"`
		Voice  string  `json:"voice"`
		Format string  `json:"response_format"`
		Speed  float64 `json:"speed,omitempty"`
	}{s.opts.Model, text, s.opts.Voice, "opus", s.opts.Speed})
	if err != nil {
		return nil, fmt.Errorf("voice: a text that cannot be written: %w", err)
	}
	return s.endpoint.Open(ctx, "application/json", body)
}
