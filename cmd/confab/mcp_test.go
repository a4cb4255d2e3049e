package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"confab/signaling/wire"
)

// mcpServer is an MCP server with one tool that only reads.
func mcpServer(t *testing.T) *httptest.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: "test", Version: "1"}, nil)
	server.AddTool(&sdk.Tool{
		Name: "weather", Description: "Says what the weather is.", Annotations: &sdk.ToolAnnotations{ReadOnlyHint: true},
		InputSchema: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`),
	}, func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "rain, asked with " + string(r.Params.Arguments)}}}, nil
	})
	web := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil))
	t.Cleanup(web.Close)
	return web
}

// callingModel wants the tool in its first turn, and repeats in the second one what that was given.
func callingModel(t *testing.T) *httptest.Server {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		delta := `{"tool_calls":[{"index":0,"id":"c1","function":{"name":"sky__weather","arguments":"{\"city\":\"K\u00f6ln\"}"}}]}`
		switch {
		case !strings.Contains(string(text), `"name":"sky__weather"`):
			t.Errorf("the model was not offered the tool: %s", text)
		case strings.Contains(string(text), "rain, asked with"):
			delta = `{"content":"It rains."}`
		}
		fmt.Fprint(w, `data: {"model":"m","choices":[{"index":0,"delta":`+delta+`}]}`+"\n\n"+
			`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
	t.Cleanup(web.Close)
	return web
}

// TestMCPTools: a bot answers with what a tool of an MCP server says; a server that is not there keeps nobody from
// starting.
func TestMCPTools(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bots.yaml")
	text := fmt.Sprintf(`
providers:
  fake: {api: openai, url: %q, model: m}
mcp:
  sky: {url: %q}
  gone: {command: %q}
bots:
  - {id: echo, name: Echo, description: Knows the weather., provider: fake, tools: ["sky__*", "gone__*"]}
`, callingModel(t).URL, mcpServer(t).URL, filepath.Join(t.TempDir(), "none"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := start(t, t.TempDir(), "--auth-secret", testSecret, "--bots", file)
	w := watchRuns(t, server.url, "room")
	w.request("toggle", wire.KindBotToggle, wire.BotToggle{Bot: "echo", Enabled: true})
	w.request("ask", wire.KindAIRequest, wire.AIRequest{Bot: "echo", Prompt: "What is the weather in Köln?"})
	w.until(func() bool { return len(w.chats) == 1 && len(w.open) == 0 })
	for run, c := range w.chats {
		if c.Text != "It rains." || c.Run.Status != wire.RunCompleted {
			t.Errorf("%s: %q, %+v", run, c.Text, c.Run)
		}
	}
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
}
