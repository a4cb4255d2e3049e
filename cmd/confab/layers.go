package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

const (
	envPrefix     = "CONFAB_"
	originFlag    = "flag"
	originDefault = "default"
	maxFileBytes  = 1 << 20
)

// origins says where each setting came from, by its name: "flag", "environment CONFAB_X", "file x.yaml line 3".
// A default is absent.
type origins map[string]string

func (o origins) of(name string) string {
	if from, ok := o[name]; ok {
		return from
	}
	return originDefault
}

// flags notes what stood on the command line.
func (o origins) flags(parsed *kong.Context) {
	for _, path := range parsed.Path {
		if path.Flag != nil && !path.Resolved {
			o[path.Flag.Name] = originFlag
		}
	}
}

// layers gives kong the settings that are not on the command line: from the environment, else from the file.
type layers struct {
	lookup  func(string) (string, bool)
	origins origins

	opened bool
	file   map[string]*yaml.Node
	path   string
}

// Validate implements kong.Resolver.
func (l *layers) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver. Only settings have layers; the flags of a command do not.
func (l *layers) Resolve(context *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if parent.App == nil || flag.Name == "help" {
		return nil, nil
	}
	if err := l.open(context, parent); err != nil {
		return nil, err
	}
	if value, ok := l.env(flag.Name); ok {
		l.origins[flag.Name] = "environment " + envName(flag.Name)
		return value, nil
	}
	node, ok := l.file[flag.Name]
	if !ok || node.Tag == "!!null" {
		return nil, nil
	}
	l.origins[flag.Name] = fmt.Sprintf("file %s line %d", l.path, node.Line)
	value, err := plainValue(node)
	if err != nil {
		return nil, &settingError{name: flag.Name, origin: l.origins[flag.Name], text: err.Error()}
	}
	return value, nil
}

// env reads a variable; an empty one is as none, since compose files and unit files set them so.
func (l *layers) env(name string) (string, bool) {
	value, ok := l.lookup(envName(name))
	return value, ok && value != ""
}

func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// open reads the file that --config or CONFAB_CONFIG names, once.
func (l *layers) open(context *kong.Context, root *kong.Path) error {
	if l.opened {
		return nil
	}
	l.opened, l.origins = true, origins{}
	path, origin := "", originFlag
	for _, given := range context.Path {
		if given.Flag != nil && given.Flag.Name == "config" {
			path, _ = context.Value(given).Interface().(string)
		}
	}
	if path == "" {
		if value, ok := l.env("config"); ok {
			path, origin = value, "environment "+envName("config")
		}
	}
	if path == "" {
		return nil
	}
	var err error
	l.path = path
	if l.file, err = readSettings(path, root.Flags); err != nil {
		return &settingError{name: "config", origin: origin, text: err.Error()}
	}
	return nil
}

// readSettings reads a YAML file with one mapping of settings.
func readSettings(path string, known []*kong.Flag) (map[string]*yaml.Node, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxFileBytes))
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, fmt.Errorf("%s is not YAML: %w", path, err)
	}
	if len(doc.Content) == 0 { // nothing but comments
		return nil, nil
	}
	if doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s is not YAML with one setting a line, such as listen: 127.0.0.1:8080", path)
	}
	names := make([]string, 0, len(known))
	for _, flag := range known {
		if flag.Name != "help" && flag.Name != "config" {
			names = append(names, flag.Name)
		}
	}
	values := make(map[string]*yaml.Node)
	for pair := range slices.Chunk(doc.Content[0].Content, 2) {
		key := pair[0]
		if !slices.Contains(names, key.Value) {
			return nil, fmt.Errorf("%s line %d: there is no setting %q; there are %s", path, key.Line, key.Value, strings.Join(names, ", "))
		}
		if values[key.Value] != nil {
			return nil, fmt.Errorf("%s line %d: %s is set a second time; leave one out", path, key.Line, key.Value)
		}
		values[key.Value] = pair[1]
	}
	return values, nil
}

// plainValue is a node's text as a flag would have it: a list is joined by commas.
func plainValue(node *yaml.Node) (string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.ScalarNode:
		return node.Value, nil
	case yaml.SequenceNode:
		values := make([]string, 0, len(node.Content))
		for _, one := range node.Content {
			if one.Kind != yaml.ScalarNode || strings.Contains(one.Value, ",") {
				return "", errors.New("an entry of the list is no plain value; write each on a line of its own")
			}
			values = append(values, one.Value)
		}
		return strings.Join(values, ","), nil
	default:
		return "", errors.New("it is neither a value nor a list")
	}
}

// explain adds to an error of the parser where the value came from.
func (l *layers) explain(err error) error {
	if bad, ok := errors.AsType[*settingError](err); ok {
		return bad // without what the parser wraps around it
	}
	for name, origin := range l.origins {
		flag := "--" + name
		if rest, ok := strings.CutPrefix(err.Error(), flag); ok && !strings.HasPrefix(rest, "-") {
			return &settingError{name: name, origin: origin, text: plainly(strings.TrimPrefix(strings.TrimPrefix(rest, ":"), " "))}
		}
	}
	return errors.New(plainly(err.Error()))
}

// plainly says the parser's words for a bad number or duration so that nobody needs to know what an int is.
func plainly(text string) string {
	return strings.NewReplacer(
		"expected a valid 64 bit int but got", "it is a whole number, not",
		"expected duration but got", "it is a duration such as 30s or 24h, not",
	).Replace(text)
}
