// Command wiregen writes what follows from package signaling/wire and must not be written twice: the TypeScript
// types of the client with a test of them, and the reference of the protocol for people.
//
// It reads the catalog by reflection, what the comments say by parsing the sources, and the examples from the
// golden files. Run it with go generate ./...; with -check it writes nothing and fails when a file is stale.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

//go:generate go run .

// The generated files, from the root of the module.
const (
	typesPath     = "web/src/client/wire.gen.ts"
	goldensPath   = "web/src/client/wire.gen.test.ts"
	referencePath = "signaling/PROTOCOL.md"
)

// errStale says that what is generated would differ from what is there.
var errStale = errors.New("is stale; run go generate ./... and commit what it writes")

func main() {
	check := flag.Bool("check", false, "write nothing; fail when a generated file is stale")
	flag.Parse()
	if err := run(os.Stdout, *check); err != nil {
		fmt.Fprintln(os.Stderr, "wiregen:", err)
		os.Exit(1)
	}
}

// run generates the files, or with check compares them. It tells out which files it wrote.
func run(out io.Writer, check bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	files, err := generate(root)
	if err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(root, filepath.FromSlash(f.path))
		have, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if bytes.Equal(have, f.text) {
			continue
		}
		if check {
			return fmt.Errorf("%s %w", f.path, errStale)
		}
		if err := os.WriteFile(path, f.text, 0o644); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, "wrote", f.path); err != nil {
			return err
		}
	}
	return nil
}

// A file is one that is generated.
type file struct {
	path string
	text []byte
}

func generate(root string) ([]file, error) {
	p, err := loadProtocol(filepath.Join(root, "signaling", "wire"))
	if err != nil {
		return nil, err
	}
	reference, err := p.markdown()
	if err != nil {
		return nil, err
	}
	return []file{{typesPath, p.typescript()}, {goldensPath, p.goldenTest()}, {referencePath, reference}}, nil
}

// moduleRoot is the nearest folder upwards with a go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod here or above")
		}
		dir = parent
	}
}
