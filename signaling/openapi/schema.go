package openapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// schemas makes JSON schemas (draft 2020-12) of Go types as encoding/json writes them.
type schemas struct {
	named object                  // by the name of the type
	types map[string]reflect.Type // what took a name
}

// closed lists the values of the types that have few.
var closed = map[reflect.Type][]any{
	reflect.TypeFor[wire.Role]():            {wire.RoleViewer, wire.RoleMember, wire.RoleModerator},
	reflect.TypeFor[wire.ParticipantKind](): {wire.Human, wire.Bot, wire.Ingress, wire.Recorder},
	reflect.TypeFor[wire.Status]():          {wire.Online, wire.Reconnecting},
	reflect.TypeFor[wire.Mode]():            {wire.Mesh, wire.SFU},
	reflect.TypeFor[wire.Source]():          {wire.Microphone, wire.Camera, wire.Screen, wire.ScreenAudio},
	reflect.TypeFor[wire.ErrorCode]():       values(wire.ErrorCodes),
	reflect.TypeFor[rooms.EventKind]():      values(rooms.EventKinds),
}

func values[T any](of []T) []any {
	all := make([]any, 0, len(of))
	for _, value := range of {
		all = append(all, value)
	}
	return all
}

// ruled are the rules of named strings.
var ruled = map[reflect.Type]object{
	reflect.TypeFor[wire.RoomID]():    {"type": "string", "pattern": patterns["room"]},
	reflect.TypeFor[wire.ThreadID]():  {"type": "string", "pattern": patterns["thread"]},
	reflect.TypeFor[wire.UserID]():    {"type": "string", "maxLength": wire.MaxUserIDLength},
	reflect.TypeFor[wire.RequestID](): {"type": "string", "pattern": fmt.Sprintf("^[A-Za-z0-9_.-]{1,%d}$", wire.MaxNameLength)},
	reflect.TypeFor[time.Time]():      {"type": "string", "format": "date-time"},
	// Whoever has it knows what it is.
	reflect.TypeFor[json.RawMessage](): {},
}

// ref makes the schema of a struct and returns a reference to it.
func (s *schemas) ref(t reflect.Type) object {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if taken, ok := s.types[name]; ok && taken != t {
		path := strings.Split(t.PkgPath(), "/")
		name = strings.ToUpper(path[len(path)-1][:1]) + path[len(path)-1][1:] + name
	}
	if s.types[name] == nil {
		s.types[name] = t // before its fields: a type may hold itself
		s.named[name] = s.structure(t)
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// schema is the schema of a type. It panics for what encoding/json cannot write: every start would show it.
func (s *schemas) schema(t reflect.Type) object {
	if rule, ok := ruled[t]; ok {
		return rule
	}
	if values, ok := closed[t]; ok {
		return object{"type": "string", "enum": values}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return s.schema(t.Elem())
	case reflect.Struct:
		return s.ref(t)
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.schema(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Int32:
		return object{"type": "integer", "format": "int64"}
	case reflect.Uint, reflect.Uint64, reflect.Uint32:
		return object{"type": "integer", "minimum": 0}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return object{}
	}
	panic("openapi: no schema for " + t.String())
}

// structure describes the fields of a struct. Those without omitempty are always there; doc says what they are.
func (s *schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, field := range reflect.VisibleFields(t) {
		if field.Anonymous || !field.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			name = field.Name
		}
		schema := s.schema(field.Type)
		if doc := field.Tag.Get("doc"); doc != "" {
			described := object{"description": doc}
			for key, value := range schema {
				described[key] = value
			}
			schema = described
		}
		properties[name] = schema
		if !slices.Contains(strings.Split(options, ","), "omitempty") {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if sealed, ok := reflect.Zero(t).Interface().(Sealed); ok && sealed.Sealed() {
		out["additionalProperties"] = false
	}
	return out
}

// Sealed is a body that is refused with fields that it does not have.
type Sealed interface{ Sealed() bool }
