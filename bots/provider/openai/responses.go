package openai

import (
	"encoding/json"
	"errors"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/sse"
)

// errNoEnd: the stream says that it is at its end, and not why the answer is.
var errNoEnd = errors.New("the answer ended without a reason")

// The request of the responses API.
type (
	responsesRequest struct {
		Model           string          `json:"model"`
		Instructions    string          `json:"instructions,omitempty"`
		Input           []any           `json:"input"` // inputItems, and thoughts as they came
		Tools           []responsesTool `json:"tools,omitempty"`
		MaxOutputTokens int             `json:"max_output_tokens,omitempty"`
		Reasoning       *reasoning      `json:"reasoning,omitempty"`
		Include         []string        `json:"include,omitempty"`
		Stream          bool            `json:"stream"`
		Store           bool            `json:"store"`
	}
	reasoning struct {
		Effort  string `json:"effort"`
		Summary string `json:"summary"`
	}
	// An inputItem is a message, a function_call or a function_call_output.
	inputItem struct {
		Type      string  `json:"type"`
		Role      string  `json:"role,omitempty"`
		Content   *string `json:"content,omitempty"`
		Call      string  `json:"call_id,omitempty"`
		Name      string  `json:"name,omitempty"`
		Arguments *string `json:"arguments,omitempty"`
		Output    *string `json:"output,omitempty"`
	}
	responsesTool struct {
		Type string `json:"type"`
		functionTool
		Strict bool `json:"strict"` // without it, schemas that name not every field as required are refused
	}
)

func (m *Responses) request(r provider.Request) responsesRequest {
	req := responsesRequest{
		Model: m.opts.Model, Instructions: r.System, Input: m.input(r.Messages),
		MaxOutputTokens: m.opts.maxTokens(r), Stream: true,
	}
	if m.opts.Reasoning != "" {
		req.Reasoning = &reasoning{Effort: m.opts.Reasoning, Summary: "auto"}
		req.Include = []string{"reasoning.encrypted_content"} // nothing is stored, so that it must go there and back
	}
	for _, t := range r.Tools {
		req.Tools = append(req.Tools, responsesTool{"function", functionTool{t.Name, t.Description, schema(t)}, false})
	}
	return req
}

func (m *Responses) input(messages []provider.Message) []any {
	list := []any{}
	for _, msg := range messages {
		thoughts := m.endpoint.Own(msg)
		next := func(call int) {
			for ; len(thoughts) > 0 && thoughts[0].Before <= call; thoughts = thoughts[1:] {
				list = append(list, thoughts[0].Data)
			}
		}
		if len(msg.Calls) > 0 {
			next(0)
		}
		if msg.Text != "" {
			list = append(list, inputItem{Type: "message", Role: string(msg.Role), Content: &msg.Text})
		}
		for i, c := range msg.Calls {
			next(i)
			arguments := string(c.Input)
			list = append(list, inputItem{Type: "function_call", Call: c.ID, Name: c.Name, Arguments: &arguments})
		}
		for _, result := range msg.Results {
			text := output(result)
			list = append(list, inputItem{Type: "function_call_output", Call: result.Call, Output: &text})
		}
	}
	return list
}

// A responsesEvent is one of the responses API, with the fields of all types that are read.
type responsesEvent struct {
	Type         string          `json:"type"`
	OutputIndex  int             `json:"output_index"`
	SummaryIndex int             `json:"summary_index"`
	Delta        endpoint.Raw    `json:"delta"`
	Arguments    endpoint.Object `json:"arguments"`
	Item         json.RawMessage `json:"item"`
	Response     struct {
		Model string            `json:"model"`
		Error *endpoint.Failure `json:"error"`
		Usage *struct {
			Input   int `json:"input_tokens"`
			Output  int `json:"output_tokens"`
			Details struct {
				Cached int `json:"cached_tokens"`
			} `json:"input_tokens_details"`
		} `json:"usage"`
		Incomplete struct {
			Reason string `json:"reason"`
		} `json:"incomplete_details"`
	} `json:"response"`
}

