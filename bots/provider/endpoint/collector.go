package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"confab/bots/provider"
)

// The bounds of one turn.
const (
	MaxText      = 256 << 10 // bytes of text; the turn ends there with Stop Length
	MaxThinking  = 256 << 10 // bytes of thoughts; what is more is left out
	MaxArguments = 256 << 10 // bytes of all calls' arguments, of which none can be left out: more is an error
	MaxCalls     = 64
	MaxThoughts  = 256 << 10 // bytes of what goes back with the calls, of which none can be left out: more, and all are
	maxName      = 128       // bytes of a call's name and ID
)

// What a call can be wrong at. None of them says what stands in it.
var (
	errCalls     = fmt.Errorf("more than %d calls", MaxCalls)
	errArguments = fmt.Errorf("arguments of calls of more than %d bytes", MaxArguments)
	errNoObject  = errors.New("the arguments of a call are no JSON object")
	errName      = errors.New("a call without a name, or with one that is too long")
)

// A Collector puts one turn together from the pieces of any API. It is for one goroutine.
type Collector struct {
	turn     provider.Turn // Stop as soon as it is known
	emit     func(provider.Part)
	text     joiner
	thoughts joiner
	said     int // bytes of text
	thought  int // bytes of thoughts
	args     int // bytes of arguments
	kept     int // bytes of thoughts that go back
	calls    []*Call
	pieces   int  // of the answer, so far
	over     bool // nothing more is to come
}

// A Call is a call that is coming in.
type Call struct {
	ID, Name string
	// Key tells the calls of one turn apart while they come; the Decoder chooses it.
	Key int

	arguments strings.Builder
	text      joiner
}

// NewCollector returns a Collector that emits by emit.
func NewCollector(emit func(provider.Part)) *Collector { return &Collector{emit: emit} }

// Text emits a piece of the answer. At MaxText the answer is over.
func (c *Collector) Text(piece Raw) {
	text := c.text.join(piece)
	if c.said+len(text) > MaxText {
		text = cut(text, MaxText-c.said)
		c.End(provider.Length)
	}
	c.said += len(text)
	c.tell(provider.Part{Text: text}, len(piece))
}

// Thinking emits a piece of a thought, up to MaxThinking.
func (c *Collector) Thinking(piece Raw) {
	text := c.thoughts.join(piece)
	text = cut(text, MaxThinking-c.thought)
	c.thought += len(text)
	c.tell(provider.Part{Thinking: text}, len(piece))
}

func (c *Collector) tell(part provider.Part, bytes int) {
	if bytes > 0 {
		c.pieces++
	}
	if part != (provider.Part{}) {
		c.emit(part)
	}
}

// Call returns the call with the key, which it begins when there is none.
func (c *Collector) Call(key int) (*Call, error) {
	for _, call := range c.calls {
		if call.Key == key {
			return call, nil
		}
	}
	if len(c.calls) == MaxCalls {
		return nil, errCalls
	}
	call := &Call{Key: key}
	c.calls = append(c.calls, call)
	c.pieces++
	return call, nil
}

// LastKey is the largest key of a call; -1 = none began.
func (c *Collector) LastKey() int {
	last := -1
	for _, call := range c.calls {
		last = max(last, call.Key)
	}
	return last
}

// Thought keeps one that goes back with the calls, in its place among them: before the next call that begins.
func (c *Collector) Thought(data json.RawMessage) {
	c.pieces++
	if c.kept += len(data); c.kept > MaxThoughts {
		c.turn.Thoughts = nil
		return
	}
	c.turn.Thoughts = append(c.turn.Thoughts, provider.Thought{Before: len(c.calls), Data: data})
}

// Arguments adds a piece of a call's arguments.
func (c *Collector) Arguments(call *Call, piece Raw) error {
	if c.args += len(piece); c.args > MaxArguments {
		return errArguments
	}
	if len(piece) > 0 {
		c.pieces++
	}
	call.arguments.WriteString(call.text.join(piece))
	return nil
}

// HasArguments reports whether any have come.
func (c *Call) HasArguments() bool { return c.arguments.Len() > 0 }

// Model notes what answers.
func (c *Collector) Model(name string) {
	if name != "" && len(name) <= maxName {
		c.turn.Model = name
	}
}

// Usage notes what was used. Counts that are not known are 0, and leave what is known.
func (c *Collector) Usage(u provider.Usage) {
	for _, n := range []struct{ to, from *int }{
		{&c.turn.Usage.Input, &u.Input}, {&c.turn.Usage.Cached, &u.Cached}, {&c.turn.Usage.Output, &u.Output},
	} {
		if *n.from > 0 {
			*n.to = *n.from
		}
	}
}

// Stop notes why the answer ends. What comes afterwards, the usage for one, may be missing.
func (c *Collector) Stop(stop provider.Stop) { c.turn.Stop = stop }

// End ends the answer: nothing that comes afterwards is read. An empty stop leaves the one that is known.
func (c *Collector) End(stop provider.Stop) {
	if stop != "" {
		c.turn.Stop = stop
	}
	c.over = true
}

// Stopped reports whether it is known why the answer ends.
func (c *Collector) Stopped() bool { return c.turn.Stop != "" }

// finish completes the turn of an answer that is whole. Errors: *provider.Error, Broken.
func (c *Collector) finish() error {
	if rest := c.thoughts.rest(); rest != "" {
		c.emit(provider.Part{Thinking: rest})
	}
	if rest := c.text.rest(); rest != "" {
		c.emit(provider.Part{Text: rest})
	}
	switch {
	case c.turn.Stop == "" || c.turn.Stop == provider.Tools && len(c.calls) == 0:
		c.turn.Stop = provider.Stopped
	case c.turn.Stop == provider.Stopped && len(c.calls) > 0: // some compatible servers say so
		c.turn.Stop = provider.Tools
	}
	if c.turn.Stop != provider.Tools {
		c.turn.Thoughts = nil
		return nil // calls that were cut are none
	}
	taken := map[string]bool{}
	for i, call := range c.calls {
		whole, err := call.whole(i, taken)
		if err != nil {
			c.turn.Calls, c.turn.Thoughts = nil, nil
			return &provider.Error{Code: provider.Broken, Status: 200, Err: err}
		}
		c.turn.Calls = append(c.turn.Calls, whole)
	}
	return nil
}

// whole checks a call. Its ID becomes another when it has none or one that is taken, which some compatible servers
// do: it counts only between this turn and the next.
func (c *Call) whole(i int, taken map[string]bool) (provider.Call, error) {
	if c.Name == "" || len(c.Name) > maxName || len(c.ID) > maxName {
		return provider.Call{}, errName
	}
	for n := i; c.ID == "" || taken[c.ID]; n++ {
		c.ID = fmt.Sprintf("call_%d", n)
	}
	taken[c.ID] = true
	input := strings.TrimSpace(c.arguments.String() + c.text.rest())
	if input == "" || input == "null" {
		input = "{}"
	}
	if input[0] != '{' || !json.Valid([]byte(input)) {
		return provider.Call{}, errNoObject
	}
	return provider.Call{ID: c.ID, Name: c.Name, Input: json.RawMessage(input)}, nil
}
