package signaling

import (
	"confab/rooms"
	"confab/signaling/wire"
)

// handleChat registers what is said in a timeline and around it. The room checks grants and authorship.
func handleChat(m mux) {
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.Chat, answer rooms.Answer) {
		m.Chat(env.ID, env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.Edit, answer rooms.Answer) {
		m.Edit(env.ID, env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.Delete, answer rooms.Answer) {
		m.Delete(env.ID, env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.Reaction, answer rooms.Answer) {
		m.React(env.ID, env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.Clear, answer rooms.Answer) {
		m.Clear(env.ID, env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.History, answer rooms.Answer) {
		m.History(env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.Read, answer rooms.Answer) {
		m.Read(env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.Typing, answer rooms.Answer) {
		m.Typing(env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, msg wire.SubscribeThread, answer rooms.Answer) {
		m.SubscribeThread(env.ID, env.Thread, msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, env wire.Envelope, _ wire.UnsubscribeThread, answer rooms.Answer) {
		m.UnsubscribeThread(env.Thread, answer)
	}))
}
