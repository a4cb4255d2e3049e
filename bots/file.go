package bots

import (
	"errors"
	"fmt"
	"net/url"
	"os"

	"confab/bots/provider/catalog"
	"confab/bots/tool/mcp"
)

// maxFile bounds the file of bots, in bytes.
const maxFile = 1 << 20

// A File is the operator's own bots: who they are, what answers for them and what they can use. It takes the place of
// the default bots; without bots of its own it keeps them.
type File struct {
	Providers map[string]catalog.Settings `yaml:"providers"`
	MCP       map[string]mcp.Settings     `yaml:"mcp"` // servers whose tools bots may be given
	Bots      []Persona                   `yaml:"bots"`
	// Profiles is a URL that says what is known of a user, in which {user} stands for them; empty = nothing is.
	Profiles string `yaml:"profiles"`
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
	if f.Profiles != "" {
		if u, err := url.Parse(f.Profiles); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			problems = append(problems, errors.New("profiles: it is no URL; write https://example.org/users/{user}"))
		}
	}
	return f, errors.Join(problems...)
}
