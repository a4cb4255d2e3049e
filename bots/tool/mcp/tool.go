package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"confab/bots/provider"
	"confab/bots/tool"
)

// The bounds of what a server says.
const (
	MaxOutput = 64 << 10 // bytes of what a call returns; what is more is cut
	MaxTools  = 64       // of a server; more are left out

	maxToolName    = 64       // as model APIs have it
	maxDescription = 1 << 10  // bytes; what is more is cut
	maxTitle       = 80       // bytes
	maxSchema      = 16 << 10 // bytes; a tool with a larger one is left out
	maxFailure     = 2 << 10  // bytes of what a tool says of its failure
)

// A Tool is one tool of an MCP server. It implements tool.Tool.
type Tool struct {
	// Set by newTool, then constant.
	server      *server
	remote      string // its name there
	spec        tool.Spec
	schema      *tool.Schema
	fingerprint string
}

var _ tool.Tool = (*Tool)(nil)

// Spec implements tool.Tool.
func (t *Tool) Spec() tool.Spec { return t.spec }

// Fingerprint is a hash of all that a person or a model decides by: server, name, description, schema, and whether it
// writes. What was approved by one fingerprint is not approved by another.
func (t *Tool) Fingerprint() string { return t.fingerprint }

// newTool makes a Tool of what a server lists; false when it cannot be used. taken are the names in use.
func newTool(s *server, listed *sdk.Tool, taken map[string]bool) (*Tool, bool) {
	schema, ok := inputSchema(listed.InputSchema)
	if !ok || listed.Name == "" || len(listed.Name) > 256 {
		return nil, false
	}
	parsed, err := tool.ParseSchema(schema)
	if err != nil {
		return nil, false
	}
	title := listed.Title
	if title == "" && listed.Annotations != nil {
		title = listed.Annotations.Title
	}
	if title == "" {
		title = listed.Name
	}
	t := &Tool{server: s, remote: listed.Name, schema: parsed, spec: tool.Spec{
		Tool: provider.Tool{
			Name:        uniqueName(s.name, listed.Name, taken),
			Description: describe(s.name, listed.Description),
			Schema:      schema,
		},
		Title:   shorten(strings.Join(strings.Fields(clean(title)), " "), maxTitle),
		Writes:  s.writes(listed),
		Server:  s.name,
		Timeout: s.settings.timeout(),
	}}
	hash := sha256.New()
	json.NewEncoder(hash).Encode([]any{s.name, listed.Name, listed.Description, t.spec.Description, schema, t.spec.Writes}) //nolint:errcheck // a hash takes all
	t.fingerprint = hex.EncodeToString(hash.Sum(nil))
	return t, true
}

// describe says whose words a description is.
func describe(server, text string) string {
	text = strings.TrimSpace(clean(text))
	if text == "" {
		return "A tool of the MCP server " + server + "."
	}
	return "Of the MCP server " + server + ", in its own words: " + shorten(text, maxDescription)
}

// inputSchema writes a schema for a model: an object, with its fields in order, so that the same schema has the same text.
func inputSchema(in any) (json.RawMessage, bool) {
	fields, ok := in.(map[string]any)
	if !ok || fields["type"] != "object" {
		return nil, false
	}
	text, err := json.Marshal(fields)
	cleaned := json.RawMessage(clean(string(text)))
	if err != nil || len(cleaned) > maxSchema || !json.Valid(cleaned) {
		return nil, false
	}
	return cleaned, true
}

// writes says whether a tool changes something: by the settings, else unless its server says that it only reads.
func (s *server) writes(listed *sdk.Tool) bool {
	if s.settings.Write != nil {
		return contains(s.settings.Write, listed.Name)
	}
	return listed.Annotations == nil || !listed.Annotations.ReadOnlyHint
}

// uniqueName is what models call a tool: server__tool, of letters, digits, _ and -, at most 64 of them. Where that cuts
// or changes the name, or it is taken, a hash of the true name makes it unique.
func uniqueName(server, name string, taken map[string]bool) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, name)
	full := server + "__" + plain
	if plain != name || len(full) > maxToolName || taken[full] {
		sum := sha256.Sum256([]byte(name))
		suffix := "_" + hex.EncodeToString(sum[:4])
		full = shorten(full, maxToolName-len(suffix)) + suffix
	}
	taken[full] = true
	return full
}

// What a call can fail with, besides what its tool says.
var (
	// ErrChanged says that the tool is another one than was listed; what was decided about it does not hold any more.
	ErrChanged = errors.New("the tool has changed since it was listed")
	// ErrTimeout says that the call took too long. What it did until then is not known.
	ErrTimeout = errors.New("the tool did not answer in time")
	// ErrEnded says that its server ended during the call. What it did until then is not known.
	ErrEnded = errors.New("the tool's server ended during the call")
)

// Do implements tool.Tool. A call is made once: it may have done something, even when it failed.
//
// Errors: tool.ErrInput, what the tool says of its failure, ErrChanged, ErrTimeout, ErrEnded, ErrResting, ctx's cause.
func (t *Tool) Do(ctx context.Context, call tool.Call) (tool.Output, error) {
	if err := t.schema.Validate(call.Input); err != nil {
		return tool.Output{}, err
	}
	result, err := t.server.call(ctx, t, call.Input)
	if err != nil {
		return tool.Output{}, err
	}
	text := outputText(result)
	if result.IsError {
		text = shorten(strings.TrimSpace(t.server.secrets.scrub(text)), maxFailure)
		if text == "" {
			text = "the tool failed and does not say why"
		}
		return tool.Output{}, errors.New(text)
	}
	return tool.Output{Text: text}, nil
}

// outputText is what a call returned, as text of at most MaxOutput bytes.
func outputText(r *sdk.CallToolResult) string {
	var b strings.Builder
	whole := 0
	add := func(text string) {
		text = strings.ToValidUTF8(text, "\ufffd")
		if b.Len() > 0 && text != "" {
			text = "\n" + text
		}
		whole += len(text)
		b.WriteString(shorten(text, max(MaxOutput-b.Len(), 0)))
	}
	for _, content := range r.Content {
		add(contentText(content))
	}
	if whole == 0 && r.StructuredContent != nil {
		if text, err := json.Marshal(r.StructuredContent); err == nil {
			add(string(text))
		}
	}
	if whole <= MaxOutput {
		return b.String()
	}
	mark := fmt.Sprintf("\n[cut here: it was %d bytes]", whole)
	return shorten(b.String(), MaxOutput-len(mark)) + mark
}

func contentText(content sdk.Content) string {
	switch c := content.(type) {
	case *sdk.TextContent:
		return c.Text
	case *sdk.EmbeddedResource:
		if c.Resource != nil && c.Resource.Text != "" {
			return c.Resource.Text
		}
		return "[a resource that is no text]"
	case *sdk.ResourceLink:
		return "[a link: " + c.URI + "]"
	case *sdk.ImageContent:
		return fmt.Sprintf("[an image of %d bytes]", len(c.Data))
	case *sdk.AudioContent:
		return fmt.Sprintf("[sound of %d bytes]", len(c.Data))
	default:
		return ""
	}
}
