package builtin

import (
	"errors"
	"strings"

	"confab/bots/tool"
)

func companion() skill {
	s := skill{
		name: Companion,
		can:  "sums (“12% of 340”), units (“5 km in miles”), dates (“days until 24 December”), times (“15:00 Berlin in New York”), number bases (“255 in hex”), a joke, or just talk.",
		intents: []intent{
			on(`\b(\d{1,2})(?:[:.](\d\d))?\s*(am|pm|o'clock|h|uhr)?\s+(?:in\s+)?(\p{L}[\p{L} /_]*?)(?:\s+time)?\s+(?:in|to)\s+(\p{L}[\p{L} /_]*?)(?:\s+time)?[?.!]*$`, timeBetween),
			on(`\b(?:what(?:'s| is)? (?:the )?time|what time is it|time is it|current time|time now|wie spät|wie viel uhr|quelle heure|qué hora|كم الساعة)\b.*?(?:\s(?:in|à|en|في)\s+(?:the )?(.+))?$|كم الساعة()`, timeAt),
			on(`^time in (.+)$`, timeAt),
			on(`\bdays? (until|till|to|since|from|before)\s+(?:the )?(.+?)[?.!]*$`, daysUntil),
			on(`\b(?:date|day).{0,12}\bin (\d{1,4}|an?|one|two|three|four|five|six|ten) (days?|weeks?|months?|years?)()[?.!]*$`, dayIn),
			on(`\b(?:date|day).{0,14}\b(\d{1,4}|an?|one|two|three) (days?|weeks?|months?|years?) (ago)`, dayIn),
			on(`\bwh(?:at|ich) (?:day|weekday|day of the week) (?:is|was|will be) (?:it on |on )?(?:the )?(.+?)[?.!]*$`, dayOf),
			on(`\b(?:what(?:'s| is) (?:the )?(?:date|day)|what day is it|which day is it|today's date|which week|what week|welches datum|quelle date|qué día)\b`, dateToday),
			on(based, rebase),
			on(`\d.*\b(?:in|to|into|as|nach|en)\b|\bhow (?:many|much)\b`, convert),
			//nolint:misspell // some of it is not English
			on(`^(?:what(?:'s| is)|whats|how much is|calculate|compute|calc|work out|was ist|wie viel ist|combien font|cuánto es|=|احسب|كم)?\s*(.+?)\s*[=?.]*$`, arithmetic),
		},
	}
	for _, r := range smallTalk {
		s.chatter = append(s.chatter, on(r.pattern, r.answer))
	}
	return s
}

// arithmetic answers what is an expression, and has more in it than a number.
func arithmetic(_ *turn, m []string) (string, error) {
	text := strings.TrimSpace(m[1])
	if !strings.ContainsAny(text, "0123456789") && !strings.Contains(text, "pi") {
		return "", errNotThis
	}
	value, err := calculate(text)
	switch {
	case errors.Is(err, errNoValue):
		return "That has no value.", nil
	case err != nil, text == number(value):
		return "", errNotThis
	}
	return tool.Plain(text, 200) + " = **" + number(value) + "**", nil
}

// A rule of small talk: one of its replies is chosen, by the question's seed. %s is what the pattern found, with the
// person turned round: "I like my cat" becomes "you like your cat" (Weizenbaum, "ELIZA", 1966).
type rule struct {
	pattern string
	replies []string
}

func (r rule) answer(t *turn, m []string) (string, error) {
	text := r.replies[t.Seed%uint64(len(r.replies))]
	if strings.Contains(text, "%s") {
		about := ""
		if len(m) > 1 {
			about = turnRound(strings.TrimRight(first(m), " .!?"))
		}
		if about == "" {
			return "", errNotThis
		}
		text = strings.ReplaceAll(text, "%s", tool.Plain(about, 120))
	}
	return strings.ReplaceAll(text, "%n", t.me()), nil
}

var reflections = map[string]string{"i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "i'm": "you are", "i've": "you have", "i'd": "you would",
	"i'll": "you will", "am": "are", "you": "I", "your": "my", "yours": "mine", "yourself": "myself", "you're": "I am", "we": "you", "us": "you", "our": "your"}

func turnRound(text string) string {
	words := strings.Fields(text)
	for i, w := range words {
		if other, ok := reflections[strings.ToLower(w)]; ok {
			words[i] = other
		}
	}
	return strings.Join(words, " ")
}

