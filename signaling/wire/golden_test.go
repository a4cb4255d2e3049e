package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// update writes the golden files from the examples in examples_test.go: go test ./signaling/wire -update.
var update = flag.Bool("update", false, "write the golden files")

const goldenDir = "testdata/golden"

// A golden is one file: a message with everything it may hold, and where it makes sense one with as little
// as it may. TypeScript tests read the same files.
type golden struct {
	Full    json.RawMessage `json:"full"`
	Minimal json.RawMessage `json:"minimal,omitempty"`
}

func goldenName(kind Kind, side string) string { return string(kind) + "." + side + ".json" }

// TestGolden holds the wire format still: a change of a name or a type shows as a changed file.
func TestGolden(t *testing.T) {
	if *update {
		writeGoldens(t)
	}
	for _, entry := range Catalog {
		for side, body := range bodies(entry) {
			t.Run(goldenName(entry.Kind, side), func(t *testing.T) {
				file := readGolden(t, goldenName(entry.Kind, side))
				example := examples[goldenName(entry.Kind, side)]
				checkGolden(t, entry.Kind, body, file.Full, example.full)
				if (file.Minimal == nil) != (example.minimal == nil) {
					t.Fatal("the file and the examples differ in having a minimal message; run with -update")
				}
				if file.Minimal != nil {
					checkGolden(t, entry.Kind, body, file.Minimal, *example.minimal)
				}
			})
		}
	}
}

// TestGoldenFilesAreComplete finds examples and files of messages that are no more.
func TestGoldenFilesAreComplete(t *testing.T) {
	var want []string
	for _, entry := range Catalog {
		for side := range bodies(entry) {
			want = append(want, goldenName(entry.Kind, side))
		}
	}
	var have []string
	files, err := os.ReadDir(goldenDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		have = append(have, f.Name())
	}
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("%s holds %v,\nthe catalog wants %v", goldenDir, have, want)
	}
	if len(examples) != len(want) {
		t.Errorf("%d examples for %d messages", len(examples), len(want))
	}
}

// TestGoldenFullIsFull keeps the full examples honest: each field of a body is there.
func TestGoldenFullIsFull(t *testing.T) {
	for name, example := range examples {
		v := reflect.ValueOf(example.full.body)
		for i := range v.NumField() {
			// False is the interesting value of some flags, and the catalog has no other zero that matters.
			if v.Field(i).IsZero() && v.Field(i).Kind() != reflect.Bool {
				t.Errorf("%s: the full example has no %s", name, v.Type().Field(i).Name)
			}
		}
	}
}

// checkGolden holds raw against the example and its Go types, both ways.
func checkGolden(t *testing.T, kind Kind, zero any, raw json.RawMessage, want example) {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		t.Fatal(err)
	}
	var head Envelope
	strict(t, compact.Bytes(), &head)
	if head.Type != kind {
		t.Errorf("type is %q", head.Type)
	}
	body := reflect.New(reflect.TypeOf(zero))
	strict(t, head.Data, body.Interface())
	if got := body.Elem().Interface(); !reflect.DeepEqual(got, want.body) {
		t.Errorf("decodes to %+v,\nthe example is %+v", got, want.body)
	}
	checkNested(t, body.Elem().Interface())

	again, err := json.Marshal(body.Elem().Interface())
	if err != nil {
		t.Fatal(err)
	}
	if got := AppendEnvelope(nil, head, kind, again); !bytes.Equal(got, compact.Bytes()) {
		t.Errorf("encodes to\n%s\nthe file has\n%s", got, compact.Bytes())
	}
	if client, ok := want.body.(ClientMessage); ok {
		if err := client.Validate(); err != nil {
			t.Errorf("breaks its own rules: %v", err)
		}
	}
}

// checkNested decodes the messages that a body carries, strictly too.
func checkNested(t *testing.T, body any) {
	t.Helper()
	var nested []Envelope
	switch b := body.(type) {
	case Joined:
		nested = b.History
	case HistoryPage:
		nested = b.Messages
	case ThreadHistory:
		nested = b.Messages
	}
	for _, e := range nested {
		i := slices.IndexFunc(Catalog, func(c Entry) bool { return c.Kind == e.Type })
		if i < 0 || Catalog[i].Delivery != Logged {
			t.Fatalf("%q is no logged message", e.Type)
		}
		strict(t, e.Data, reflect.New(reflect.TypeOf(Catalog[i].Server)).Interface())
	}
}

func strict(t *testing.T, raw []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
}

// bodies yields the directions of an entry.
func bodies(e Entry) map[string]any {
	m := map[string]any{}
	if e.Client != nil {
		m["client"] = e.Client
	}
	if e.Server != nil {
		m["server"] = e.Server
	}
	return m
}

func readGolden(tb testing.TB, name string) golden {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join(goldenDir, name))
	if err != nil {
		tb.Fatalf("%v; run with -update", err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		tb.Fatal(err)
	}
	return g
}

func writeGoldens(t *testing.T) {
	t.Helper()
	stale, err := filepath.Glob(filepath.Join(goldenDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stale {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for name, example := range examples {
		g := golden{Full: example.full.encode(t)}
		if example.minimal != nil {
			g.Minimal = example.minimal.encode(t)
		}
		raw, err := json.MarshalIndent(g, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(goldenDir, name), append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// goldenLines returns every golden message of one side, or of both when side is empty, as it crosses the socket.
func goldenLines(tb testing.TB, side string) [][]byte {
	tb.Helper()
	var lines [][]byte
	for _, entry := range Catalog {
		for _, s := range slices.Sorted(maps.Keys(bodies(entry))) {
			if side != "" && s != side {
				continue
			}
			g := readGolden(tb, goldenName(entry.Kind, s))
			for _, raw := range []json.RawMessage{g.Full, g.Minimal} {
				if raw == nil {
					continue
				}
				var line bytes.Buffer
				if err := json.Compact(&line, raw); err != nil {
					tb.Fatal(err)
				}
				lines = append(lines, line.Bytes())
			}
		}
	}
	return lines
}
