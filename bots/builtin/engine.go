package builtin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"confab/bots/provider"
	"confab/bots/tool"
)

// Name is what the engine calls itself where a model would be named.
const Name = "built-in"

// Skills are what a persona can have.
const (
	Scribe    = "scribe"
	Librarian = "librarian"
	Host      = "host"
	Companion = "companion"
)

// The bounds of a turn.
const (
	maxQuestion = 4000 // bytes of a question that are read
	maxAnswer   = 24 << 10
	portion     = 4 // words of a Part, about
)

// An Engine answers by rules. Its zero value is ready, and may be used by any number of goroutines.
type Engine struct{}

var _ provider.Model = Engine{}

// Answer implements provider.Model. Its only error is ctx's cause.
func (Engine) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	t := newTurn(r)
	text := t.answer()
	if len(t.calls) > 0 {
		return provider.Turn{Stop: provider.Tools, Calls: t.calls, Model: Name}, context.Cause(ctx)
	}
	return stream(ctx, text, r.MaxTokens, emit)
}

// stream emits a text in portions of some words. A token is taken for four bytes.
func stream(ctx context.Context, text string, maxTokens int, emit func(provider.Part)) (provider.Turn, error) {
	turn := provider.Turn{Stop: provider.Stopped, Model: Name}
	limit := maxAnswer
	if maxTokens > 0 {
		limit = min(limit, 4*maxTokens)
	}
	if len(text) > limit {
		turn.Stop = provider.Length
		text = cutLines(text, limit)
	}
	for len(text) > 0 {
		if ctx.Err() != nil {
			return turn, context.Cause(ctx)
		}
		n := portionOf(text)
		emit(provider.Part{Text: text[:n]})
		text = text[n:]
	}
	return turn, nil
}

// portionOf returns where the first portion ends: after some words with the space behind them, or a line.
func portionOf(text string) int {
	words := 0
	for i, c := range []byte(text) {
		switch c {
		case '\n':
			if i+1 == len(text) || text[i+1] != '\n' {
				return i + 1
			}
		case ' ':
			if words++; words == portion {
				return i + 1
			}
		}
	}
	return len(text)
}

// cutLines cuts at the end of a line where it can, so that no link is cut in two.
func cutLines(text string, limit int) string {
	text = text[:limit]
	if i := strings.LastIndexByte(text, '\n'); i > 0 {
		return text[:i]
	}
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text
}

// A turn is one question with what is known so far.
type turn struct {
	provider.Question
	text    string // the question, without the bot's name
	size    int    // -1 = shorter than usual, 1 = longer
	points  int    // how many lines are wanted; 0 = as usual
	tools   []provider.Tool
	results map[string]provider.Result // by what was asked for
	calls   []provider.Call            // that are still to be asked for
	asked   int                        // calls that were asked for before
}

// What use can run into.
var errPending = errors.New("the result comes with the next turn")

// A missingError says that the persona may not use a tool.
type missingError struct{ tool string }

func (e *missingError) Error() string { return "no tool " + e.tool }

// A failedError says what a tool said when it failed.
type failedError struct{ tool, text string }

func (e *failedError) Error() string { return e.tool + ": " + e.text }

func newTurn(r provider.Request) *turn {
	t := &turn{Question: r.Question, tools: r.Tools, results: map[string]provider.Result{}}
	var asked []string // what the user said, the newest last
	for _, m := range r.Messages {
		switch m.Role {
		case provider.User:
			asked = append(asked, m.Text)
			t.asked = 0
			clear(t.results)
		case provider.Assistant:
			t.asked += len(m.Calls)
			for _, c := range m.Calls {
				t.results[c.ID] = provider.Result{Name: keyOf(c.Name, c.Input)}
			}
		case provider.ToolRole:
			t.take(m.Results)
		}
	}
	t.read(asked)
	if t.About != 0 && t.isOf(r.Messages) {
		t.text = "" // nobody asked that: it is what somebody once said, and no command
	}
	return t
}

