package builtin

import (
	"strings"
	"sync"

	"confab/bots/tool"
)

// common is what every persona says.
var common = sync.OnceValue(func() []intent {
	return []intent{
		on(`^(?:thanks?|thank you|thx|ty|cheers|danke|merci|gracias|شكرا)\b`, say("You are welcome.")),
		on(`^(?:thanks?|شكرا)`, say("You are welcome.")),
		on(`\bare you (?:an? )?(?:ai|a\.i\.|artificial|bot|robot|human|person|model|llm|gpt|chatgpt|machine|real|program)|\bwhat are you\b|\bwho are you\b|\bwhich model\b|\bwer bist du\b|\bqui es-tu\b|\bquién eres\b|من أنت`, whoAmI),
		on(`\b(?:what can you do|what do you do|how do you work|what can i (?:ask|say)|help|commands|hilfe|aide|ayuda)\b|مساعدة|was kannst du|que sais-tu faire|qué puedes hacer`, help),
		on(`^(?:hey|hi|hello|hallo|salut|bonjour|hola|good (?:morning|afternoon|evening)|guten (?:morgen|tag|abend)|buen[oa]s (?:días|dias|tardes|noches)|مرحبا|السلام عليكم|أهلا)\b`, greet),
		on(`^(?:مرحبا|السلام عليكم|أهلا)`, greet),
		on(`^$`, greet),
	}
})

func say(text string) func(*turn, []string) (string, error) {
	return func(*turn, []string) (string, error) { return text, nil }
}

func (t *turn) me() string {
	if t.Name == "" {
		return "a bot"
	}
	return tool.Plain(t.Name, 60)
}

func whoAmI(t *turn, _ []string) (string, error) {
	return "I am " + t.me() + ", a built-in program of this server. I follow rules: there is no AI model behind me, and what you write does not leave the server for my answers.\n" + t.abilities(), nil
}

func help(t *turn, _ []string) (string, error) { return t.abilities(), nil }

func greet(t *turn, _ []string) (string, error) {
	hello := "Hello"
	if t.Asker != "" {
		hello += " " + tool.Plain(t.Asker, 60)
	}
	return hello + ". " + t.abilities(), nil
}

// abilities says in a line for each skill what to ask for.
func (t *turn) abilities() string {
	var lines []string
	for _, s := range t.skills() {
		lines = append(lines, s.can)
	}
	if len(lines) == 1 {
		return "You can ask me for " + lines[0]
	}
	return "You can ask me for:\n- " + strings.Join(lines, "\n- ")
}

// unknown is two lines: that this is not understood, in the language of the question, and what would be.
func (t *turn) unknown() string {
	switch language(t.text) {
	case "de":
		return "Ich verstehe das nicht; ich bin ein eingebautes Programm ohne KI-Modell und antworte auf Englisch.\n" + t.abilities()
	case "fr":
		return "Je ne comprends pas ; je suis un programme intégré sans modèle d'IA et je réponds en anglais.\n" + t.abilities()
	case "es":
		return "No lo entiendo; soy un programa integrado sin modelo de IA y respondo en inglés.\n" + t.abilities()
	case "ar":
		return "لا أفهم ذلك؛ أنا برنامج مدمج بلا نموذج ذكاء اصطناعي، وأجيب بالإنجليزية.\n" + t.abilities()
	}
	return "I do not know what to do with that.\n" + t.abilities()
}

// cues are words that one language has and the others have not.
var cues = map[string]string{
	"de": " der die das und ist nicht ich du wir ihr was wer wie warum wann haben habe hast kannst bitte ein eine mit auf für über auch noch mir mich uns dass wird sind ",
	"fr": " le les des est pas je tu nous vous que qui quoi pourquoi quand avec pour dans une sur mais ou où peux moi c'est j'ai ça plaît ",
	"es": " el los las es no yo tú nosotros qué quién cuándo por para con una pero cómo dónde puedes puede me está hay del ",
	"en": " the is are not i you we what who how why when have has can please a an with on for about also that will do does to of it ",
}

// language guesses what a question is written in: "en" when nothing says otherwise.
func language(text string) string {
	counts := map[string]int{}
	for _, w := range strings.Fields(strings.ReplaceAll(strings.ToLower(text), "-", " ")) {
		w = strings.Trim(w, ".,;:!?¿¡()\"'")
		for _, r := range w {
			if r >= 0x0600 && r <= 0x06FF {
				counts["ar"]++
				break
			}
		}
		for name, list := range cues {
			if w != "" && strings.Contains(list, " "+w+" ") {
				counts[name]++
			}
		}
	}
	best := "en"
	for _, name := range []string{"de", "fr", "es", "ar"} {
		if counts[name] > counts[best] {
			best = name
		}
	}
	return best
}
