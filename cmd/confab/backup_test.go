package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	keptClients = 6
	keptBudget  = 30
)

// converse has some people write into a room until all of it is acknowledged, and returns the room's log.
func converse(t *testing.T, base, room string) []logged {
	t.Helper()
	var acked atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	chatters := make([]*chatter, keptClients)
	for i := range chatters {
		chatters[i] = newChatter(t, base, fmt.Sprint("u", i), keptBudget, &acked, room)
		running.Go(func() { chatters[i].run(ctx) })
	}
	awaitThat(t, "all is said", func() bool {
		for _, c := range chatters {
			if !c.complete(keptClients * keptBudget) {
				return false
			}
		}
		return true
	})
	cancel()
	running.Wait()
	return pageAll(t, base, room)
}

// ends stops the server in good order.
func (c *confab) ends(t *testing.T) {
	t.Helper()
	if err := c.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, c.err)
	}
}

// What was said is there after a backup, taken while the server runs or when it does not, a restore into an empty folder, and an
// upgrade to another history.
func TestBackupRestoreUpgrade(t *testing.T) {
	data, folder := t.TempDir(), t.TempDir()
	args := []string{"--auth-secret", testSecret, "--rate-limit", "0", "--bots", "off", "--sfu", "off", "--log-level", "error"}
	server := start(t, data, append(args, "--history", "64")...)
	want := converse(t, server.url, "kept")
	if len(want) != keptClients*keptBudget {
		t.Fatalf("%d messages", len(want))
	}
	if err := os.WriteFile(filepath.Join(data, "notes"), []byte("a file of ours"), 0o600); err != nil {
		t.Fatal(err)
	}
	live, cold := filepath.Join(folder, "live.tar"), filepath.Join(folder, "cold.tar")
	does(t, "backup", live, "--data", data)
	if code, _, problems := command(t, nil, "backup", live, "--data", data); code != exitFailed || !strings.Contains(problems, "is there already") {
		t.Errorf("over another backup: exit %d %q", code, problems)
	}
	if code, _, problems := command(t, nil, "upgrade", "--data", data, "--history", "128"); code != exitFailed || !strings.Contains(problems, "in use") {
		t.Errorf("upgraded under a server: exit %d %q", code, problems)
	}
	server.ends(t)
	does(t, "backup", cold, "--data", data)
	for name, backup := range map[string]string{"live": live, "cold": cold} {
		t.Run(name, func(t *testing.T) {
			if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v: others may read it", info.Mode(), err)
			}
			restored := filepath.Join(t.TempDir(), "restored")
			does(t, "restore", backup, "--data", restored, "--history", "64")
			if text, err := os.ReadFile(filepath.Join(restored, "notes")); err != nil || string(text) != "a file of ours" {
				t.Errorf("%q, %v", text, err)
			}
			if code, _, problems := command(t, nil, "restore", backup, "--data", restored); code != exitFailed || !strings.Contains(problems, "is not empty") {
				t.Errorf("a second time: exit %d %q", code, problems)
			}
			fails(t, "confab upgrade", "--listen", "127.0.0.1:0", "--data", restored, "--history", "128")
			if out := does(t, "upgrade", "--data", restored, "--history", "128"); !strings.Contains(out, "from 256 to 512 in 16 streams") {
				t.Errorf("it says %q", out)
			}
			if code, out, problems := command(t, nil, "upgrade", "--data", restored, "--history", "32"); code != exitFailed ||
				!strings.Contains(out, "from 512 to 128") || !strings.Contains(problems, fmt.Sprintf("%d records would be deleted", len(want)-128)) {
				t.Errorf("less history: exit %d %q %q", code, out, problems)
			}
			server := start(t, restored, append(args, "--history", "128")...)
			if got := pageAll(t, server.url, "kept"); !reflect.DeepEqual(got, want) {
				t.Errorf("%d messages; want %d", len(got), len(want))
			}
			server.ends(t)
			does(t, "upgrade", "--yes-delete", "--data", restored, "--history", "32")
			server = start(t, restored, append(args, "--history", "32")...)
			if got := pageAll(t, server.url, "kept"); !reflect.DeepEqual(got, want[len(want)-128:]) {
				t.Errorf("%d messages; want the newest 128", len(got))
			}
			server.ends(t)
		})
	}
}

