package voice

import (
	"bufio"
	"encoding/base64"
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

// aimock starts the mock server of CopilotKit, which is not ours, with a sound for whoever says hello, and returns its
// address. It fails where tests must run, and skips elsewhere. AIMOCK_DIR names the package when it is not with the web
// app's.
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

// fixtures is a file of aimock's with the sound of testdata.
func fixtures(t *testing.T) string {
	t.Helper()
	sound, err := os.ReadFile(filepath.Join("testdata", "tone.ogg"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"fixtures": []any{
		map[string]any{
			"match":    map[string]any{"userMessage": "Hello", "endpoint": "speech"},
			"response": map[string]any{"audio": base64.StdEncoding.EncodeToString(sound), "format": "opus"},
		},
		map[string]any{
			"match":    map[string]any{"userMessage": "Too often", "endpoint": "speech"},
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

// TestAimock takes in clips from it.
func TestAimock(t *testing.T) {
	url := aimock(t)
	for name, test := range map[string]struct {
		text, key string
		packets   int
		code      provider.Code
	}{
		"a sentence": {"Hello there.", secret, 151, ""},
		"too often":  {"Too often asked.", secret, 0, provider.RateLimited},
		"wrong key":  {"Hello there.", "sk-another", 0, provider.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			c := &clip{sentence: sentence{text: test.text}}
			err := c.load(t.Context(), NewSpeech(SpeechOptions{
				Endpoint: endpoint.Options{Provider: "speech", URL: url + "/v1/audio/speech", Key: provider.NewKey(test.key), Transport: transport},
				Model:    "tts-1", Voice: "alloy",
			}))
			problem, _ := errors.AsType[*provider.Error](err)
			if (err != nil) != (test.code != "") || problem != nil && problem.Code != test.code || len(c.packets) != test.packets {
				t.Errorf("%d packets, %v", len(c.packets), err)
			}
		})
	}
}