// An outputItem is one of an answer's items.
type outputItem struct {
	Type      string          `json:"type"`
	Call      string          `json:"call_id"`
	Name      string          `json:"name"`
	Arguments endpoint.Object `json:"arguments"`
	Encrypted string          `json:"encrypted_content"`
}

// A responsesDecoder reads the events of one answer, which one of response.completed, response.incomplete,
// response.failed and error ends.
type responsesDecoder struct{ refused bool }

// Event implements endpoint.Decoder. Types that are not known say nothing that is needed.
func (d *responsesDecoder) Event(c *endpoint.Collector, event sse.Event) error {
	if string(event.Data) == "[DONE]" { // some compatible servers end with it
		if !c.Stopped() {
			return errNoEnd
		}
		c.End("")
		return nil
	}
	var e responsesEvent
	if err := d.decode(event, &e); err != nil {
		return err
	}
	switch e.Type {
	case "response.output_text.delta":
		c.Text(e.Delta)
	case "response.refusal.delta":
		d.refused = true
		c.Text(e.Delta)
	case "response.reasoning_summary_text.delta", "response.reasoning_text.delta":
		c.Thinking(e.Delta)
	case "response.reasoning_summary_part.added":
		if e.SummaryIndex > 0 {
			c.Thinking("\n\n")
		}
	case "response.output_item.added", "response.output_item.done":
		return d.item(c, &e)
	case "response.function_call_arguments.delta":
		call, err := c.Call(e.OutputIndex)
		if err != nil {
			return err
		}
		return c.Arguments(call, e.Delta)
	case "response.completed", "response.incomplete":
		d.end(c, &e)
	case "response.created", "response.in_progress":
		c.Model(e.Response.Model)
	}
	return nil
}

// decode reads an event, and returns the error that it reports. The type stands in the data, and also before it.
func (d *responsesDecoder) decode(event sse.Event, e *responsesEvent) error {
	if err := endpoint.Decode(event.Data, e); err != nil {
		return err
	}
	if e.Type == "" {
		e.Type = event.Type
	}
	switch {
	case e.Type == "response.failed" && e.Response.Error != nil:
		return e.Response.Error
	case e.Type == "response.failed":
		return &endpoint.Failure{Code: "server_error"}
	case e.Type == "error":
		f := &endpoint.Failure{}
		if err := json.Unmarshal(event.Data, f); err != nil {
			return endpoint.ErrUnreadable
		}
		return f
	}
	return nil
}

// item begins a call, or completes it when its arguments did not come in pieces; or keeps a thought. One that is not
// encrypted is stored nowhere, and means nothing to who has forgotten it.
func (d *responsesDecoder) item(c *endpoint.Collector, e *responsesEvent) error {
	var item outputItem
	if len(e.Item) == 0 {
		return nil
	}
	if err := endpoint.Decode(e.Item, &item); err != nil {
		return err
	}
	done := e.Type == "response.output_item.done"
	if item.Type == "reasoning" && done && item.Encrypted != "" {
		c.Thought(e.Item)
	}
	if item.Type != "function_call" {
		return nil
	}
	call, err := c.Call(e.OutputIndex)
	if err != nil {
		return err
	}
	if item.Call != "" {
		call.ID = item.Call
	}
	if item.Name != "" {
		call.Name = item.Name
	}
	if done && !call.HasArguments() {
		return c.Arguments(call, endpoint.Raw(item.Arguments))
	}
	return nil
}

func (d *responsesDecoder) end(c *endpoint.Collector, e *responsesEvent) {
	c.Model(e.Response.Model)
	if u := e.Response.Usage; u != nil {
		c.Usage(provider.Usage{Input: u.Input, Cached: u.Details.Cached, Output: u.Output})
	}
	switch {
	case d.refused, e.Response.Incomplete.Reason == "content_filter":
		c.End(provider.Refused)
	case e.Type == "response.incomplete":
		c.End(provider.Length)
	case c.LastKey() >= 0:
		c.End(provider.Tools)
	default:
		c.End(provider.Stopped)
	}
}
