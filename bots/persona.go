package bots

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"confab/bots/address"
	"confab/signaling/wire"
)

// A Persona is one bot of this server.
type Persona struct {
	ID           wire.BotID    `yaml:"id"` // as it is mentioned: @id
	Name         string        `yaml:"name"`
	Avatar       string        `yaml:"avatar"` // an emoji
	Description  string        `yaml:"description"`
	Instructions string        `yaml:"instructions"` // for a model
	Provider     string        `yaml:"provider"`     // by its name in the file; empty = the built-in engine
	Skills       []string      `yaml:"skills"`       // of the built-in engine, which answers too when the provider cannot
	Tools        []string      `yaml:"tools"`        // by name; server__* = all of an MCP server
	Trust        []string      `yaml:"trust"`        // tools that write and need nobody's approval
	Aliases      []string      `yaml:"aliases"`
	Ways         []string      `yaml:"ways"` // mention, name, reply, follow-up; absent = all
	Prompts      []string      `yaml:"prompts"`
	Voice        string        `yaml:"voice"` // as the speech endpoint names it; empty = the file's
	Limits       PersonaLimits `yaml:"limits"`
}

// PersonaLimits bound what a bot may be asked. 0 = as below.
type PersonaLimits struct {
	RequestsPerMinute int `yaml:"requestsPerMinute"` // by one user; 0 = 20
	Concurrent        int `yaml:"concurrent"`        // answers at a time in one room; 0 = 3
	Queue             int `yaml:"queue"`             // questions that wait in one room; 0 = 8
	TokensPerDay      int `yaml:"tokensPerDay"`      // of one room, in and out; 0 = no bound
	UserTokensPerDay  int `yaml:"userTokensPerDay"`  // of one user in one room; 0 = no bound
	MaxTokens         int `yaml:"maxTokens"`         // of one answer; 0 = the model's own bound
	ContextTokens     int `yaml:"contextTokens"`     // of what is said to a model of the conversation; 0 = 4,000
}

const (
	maxPersonas       = 64
	maxInstructions   = 32 << 10
	defaultPerMinute  = 20
	defaultConcurrent = 3
	defaultQueue      = 8
	defaultContext    = 4000
)

//go:embed personas.yaml
var defaultPersonas []byte

// DefaultPersonas are the bots of a server without a file of its own. They answer without a model.
func DefaultPersonas() []Persona {
	var file struct {
		Bots []Persona `yaml:"bots"`
	}
	if err := decodeStrictly(defaultPersonas, &file); err != nil {
		panic("bots: the default personas: " + err.Error()) // a file of ours
	}
	return file.Bots
}

// decodeStrictly reads YAML in which nothing may stand that v does not know.
func decodeStrictly(data []byte, v any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// CheckPersonas reports what is wrong with personas, each problem with what to do.
func CheckPersonas(all []Persona) error {
	if len(all) > maxPersonas {
		return fmt.Errorf("%d bots; at most %d", len(all), maxPersonas)
	}
	taken := map[string]wire.BotID{}
	var problems []error
	for i, p := range all {
		if err := p.check(); err != nil {
			problems = append(problems, fmt.Errorf("bot %d (%q): %w", i+1, p.ID, err))
			continue
		}
		for _, name := range append([]string{string(p.ID), p.Name}, p.Aliases...) {
			name = strings.ToLower(name)
			if other, ok := taken[name]; ok && other != p.ID {
				problems = append(problems, fmt.Errorf("bot %q: %q is a name of %q too; names must differ", p.ID, name, other))
			}
			taken[name] = p.ID
		}
	}
	return errors.Join(problems...)
}

func (p Persona) check() error {
	switch {
	case !wire.ValidName(string(p.ID)):
		return fmt.Errorf("id is 1 to %d of a-z 0-9 - _", wire.MaxNameLength)
	case strings.TrimSpace(p.Name) == "" || len([]rune(p.Name)) > wire.MaxDisplayName || strings.ContainsAny(p.Name, "\r\n"):
		return fmt.Errorf("name is one line of 1 to %d characters", wire.MaxDisplayName)
	case strings.TrimSpace(p.Description) == "":
		return errors.New("description says in a sentence what the bot does; people see it before they let it in")
	case len(p.Instructions) > maxInstructions:
		return fmt.Errorf("instructions of more than %d bytes", maxInstructions)
	case len(p.Voice) > maxVoice:
		return fmt.Errorf("voice: name one as the speech server does, in up to %d bytes", maxVoice)
	case p.Provider == "" && len(p.Skills) == 0:
		return errors.New("it has neither a provider nor skills of the built-in engine; give it one of them")
	}
	l := p.Limits
	for _, n := range []int{l.RequestsPerMinute, l.Concurrent, l.Queue, l.TokensPerDay, l.UserTokensPerDay, l.MaxTokens, l.ContextTokens} {
		if n < 0 {
			return errors.New("a limit is no negative number; leave it out for the usual one")
		}
	}
	for _, t := range p.Trust {
		if !slices.Contains(p.Tools, t) {
			return fmt.Errorf("trust names %q, which is not among its tools", t)
		}
	}
	_, err := p.ways()
	return err
}

// servers are the MCP servers that its tools come from.
func (p Persona) servers() []string {
	var all []string
	for _, name := range p.Tools {
		if server, _, remote := strings.Cut(name, "__"); remote && !slices.Contains(all, server) {
			all = append(all, server)
		}
	}
	return all
}

// uses reports whether a tool is among those of the persona.
func (p Persona) uses(name string) bool {
	return slices.ContainsFunc(p.Tools, func(t string) bool {
		prefix, all := strings.CutSuffix(t, "*")
		return t == name || all && strings.HasPrefix(name, prefix)
	})
}

// ways is how the bot may be addressed.
func (p Persona) ways() (address.Ways, error) {
	ways := address.Ways(0)
	for _, w := range p.Ways {
		switch w {
		case "mention":
			ways |= address.ByMention
		case "name":
			ways |= address.ByName
		case "reply":
			ways |= address.ByReply
		case "follow-up":
			ways |= address.ByFollowUp
		default:
			return 0, fmt.Errorf("ways has %q; use mention, name, reply and follow-up", w)
		}
	}
	return ways, nil
}

// withDefaults fills in the limits that are left out.
func (l PersonaLimits) withDefaults() PersonaLimits {
	for _, d := range []struct {
		to    *int
		usual int
	}{
		{&l.RequestsPerMinute, defaultPerMinute}, {&l.Concurrent, defaultConcurrent}, {&l.Queue, defaultQueue}, {&l.ContextTokens, defaultContext},
	} {
		if *d.to == 0 {
			*d.to = d.usual
		}
	}
	return l
}
