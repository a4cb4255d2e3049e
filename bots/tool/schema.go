package tool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"confab/bots/provider"
)

// ErrInput says that the input of a call does not fit the tool's schema. What does not fit is told with it.
var ErrInput = errors.New("bad input")

// A Schema is a JSON Schema that inputs are held against.
type Schema struct {
	resolved *jsonschema.Resolved
}

// ParseSchema reads a JSON Schema (2020-12 or draft-07). References to other documents are not followed.
func ParseSchema(text json.RawMessage) (*Schema, error) {
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("resolve schema: %w", err)
	}
	return &Schema{resolved}, nil
}

// Validate returns an error that wraps ErrInput when input does not fit. An absent input is an empty object.
func (s *Schema) Validate(input json.RawMessage) error {
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	var object map[string]any
	if err := json.Unmarshal(input, &object); err != nil {
		return fmt.Errorf("%w: not an object: %w", ErrInput, err)
	}
	if object == nil {
		return fmt.Errorf("%w: null", ErrInput)
	}
	if err := s.resolved.Validate(object); err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	return nil
}

// roomTool is a tool of this package: do gets an input that fits the schema.
type roomTool[In any] struct {
	spec   Spec
	schema *Schema
	do     func(ctx context.Context, call Call, in In) (any, []uint64, error)
}

// timeout is of the room's own tools: they ask nobody else.
const timeout = 10 * time.Second

// define makes a tool. Its schema is written here, so that it cannot be wrong when it runs.
func define[In any](name, title, description, schema string, do func(context.Context, Call, In) (any, []uint64, error)) Tool {
	parsed, err := ParseSchema(json.RawMessage(schema))
	if err != nil {
		panic(fmt.Sprintf("tool: %s: %v", name, err))
	}
	return &roomTool[In]{
		spec: Spec{
			Tool:    provider.Tool{Name: name, Description: description, Schema: json.RawMessage(schema)},
			Title:   title,
			Timeout: timeout,
		},
		schema: parsed,
		do:     do,
	}
}

// Spec implements Tool.
func (t *roomTool[In]) Spec() Spec { return t.spec }

// Do implements Tool.
func (t *roomTool[In]) Do(ctx context.Context, call Call) (Output, error) {
	if err := t.schema.Validate(call.Input); err != nil {
		return Output{}, err
	}
	var in In
	if len(call.Input) > 0 {
		if err := json.Unmarshal(call.Input, &in); err != nil {
			return Output{}, fmt.Errorf("%w: %w", ErrInput, err)
		}
	}
	found, sources, err := t.do(ctx, call, in)
	if err != nil {
		return Output{}, err
	}
	text, err := write(found)
	if err != nil {
		return Output{}, fmt.Errorf("write output: %w", err)
	}
	return Output{Text: text, Sources: sources}, nil
}

// write makes JSON as models read it best: what HTML would want escaped stays as it is.
func write(found any) (string, error) {
	var text strings.Builder
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(found); err != nil {
		return "", err
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}

// A count is an integer, also where a model writes 5.0.
type count int

// UnmarshalJSON implements json.Unmarshaler. The schema has seen to it that it is whole and within bounds.
func (c *count) UnmarshalJSON(text []byte) error {
	var n float64
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	*c = count(n)
	return nil
}
