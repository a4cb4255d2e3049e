package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"confab/signaling/wire"
)

// TestGeneratedFilesAreCurrent fails when wire has changed and go generate was not run.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	if err := run(new(bytes.Buffer), true); err != nil {
		t.Error(err)
	}
}

func TestCheckFindsStaleFiles(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.CopyFS(filepath.Join(copied, "signaling", "wire"), os.DirFS(filepath.Join(root, "signaling", "wire"))); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{"go.mod": "module confab\n", typesPath: "old\n"} {
		path = filepath.Join(copied, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(filepath.Join(copied, "signaling"))

	if err := run(new(bytes.Buffer), true); !errors.Is(err, errStale) {
		t.Fatalf("-check of an old file says %v", err)
	}
	var out bytes.Buffer
	if err := run(&out, false); err != nil {
		t.Fatal(err)
	}
	if want := "wrote " + typesPath + "\nwrote " + goldensPath + "\nwrote " + referencePath + "\n"; out.String() != want {
		t.Errorf("said %q, want %q", out.String(), want)
	}
	if err := run(new(bytes.Buffer), true); err != nil {
		t.Errorf("-check after writing says %v", err)
	}
}

func load(t *testing.T) *protocol {
	t.Helper()
	p, err := loadProtocol(filepath.Join("..", "..", "signaling", "wire"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTypesSayWhatJSONHas picks one field of each shape.
func TestTypesSayWhatJSONHas(t *testing.T) {
	source := string(load(t).typescript())
	for _, want := range []string{
		"export interface Envelope<T = unknown> {\n  type: string;\n",
		"  data?: T;\n",
		"export type Ping = Record<string, never>;\n",
		"export type Role = (typeof ROLES)[number];\n",
		"  candidate?: RTCIceCandidateInit | null;\n",
		"  tracks?: Record<string, SignalTrack>;\n",
		"  reads?: Record<string, number>;\n",
		"  since?: Cursor;\n",
		"  participants: Participant[];\n",
		"  input: unknown;\n",
		"  locked?: boolean;\n",
		"  'webrtc-signal': Signal;\n",
		"  history: 'history',\n",
		"  [1011, 1013],\n  [4000, 4009],\n  [4011, 4499],\n",
		"/** from the upgrade to the first auth */\nexport const AUTH_TIMEOUT_MS = 30000;\n",
		"export const MAX_FRAME_BYTES = 65536;\n",
	} {
		if !strings.Contains(source, want) {
			t.Errorf("the types lack %q", want)
		}
	}
	if regexp.MustCompile(`\bany\b[;\[]`).MatchString(source) {
		t.Error("the types have an any")
	}
	declared := map[string]bool{}
	for _, match := range regexp.MustCompile(`export (?:type|interface|const) (\w+)`).FindAllStringSubmatch(source, -1) {
		if declared[match[1]] {
			t.Errorf("%s is declared twice", match[1])
		}
		declared[match[1]] = true
	}
}

// TestReferenceIsComplete finds what has no words yet, and links that lead nowhere.
func TestReferenceIsComplete(t *testing.T) {
	p := load(t)
	raw, err := p.markdown()
	if err != nil {
		t.Fatal(err)
	}
	reference := string(raw)
	for _, entry := range wire.Catalog {
		if !strings.Contains(reference, "\n### `"+string(entry.Kind)+"`\n") {
			t.Errorf("no section for %s", entry.Kind)
		}
		if deliveries[entry.Delivery] == "" {
			t.Errorf("no words for the delivery %s", entry.Delivery)
		}
	}
	for _, code := range wire.ErrorCodes {
		if errorRemedies[code][0] == "" || errorRemedies[code][1] == "" {
			t.Errorf("no remedy for %s", code)
		}
	}
	for _, c := range wire.CloseCodes {
		if closeRemedies[c.Code] == "" {
			t.Errorf("no remedy for close code %d", c.Code)
		}
	}
	if len(errorRemedies) != len(wire.ErrorCodes) || len(closeRemedies) != len(wire.CloseCodes) {
		t.Error("a remedy for a code that is no more")
	}
	for _, link := range regexp.MustCompile(`\]\(#([\w-]+)\)`).FindAllStringSubmatch(reference, -1) {
		heading := regexp.MustCompile("(?im)^###? `?" + link[1] + "`?$")
		if n := len(heading.FindAllString(reference, -1)); n != 1 {
			t.Errorf("#%s leads to %d headings", link[1], n)
		}
	}
}

func TestTypeNamesDoNotCollide(t *testing.T) {
	owner := map[string]reflect.Type{}
	for _, s := range load(t).structs {
		if other, taken := owner[s.name]; taken {
			t.Errorf("%s and %s are both called %s", s.typ, other, s.name)
		}
		owner[s.name] = s.typ
	}
}

func TestScreaming(t *testing.T) {
	for name, want := range map[string]string{
		"MaxNameLength": "MAX_NAME_LENGTH", "MaxUserIDLength": "MAX_USER_ID_LENGTH", "Heartbeat": "HEARTBEAT", "ICEServer": "ICE_SERVER",
	} {
		if got := screaming(name); got != want {
			t.Errorf("%s became %s, want %s", name, got, want)
		}
	}
}

func TestLayout(t *testing.T) {
	long := strings.Repeat("x", 60)
	for in, want := range map[string]string{
		`{"a":1,"b":[true,null],"c":{}}`:            `{"a": 1, "b": [true, null], "c": {}}`,
		`{"big":12345678901234567890}`:              `{"big": 12345678901234567890}`,
		`["<",{"a":"` + long + `"},"` + long + `"]`: "[\n  \"<\",\n  {\"a\": \"" + long + "\"},\n  \"" + long + "\"\n]",
	} {
		if got, err := layout([]byte(in)); err != nil || got != want {
			t.Errorf("%s became %s (%v), want %s", in, got, err, want)
		}
	}
	if _, err := layout([]byte(`{"a":`)); err == nil {
		t.Error("half an object was laid out")
	}
}

func TestLimitsMayImportTimeAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.go")
	if err := os.WriteFile(path, []byte("package wire\n\nimport \"math\"\n\nconst Max = math.MaxInt8\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := parseLimits(path); err == nil {
		t.Error("an import of math was taken")
	}
}
