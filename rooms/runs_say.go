package rooms

import (
	"time"
	"unicode/utf8"

	"confab/signaling/wire"
)

// Write says the next piece of the answer. It reports false when the answer is as long as one may be: the rest is cut.
func (u *Run) Write(text string) bool {
	u.mu.Lock()
	rest := wire.MaxTextBytes - u.written
	whole := len(text) <= rest
	if u.written == 0 {
		u.taken = time.Time{}
	}
	u.written += len(text)
	if !whole {
		text, u.written = cutText(text, rest), wire.MaxTextBytes
	}
	u.say(said{text: text})
	return whole
}

// cutText is the beginning of text, at most n bytes, whole characters.
func cutText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// Think tells more of the bot's thoughts.
func (u *Run) Think(text string) {
	u.mu.Lock()
	u.say(said{thinking: text})
}

// say takes in what may wait for more of its kind. mu is held, and is not afterwards.
func (u *Run) say(s said) {
	if s.text != "" || s.thinking != "" {
		last := len(u.said) - 1
		switch {
		case last >= 0 && s.text != "" && u.said[last].text != "":
			u.said[last].text += s.text
		case last >= 0 && s.thinking != "" && u.said[last].thinking != "":
			u.said[last].thinking += s.thinking
		default:
			u.said = append(u.said, s)
		}
	}
	if u.armed || len(u.said) == 0 {
		u.mu.Unlock()
		return
	}
	u.armed = true
	wait := mergeFor - time.Since(u.taken)
	u.mu.Unlock()
	if wait <= 0 {
		u.room.enqueue(command{fn: u.take, answer: noAnswer}, true)
		return
	}
	u.room.after(wait, u.take)
}

// do has fn done by the room, after all that was said before.
func (u *Run) do(fn func()) {
	u.mu.Lock()
	u.said = append(u.said, said{fn: fn})
	u.armed = true
	u.mu.Unlock()
	u.room.enqueue(command{fn: u.take, answer: noAnswer}, true)
}

// take tells what was said since the last time. The room is at work.
func (u *Run) take() {
	u.mu.Lock()
	all := u.said
	u.said, u.armed, u.taken = nil, false, now()
	u.mu.Unlock()
	for _, s := range all {
		switch {
		case u.over:
			return
		case s.fn != nil:
			s.fn()
		case s.text != "":
			u.room.streamed(u, s.text)
		default:
			u.room.thought(u, s.thinking)
		}
	}
}

func (r *Room) streamed(u *Run, text string) {
	message := wire.RequestID(u.Run)
	if !u.streaming {
		u.streaming, u.phase = true, ""
		u.first = now()
		r.tellRun(u, wire.StreamStart{Run: u.Run, Message: message})
	}
	r.tellRun(u, wire.StreamChunk{Run: u.Run, Message: message, Offset: u.length, Text: text})
	u.text = append(u.text, text...)
	u.length += utf16Length(text)
	r.keepSoon()
}

// utf16Length counts the UTF-16 code units of text.
func utf16Length(text string) int {
	n := 0
	for _, c := range text {
		n++
		if c > 0xffff {
			n++
		}
	}
	return n
}

func (r *Room) thought(u *Run, text string) {
	r.tellRun(u, wire.AgentThinking{Run: u.Run, Text: text, Phase: u.phase})
	if room := maxThinking - len(u.thinking); room > 0 {
		u.thinking = append(u.thinking, cutText(text, room)...)
	}
}

// Phase tells what the bot is at. A bot that says nothing else tells it every 2 s: a dead one must look different.
func (u *Run) Phase(phase wire.Phase) {
	u.do(func() {
		u.phase = phase
		u.room.tellRun(u, wire.AgentThinking{Run: u.Run, Phase: phase})
	})
}

// ToolExecuting tells that the bot uses a tool; ToolCompleted must follow.
func (u *Run) ToolExecuting(t wire.ToolExecuting) {
	u.do(func() {
		t.Run = u.Run
		if len(u.tools) < maxRunTools {
			u.tools = append(u.tools, t)
		}
		u.room.tellRun(u, t)
	})
}

// ToolCompleted tells what became of it.
func (u *Run) ToolCompleted(t wire.ToolCompleted) {
	u.do(func() {
		t.Run, t.Output = u.Run, cutText(t.Output, maxToolOutput)
		if len(u.done) < maxRunTools {
			u.done = append(u.done, t)
		}
		u.room.tellRun(u, t)
	})
}
