package hearing

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
)

// aimock starts the mock server of CopilotKit, which is not ours, and returns its address. It fails where tests must run,
// and skips elsewhere. AIMOCK_DIR names the package when it is not with the web app's.
func aimock(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("AIMOCK_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "web", "node_modules", "@copilotkit", "aimock")
	}
	cli := filepath.Join(dir, "dist", "cli.js")
	_, missing := os.Stat(cli)
	if _, err := exec.LookPath("node"); missing == nil {
		missing = err
	}
	switch {
	case missing == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%v; task setup installs it", missing)
	default:
		t.Skipf("%v; task setup installs it", missing)
	}
	cmd := exec.Command("node", cli, "--port", "0", "--fixtures", fixtures(t))
	cmd.Env = append(os.Environ(), "AIMOCK_API_KEYS="+secret)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, url, found := strings.Cut(lines.Text(), "listening on "); found {
			return url
		}
	}
	t.Fatal("aimock did not start")
	return ""
}

// fixtures is a file of aimock's: what one model hears, and that another one is asked too often.
func fixtures(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"fixtures": []any{
		map[string]any{
			"match":    map[string]any{"model": "whisper-1", "endpoint": "transcription"},
			"response": map[string]any{"transcription": map[string]any{"text": "Scribe, what did we decide?"}},
		},
		map[string]any{
			"match":    map[string]any{"model": "busy", "endpoint": "transcription"},
			"response": map[string]any{"status": 429, "error": map[string]any{"message": "slow down", "type": "rate_limit_error"}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "fixtures.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAimock has a segment written down by it.
func TestAimock(t *testing.T) {
	url := aimock(t)
	var d detector
	m := &mouth{}
	for range 50 {
		d.take(m.say(loud))
	}
	sound, err := d.end().encode()
	if err != nil || !bytes.HasPrefix(sound, []byte("OggS")) {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		model, key, text string
		code             provider.Code
	}{
		"speech":    {"whisper-1", secret, "Scribe, what did we decide?", ""},
		"too often": {"busy", secret, "", provider.RateLimited},
		"wrong key": {"whisper-1", "sk-another", "", provider.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			s := NewTranscriber(TranscriberOptions{Model: test.model, Endpoint: endpoint.Options{
				Provider: "hearing", URL: url + "/v1/audio/transcriptions", Key: provider.NewKey(test.key), Transport: transport,
			}})
			text, err := s.Transcribe(t.Context(), sound)
			problem, _ := errors.AsType[*provider.Error](err)
			if text != test.text || (err != nil) != (test.code != "") || problem != nil && problem.Code != test.code {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
