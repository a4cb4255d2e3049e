package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/signaling"
	"confab/signaling/wire"
)

var quiet = slog.New(slog.DiscardHandler)

func TestSecretIsMadeOnceAndKept(t *testing.T) {
	s := &Settings{Data: filepath.Join(t.TempDir(), "data")}
	if _, err := openSecret(s, nil, false, quiet); !errors.Is(err, errNoSecret) {
		t.Fatalf("without create: %v", err)
	}
	var made [8]*secret
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			found, err := openSecret(s, nil, true, quiet)
			if err != nil {
				t.Error(err)
			}
			made[i] = found
		})
	}
	all.Wait()
	for _, found := range made {
		if !bytes.Equal(found.bytes, made[0].bytes) || len(found.bytes) != 64 || !found.made {
			t.Fatalf("%+v and %+v", found, made[0])
		}
	}
	path := filepath.Join(s.Data, secretName)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil || string(text) != string(made[0].bytes)+"\n" {
		t.Errorf("the bytes are not the file's text: %q", text)
	}
	entries, err := os.ReadDir(s.Data)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	other := &Settings{Data: t.TempDir()}
	if found, err := openSecret(other, nil, true, quiet); err != nil || bytes.Equal(found.bytes, made[0].bytes) {
		t.Errorf("two folders, one secret: %v", err)
	}
}

func TestSecretFromElsewhere(t *testing.T) {
	const text = "0123456789abcdef0123456789abcdef"
	for _, ending := range []string{"", "\n", "\r\n"} {
		path := writeFile(t, text+ending)
		found, err := openSecret(&Settings{AuthSecretFile: path, Data: t.TempDir()}, nil, true, quiet)
		if err != nil || string(found.bytes) != text || found.made {
			t.Errorf("%q: %+v, %v", ending, found, err)
		}
	}
	found, err := openSecret(&Settings{AuthSecret: text + "\n"}, nil, true, quiet)
	if err != nil || string(found.bytes) != text+"\n" {
		t.Errorf("--auth-secret is taken as it is: %q", found.bytes)
	}
	for name, path := range map[string]string{"short": writeFile(t, "short\n"), "missing": filepath.Join(t.TempDir(), "none")} {
		_, err := openSecret(&Settings{AuthSecretFile: path}, nil, true, quiet)
		if problem, ok := errors.AsType[*settingError](err); !ok || problem.name != "auth-secret-file" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSecretOfOthersIsWarnedOf(t *testing.T) {
	path := writeFile(t, strings.Repeat("s", 32))
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	if _, err := openSecret(&Settings{AuthSecretFile: path}, nil, true, slog.New(slog.NewTextHandler(&logged, nil))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(logged.String(), "chmod 600") {
		t.Errorf("no warning: %q", logged.String())
	}
}

func TestDamagedSecretIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, secretName)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecret(&Settings{Data: dir}, nil, true, quiet); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("%v", err)
	}
	if text, _ := os.ReadFile(path); len(text) != 0 {
		t.Error("it was replaced")
	}
}

func TestTicketKeyIsAnotherKey(t *testing.T) {
	s := &secret{bytes: []byte(strings.Repeat("s", 32))}
	if key := s.ticketKey(); len(key) != 32 || bytes.Equal(key, s.bytes) || !bytes.Equal(key, s.ticketKey()) {
		t.Errorf("%x", key)
	}
}

func TestTokenCommand(t *testing.T) {
	const text = "0123456789abcdef0123456789abcdef"
	keys, err := signaling.OpenKeyring(t.Context(), signaling.KeyringOptions{Secret: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	mint := func(args ...string) *signaling.Claims {
		t.Helper()
		code, out, problems := command(t, map[string]string{"CONFAB_AUTH_SECRET": text}, append([]string{"token"}, args...)...)
		if code != exitOK || strings.Count(out, "\n") != 1 {
			t.Fatalf("%d %q %q", code, out, problems)
		}
		claims, err := keys.Verify(t.Context(), strings.TrimSpace(out))
		if err != nil {
			t.Fatal(err)
		}
		return claims
	}
	plain := mint("--user", "ada")
	if plain.User != "ada" || plain.Name != "ada" || plain.Role != wire.RoleMember || !plain.Allows("any") || !plain.Grants.May(wire.Screen) || plain.Guest {
		t.Errorf("%+v", plain)
	}
	if left := time.Until(plain.ExpiresAt); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("good for %v", left)
	}
	full := mint("--user", "b", "--name", "Bob", "--role", "viewer", "--rooms", "a,b-*", "--ttl", "0", "--publish", "microphone,screen", "--no-chat", "--use-bots")
	if full.Name != "Bob" || full.Role != wire.RoleViewer || !full.Allows("b-1") || full.Allows("c") || !full.ExpiresAt.IsZero() ||
		!full.Grants.May(wire.Microphone) || full.Grants.May(wire.Camera) || full.Grants.Chat || !full.Grants.Bots || !full.Grants.Subscribe {
		t.Errorf("%+v", full)
	}
	if silent := mint("--user", "c", "--publish", "none"); len(silent.Grants.Publish) != 0 || !silent.Grants.Chat {
		t.Errorf("%+v", silent)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitSetting, "--user"},
		{[]string{"--user", "a", "--role", "king"}, exitSetting, "--role"},
		{[]string{"--user", "a", "--rooms", "No Way"}, exitSetting, "prefix-*"},
		{[]string{"--user", "a", "--publish", "smell"}, exitSetting, "microphone"},
		{[]string{"--user", "a", "--ttl=-1h"}, exitSetting, "negative"},
		{[]string{"--user", strings.Repeat("a", 129)}, exitSetting, "128"},
	} {
		code, out, problems := command(t, map[string]string{"CONFAB_AUTH_SECRET": text}, append([]string{"token"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(problems, c.says) {
			t.Errorf("%v: %d %q %q", c.args, code, out, problems)
		}
	}
	if code, _, problems := command(t, nil, "token", "--user", "a", "--data", t.TempDir()); code != exitFailed || !strings.Contains(problems, "start confab once") {
		t.Errorf("without a secret: %d %q", code, problems)
	}
}
