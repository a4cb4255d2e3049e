package address

import (
	"slices"
	"time"
)

// The bounds of what Decide does by itself.
const (
	FollowUpWindow = 30 * time.Second // after an answer, for the one who got it
	MaxHops        = 2                // a message that came over so many bots triggers none
	PairBudget     = 20               // messages between two bots ...
	PairWindow     = time.Minute      // ... in this time; then they are silent for
	PairCoolDown   = time.Minute
	maxPairs       = 256 // remembered; the oldest is forgotten
	maxAnswers     = 64  // remembered for follow-ups
)

// A Reason is why a bot answers, or why none does.
type Reason string

// Why a bot answers.
const (
	Mention  Reason = "mention"
	Name     Reason = "name"
	Reply    Reason = "reply"
	FollowUp Reason = "follow-up"
	Private  Reason = "private"
)

// Why none does.
const (
	NotAddressed Reason = "not addressed"
	NotAllowed   Reason = "not addressed in a way that the bot takes" // Bot.Ways
	TooManyHops  Reason = "came over too many bots"
	CoolDown     Reason = "the two bots have said enough to each other"
	Repeats      Reason = "the bot repeats itself"
)

// Ways says how a bot may be addressed. A private conversation with it always is.
type Ways uint8

// The ways. The zero value of Ways is AnyWay.
const (
	ByMention Ways = 1 << iota
	ByName
	ByReply
	ByFollowUp

	AnyWay = ByMention | ByName | ByReply | ByFollowUp
)

func (w Ways) has(way Ways) bool { return w == 0 || w&way != 0 }

// A Bot is one that is on in the room.
type Bot struct {
	ID      string   // of its persona: also a name
	User    string   // its user in mentions and as an author
	Name    string   // shown
	Aliases []string // further names
	Ways    Ways
}

// A Person is somebody in the room who is not a bot.
type Person struct {
	User string
	Name string
}

// A Room is who can be addressed. It never changes, and may be used by any number of goroutines.
type Room struct {
	bots  []Bot
	names index
}

// NewRoom makes the room of these bots and people, which is made again when one of them comes, goes or is renamed.
func NewRoom(bots []Bot, people []Person) *Room {
	return &Room{bots: slices.Clone(bots), names: newIndex(bots, people)}
}

// A Message is one that is said in a Conversation.
type Message struct {
	At       time.Time
	User     string   // its author, a person's or a bot's
	Text     string   // Markdown
	Mentions []string // users
	ReplyTo  string   // the user whose message this one replies to; empty = none
	Private  string   // the ID of the bot whose private conversation this is; empty = others can read it
	Asker    string   // of a bot's answer: the user who asked
	Spoken   bool     // it was said aloud, and a machine has written it down
	Hops     int      // bots between this message and a person: 0 = a person's, 1 = a bot's answer to a person
}

// An Answer is one that shall be given.
type Answer struct {
	Bot    string // its ID
	Reason Reason
}

// A Decision says who answers a message.
type Decision struct {
	Answers []Answer // each bot once, in the order in which they are addressed
	Silence Reason   // when nobody answers
}

// A Conversation is what must be remembered of one timeline to decide. Its zero value is one in which nothing was said.
type Conversation struct {
	answers []answer // the newest last
	last    string   // the person who spoke last
	said    map[string]*outputs
	pairs   []*pair
}

// An answer is one that a bot gave.
type answer struct {
	bot   string // its ID
	user  string // who asked
	at    time.Time
	asked bool // it ends by a question
}

// Decide says who answers a message, and remembers of it what later ones need. Messages come in the order of their
// seqs; those that are not said by anybody, such as system notices, do not come here at all.
func (c *Conversation) Decide(room *Room, m Message) Decision {
	if author := slices.IndexFunc(room.bots, func(b Bot) bool { return b.User == m.User }); author >= 0 {
		return c.decideForBot(room, m, author)
	}
	others := c.last != "" && c.last != m.User
	c.last = m.User
	return c.decideForPerson(room, m, others)
}

