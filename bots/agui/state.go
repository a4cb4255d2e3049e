package agui

import (
	"strconv"

	"confab/signaling/wire"
)

// A State is how far the events of one run have been told as those of AG-UI. It is a value: each method returns the
// events that say what has happened, and the State after them.
//
// Whatever is open when the run ends is closed before its last event, also of a run that failed.
type State struct {
	RunID string // the run by the name that RUN_STARTED and RUN_FINISHED bear
	Room  wire.RoomID

	thread   string // the conversation by the name that they bear
	run      wire.RunID
	bot      string     // its display name
	step     wire.Phase // begun; empty = none
	spans    int        // of thoughts, so far
	thinking bool       // the last of them is open
	text     wire.RequestID
}

// said gathers events.
type said struct {
	State
	events []Event
}

func (s *said) add(events ...Event) { s.events = append(s.events, events...) }

// Begin is the first: by is the bot, and run all that there is so far. Later events go on where it ends.
func (st State) Begin(by wire.Author, run wire.RunState) ([]Event, State) {
	s := said{State: st}
	s.run, s.bot, s.thread = run.Start.Run, by.Name, string(run.Thread)
	if run.Thread == "" {
		s.thread = string(s.Room)
	}
	s.add(RunStarted{
		ThreadID: s.thread, RunID: s.RunID, ProtocolVersion: ProtocolVersion,
		Metadata: Metadata{Place{Room: s.Room, Thread: run.Thread, Bot: run.Start.Bot, Run: s.run, By: run.Start.By}},
	})
	if run.Thinking != "" {
		s.think(run.Thinking)
	}
	for _, t := range run.Tools {
		s.use(t)
	}
	for _, t := range run.Done {
		s.used(t)
	}
	if run.Message != "" {
		s.write(run.Message, run.Text)
	}
	if run.Waiting != nil {
		s.add(Custom{CustomApproval, *run.Waiting})
	}
	s.at(run.Phase)
	return s.events, s.State
}

// Tell says the next event of the run. Events that AG-UI has no word for give none.
func (st State) Tell(event wire.ServerMessage) ([]Event, State) {
	s := said{State: st}
	switch e := event.(type) {
	case wire.AgentThinking:
		if e.Phase != "" { // a sign of life tells the same one again
			s.at(e.Phase)
		}
		if e.Text != "" {
			s.think(e.Text)
		}
	case wire.ToolExecuting:
		s.use(e)
	case wire.ToolCompleted:
		s.used(e)
	case wire.ToolApproval:
		s.add(Custom{CustomApproval, e})
		if e.State == wire.ApprovalAsked {
			s.at(wire.PhaseApproval)
		} else {
			s.at("")
		}
	case wire.StreamStart:
		s.at("")
		s.write(e.Message, "")
	case wire.StreamChunk:
		s.write(e.Message, e.Text)
	case wire.StreamEnd:
		s.endText(e.Reason)
	default:
	}
	return s.events, s.State
}

// Complete says the end of the run.
func (st State) Complete(end wire.AgentCompleted, receipt *wire.RunReceipt) []Event {
	s := said{State: st}
	s.close()
	model := ""
	if receipt != nil {
		model = receipt.Model
		s.add(Custom{CustomReceipt, Receipt{RunReceipt: *receipt, Message: end.Message}})
	}
	usage := tokenUsage(model, end.Usage)
	switch {
	case end.Status == wire.RunFailed && end.Error != nil:
		s.add(RunError{Message: end.Error.Message, Code: end.Error.Code, Usage: usage})
	case end.Status == wire.RunFailed:
		s.add(RunError{Message: "the bot could not answer", Code: wire.CodeInternal, Usage: usage})
	case end.Status == wire.RunCancelled:
		s.add(RunFinished{ThreadID: s.thread, RunID: s.RunID, Outcome: Outcome{"cancelled"}, Usage: usage})
	default:
		s.add(RunFinished{ThreadID: s.thread, RunID: s.RunID, Outcome: Outcome{"success"}, Usage: usage})
	}
	return s.events
}

// Lose says that the run can be followed no further, though it may go on.
func (st State) Lose(problem *wire.Error) []Event {
	s := said{State: st}
	s.close()
	s.add(RunError{Message: problem.Text, Code: problem.Code})
	return s.events
}

func tokenUsage(model string, u *wire.Usage) []TokenUsage {
	if u == nil {
		return nil
	}
	return []TokenUsage{{
		Model: model, InputTokens: u.Input, OutputTokens: u.Output, TotalTokens: u.Input + u.Output, CachedInputTokens: u.Cached,
	}}
}

// at ends the phase that the run was in, and begins another one; empty = none.
func (s *said) at(phase wire.Phase) {
	if s.step == phase {
		return
	}
	s.endThinking()
	if s.step != "" {
		s.add(StepFinished{s.step})
	}
	if s.step = phase; phase != "" {
		s.add(StepStarted{phase})
	}
}

// think says a thought; one that follows another goes on in its message.
func (s *said) think(text string) {
	if !s.thinking {
		s.thinking = true
		s.spans++
		s.add(ReasoningStart{s.span()}, ReasoningMessageStart{MessageID: s.span(), Role: "reasoning"})
	}
	s.add(ReasoningMessageContent{MessageID: s.span(), Delta: text})
}

func (s *said) span() string { return string(s.run) + ".thinking-" + strconv.Itoa(s.spans) }

func (s *said) endThinking() {
	if s.thinking {
		s.thinking = false
		s.add(ReasoningMessageEnd{s.span()}, ReasoningEnd{s.span()})
	}
}

// call names a use of a tool. Providers number theirs within a run, and a front end keeps those of a whole thread.
func (s *said) call(id string) string { return string(s.run) + "." + id }

func (s *said) use(t wire.ToolExecuting) {
	s.endThinking()
	id := s.call(t.Call)
	s.add(ToolCallStart{ToolCallID: id, ToolCallName: t.Tool}, ToolCallArgs{ToolCallID: id, Delta: string(t.Input)}, ToolCallEnd{id})
}

func (s *said) used(t wire.ToolCompleted) {
	s.endThinking()
	id, content := s.call(t.Call), t.Output
	if !t.OK {
		content = t.Error
	}
	s.add(ToolCallResult{MessageID: id + ".result", ToolCallID: id, Content: content, Role: "tool"})
}

// write says a piece of the answer, after its beginning where that was not said.
func (s *said) write(message wire.RequestID, text string) {
	s.endThinking()
	if s.text == "" {
		s.text = message
		s.add(TextMessageStart{MessageID: string(message), Role: "assistant", Name: s.bot})
	}
	if text != "" {
		s.add(TextMessageContent{MessageID: string(message), Delta: text})
	}
}

func (s *said) endText(reason wire.StreamReason) {
	if s.text == "" {
		return
	}
	end := TextMessageEnd{MessageID: string(s.text)}
	if reason != "" && reason != wire.StreamStop {
		end.Metadata = &Metadata{map[string]wire.StreamReason{"reason": reason}}
	}
	s.text = ""
	s.add(end)
}

// close ends whatever is open.
func (s *said) close() {
	s.endThinking()
	s.endText("")
	s.at("")
}