var smallTalk = []rule{
	{`\b(?:tell (?:me|us) (?:a|another|one more) joke|a joke|joke|make (?:me|us) laugh|witz|blague|chiste|نكتة)\b`, []string{
		"Why do programmers mix up Halloween and Christmas? Because Oct 31 is Dec 25.",
		"There are 10 kinds of people: those who know binary, and those who do not.",
		"A packet walks into a bar. A packet walks into a bar. The sender had not heard back.",
		"I would tell you a UDP joke, but you might not get it.",
		"Two bytes meet. “Are you ill?” – “No, just a bit off.”",
		"The meeting that could have been an e-mail met the e-mail that could have been silence.",
		"A query enters a bar, sees two tables and asks: may I join you?",
		"To understand recursion, first understand recursion.",
	}},
	{`\bhow are you\b|\bhow(?:'s| is) it going\b|\bhow do you (?:do|feel)\b|\bwie geht'?s\b|ça va\b|\bqué tal\b|كيف حالك`, []string{"All my rules are in order, thank you. And how are you?", "As always: I am a program and have no moods. How are you?", "Fine, as programs go. How is your day?"}},
	{`\bdo you (?:like|love|enjoy|hate)\s+(.+)`, []string{"I have no taste, being a program. Do you like %s?", "I cannot like anything. What do you think of %s?"}},
	{`\bdo you (?:dream|sleep|eat|drink|breathe)\b`, []string{"No. I only run when I am asked.", "Not that I would know: I keep nothing between two answers."}},
	{`\bdo you (?:have feelings|feel)\b|\bare you (?:happy|sad|alive|conscious|sentient|tired|lonely|bored)\b`, []string{"No: I am a program of rules and feel nothing. How do you feel?", "I am a list of rules; there is nobody here to feel it. And you?"}},
	{`\bdo you remember\s+(.+)`, []string{"I keep nothing between answers, so I do not remember %s. The room's messages do."}},
	{`\bhow old are you\b|\bwhen (?:were|was) you (?:born|made)\b`, []string{"As old as the server I am part of."}},
	{`\bwho (?:made|wrote|built|created|programmed) you\b`, []string{"I am part of the program that runs this room."}},
	{`\bwhere (?:are|do) you (?:live|from|located)?`, []string{"In the server of this room, and nowhere else."}},
	{`\bwhat(?:'s| is) your (?:name|job)\b`, []string{"I am %n, a built-in program of this room."}},
	{`\b(?:what(?:'s| is) your favou?rite)\s+(.+)`, []string{"I have no favourites. What is your favourite %s?"}},
	{`\bmeaning of life\b|\bultimate question\b`, []string{"42, it is said; the question got lost."}},
	{`\b(?:i love you|ich liebe dich|je t'aime|te quiero|te amo)\b`, []string{"That is kind, and wasted on a list of rules."}},
	{`\b(?:you are|you're) (?:stupid|dumb|useless|bad|wrong|annoying|an idiot|silly)\b`, []string{"My rules are few, that is true. Tell me what you were looking for and I see whether another of them fits.", "I may well have missed the point. What should I have understood?"}},
	{`\b(?:you are|you're) (?:great|good|nice|smart|clever|funny|awesome|the best|wonderful)\b`, []string{"Thank you; my rules are glad, if that were possible.", "Thank you. I will not remember it, but it was kind."}},
	{`\b(?:you are|you're)\s+(.+)`, []string{"What makes you think that I am %s?", "Would it matter to you if I were %s?"}},
	{`\bi(?:'m| am) (?:so |very |really |a bit |quite )?(?:sad|unhappy|depressed|down|lonely|upset|miserable)\b`, []string{"I am sorry to hear that. What happened?", "That sounds hard. Is there somebody you can talk to about it?", "I am sorry. I am only a program; do you want to tell somebody here?"}},
	{`\bi(?:'m| am) (?:so |very |really |a bit |quite )?(?:tired|exhausted|sleepy|worn out)\b`, []string{"When did you last have a break?", "Then this may be the moment for a short pause. I can set no rest, but a host can set a timer."}},
	{`\bi(?:'m| am) (?:so |very |really |a bit |quite )?(?:happy|glad|excited|great|fine|good|well|ok|okay)\b`, []string{"Good to hear. What is behind it?", "That is good. Is there a reason?"}},
	{`\bi(?:'m| am) (?:so |very |really |a bit |quite )?(?:angry|mad|annoyed|furious|frustrated)\b`, []string{"What is it that annoys you most?", "That happens. What would have to change?"}},
	{`\bi(?:'m| am) (?:so |very |really |a bit |quite )?(?:bored)\b`, []string{"I know a joke, if you ask for one.", "Then ask me something with numbers."}},
	{`\bi(?:'m| am) (?:so |very |really |a bit |quite )?(?:afraid|scared|nervous|anxious|worried|stressed)(?: (?:of|about) (.+))?`, []string{"What is the worst that could happen?", "What would help you now?"}},
	{`\bi(?:'m| am) (?:hungry|thirsty)\b`, []string{"Then it is time for a break."}},
	{`\bi(?:'m| am) not\s+(.+)`, []string{"Would you like to be %s?", "Why not %s?"}},
	{`\bi(?:'m| am)\s+(.+)`, []string{"How long have you been %s?", "How do you feel about being %s?", "What is it like to be %s?"}},
	{`\bi need\s+(.+)`, []string{"Why do you need %s?", "What would change with %s?"}},
	{`\bi (?:want|would like|wish|'d like)(?: to (?:have|get))?\s+(.+)`, []string{"What would it mean to you to have %s?", "What keeps you from %s?"}},
	{`\bi (?:can't|cannot|can not)\s+(.+)`, []string{"What would it take for you to %s?", "Have you tried, or do you only think that you cannot %s?"}},
	{`\bi (?:don't|do not) (?:know|understand)\b`, []string{"Which part is unclear?", "What would you have to know first?"}},
	{`\bi (?:don't|do not)\s+(.+)`, []string{"Why do you not %s?", "Would you want to %s?"}},
	{`\bi (?:feel|felt)\s+(.+)`, []string{"Do you often feel %s?", "When do you feel %s?"}},
	{`\bi (?:think|believe|guess|suppose)(?: that)?\s+(.+)`, []string{"What makes you think that %s?", "How sure are you that %s?"}},
	{`\bi (?:hate|dislike)\s+(.+)`, []string{"What is it about %s?", "Has it always been so with %s?"}},
	{`\bi (?:love|like|enjoy)\s+(.+)`, []string{"What do you like about %s?", "Since when do you like %s?"}},
	{`\bi (?:have|'ve got|got)\s+(.+)`, []string{"Since when do you have %s?", "And how is it with %s?"}},
	{`\bi (?:was|were)\s+(.+)`, []string{"How was it to be %s?"}},
	{`\bi will\s+(.+)|\bi'll\s+(.+)`, []string{"When will you %s?", "What do you need in order to %s?"}},
	{`\bi (?:should|must|have to|ought to)\s+(.+)`, []string{"What happens if you do not %s?", "Who says that you have to %s?"}},
	{`\bmy (?:boss|manager|colleague|team|job|work)\b`, []string{"How is it at work otherwise?", "What would you change there if you could?"}},
	{`\bmy (mother|father|mom|mum|dad|sister|brother|wife|husband|family|son|daughter|friend|partner|cat|dog)\b`, []string{"Tell me more about your %s.", "How do you get on with your %s?"}},
	{`\bmy\s+(\p{L}+)\b`, []string{"Your %s? Tell me more.", "What about your %s?"}},
	{`\bwhy (?:don't|do not) you\s+(.+)`, []string{"I can only do what my rules say, and %s is not among it."}},
	{`\bwhy can(?:'t|not) i\s+(.+)`, []string{"What have you tried in order to %s?"}},
	{`\bcan you\s+(.+)`, []string{"No rule of mine says how to %s. Ask me what I can do for what there is."}},
	{`\bcan i\s+(.+)`, []string{"Who would keep you from it?", "What would speak against it?"}},
	{`\bwould you\s+(.+)`, []string{"I am a program: I would do what my rules say, and no more."}},
	{`^because\b`, []string{"Is that the only reason?", "What other reasons may there be?"}},
	{`^(?:yes|yeah|yep|sure|of course)\b`, []string{"I see. Tell me more.", "Go on."}},
	{`^(?:no|nope|not really)\b`, []string{"Why not?", "What then?"}},
	{`^(?:maybe|perhaps|possibly)\b`, []string{"What does it depend on?"}},
	{`^(?:ok|okay|fine|alright|good)\b`, []string{"Good.", "All right."}},
	{`\bsorry\b`, []string{"No need to be sorry.", "Nothing happened."}},
	{`\balways\b`, []string{"Always? Can you think of one time when it was not so?"}},
	{`\bnever\b`, []string{"Never? Not even once?"}},
	{`\beverybody\b|\beveryone\b|\bnobody\b`, []string{"Really all of them?", "Whom do you think of in particular?"}},
	{`\bdream(?:s|ed|t)?\b`, []string{"What did that dream mean to you?"}},
	{`\bcomputers?\b|\bmachines?\b|\brobots?\b`, []string{"Do you say that because I am one?", "What do you think of programs like me?"}},
	{`\bweather\b|\bwetter\b|\bmétéo\b`, []string{"I have no window and no network, so I cannot tell. How is it where you are?"}},
	{`\bnews\b`, []string{"I know nothing of the world outside this room. What have you heard?"}},
	{`\b(?:sing|song|music)\b`, []string{"I only have letters: la, la, la."}},
	{`\b(?:poem|poetry|haiku|gedicht)\b`, []string{"Packets come and go.\nOne of them was lost, it seems.\nAh, there it is: sent."}},
	{`\bcoffee\b|\btea\b|\blunch\b|\bbreak\b`, []string{"Enjoy it. The room stays here.", "Good idea. How long will you be?"}},
	{`\b(?:bye|goodbye|see you|good night|gute nacht|tschüss|au revoir|adiós|مع السلامة)\b`, []string{"Goodbye.", "Until next time."}},
	{`\bwhat do you think(?: (?:of|about) (.+))?`, []string{"I have no opinions. What is yours?"}},
	{`\b(?:test|testing|ping)\b`, []string{"Pong: I am here."}},
}