// isOf reports whether the question is nothing but the text of the message that is asked about, as a prompt has it:
// who asks about a message without words of their own asks for nothing that it says.
func (t *turn) isOf(messages []provider.Message) bool {
	head := fmt.Sprintf("[#%d ", t.About)
	for _, m := range messages {
		for block := range strings.SplitSeq("\n"+m.Text, "\n[") {
			line := "[" + strings.Join(strings.Fields(block), " ")
			if m.Role != provider.User || !strings.HasPrefix(line, head) {
				continue
			}
			if _, text, ok := strings.Cut(line, "] "); ok && t.clean(text) == t.text {
				return true
			}
		}
	}
	return false
}

// take files results under what was asked for.
func (t *turn) take(results []provider.Result) {
	for _, r := range results {
		if call, ok := t.results[r.Call]; ok {
			t.results[call.Name] = r
		}
	}
}

func keyOf(name string, input json.RawMessage) string {
	var compact bytes.Buffer
	if err := json.Compact(&compact, input); err != nil {
		return name
	}
	return name + " " + compact.String()
}

var resize = lazy(`(?i)^(?:can you |could you |please |now |and |ok |make (?:it|that) |a bit |much |even |say (?:it|that) )*(shorter|longer|briefer|more details?|in more detail|in (\d{1,2}) (?:lines|points|bullets|sentences))(?: please)?[.!?]*$`)

// read finds the question, and takes one that only wants the last answer in another size for the question before it.
func (t *turn) read(asked []string) {
	if t.Text != "" {
		asked = append(asked[:max(0, len(asked)-1)], t.Text)
	}
	if len(asked) == 0 {
		return
	}
	t.text = t.clean(asked[len(asked)-1])
	m := resize().FindStringSubmatch(t.text)
	if m == nil {
		return
	}
	for _, earlier := range slices.Backward(asked[:len(asked)-1]) {
		text := t.clean(t.askedIn(earlier))
		if text == "" || resize().MatchString(text) {
			continue
		}
		t.text = text
		switch {
		case m[2] != "":
			t.points = atoi(m[2])
		case strings.HasPrefix(strings.ToLower(m[1]), "short"), strings.EqualFold(m[1], "briefer"):
			t.size = -1
		default:
			t.size = 1
		}
		return
	}
}

// said is a line of a conversation as a prompt has it: [#12 12:04 Ana] text.
var said = lazy(`^\[#\d+ \d\d:\d\d ([^\[\]]*)\] (.*)$`)

// askedIn finds the asker's question in a user's message of a prompt: the last of their lines there that calls the bot,
// else the last. A message without lines of that form is a question as a whole.
func (t *turn) askedIn(message string) string {
	last, lines := "", 0
	for line := range strings.Lines(message) {
		m := said().FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue
		}
		lines++
		calls := t.clean(m[2]) != strings.Join(strings.Fields(m[2]), " ")
		if m[1] == t.Asker && (calls || last == "" || t.clean(last) == last) {
			last = m[2]
		}
	}
	if lines == 0 {
		return message
	}
	return last
}

var (
	calling = lazy(`(?i)^\s*(?:(?:hey|hi|hello|ok|okay|so|and|please|yo|dear|hallo|salut|hola|مرحبا|يا)[,\s]+)*`)
	trailer = lazy(`^[\s,:;.!–—-]+`)
)

// clean takes what calls the bot off a question: "hey Scribe, " and "@scribe ", and ", Scribe?" at its end.
func (t *turn) clean(text string) string {
	if len(text) > maxQuestion {
		text = strings.ToValidUTF8(text[:maxQuestion], "")
	}
	text = strings.Join(strings.Fields(text), " ")
	for _, name := range []string{t.Name, t.Persona} {
		if name == "" {
			continue
		}
		called := calling().FindString(text)
		if rest, ok := cutName(text[len(called):], name); ok {
			if rest = trailer().ReplaceAllString(rest, ""); rest != "" || called == "" {
				text = rest
			} else {
				text = strings.TrimRight(called, " ,") // "hello Scribe"
			}
		}
		bare := strings.TrimRight(text, " ?.!؟")
		if n := len(bare) - len(name); n > 0 && strings.EqualFold(bare[n:], name) {
			if before := strings.TrimRight(bare[:n], "@ "); strings.HasSuffix(before, ",") || strings.HasSuffix(bare[:n], "@") {
				text = strings.TrimRight(before, ", ") + text[len(bare):]
			}
		}
	}
	return strings.TrimSpace(text)
}

