package anthropic

import (
	"encoding/json"
	"strings"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/sse"
)

// An event has the fields of all types that are read.
type event struct {
	Type    string `json:"type"`
	Index   int    `json:"index"`
	Message struct {
		Model string `json:"model"`
		Usage *usage `json:"usage"`
	} `json:"message"`
	Block struct {
		Type string       `json:"type"`
		ID   string       `json:"id"`
		Name string       `json:"name"`
		Text endpoint.Raw `json:"text"`
		// Thinking and Signature are empty where they follow in pieces; Data is all of a thought that nobody shall read.
		Thinking  endpoint.Raw `json:"thinking"`
		Signature string       `json:"signature"`
		Data      string       `json:"data"`
		// Input is {} where it follows in pieces; some compatible servers send it whole here.
		Input endpoint.Object `json:"input"`
	} `json:"content_block"`
	Delta struct {
		Type       string       `json:"type"`
		Text       endpoint.Raw `json:"text"`
		Thinking   endpoint.Raw `json:"thinking"`
		Signature  string       `json:"signature"`
		Partial    endpoint.Raw `json:"partial_json"`
		StopReason string       `json:"stop_reason"`
	} `json:"delta"`
	Usage *usage            `json:"usage"`
	Error *endpoint.Failure `json:"error"`
}

// usage counts what was read from the provider's cache and written to it beside the other input.
type usage struct {
	Input   int `json:"input_tokens"`
	Read    int `json:"cache_read_input_tokens"`
	Written int `json:"cache_creation_input_tokens"`
	Output  int `json:"output_tokens"`
}

func (u *usage) tokens() provider.Usage {
	if u == nil {
		return provider.Usage{}
	}
	return provider.Usage{Input: u.Input + u.Read + u.Written, Cached: u.Read, Output: u.Output}
}

// A decoder reads the events of one answer: message_start, then content_block_start, _delta and _stop for each block,
// message_delta with the reason of its end, message_stop; ping and error anywhere.
type decoder struct {
	thought *thought // that is coming in; nil = none
}

// A thought goes back with the calls as it came: the API looks at its signature.
type thought struct {
	text      endpoint.Text
	signature strings.Builder
}

func (t *thought) add(text endpoint.Raw, signature string) {
	if t.text.Len()+t.signature.Len() <= endpoint.MaxThoughts { // what is more is not kept anyway
		t.text.Add(text)
		t.signature.WriteString(signature)
	}
}

// Event implements endpoint.Decoder. Types that are not known are left out, as the API's versioning asks.
func (d *decoder) Event(c *endpoint.Collector, in sse.Event) error {
	var e event
	if err := endpoint.Decode(in.Data, &e); err != nil {
		return err
	}
	switch e.Type {
	case "message_start":
		c.Model(e.Message.Model)
		c.Usage(e.Message.Usage.tokens())
	case "content_block_start":
		return d.begin(c, &e)
	case "content_block_delta":
		return d.delta(c, &e)
	case "content_block_stop":
		return d.endThought(c)
	case "message_delta":
		c.Usage(e.Usage.tokens())
		if e.Delta.StopReason != "" {
			c.Stop(stop(e.Delta.StopReason))
		}
	case "message_stop":
		c.End("")
	case "error":
		if e.Error == nil {
			return &endpoint.Failure{Type: "api_error"}
		}
		return e.Error
	}
	return nil
}

func (d *decoder) begin(c *endpoint.Collector, e *event) error {
	switch e.Block.Type {
	case "text":
		c.Text(e.Block.Text)
	case "thinking":
		c.Thinking(e.Block.Thinking)
		d.thought = &thought{}
		d.thought.add(e.Block.Thinking, e.Block.Signature)
	case "redacted_thinking":
		return keep(c, map[string]string{"type": "redacted_thinking", "data": e.Block.Data})
	case "tool_use":
		call, err := c.Call(e.Index)
		if err != nil {
			return err
		}
		call.ID, call.Name = e.Block.ID, e.Block.Name
		if e.Block.Input != "" && e.Block.Input != "{}" {
			return c.Arguments(call, endpoint.Raw(e.Block.Input))
		}
	}
	return nil
}

func (d *decoder) delta(c *endpoint.Collector, e *event) error {
	switch e.Delta.Type {
	case "text_delta":
		c.Text(e.Delta.Text)
	case "thinking_delta", "signature_delta":
		c.Thinking(e.Delta.Thinking)
		if d.thought != nil {
			d.thought.add(e.Delta.Thinking, e.Delta.Signature)
		}
	case "input_json_delta":
		call, err := c.Call(e.Index)
		if err != nil {
			return err
		}
		return c.Arguments(call, e.Delta.Partial)
	}
	return nil
}

// endThought keeps a thought that is whole. One without a signature is not wanted back.
func (d *decoder) endThought(c *endpoint.Collector) error {
	t := d.thought
	d.thought = nil
	if t == nil || t.signature.Len() == 0 {
		return nil
	}
	return keep(c, map[string]string{"type": "thinking", "thinking": t.text.Whole(), "signature": t.signature.String()})
}

func keep(c *endpoint.Collector, block map[string]string) error {
	data, err := json.Marshal(block)
	if err != nil {
		return err
	}
	c.Thought(data)
	return nil
}

func stop(reason string) provider.Stop {
	switch reason {
	case "max_tokens", "model_context_window_exceeded":
		return provider.Length
	case "tool_use":
		return provider.Tools
	case "refusal":
		return provider.Refused
	}
	return provider.Stopped // end_turn, stop_sequence, and pause_turn, which only the provider's own tools bring
}
