package web

import (
	"encoding/json"
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// A file that is named but missing is a blank page for everyone, and only after the release.

func TestIndexNamesOnlyFilesThatExist(t *testing.T) {
	index, err := fs.ReadFile(Dist, "index.html")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?:src|href)="/([^"#?]+)"`).FindAllSubmatch(index, -1)
	if len(names) == 0 {
		t.Fatal("index.html names no file")
	}
	for _, name := range names {
		requireFile(t, string(name[1]))
	}
}

func TestBuildManifestNamesOnlyFilesThatExist(t *testing.T) {
	var chunks map[string]struct {
		File   string   `json:"file"`
		CSS    []string `json:"css"`
		Assets []string `json:"assets"`
	}
	decodeFile(t, ".vite/manifest.json", &chunks)
	if len(chunks) == 0 {
		t.Fatal("the build manifest is empty")
	}
	for _, chunk := range chunks {
		requireFile(t, chunk.File)
		for _, name := range append(chunk.CSS, chunk.Assets...) {
			requireFile(t, name)
		}
	}
}

func TestWebManifestNamesOnlyFilesThatExist(t *testing.T) {
	var manifest struct {
		Icons []struct {
			Src string `json:"src"`
		} `json:"icons"`
	}
	decodeFile(t, "manifest.webmanifest", &manifest)
	for _, icon := range manifest.Icons {
		requireFile(t, strings.TrimPrefix(icon.Src, "/"))
	}
}

func requireFile(t *testing.T, name string) {
	t.Helper()
	if _, err := fs.Stat(Dist, name); err != nil {
		t.Errorf("named in the build but not in it: %v", err)
	}
}

func decodeFile(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := fs.ReadFile(Dist, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
