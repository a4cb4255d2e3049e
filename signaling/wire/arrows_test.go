package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "confab"

// arrows says which packages of this module each one may import, directly. A key ending in /... stands for all
// packages below it that have no entry of their own.
var arrows = map[string][]string{
	"confab/cmd/...":        {"confab/cmd/internal/...", "confab/signaling/...", "confab/rooms", "confab/rooms/bus", "confab/media/...", "confab/bots/...", "confab/web"},
	"confab/signaling":      {"confab/rooms", "confab/signaling/..."},
	"confab/signaling/...":  {"confab/rooms", "confab/signaling/wire", "confab/signaling/openapi"},
	"confab/signaling/wire": {},
	"confab/rooms":          {"confab/signaling/wire"},
	"confab/rooms/bus":      {"confab/rooms", "confab/signaling/wire"},
	"confab/media":          {"confab/signaling/wire", "confab/media/..."},
	"confab/media/...":      {"confab/signaling/wire", "confab/media/..."},
	"confab/bots/...":       {"confab/rooms", "confab/signaling/wire", "confab/bots/..."},
	"confab/web":            {},
}

// owners says who alone may import a module of others, or a package that is not for servers: packages, or one file of
// a package.
var owners = map[string][]string{
	// The other file is the yardstick of the bench: what melody does by itself.
	"github.com/olahol/melody":             {"confab/signaling/melody.go", "confab/cmd/confab-bench/plainhub.go"},
	"github.com/nats-io":                   {"confab/rooms/bus"},
	"github.com/pion":                      {"confab/media/..."},
	"github.com/modelcontextprotocol":      {"confab/bots/tool/mcp"},
	"confab/media/rtctest":                 {"confab/cmd/confab-bench", "confab/media/forwardbench"}, // and tests
	"confab/bots/tool/tooltest":            {},                                                       // tests alone
	"confab/bots/provider/providertest":    {},                                                       // tests alone
	"confab/signaling/openapi/openapitest": {},                                                       // tests alone
	"github.com/getkin":                    {"confab/signaling/openapi/openapitest"},
}

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Module     *struct{ Path string }
}

// TestImportArrows holds the imports of all packages, without their tests, against the two tables above.
func TestImportArrows(t *testing.T) {
	for _, pkg := range listPackages(t) {
		t.Run(strings.TrimPrefix(pkg.ImportPath, module+"/"), func(t *testing.T) {
			allowed, known := allowedImports(pkg.ImportPath)
			if !known {
				t.Fatalf("%s stands in no row of the table of arrows", pkg.ImportPath)
			}
			for file, imports := range fileImports(t, pkg) {
				for _, path := range imports {
					checkImport(t, pkg.ImportPath, file, path, allowed)
				}
			}
		})
	}
}

func checkImport(t *testing.T, from, file, path string, allowed []string) {
	t.Helper()
	if strings.HasPrefix(path, module+"/") {
		if !matchesAny(path, allowed) {
			t.Errorf("%s/%s imports %s", from, file, path)
		}
		checkOwner(t, from, file, path)
		return
	}
	if !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
		return // the standard library
	}
	if from == module+"/signaling/wire" {
		t.Errorf("%s imports %s; it may import the standard library only", file, path)
	}
	checkOwner(t, from, file, path)
}

func checkOwner(t *testing.T, from, file, path string) {
	t.Helper()
	for prefix, places := range owners {
		if path != prefix && !strings.HasPrefix(path, prefix+"/") {
			continue
		}
		if !matchesAny(from, places) && !slices.Contains(places, from+"/"+file) {
			t.Errorf("%s/%s imports %s, which is for %q alone", from, file, path, places)
		}
	}
}

// allowedImports finds the row for a package: its own, or the longest one ending in /... above it.
func allowedImports(pkg string) (allowed []string, known bool) {
	if allowed, known = arrows[pkg]; known {
		return allowed, true
	}
	best := ""
	for pattern := range arrows {
		if strings.HasSuffix(pattern, "/...") && matchesAny(pkg, []string{pattern}) && len(pattern) > len(best) {
			best = pattern
		}
	}
	return arrows[best], best != ""
}

func matchesAny(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		above, wild := strings.CutSuffix(pattern, "/...")
		return path == above || wild && strings.HasPrefix(path, above+"/")
	})
}

// TestTestsOfArrows makes sure that the check above can fail.
func TestTestsOfArrows(t *testing.T) {
	for path, want := range map[string]bool{"a": true, "a/b": true, "ab": false, "c": false} {
		if got := matchesAny(path, []string{"a/..."}); got != want {
			t.Errorf("a/... matches %s: %v", path, got)
		}
	}
	if allowed, known := allowedImports("confab/bots/provider/echo"); !known || matchesAny("confab/media", allowed) {
		t.Errorf("a provider may import %v", allowed)
	}
	if _, known := allowedImports("confab/util"); known {
		t.Error("a new package at the top needs no row")
	}
}

// listPackages returns the packages of this module.
func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Module", "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %s", failed.Stderr)
		}
		t.Skipf("go list cannot run here: %v", err)
	}
	var pkgs []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg goPackage
		if err := d.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(pkg.ImportPath, "/node_modules/") {
			pkgs = append(pkgs, pkg)
		}
	}
	if len(pkgs) < 2 {
		t.Fatalf("go list found %d packages", len(pkgs))
	}
	return pkgs
}

// fileImports reads which of a package's files, tests left out, imports what.
func fileImports(t *testing.T, pkg goPackage) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	for _, name := range append(pkg.GoFiles, pkg.CgoFiles...) {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(pkg.Dir, name), nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imports[name] = append(imports[name], path)
		}
	}
	return imports
}
