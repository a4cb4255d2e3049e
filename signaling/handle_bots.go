package signaling

import (
	"confab/rooms"
	"confab/signaling/wire"
)

// handleBots registers what people want of bots. The room checks who may.
func handleBots(m mux) {
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.BotToggle, answer rooms.Answer) {
		m.ToggleBot(msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.BotVoice, answer rooms.Answer) {
		m.SetBotVoice(msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.AIRequest, answer rooms.Answer) {
		m.Ask(env.ID, env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.AICancel, answer rooms.Answer) {
		m.CancelRun(msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.ToolDecision, answer rooms.Answer) {
		m.DecideTool(msg, answer)
	}))
}
