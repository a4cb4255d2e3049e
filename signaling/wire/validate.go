package wire

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Validate implements ClientMessage.
func (m Join) Validate() error {
	if m.Since != nil && len(m.Since.Epoch) > MaxNameLength {
		return Errorf(CodeBadMessage, "since.epoch is longer than %d bytes", MaxNameLength)
	}
	return nil
}

// Validate implements ClientMessage.
func (Leave) Validate() error { return nil }

// Validate implements ClientMessage.
func (m Chat) Validate() error {
	if err := validText(m.Text); err != nil {
		return err
	}
	if len(m.Mentions) > MaxMentions {
		return Errorf(CodeBadMessage, "more than %d mentions", MaxMentions)
	}
	for _, u := range m.Mentions {
		if u == "" || len(u) > MaxUserIDLength {
			return Errorf(CodeBadMessage, "a mention is a user id of 1 to %d bytes", MaxUserIDLength)
		}
	}
	return nil
}

// Validate implements ClientMessage.
func (m Edit) Validate() error {
	if m.Message == 0 {
		return Errorf(CodeBadMessage, "edit needs the seq of a message")
	}
	return validText(m.Text)
}

// Validate implements ClientMessage.
func (m Delete) Validate() error {
	if m.Message == 0 {
		return Errorf(CodeBadMessage, "delete needs the seq of a message")
	}
	return nil
}

// Validate implements ClientMessage.
func (m Reaction) Validate() error {
	if m.Message == 0 {
		return Errorf(CodeBadMessage, "reaction needs the seq of a message")
	}
	if m.Emoji == "" || len(m.Emoji) > MaxEmojiBytes || !utf8.ValidString(m.Emoji) || strings.ContainsAny(m.Emoji, " \t\r\n") {
		return Errorf(CodeBadMessage, "reaction needs one emoji of at most %d bytes", MaxEmojiBytes)
	}
	return nil
}

// Validate implements ClientMessage.
func (Read) Validate() error { return nil }

// Validate implements ClientMessage.
func (Typing) Validate() error { return nil }

// Validate implements ClientMessage.
func (Clear) Validate() error { return nil }

// Validate implements ClientMessage.
func (m History) Validate() error {
	if m.Limit < 0 || m.Limit > MaxHistoryPage {
		return Errorf(CodeBadMessage, "limit is 1 to %d", MaxHistoryPage)
	}
	return nil
}

// Validate implements ClientMessage.
func (m SubscribeThread) Validate() error {
	if len(m.Private) > MaxUserIDLength {
		return Errorf(CodeBadMessage, "private is a user id of 1 to %d bytes", MaxUserIDLength)
	}
	return Join{Since: m.Since}.Validate()
}

// Validate implements ClientMessage.
func (UnsubscribeThread) Validate() error { return nil }

// Validate implements ClientMessage.
func (SetMedia) Validate() error { return nil }

// Validate implements ClientMessage.
func (Bans) Validate() error { return nil }

// Validate implements ClientMessage.
func (m Moderate) Validate() error {
	switch m.Action {
	case ActionLock, ActionUnlock, ActionEnd, ActionRecord, ActionStopRecording:
		return nil
	case ActionUnban:
		if m.User == "" || len(m.User) > MaxUserIDLength {
			return Errorf(CodeBadMessage, "unban needs a user")
		}
		return nil
	case ActionCapacity:
		if m.Capacity < 0 {
			return Errorf(CodeBadMessage, "capacity is a number of participants, or absent")
		}
		return nil
	case ActionMute, ActionUnmute:
		if m.Source != "" && !slices.Contains(Sources, m.Source) {
			return Errorf(CodeBadMessage, "no such source; use microphone, camera, screen or screen-audio")
		}
	case ActionKick, ActionBan, ActionPromote, ActionDemote, ActionAdmit, ActionDeny:
	default:
		return Errorf(CodeBadMessage, "no such action")
	}
	if m.Participant == "" {
		return Errorf(CodeBadMessage, "%s needs a participant", m.Action)
	}
	return nil
}

// Validate implements ClientMessage. The body is relayed unread; only that it holds something is checked.
func (m Signal) Validate() error {
	if m.Description == nil && len(m.Candidate) == 0 && !m.Ready {
		return Errorf(CodeBadMessage, "webrtc-signal needs a description, a candidate or ready")
	}
	return nil
}

// Validate implements ClientMessage.
func (m SubscribeMedia) Validate() error {
	if !slices.Contains(Sources, m.Source) || m.Participant == "" {
		return Errorf(CodeBadMessage, "subscribe-media needs a participant and a source")
	}
	if min(m.Width, m.Height, m.FPS) < 0 {
		return Errorf(CodeBadMessage, "width, height and fps are not negative")
	}
	return nil
}

// Validate implements ClientMessage.
func (m RequestMode) Validate() error {
	if m.Mode != SFU {
		return Errorf(CodeBadMessage, "a client may ask for sfu only; the room goes back to mesh by itself")
	}
	if len(m.Reason) > MaxReasonBytes {
		return Errorf(CodeTooLarge, "the reason is %d bytes; at most %d", len(m.Reason), MaxReasonBytes)
	}
	return nil
}

// Validate implements ClientMessage.
func (ICEServersRequest) Validate() error { return nil }

func validText(text string) error {
	if len(text) > MaxTextBytes {
		return Errorf(CodeTooLarge, "the text is %d bytes; at most %d", len(text), MaxTextBytes)
	}
	if strings.TrimSpace(text) == "" {
		return Errorf(CodeBadMessage, "the text is empty")
	}
	return nil
}