func (c *Conversation) decideForPerson(room *Room, m Message, others bool) Decision {
	if bot := room.byID(m.Private); bot >= 0 {
		return room.answer(Private, 0, bot)
	}
	said := read(room, m)
	if bots := said.mentioned(); len(bots) > 0 {
		return room.answer(Mention, ByMention, bots...)
	}
	if bots := said.called(); len(bots) > 0 {
		return room.answer(Name, ByName, bots...)
	}
	if said.toPeople || said.empty() {
		return Decision{Silence: NotAddressed}
	}
	if bot := room.byUser(m.ReplyTo); bot >= 0 {
		if said.courtesy() {
			return Decision{Silence: NotAddressed}
		}
		return room.answer(Reply, ByReply, bot)
	}
	if bot := c.followedUp(room, m, said, others); bot >= 0 {
		return room.answer(FollowUp, ByFollowUp, bot)
	}
	return Decision{Silence: NotAddressed}
}

// followedUp returns the bot that a message follows up on; -1 = none. More than one bot that answered its author lately
// means that nobody can tell.
func (c *Conversation) followedUp(room *Room, m Message, said speech, others bool) int {
	if m.ReplyTo != "" {
		return -1 // to a person
	}
	bot, asked := -1, false
	for _, a := range c.answers {
		if a.user != m.User || m.At.Sub(a.at) > FollowUpWindow || m.At.Before(a.at) {
			continue
		}
		i := room.byID(a.bot)
		if bot >= 0 && i != bot {
			return -1
		}
		bot, asked = i, a.asked
	}
	if bot < 0 || !said.followsUp(asked, others) {
		return -1
	}
	return bot
}

// decideForBot remembers what a bot said, and lets it address other bots by mentions.
func (c *Conversation) decideForBot(room *Room, m Message, author int) Decision {
	repeats := c.remember(room.bots[author], m)
	said := read(room, m)
	bots := slices.DeleteFunc(said.mentioned(), func(bot int) bool { return bot == author })
	switch {
	case len(bots) == 0:
		return Decision{Silence: NotAddressed}
	case m.Hops >= MaxHops:
		return Decision{Silence: TooManyHops}
	case repeats:
		return Decision{Silence: Repeats}
	}
	bots = slices.DeleteFunc(bots, func(bot int) bool { return !c.mayTalk(m.User, room.bots[bot].User, m.At) })
	if len(bots) == 0 {
		return Decision{Silence: CoolDown}
	}
	return room.answer(Mention, ByMention, bots...)
}

// remember keeps what a bot said, and reports whether it said the like before.
func (c *Conversation) remember(bot Bot, m Message) (repeats bool) {
	if m.Asker != "" {
		c.answers = append(c.answers, answer{bot.ID, m.Asker, m.At, endsByQuestion(m.Text)})
		c.answers = slices.DeleteFunc(c.answers, func(a answer) bool { return m.At.Sub(a.at) > FollowUpWindow })
		c.answers = c.answers[max(0, len(c.answers)-maxAnswers):]
	}
	if c.said == nil {
		c.said = map[string]*outputs{}
	}
	if c.said[bot.ID] == nil {
		c.said[bot.ID] = &outputs{}
	}
	return c.said[bot.ID].add(m.Text)
}

func (r *Room) byID(id string) int {
	return slices.IndexFunc(r.bots, func(b Bot) bool { return id != "" && b.ID == id })
}

func (r *Room) byUser(user string) int {
	return slices.IndexFunc(r.bots, func(b Bot) bool { return user != "" && b.User == user })
}

// answer lets those answer that may be addressed this way; 0 = any bot.
func (r *Room) answer(reason Reason, way Ways, bots ...int) Decision {
	var d Decision
	for _, bot := range bots {
		if way == 0 || r.bots[bot].Ways.has(way) {
			d.Answers = append(d.Answers, Answer{r.bots[bot].ID, reason})
		}
	}
	if len(d.Answers) == 0 {
		d.Silence = NotAllowed
	}
	return d
}
