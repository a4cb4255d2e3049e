package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"confab/signaling/wire"
)

// A protocol is all that is known of package wire.
type protocol struct {
	messages []message
	structs  []structType // each struct that crosses the socket, once, in the order of first use
	enums    []enumType   // each closed set of strings, likewise
	limits   []limit
	docs     docs
}

// A message is an entry of the catalog with its examples.
type message struct {
	wire.Entry
	clientExamples, serverExamples []string // JSON laid out for reading, the full one first
}

// A structType is a body, or a part of one.
type structType struct {
	name   string // in TypeScript and in the reference
	doc    string
	typ    reflect.Type
	fields []field
}

// A field is one name of a JSON object.
type field struct {
	name     string
	doc      string
	optional bool
	typ      reflect.Type
	owner    reflect.Type
}

// An enumType is a closed set of strings.
type enumType struct {
	name   string
	doc    string
	values []string
}

// names are those types that are called otherwise in TypeScript, where they stand in one namespace with the
// DOM's and the client's own.
var names = map[reflect.Type]string{
	reflect.TypeFor[wire.Status]():      "ParticipantStatus",
	reflect.TypeFor[wire.Mode]():        "MediaMode",
	reflect.TypeFor[wire.Action]():      "ModerateAction",
	reflect.TypeFor[wire.ErrorCode]():   "WireErrorCode",
	reflect.TypeFor[wire.ErrorBody]():   "WireError",
	reflect.TypeFor[wire.Chat]():        "ChatRequest",
	reflect.TypeFor[wire.ChatRecord]():  "Chat",
	reflect.TypeFor[wire.History]():     "HistoryRequest",
	reflect.TypeFor[wire.HistoryPage](): "History",
	reflect.TypeFor[wire.RoomInfo]():    "RoomUpdate",
	reflect.TypeFor[wire.TrackLabel]():  "SignalTrack",
	reflect.TypeFor[wire.MediaMode]():   "MediaModeChange",
	reflect.TypeFor[wire.RequestMode](): "MediaModeRequest",
	reflect.TypeFor[wire.ICEServers]():  "ICEServerList",
	reflect.TypeFor[wire.Media]():       "MediaState",
}

func typeName(t reflect.Type) string {
	if name, ok := names[t]; ok {
		return name
	}
	return t.Name()
}

// loadProtocol reads the sources and golden files in dir, the folder of package wire.
func loadProtocol(dir string) (*protocol, error) {
	d, err := parseDocs(dir)
	if err != nil {
		return nil, err
	}
	p := &protocol{docs: d}
	if p.limits, err = parseLimits(filepath.Join(dir, "limits.go")); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	p.collect(reflect.TypeFor[wire.Envelope](), seen)
	for _, entry := range wire.Catalog {
		m := message{Entry: entry}
		if entry.Client != nil {
			p.collect(reflect.TypeOf(entry.Client), seen)
			if m.clientExamples, err = readExamples(dir, entry.Kind, "client"); err != nil {
				return nil, err
			}
		}
		if entry.Server != nil {
			p.collect(reflect.TypeOf(entry.Server), seen)
			if m.serverExamples, err = readExamples(dir, entry.Kind, "server"); err != nil {
				return nil, err
			}
		}
		p.messages = append(p.messages, m)
	}
	return p, nil
}

// collect adds t and what it is made of, what it is made of first.
func (p *protocol) collect(t reflect.Type, seen map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		p.collect(t.Elem(), seen)
		return
	case reflect.Map:
		p.collect(t.Key(), seen)
		p.collect(t.Elem(), seen)
		return
	case reflect.String:
		values, closed := wire.Enums[t]
		if closed && !seen[typeName(t)] {
			seen[typeName(t)] = true
			p.enums = append(p.enums, enumType{typeName(t), p.doc(t), values})
		}
		return
	case reflect.Struct:
	default:
		return
	}
	if seen[typeName(t)] {
		return
	}
	seen[typeName(t)] = true
	s := structType{name: typeName(t), doc: p.doc(t), typ: t, fields: p.fieldsOf(t)}
	for _, f := range s.fields {
		p.collect(f.typ, seen)
	}
	p.structs = append(p.structs, s)
}

// fieldsOf lists the fields of a struct as its tags name them.
func (p *protocol) fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields = append(fields, field{
			name:     name,
			doc:      p.docs.fields[t.Name()+"."+f.Name],
			optional: strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"),
			typ:      f.Type,
			owner:    t,
		})
	}
	return fields
}

// doc is what the source says of t, under the name that t has here.
func (p *protocol) doc(t reflect.Type) string {
	doc := p.docs.types[t.Name()]
	for _, article := range []string{"", "A ", "An "} {
		if rest, ok := strings.CutPrefix(doc, article+t.Name()+" "); ok {
			return article + typeName(t) + " " + rest
		}
	}
	return doc
}

// structOf finds a collected struct.
func (p *protocol) structOf(t reflect.Type) (structType, bool) {
	for _, s := range p.structs {
		if s.name == typeName(t) {
			return s, true
		}
	}
	return structType{}, false
}

// readExamples returns the messages of a golden file.
func readExamples(dir string, kind wire.Kind, side string) ([]string, error) {
	path := filepath.Join(dir, "testdata", "golden", fmt.Sprintf("%s.%s.json", kind, side))
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if g.Full == nil {
		return nil, fmt.Errorf("%s has no full example", path)
	}
	var examples []string
	for _, message := range []json.RawMessage{g.Full, g.Minimal} {
		if message == nil {
			continue
		}
		text, err := layout(message)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		examples = append(examples, text)
	}
	return examples, nil
}
