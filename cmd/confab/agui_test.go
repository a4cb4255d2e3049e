package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"confab/bots/agui"
	"confab/signaling/wire"
)

// webPackage is a folder in which a package of the web app's is installed. Where it is not, the test fails if tests must
// run, and is skipped elsewhere. WEB_DIR names another folder than web.
func webPackage(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("WEB_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "web")
	}
	missing := ""
	if _, err := os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(name))); err != nil {
		missing = name + " is missing; task setup installs it"
	} else if _, err := exec.LookPath("node"); err != nil {
		missing = "node is missing; task setup installs it"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// An agentRun is what the client of AG-UI made of a run.
type agentRun struct {
	Started *struct {
		ThreadID string
		Metadata struct{ Confab agui.Place }
	}
	Events   []string // types, each once where several of a kind follow one another
	Custom   map[string]json.RawMessage
	Finished *agui.RunFinished
	Error    *agui.RunError
	Refused  *struct {
		Status  int
		Payload struct{ Error wire.ErrorBody }
	}
	Messages []struct {
		ID        string
		Role      string
		Name      string
		Content   string
		ToolCalls []struct {
			Function struct{ Name, Arguments string }
		}
	}
}

// An agentClient is testdata/agui.mjs at work.
type agentClient struct {
	t     *testing.T
	cmd   *exec.Cmd
	err   bytes.Buffer
	lines *bufio.Scanner
}

func runAgent(t *testing.T, args ...string) *agentClient {
	t.Helper()
	c := &agentClient{t: t}
	c.cmd = exec.CommandContext(t.Context(), "node", append([]string{filepath.Join("testdata", "agui.mjs"), webPackage(t, "@ag-ui/client")}, args...)...)
	c.cmd.Stderr = &c.err
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	c.lines.Buffer(nil, 1<<20)
	return c
}

// next is the next line that it prints.
func (c *agentClient) next() (r agentRun) {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatalf("the client has ended: %v\n%s", c.cmd.Wait(), &c.err)
	}
	if err := json.Unmarshal(c.lines.Bytes(), &r); err != nil {
		c.t.Fatalf("%v: %s", err, c.lines.Bytes())
	}
	return r
}

// end waits for its end, at which it must have complained of nothing.
func (c *agentClient) end() {
	c.t.Helper()
	if err := c.cmd.Wait(); err != nil || c.err.Len() > 0 {
		c.t.Errorf("the client ended with %v\n%s", err, &c.err)
	}
}

// The client of AG-UI, which is not ours, asks bots and makes of the answers what stands in the chat.
func TestAGUI(t *testing.T) {
	webPackage(t, "@ag-ui/client")
	model := modelServer()
	defer model.Close()
	file := botsFile(t, model.URL)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = fmt.Append(text, "  - {id: librarian, name: Librarian, description: Finds what was said., skills: [librarian], tools: [who_said, search_messages, read_messages]}\n")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, t.TempDir(), "--auth-secret", testSecret, "--bots", file, "--log-level", "error")
	w := watchRuns(t, server.url, "lab")
	for _, bot := range []wire.BotID{"echo", "librarian"} {
		w.request("toggle-"+string(bot), wire.KindBotToggle, wire.BotToggle{Bot: bot, Enabled: true})
	}
	w.request("chat", wire.KindChat, wire.Chat{Text: "Porto has pineapple on everything"})
	route := func(bot string) string { return server.url + "/api/v1/rooms/lab/bots/" + bot + "/agui" }
	token := mintToken(t, "vera", "lab")

	t.Run("a tool, in the main timeline", func(t *testing.T) {
		c := runAgent(t, route("librarian"), token, "lab", "who said pineapple?")
		run := c.next().Started.Metadata.Confab.Run
		got := c.next()
		c.end()
		w.until(func() bool { return w.ended[run] == 1 && len(w.chats) > 0 })
		answer := w.chats[run]
		last := got.Messages[len(got.Messages)-1]
		if answer.Text == "" || last.Content != answer.Text || last.ID != string(run) || last.Role != "assistant" || last.Name != "Librarian" {
			t.Errorf("the client has %+v, the chat %q", got.Messages, answer.Text)
		}
		if first := got.Messages[0]; len(first.ToolCalls) != 1 || first.ToolCalls[0].Function.Name != "who_said" || !strings.Contains(first.ToolCalls[0].Function.Arguments, "pineapple") ||
			got.Messages[1].Role != "tool" || !strings.Contains(got.Messages[1].Content, "Porto") {
			t.Errorf("the tool's messages are %+v", got.Messages)
		}
		if got.Finished == nil || got.Finished.Outcome.Type != "success" || got.Finished.ThreadID != "lab" {
			t.Errorf("it ended as %+v", got.Finished)
		}
		for _, kind := range []string{"STEP_STARTED", "TOOL_CALL_START", "TOOL_CALL_RESULT", "TEXT_MESSAGE_END", "STEP_FINISHED", "CUSTOM"} {
			if !slices.Contains(got.Events, kind) {
				t.Errorf("no %s among %q", kind, got.Events)
			}
		}
		var receipt agui.Receipt
		if err := json.Unmarshal(got.Custom[agui.CustomReceipt], &receipt); err != nil || receipt.Run != run || receipt.Message == 0 || len(receipt.Tools) != 1 {
			t.Errorf("the receipt is %+v %v", receipt, err)
		}
	})

	t.Run("two questions in a thread of its own", func(t *testing.T) {
		c := runAgent(t, route("echo"), token, "1f6d-thread", "a quick one", "another quick one")
		var runs []wire.RunID
		for range 2 {
			runs = append(runs, c.next().Started.Metadata.Confab.Run)
			if got := c.next(); len(got.Messages) != 1 || got.Messages[0].Content != "word0 word1 word2 word3 word4 " || got.Finished == nil {
				t.Errorf("%+v", got)
			}
		}
		c.end()
		if runs[0] == runs[1] {
			t.Errorf("two answers have one run, %s", runs[0])
		}
	})

	t.Run("stopped by a person in the room", func(t *testing.T) {
		c := runAgent(t, route("echo"), mintToken(t, "ada", "lab"), "lab", "talk on")
		run := c.next().Started.Metadata.Confab.Run
		w.until(func() bool { return strings.Contains(w.texts[run], "word20 ") })
		w.request("stop", wire.KindAICancel, wire.AICancel{Run: run})
		got := c.next()
		c.end()
		w.until(func() bool { return w.ended[run] == 1 })
		if got.Finished == nil || got.Finished.Outcome.Type != "cancelled" || got.Messages[0].Content != w.chats[run].Text {
			t.Errorf("%+v; the chat has %q", got, w.chats[run].Text)
		}
	})

	t.Run("refused", func(t *testing.T) {
		c := runAgent(t, route("nobody"), token, "lab", "hello")
		if got := c.next(); got.Refused == nil || got.Refused.Status != 404 || got.Refused.Payload.Error.Code != wire.CodeNotFound {
			t.Errorf("%+v", got)
		}
		_ = c.cmd.Wait()
	})

	t.Run("the server goes down", func(t *testing.T) {
		c := runAgent(t, route("echo"), token, "lab", "talk on")
		c.next()
		if err := server.terminate(t, os.Interrupt); err != nil {
			t.Errorf("%v\n%s", err, server.err)
		}
		if got := c.next(); got.Error == nil || got.Error.Code != wire.CodeUnavailable {
			t.Errorf("%+v", got)
		}
		_ = c.cmd.Wait()
	})
}
