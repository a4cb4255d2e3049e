package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"

	"confab/bots"
	"confab/signaling"
)

const mask = "********" // shorter than any secret, so that it is refused where somebody uses it as one

// configCommand is `confab config`: the output is a file that --config takes, but for what is masked.
type configCommand struct {
	Check bool `help:"Print nothing but what is wrong, also in the files that the settings name; exit code 2 if anything is."`
}

// Run prints one setting a line, with where it came from; with --check nothing, unless a setting is wrong. The settings by
// themselves were checked before.
func (c configCommand) Run(p *process) error {
	if c.Check {
		return checkSettingFiles(p.settings, p.origins)
	}
	doc := &yaml.Node{Kind: yaml.MappingNode}
	settings := reflect.ValueOf(*p.settings)
	for i := range settings.NumField() {
		name := settingName(settings.Type().Field(i))
		if name == "config" {
			continue
		}
		value := &yaml.Node{}
		if err := value.Encode(printable(name, settings.Field(i).Interface())); err != nil {
			return fmt.Errorf("printing %s: %w", name, err)
		}
		value.LineComment = p.origins.of(name)
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		doc.Content = append(doc.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, value)
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return fmt.Errorf("printing the settings: %w", err)
	}
	_, err = p.stdout.Write(text)
	return err
}

// checkSettingFiles reads the files that settings name, as a start would. It opens no port and asks nobody. The error joins
// all that is wrong, a *settingError each.
func checkSettingFiles(s *Settings, from origins) error {
	var problems []error
	bad := func(name string, err error) {
		problems = append(problems, &settingError{name: name, origin: from[name], text: err.Error()})
	}
	if _, err := openSecret(s, from, false, slog.New(slog.DiscardHandler)); err != nil && !errors.Is(err, errNoSecret) {
		if _, told := errors.AsType[*settingError](err); told {
			problems = append(problems, err)
		} else {
			bad("data", err)
		}
	}
	if s.Bots != "" && s.Bots != botsOff {
		if _, err := bots.ReadFile(s.Bots); err != nil {
			bad("bots", err)
		}
	}
	for name, files := range map[string][2]string{"tls-cert": {s.TLSCert, s.TLSKey}, "turn-cert": {s.TURNCert, s.TURNKey}} {
		if files[0] != "" {
			if _, err := tls.LoadX509KeyPair(files[0], files[1]); err != nil {
				bad(name, err)
			}
		}
	}
	if s.AuthJWKS != "" && !strings.Contains(s.AuthJWKS, "://") {
		if err := signaling.CheckJWKS(context.Background(), s.AuthJWKS); err != nil {
			bad("auth-jwks", err)
		}
	}
	return errors.Join(problems...)
}

// settingName is the name that kong gives a field: its tag, else its words with hyphens between.
func settingName(field reflect.StructField) string {
	if name := field.Tag.Get("name"); name != "" {
		return name
	}
	var name strings.Builder
	for i, r := range field.Name {
		if r >= 'A' && r <= 'Z' && i > 0 {
			name.WriteByte('-')
		}
		name.WriteRune(r)
	}
	return strings.ToLower(name.String())
}

// printable is a setting's value without what is secret in it.
func printable(name string, value any) any {
	switch v := value.(type) {
	case string:
		switch {
		case name == "auth-secret" && v != "":
			return mask
		case name == "nats":
			urls := strings.Split(v, ",")
			for i := range urls {
				urls[i] = maskURL(strings.TrimSpace(urls[i]))
			}
			return strings.Join(urls, ",")
		case name == "auth-jwks":
			return maskURL(v)
		}
		return v
	case []string:
		shown := append([]string{}, v...)
		for i := range shown {
			switch name {
			case "ice-servers":
				shown[i] = maskCredential(shown[i])
			case "admin-key":
				shown[i] = maskAdminKey(shown[i])
			case "webhook-url":
				shown[i] = maskPath(shown[i])
			case "webhook-secret":
				shown[i] = mask
			}
		}
		return shown
	case fmt.Stringer: // durations
		return v.String()
	}
	return value
}

// maskURL hides a URL's password, or a lone user, which NATS takes as a token, and the values of its query.
func maskURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return text
	}
	if u.User != nil {
		if _, ok := u.User.Password(); ok {
			u.User = url.UserPassword(u.User.Username(), mask)
		} else {
			u.User = url.User(mask)
		}
	}
	if u.RawQuery != "" {
		u.RawQuery = mask
	}
	return u.String()
}

// maskCredential hides the password of turn:user:password@host.
func maskCredential(text string) string {
	scheme, rest, _ := strings.Cut(text, ":")
	at := strings.LastIndex(rest, "@")
	if at < 0 {
		return text
	}
	user, _, _ := strings.Cut(rest[:at], ":")
	return scheme + ":" + user + ":" + mask + rest[at:]
}
