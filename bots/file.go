package bots

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strings"

	"confab/bots/hearing"
	"confab/bots/provider/catalog"
	"confab/bots/provider/resilient"
	"confab/bots/tool/mcp"
	"confab/bots/voice"
)

// maxFile bounds the file of bots, in bytes.
const maxFile = 1 << 20

// A File is the operator's own bots: who they are, what answers for them and what they can use. It takes the place of
// the default bots; without bots of its own it keeps them.
type File struct {
	Providers map[string]catalog.Settings `yaml:"providers"`
	MCP       map[string]mcp.Settings     `yaml:"mcp"` // servers of tools, which personas name server__tool or server__*
	Bots      []Persona                   `yaml:"bots"`
	// Profiles is a URL that says what is known of a user, in which {user} stands for them; empty = nothing is.
	Profiles string `yaml:"profiles"`
	// Speech makes sound of what bots say in calls; nil = none of them has a voice.
	Speech *Speech `yaml:"speech"`
	// Hearing writes down what people say in calls; nil = no bot hears it.
	Hearing *Hearing `yaml:"hearing"`
}

// A Speech is an endpoint of OpenAI's speech API, which others speak too, as it stands in the file.
type Speech struct {
	URL      string           `yaml:"url"`   // base of the API, such as http://localhost:8880/v1; empty = OpenAI's own
	Model    string           `yaml:"model"` // as the server names it
	Voice    string           `yaml:"voice"` // the same, of bots that name none of their own
	KeyEnv   string           `yaml:"keyEnv"`
	KeyFile  string           `yaml:"keyFile"`
	Speed    float64          `yaml:"speed"`    // 0.25 to 4; 0 = as the voice speaks
	Timeouts catalog.Timeouts `yaml:"timeouts"` // 0 = 10 s to connect, 15 s to begin, 10 s from piece to piece
}

// speechName is what the speech endpoint is called in errors.
const speechName = "speech"

func (s *Speech) settings() catalog.Settings {
	return catalog.Settings{
		API: catalog.OpenAI, URL: s.URL, Model: s.Model, KeyEnv: s.KeyEnv, KeyFile: s.KeyFile, Timeouts: s.Timeouts,
	}
}

func (s *Speech) check() error {
	problems := []error{catalog.Check(map[string]catalog.Settings{speechName: s.settings()})}
	if s.Voice == "" || len(s.Voice) > maxVoice {
		problems = append(problems, fmt.Errorf("speech: voice: name one as the server does, in up to %d bytes", maxVoice))
	}
	if s.Speed != 0 && !(s.Speed >= 0.25 && s.Speed <= 4) {
		problems = append(problems, errors.New("speech: speed: it is not within 0.25 and 4"))
	}
	return errors.Join(problems...)
}

// maxVoice bounds the name of a voice, in bytes.
const maxVoice = 128

// Open makes what speaks, and tells meter, which may be nil, of its requests. It opens no connection. The error is that of
// the key.
func (s *Speech) Open(meter resilient.Meter, log *slog.Logger) (*voice.Speech, error) {
	at, err := catalog.At(speechName, s.settings(), catalog.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	at.URL = strings.TrimRight(at.URL, "/") + "/audio/speech"
	return voice.NewSpeech(voice.SpeechOptions{
		Endpoint: at, Model: s.Model, Voice: s.Voice, Speed: s.Speed, Meter: meter, Logger: log,
	}), nil
}

// A Hearing is an endpoint of OpenAI's transcription API, which others speak too, as it stands in the file.
type Hearing struct {
	URL      string           `yaml:"url"`   // base of the API, such as http://localhost:8000/v1; empty = OpenAI's own
	Model    string           `yaml:"model"` // as the server names it
	KeyEnv   string           `yaml:"keyEnv"`
	KeyFile  string           `yaml:"keyFile"`
	Language string           `yaml:"language"` // of what is said, such as en; empty = the model finds out
	Timeouts catalog.Timeouts `yaml:"timeouts"` // 0 = 10 s to connect, 15 s to the text with all that is asked again
}

// hearingName is what the transcription endpoint is called in errors and metrics.
const hearingName = "hearing"

// language is how one is written (ISO 639-1, or 639-3 where there is none).
var language = regexp.MustCompile(`^[a-z]{2,3}$`)

func (s *Hearing) settings() catalog.Settings {
	return catalog.Settings{
		API: catalog.OpenAI, URL: s.URL, Model: s.Model, KeyEnv: s.KeyEnv, KeyFile: s.KeyFile, Timeouts: s.Timeouts,
	}
}

func (s *Hearing) check() error {
	problems := []error{catalog.Check(map[string]catalog.Settings{hearingName: s.settings()})}
	if s.Language != "" && !language.MatchString(s.Language) {
		problems = append(problems, errors.New("hearing: language: write its code, such as en, or leave it out"))
	}
	return errors.Join(problems...)
}

// Open makes what writes down. It opens no connection. The error is that of the key.
func (s *Hearing) Open(meter resilient.Meter, log *slog.Logger) (*hearing.Transcriber, error) {
	at, err := catalog.At(hearingName, s.settings(), catalog.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	at.URL = strings.TrimRight(at.URL, "/") + "/audio/transcriptions"
	return hearing.NewTranscriber(hearing.TranscriberOptions{
		Endpoint: at, Model: s.Model, Language: s.Language, Meter: meter, Logger: log,
	}), nil
}

// ReadFile reads and checks a file of bots. The error joins all that is wrong, each with what to write instead.
func ReadFile(path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseFile(data)
}

// ParseFile is ReadFile of what stands in one.
func ParseFile(data []byte) (*File, error) {
	f := &File{}
	if err := decodeStrictly(data, f); err != nil {
		return nil, err
	}
	if len(f.Bots) == 0 {
		f.Bots = DefaultPersonas()
	}
	problems := []error{catalog.Check(f.Providers), mcp.Check(f.MCP), CheckPersonas(f.Bots)}
	for _, p := range f.Bots {
		if _, known := f.Providers[p.Provider]; p.Provider != "" && !known {
			problems = append(problems, fmt.Errorf("bot %q: there is no provider %q; name one of the file's, or none for the built-in engine", p.ID, p.Provider))
		}
	}
	for _, p := range f.Bots {
		for _, server := range p.servers() {
			if _, known := f.MCP[server]; !known {
				problems = append(problems, fmt.Errorf("bot %q: there is no MCP server %q; name one of the file's", p.ID, server))
			}
		}
	}
	if f.Speech != nil {
		problems = append(problems, f.Speech.check())
	}
	if f.Hearing != nil {
		problems = append(problems, f.Hearing.check())
	}
	for _, p := range f.Bots {
		if p.Voice != "" && f.Speech == nil {
			problems = append(problems, fmt.Errorf("bot %q: it has a voice, but nothing speaks: add speech to the file", p.ID))
		}
	}
	if f.Profiles != "" {
		if u, err := url.Parse(f.Profiles); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			problems = append(problems, errors.New("profiles: it is no URL; write https://example.org/users/{user}"))
		}
	}
	return f, errors.Join(problems...)
}