// does runs a command that is to succeed, and returns what it prints.
func does(t *testing.T, args ...string) string {
	t.Helper()
	code, out, problems := command(t, nil, args...)
	if code != exitOK {
		t.Fatalf("confab %s: exit %d %s", strings.Join(args, " "), code, problems)
	}
	return out
}

// A backup that is cut off anywhere, or is something else, is told before anything is made of it.
func TestRestoreRefuses(t *testing.T) {
	data := t.TempDir()
	server := start(t, data, "--bots", "off", "--sfu", "off")
	server.ends(t)
	whole := filepath.Join(t.TempDir(), "whole.tar")
	does(t, "backup", whole, "--data", data)
	text := []byte(read(t, whole))
	cases := map[string][]byte{"nothing": nil, "text": []byte("text"), "half": text[:len(text)/2], "without its end": text[:len(text)-2048]}
	if broken := bytes.Replace(text, []byte(`{"format":1`), []byte(`{"format":2`), 1); !bytes.Equal(broken, text) {
		cases["of another format"] = broken
	} else {
		t.Error("a backup does not say its format")
	}
	var escaping bytes.Buffer
	w := &backupWriter{out: tar.NewWriter(&escaping)}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.addJSON(backupAbout, backupHead{Format: backupFormat}))
	must(w.add(backupFiles+"../outside", 1, strings.NewReader("x")))
	must(w.out.Close())
	cases["with a file outside"] = escaping.Bytes()
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			path, folder := filepath.Join(t.TempDir(), "b.tar"), filepath.Join(t.TempDir(), "data")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if code, _, problems := command(t, nil, "restore", path, "--data", folder); code != exitFailed || !strings.Contains(problems, "the backup") {
				t.Errorf("exit %d %q", code, problems)
			}
			if _, err := os.Stat(folder); err == nil {
				t.Error("it has made a folder")
			}
		})
	}
	t.Run("unfinished", func(t *testing.T) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, restoringName), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		fails(t, "did not finish", "--listen", "127.0.0.1:0", "--data", folder)
	})
}

// A backup goes to the standard output too, and one of no log is none.
func TestBackupOutput(t *testing.T) {
	data := t.TempDir()
	start(t, data, "--bots", "off", "--sfu", "off").ends(t)
	_, out, _ := command(t, nil, "backup", "-", "--data", data)
	if _, err := checkBackup(strings.NewReader(out)); err != nil {
		t.Error(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	code, out, problems := command(t, nil, "backup", "-", "--data", empty)
	if code != exitFailed || !strings.Contains(problems, "there is no log") || out != "" {
		t.Errorf("exit %d %q %q", code, out, problems)
	}
	if _, err := os.Stat(empty); err == nil {
		t.Error("it has made a folder")
	}
}

// Whatever bytes a backup has, reading it ends, with an error or with all of it.
func FuzzBackup(f *testing.F) {
	var small bytes.Buffer
	if err := writeBackup(f.Context(), &small, f.TempDir(), fewPieces{}); err != nil {
		f.Fatal(err)
	}
	f.Add(small.Bytes())
	f.Add(small.Bytes()[:1024])
	f.Fuzz(func(_ *testing.T, text []byte) { _, _ = checkBackup(bytes.NewReader(text)) })
}

// fewPieces is a log with one piece in each stream.
type fewPieces struct{}

func (fewPieces) Snapshot(_ context.Context, stream string, each func([]byte) error) error {
	return each([]byte(stream))
}
