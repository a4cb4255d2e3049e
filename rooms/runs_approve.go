package rooms

import (
	"confab/signaling/wire"
)

// Approve asks for a person's word on a tool that writes, and waits for it. It reports false when nobody decides in
// time, and when the run ends.
func (u *Run) Approve(a wire.ToolApproval) bool {
	a.Run, a.State = u.Run, wire.ApprovalAsked
	w := &approval{ToolApproval: a, word: make(chan bool, 1)}
	u.do(func() {
		w.timer = u.room.after(approvalPatience, func() { u.room.decided(u, w, wire.ApprovalExpired, "") })
		u.waiting, u.phase = w, wire.PhaseApproval
		u.room.tellRun(u, a)
	})
	select {
	case granted := <-w.word:
		return granted
	case <-u.ctx.Done():
		return false
	}
}

// decided settles an approval.
func (r *Room) decided(u *Run, w *approval, state wire.ApprovalState, by wire.UserID) {
	if u.waiting != w {
		return
	}
	u.waiting = nil
	w.timer.Stop()
	w.State, w.By = state, by
	r.tellRun(u, w.ToolApproval)
	w.word <- state == wire.ApprovalGranted
}

// DecideTool gives a person's word on a tool. Errors: forbidden, not-found (nothing waits), conflict (something else
// does than what was shown).
func (m *Member) DecideTool(msg wire.ToolDecision, answer Answer) {
	m.act(answer, func() {
		r := m.room
		u := r.runBy(func(u *Run) bool { return u.Run == msg.Run })
		switch {
		case u == nil || u.waiting == nil || u.waiting.Call != msg.Call:
			answer(nil, wire.Errorf(wire.CodeNotFound, "nothing waits for this decision any more"))
		case !r.mayEnd(m, u):
			answer(nil, wire.Errorf(wire.CodeForbidden, "only who asked, or a moderator, decides"))
		case u.waiting.Digest != msg.Digest:
			answer(nil, wire.Errorf(wire.CodeConflict, "this is not what waits; look at it again"))
		default:
			state := wire.ApprovalDenied
			if msg.Approve {
				state = wire.ApprovalGranted
			}
			r.decided(u, u.waiting, state, m.User)
			answer(wire.Ack{}, nil)
		}
	})
}