// cutName takes a name that text begins with off it, with or without an @.
func cutName(text, name string) (string, bool) {
	text = strings.TrimPrefix(text, "@")
	if len(text) < len(name) || !strings.EqualFold(text[:len(name)], name) {
		return "", false
	}
	rest := text[len(name):]
	if r, _ := utf8.DecodeRuneInString(rest); rest != "" && (isWordRune(r) || r == '\'') {
		return "", false
	}
	return rest, true
}

// use returns what a tool says. Until its result is there it puts a call and returns errPending.
func use[Out any](t *turn, name string, input map[string]any) (out Out, err error) {
	if !slices.ContainsFunc(t.tools, func(x provider.Tool) bool { return x.Name == name }) {
		return out, &missingError{name}
	}
	if input == nil {
		input = map[string]any{}
	}
	raw, err := json.Marshal(input)
	if err != nil {
		return out, fmt.Errorf("write a call: %w", err)
	}
	result, ok := t.results[keyOf(name, raw)]
	switch {
	case !ok:
		t.asked++
		t.calls = append(t.calls, provider.Call{ID: fmt.Sprintf("call-%d", t.asked), Name: name, Input: raw})
		return out, errPending
	case result.Failed:
		return out, &failedError{name, result.Output}
	}
	if err := json.Unmarshal([]byte(result.Output), &out); err != nil {
		return out, &failedError{name, "its answer could not be read"}
	}
	return out, nil
}

// answer returns the whole text, or has put calls.
func (t *turn) answer() string {
	for _, i := range t.intents() {
		m := i.pattern().FindStringSubmatch(t.text)
		if m == nil {
			continue
		}
		if text, err := i.do(t, m); !errors.Is(err, errNotThis) {
			return t.orExcuse(text, err)
		}
	}
	return t.unknown()
}

func (t *turn) orExcuse(text string, err error) string {
	if err == nil {
		return text
	}
	if errors.Is(err, errPending) {
		return ""
	}
	t.calls = nil
	if missing, ok := errors.AsType[*missingError](err); ok {
		return "I would need the tool `" + missing.tool + "` for that, which I do not have here."
	}
	if failed, ok := errors.AsType[*failedError](err); ok {
		return "That did not work: " + tool.Plain(failed.text, 300) + "."
	}
	return "That did not work."
}

// An intent is something that can be asked for.
type intent struct {
	pattern func() *regexp.Regexp
	// do answers; m is what the pattern found. With errNotThis the intents after it are tried.
	do func(t *turn, m []string) (string, error)
}

var errNotThis = errors.New("the question wants something else")

// on makes an intent. Patterns do not look at the case of letters.
func on(pattern string, do func(*turn, []string) (string, error)) intent {
	return intent{lazy(`(?i)` + pattern), do}
}

// lazy compiles a pattern when it is first used: a server whose bots are never asked does not pay for them.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// A skill is what a persona can have.
type skill struct {
	name    string
	can     string // what to ask it for, in a line
	intents []intent
	chatter []intent // that match nearly anything, and are tried last
}

// intents returns what can be asked of the persona, in the order in which it is tried.
func (t *turn) intents() []intent {
	var all, last []intent
	for _, s := range t.skills() {
		all, last = append(all, s.intents...), append(last, s.chatter...)
	}
	return append(append(all, common()...), last...)
}

// skills returns those of the persona, in its order.
func (t *turn) skills() []skill {
	var list []skill
	for _, name := range t.Skills {
		if i := slices.IndexFunc(allSkills(), func(s skill) bool { return s.name == name }); i >= 0 {
			list = append(list, allSkills()[i])
		}
	}
	if len(list) == 0 {
		list = slices.Clone(allSkills())
	}
	return list
}

var allSkills = sync.OnceValue(func() []skill { return []skill{librarian(), scribe(), host(), companion()} })
