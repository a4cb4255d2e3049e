package provider

import (
	"fmt"
	"io"
	"log/slog"
)

const masked = "***"

// A Key is what a provider knows its customer by. Nothing prints it: fmt with any verb, slog, JSON, YAML and text
// show *** for a key, and for the zero Key, which is none, nothing.
//
// The bytes lie behind a function, because fmt prints what stands in an unexported field of a struct without asking
// its methods.
type Key struct{ reveal func() string }

// NewKey returns a Key of the text; an empty one is none.
func NewKey(text string) Key {
	if text == "" {
		return Key{}
	}
	return Key{reveal: func() string { return text }}
}

// Reveal returns the key's text, for the header of a request and nothing else.
func (k Key) Reveal() string {
	if k.reveal == nil {
		return ""
	}
	return k.reveal()
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.reveal == nil }

// String implements fmt.Stringer.
func (k Key) String() string {
	if k.IsZero() {
		return ""
	}
	return masked
}

// Format implements fmt.Formatter: every verb prints the same.
func (k Key) Format(state fmt.State, _ rune) { io.WriteString(state, k.String()) } //nolint:errcheck // fmt's own buffer

// MarshalText implements encoding.TextMarshaler, which JSON, YAML and slog use.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }
