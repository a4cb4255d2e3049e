package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"confab/signaling/wire"
)

// The reference's prose; what follows from the catalog is put into it.
//
//go:embed reference.md.tmpl
var referenceTemplate string

// errorRemedies says for each error code what it means and what to do.
var errorRemedies = map[wire.ErrorCode][2]string{
	wire.CodeBadMessage:   {"The envelope is malformed, a name is not in its alphabet, or a field has a wrong type.", "Correct the client; the text names the field."},
	wire.CodeUnknownType:  {"This server knows no such type of message.", "Correct the client, or update the server."},
	wire.CodeUnauthorized: {"The token is missing, expired, or not signed by who may.", "Get a new token and connect again."},
	wire.CodeForbidden:    {"Role, grant, ban or authorship does not allow it.", "Ask a moderator, or get a token with that grant."},
	wire.CodeNotJoined:    {"This session is not in that room.", "Send `join` first."},
	wire.CodeNotFound:     {"There is no such message, participant, room or bot.", "It may have left or been erased: drop the reference to it."},
	wire.CodeTooLarge:     {"A text or a frame is over its limit.", "Shorten it; see the limits below."},
	wire.CodeRateLimited:  {"More messages than this session may send.", "Wait `retryAfterMs`, then send again with the same `id`."},
	wire.CodeConflict:     {"It contradicts what is already so.", "Look at the state and decide anew."},
	wire.CodeRoomFull:     {"The room has all the participants it may have.", "Try again when somebody has left."},
	wire.CodeRoomLocked:   {"The room is locked.", "Join with `knock`, and wait to be admitted."},
	wire.CodeUnavailable:  {"A part of the server does not answer.", "Try again with the same `id`, later and later."},
	wire.CodeTimeout:      {"It took too long; whether it took effect is not known.", "Send again with the same `id`: a repeat is harmless."},
	wire.CodeCancelled:    {"It was cancelled.", "Nothing: somebody wanted it so."},
	wire.CodeBotFailed:    {"The bot or the model behind it failed.", "Ask again, or ask another bot."},
	wire.CodeInternal:     {"The server made a mistake, and logged it.", "Try again once; then report it with the time."},
}

// closeRemedies says for each close code what to do.
var closeRemedies = map[wire.CloseCode]string{
	wire.CloseNormal:         "Nothing.",
	wire.CloseGoingAway:      "Reconnect with the ticket.",
	wire.CloseProtocolError:  "Correct the client.",
	wire.CloseUnsupported:    "Send text frames.",
	wire.CloseInvalidPayload: "Send UTF-8.",
	wire.ClosePolicy:         "Get a good token, then connect.",
	wire.CloseTooBig:         "Send less at a time.",
	wire.CloseInternalError:  "Reconnect with the ticket.",
	wire.CloseServiceRestart: "Reconnect with the ticket.",
	wire.CloseTryAgainLater:  "Reconnect, later and later.",
	wire.CloseTokenExpired:   "Get a new token; reconnect with it and the ticket.",
	wire.CloseSilent:         "Reconnect with the ticket; send `ping` every `heartbeatMs`.",
	wire.CloseTooSlow:        "Reconnect with the ticket and join with `since`.",
	wire.CloseReplaced:       "Nothing: the newer connection has the session.",
	wire.CloseKicked:         "Tell the person. Coming back is allowed, by their choice.",
	wire.CloseBanned:         "Tell the person.",
	wire.CloseRoomEnded:      "Tell the person.",
	wire.CloseTooManyErrors:  "Correct the client: it sent what fails over and over.",
}

// deliveries says what the classes of delivery promise.
var deliveries = map[wire.Delivery]string{
	wire.Handshake: "the start of a connection",
	wire.Request:   "none; a request of one client",
	wire.Answered:  "the answer to one request",
	wire.Logged:    "logged: stored before it is acknowledged, in order, never dropped",
	wire.State:     "state: only the newest value per sender need arrive",
	wire.Signalled: "signal: in order per sender and addressee; waits while the addressee is reconnecting",
	wire.Stream:    "stream: in order and never lost; pieces that wait may be merged",
	wire.Notice:    "notice: told once, in order",
}

// A section is a part of the catalog.
type section struct {
	Title    string
	Messages []message
}

// markdown returns the reference.
func (p *protocol) markdown() ([]byte, error) {
	t, err := template.New("reference").Funcs(template.FuncMap{
		"envelope": func() string { return p.fieldTable(reflect.TypeFor[wire.Envelope]()) },
		"sections": p.sections,
		"message":  p.messageText,
		"types":    p.typesText,
		"errors":   errorTable,
		"closes":   closeTable,
		"limits":   p.limitTable,
	}).Parse(referenceTemplate)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// sections groups the catalog by its own words, in its own order.
func (p *protocol) sections() []section {
	var all []section
	for _, m := range p.messages {
		title := strings.ToUpper(m.Section[:1]) + m.Section[1:]
		if n := len(all); n == 0 || all[n-1].Title != title {
			all = append(all, section{Title: title})
		}
		last := &all[len(all)-1]
		last.Messages = append(last.Messages, m)
	}
	return all
}

// messageText is what the reference says of one type of message.
func (p *protocol) messageText(m message) string {
	w := &writer{}
	w.line("### `%s`", m.Kind)
	w.line("")
	w.line("%s", m.Doc)
	w.line("")
	w.line("Delivery: %s.", deliveries[m.Delivery])
	if m.Answer != "" {
		w.line("Answer to a request with an `id`: `%s`.", m.Answer)
	}
	client, server := reflect.TypeOf(m.Client), reflect.TypeOf(m.Server)
	if client == server {
		p.writeBody(w, "From a client and from the server", client, m.clientExamples[0], m.serverExamples[0])
		return w.String()
	}
	if client != nil {
		p.writeBody(w, "From a client", client, m.clientExamples[0])
	}
	if server != nil {
		p.writeBody(w, "From the server", server, m.serverExamples[0])
	}
	return w.String()
}

func (p *protocol) writeBody(w *writer, title string, body reflect.Type, examples ...string) {
	w.line("")
	if body.NumField() == 0 {
		w.line("**%s:** no fields.", title)
	} else {
		w.line("**%s:**", title)
		w.line("")
		w.line("%s", p.fieldTable(body))
	}
	w.line("")
	w.line("```json")
	for _, example := range examples {
		w.line("%s", example)
	}
	w.line("```")
}

// fieldTable is a table of a struct's fields.
func (p *protocol) fieldTable(t reflect.Type) string {
	s, ok := p.structOf(t)
	if !ok {
		panic("wiregen: " + t.Name() + " was not collected")
	}
	var b strings.Builder
	b.WriteString("| field | type | |\n|---|---|---|")
	for _, f := range s.fields {
		optional := ""
		if f.optional {
			optional = "?"
		}
		fmt.Fprintf(&b, "\n| `%s`%s | %s | %s |", f.name, optional, mdType(f.typ), cell(f.doc))
	}
	return b.String()
}

// mdType describes a type to a reader who knows JSON and not Go.
func mdType(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[json.RawMessage]():
		return "any"
	case reflect.TypeFor[wire.Seq]():
		return "seq"
	case reflect.TypeFor[wire.Envelope]():
		return "envelope"
	}
	if values, closed := wire.Enums[t]; closed && t != reflect.TypeFor[wire.ErrorCode]() {
		return "`" + strings.Join(values, "`, `") + "`"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return mdType(t.Elem())
	case reflect.Slice:
		return "list of " + mdType(t.Elem())
	case reflect.Map:
		return "object: " + mdType(t.Elem()) + " by " + mdType(t.Key())
	case reflect.Struct:
		for _, entry := range wire.Catalog {
			if t == reflect.TypeOf(entry.Server) {
				return "as [" + string(entry.Kind) + "](#" + string(entry.Kind) + ")"
			}
		}
		return "[" + typeName(t) + "](#" + strings.ToLower(typeName(t)) + ")"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.String:
		return "string"
	default:
		panic(fmt.Sprintf("wiregen: no words for %s", t))
	}
}

// typesText lists the structs that are part of bodies.
func (p *protocol) typesText() string {
	bodies := map[reflect.Type]bool{reflect.TypeFor[wire.Envelope](): true}
	for _, m := range p.messages {
		bodies[reflect.TypeOf(m.Client)] = true
		bodies[reflect.TypeOf(m.Server)] = true
	}
	var parts []string
	for _, s := range p.structs {
		if !bodies[s.typ] {
			parts = append(parts, "### "+s.name+"\n\n"+s.doc+"\n\n"+p.fieldTable(s.typ))
		}
	}
	return strings.Join(parts, "\n\n")
}

func errorTable() string {
	var b strings.Builder
	b.WriteString("| code | meaning | what to do | retryable |\n|---|---|---|---|")
	for _, code := range wire.ErrorCodes {
		fmt.Fprintf(&b, "\n| `%s` | %s | %s | %s |", code, errorRemedies[code][0], errorRemedies[code][1], yes(code.Retryable()))
	}
	return b.String()
}

func closeTable() string {
	var b strings.Builder
	b.WriteString("| code | meaning | what to do | reconnect |\n|---|---|---|---|")
	for _, c := range wire.CloseCodes {
		fmt.Fprintf(&b, "\n| %d | %s | %s | %s |", c.Code, cell(c.Meaning), closeRemedies[c.Code], yes(c.Code.Reconnect()))
	}
	return b.String()
}

func (p *protocol) limitTable() string {
	var b strings.Builder
	b.WriteString("| limit | value | of |\n|---|---|---|")
	for _, l := range p.limits {
		value := fmt.Sprint(l.value)
		if l.time {
			value += " ms"
		}
		fmt.Fprintf(&b, "\n| %s | %s | %s |", words(l.name), value, cell(l.doc))
	}
	return b.String()
}

// words turns MaxNameLength into "max name length".
func words(name string) string {
	return strings.ToLower(strings.ReplaceAll(screaming(name), "_", " "))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// cell makes text fit for a cell of a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
