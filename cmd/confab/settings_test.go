package main

import (
	"bytes"
	"cmp"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"confab/signaling"
	"confab/signaling/wire"
)

// command runs a command in this process, with env and nothing else as its environment.
func command(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(args, func(name string) (string, bool) { value, ok := env[name]; return value, ok }, &out, &err)
	return code, out.String(), err.String()
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "confab.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsPrecedence(t *testing.T) {
	file := writeFile(t, "history: 10\nrate-limit: 10\nguests: off\norigins:\n  - https://a.example\n  - https://b.example\ndata: null\n")
	env := map[string]string{"CONFAB_CONFIG": file, "CONFAB_HISTORY": "20", "CONFAB_RATE_LIMIT": "20", "CONFAB_GUESTS": "", "CONFAB_UNKNOWN": "x"}
	code, out, problems := command(t, env, "config", "--history", "30")
	if code != exitOK {
		t.Fatal(problems)
	}
	for _, line := range []string{
		"history: 30 # flag",
		"rate-limit: 20 # environment CONFAB_RATE_LIMIT",
		"guests: off # file " + file + " line 3",
		"origins: ['https://a.example', 'https://b.example'] # file " + file + " line 5",
		"data: ./confab-data # default",
		"auth-timeout: 30s # default",
	} {
		if !strings.Contains(strings.ReplaceAll(out, `"`, ""), line+"\n") {
			t.Errorf("no line %q in\n%s", line, out)
		}
	}
}

func TestConfigIsAFileOfSettings(t *testing.T) {
	_, first, _ := command(t, nil, "config", "--guests", "on", "--origins", "https://a.example,https://b.example", "--auth-timeout", "5s")
	code, second, problems := command(t, nil, "config", "--config", writeFile(t, first))
	if code != exitOK {
		t.Fatal(problems)
	}
	var a, b map[string]any
	if err := yaml.Unmarshal([]byte(first), &a); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(second), &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) || a["guests"] != "on" {
		t.Errorf("first  %v\nsecond %v", a, b)
	}
}

func TestConfigMasksSecrets(t *testing.T) {
	const hidden = "hidden-hidden-hidden-hidden-hidden"
	code, out, problems := command(t, map[string]string{"CONFAB_AUTH_SECRET": hidden}, "config",
		"--nats", "nats://me:"+hidden+"@one:4222, nats://"+hidden+"@two:4222", "--ice-servers", "turn:me:"+hidden+"@turn.example:3478",
		"--auth-jwks", "https://me:"+hidden+"@issuer.example/keys?key="+hidden)
	if code != exitOK {
		t.Fatal(problems)
	}
	_, keys, _ := command(t, nil, "config", "--admin-key", hidden+",ops:x"+hidden,
		"--webhook-url", "https://hooks.example/"+hidden+"?key="+hidden, "--webhook-secret", "whsec_aGlkZGVuLWhpZGRlbi1oaWRkZW4taGlkZGVu")
	if strings.Contains(keys, "aGlk") || !strings.Contains(keys, "hooks.example") {
		t.Error(keys)
	}
	if out += keys; !strings.Contains(keys, "ops:"+mask) {
		t.Error(keys)
	}
	if strings.Contains(out, hidden) {
		t.Errorf("a secret is printed:\n%s", out)
	}
	for _, kept := range []string{"@one:4222", "@two:4222", "turn:me:", "issuer.example/keys"} {
		if !strings.Contains(out, kept) {
			t.Errorf("%q is missing in\n%s", kept, out)
		}
	}
}

func TestBadSettings(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		file string
		says []string
	}{
		{"no port", []string{"--listen", "localhost"}, nil, "", []string{"--listen", "localhost", "127.0.0.1:8080"}},
		{"port too large", []string{"--listen", ":70000"}, nil, "", []string{"--listen", "70000", "65535"}},
		{"no number", nil, map[string]string{"CONFAB_HISTORY": "many"}, "", []string{"--history", "environment CONFAB_HISTORY", "many", "whole number"}},
		{"no duration", nil, nil, "auth-timeout: soon", []string{"--auth-timeout", "line 1", "30s", "soon"}},
		{"no such choice", nil, map[string]string{"CONFAB_GUESTS": "maybe"}, "", []string{"--guests", "CONFAB_GUESTS", "auto", "maybe"}},
		{"out of range", []string{"--history", "0"}, nil, "", []string{"--history", "0", "4096"}},
		{"negative limit", []string{"--rate-limit=-1"}, nil, "", []string{"--rate-limit", "-1"}},
		{"timeout of nothing", []string{"--auth-timeout", "0s"}, nil, "", []string{"--auth-timeout", "1s"}},
		{"empty data", []string{"--data="}, nil, "", []string{"--data", "empty"}},
		{"short secret", []string{"--auth-secret", "short"}, nil, "", []string{"--auth-secret", "5 bytes", "32", "openssl"}},
		{"two secrets", []string{"--auth-secret-file", "x"}, map[string]string{"CONFAB_AUTH_SECRET": strings.Repeat("s", 32)}, "", []string{"--auth-secret-file", "leave one"}},
		{"copies without NATS", []string{"--replicas", "3"}, nil, "", []string{"--replicas", "--nats"}},
		{"two copies", []string{"--replicas", "2"}, nil, "", []string{"--replicas", "1, 3 or 5"}},
		{"NATS is no URL", []string{"--nats", "localhost"}, nil, "", []string{"--nats", "nats://"}},
		{"fsync of another", []string{"--nats", "nats://h:1", "--durability", "fsync"}, nil, "", []string{"--durability", "sync_interval"}},
		{"JWKS by ftp", []string{"--auth-jwks", "ftp://h/k"}, nil, "", []string{"--auth-jwks", "https"}},
		{"origin with a path", []string{"--origins", "https://a.example/app"}, nil, "", []string{"--origins", "https://a.example/app"}},
		{"origin without a scheme", []string{"--origins", "a.example"}, nil, "", []string{"--origins", "https://"}},
		{"a frame of no origin", []string{"--embed-origins", "intranet"}, nil, "", []string{"--embed-origins", "https://"}},
		{"a frame that ends the policy", []string{"--embed-origins", "https://a.example;script-src"}, nil, "", []string{"--embed-origins"}},
		{"a certificate without its key", []string{"--tls-cert", "c.pem"}, nil, "", []string{"--tls-cert", "--tls-key"}},
		{"a key without its certificate", []string{"--tls-key", "k.pem"}, nil, "", []string{"--tls-key", "certificate"}},
		{"two certificates", []string{"--tls-cert", "c.pem", "--tls-key", "k.pem", "--tls-domain", "a.example"}, nil, "", []string{"--tls-domain", "--tls-cert"}},
		{"a certificate for an address", []string{"--tls-domain", "203.0.113.7"}, nil, "", []string{"--tls-domain", "meet.example.org"}},
		{"a certificate for a short name", []string{"--tls-domain", "localhost"}, nil, "", []string{"--tls-domain"}},
		{"ACME without TLS", []string{"--tls-domain", "a.example", "--acme-directory", "http://a.example"}, nil, "", []string{"--acme-directory", "https"}},
		{"a root for nobody", []string{"--acme-root", "r.pem"}, nil, "", []string{"--acme-root", "--tls-domain"}},
		{"a redirect to nowhere", []string{"--http-listen", ":80"}, nil, "", []string{"--http-listen", "--tls-domain"}},
		{"a redirect from no port", []string{"--http-listen", "here", "--tls-domain", "a.example"}, nil, "", []string{"--http-listen", "port"}},
		{"a room for more than it can hold", []string{"--max-participants", "10", "--room-capacity", "11"}, nil, "", []string{"--room-capacity", "10"}},
		{"proxy by name", []string{"--trusted-proxies", "proxy"}, nil, "", []string{"--trusted-proxies", "10.0.0.0/8"}},
		{"ICE by http", []string{"--ice-servers", "http://h"}, nil, "", []string{"--ice-servers", "stun, stuns"}},
		{"TURN without a password", []string{"--ice-servers", "turn:h:3478"}, nil, "", []string{"--ice-servers", "USER:PASSWORD"}},
		{"STUN without a port", []string{"--stun", "stun.example"}, nil, "", []string{"--stun", "stun.example", "HOST:PORT"}},
		{"media by TCP at a name", []string{"--ice-tcp", "media.example:7881"}, nil, "", []string{"--ice-tcp", "media.example:7881", ":7881"}},
		{"media by TCP without a port", []string{"--ice-tcp", "7881"}, nil, "", []string{"--ice-tcp", "7881"}},
		{"TURN perhaps", []string{"--turn", "perhaps"}, nil, "", []string{"--turn", "auto", "perhaps"}},
		{"TURN port too large", []string{"--turn-port", "70000"}, nil, "", []string{"--turn-port", "70000", "3478"}},
		{"TURN over TLS on no port", []string{"--turn-tls-port=-1"}, nil, "", []string{"--turn-tls-port", "-1", "5349"}},
		{"TURN over TLS without a key", []string{"--turn-tls-port", "5349", "--turn-cert", "x"}, nil, "", []string{"--turn-tls-port", "--turn-key"}},
		{"a certificate for no port", []string{"--turn-cert", "x", "--turn-key", "y"}, nil, "", []string{"--turn-cert", "--turn-tls-port"}},
		{"TURN host with a port", []string{"--turn-host", "turn.example:3478"}, nil, "", []string{"--turn-host", "turn.example:3478", "without a port"}},
		{"TURN for a moment", []string{"--turn-ttl", "1s"}, nil, "", []string{"--turn-ttl", "1s", "10s"}},
		{"TURN to a name", []string{"--turn-allow-peers", "intranet"}, nil, "", []string{"--turn-allow-peers", "intranet", "10.0.0.0/8"}},
		{"a short admin key", []string{"--admin-key", "ops:short"}, nil, "", []string{"--admin-key", "key 1", "5 bytes", "32", "openssl"}},
		{"an admin key with a bad name", []string{"--admin-key", "The Ops:" + strings.Repeat("s", 32)}, nil, "", []string{"--admin-key", "NAME:KEY"}},
		{"two admin keys of one name", []string{"--admin-key", "a:" + strings.Repeat("s", 32) + ",a:" + strings.Repeat("t", 32)}, nil, "", []string{"--admin-key", "called a"}},
		{"a webhook without a secret", []string{"--webhook-url", "https://hooks.example"}, nil, "", []string{"--webhook-secret", "openssl"}},
		{"a webhook that is no URL", []string{"--webhook-url", "hooks.example"}, nil, "", []string{"--webhook-url", "https://"}},
		{"a webhook twice", []string{"--webhook-url", "https://h/a,https://h/a"}, nil, "", []string{"--webhook-url", "twice"}},
		{"a secret of another kind", []string{"--webhook-secret", "secret"}, nil, "", []string{"--webhook-secret", "whsec_"}},
		{"a webhook that never answers", []string{"--webhook-timeout", "1h"}, nil, "", []string{"--webhook-timeout", "1m"}},
		{"unknown flag", []string{"--tls-domain", "a"}, nil, "", []string{"--tls-domain"}},
		{"unknown key", nil, nil, "listen: :1\nhistroy: 5\n", []string{"--config", "line 2", `"histroy"`, "history"}},
		{"config inside the file", nil, nil, "config: other.yaml\n", []string{"--config", `"config"`}},
		{"a mapping as a value", nil, nil, "listen: {host: a}\n", []string{"--listen", "line 1", "neither"}},
		{"list of lists", nil, nil, "origins: [[a]]\n", []string{"--origins", "plain value"}},
		{"a key twice", nil, nil, "guests: on\nguests: off\n", []string{"--config", "line 2", "guests"}},
		{"broken YAML", nil, nil, "guests: [", []string{"--config", "not YAML"}},
		{"no YAML", nil, nil, "just text", []string{"--config", "not YAML"}},
		{"no file", []string{"--config", "/nowhere/x.yaml"}, nil, "", []string{"--config", "cannot be read"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"config"}, c.args...)
			if c.file != "" {
				args = append(args, "--config", writeFile(t, c.file))
			}
			code, out, problems := command(t, c.env, args...)
			if code != exitSetting || out != "" {
				t.Errorf("exit %d, output %q", code, out)
			}
			for _, text := range c.says {
				if !strings.Contains(problems, text) {
					t.Errorf("%q does not say %q", problems, text)
				}
			}
		})
	}
}

// config --check reads the files too, says everything that is wrong, and nothing when all is well.
func TestConfigCheck(t *testing.T) {
	data := t.TempDir()
	code, out, problems := command(t, nil, "config", "--check", "--data", data)
	if code != exitOK || out+problems != "" {
		t.Errorf("exit %d %q %q", code, out, problems)
	}
	none := filepath.Join(data, "none")
	text := writeFile(t, "text")
	code, out, problems = command(t, map[string]string{"CONFAB_BOTS": text}, "config", "--check", "--data", data,
		"--auth-secret-file", none, "--turn-tls-port", "5349", "--turn-cert", none, "--turn-key", none, "--auth-jwks", text, "--tls-cert", none, "--tls-key", none)
	if code != exitSetting || out != "" {
		t.Errorf("exit %d %q", code, out)
	}
	for _, name := range []string{"--auth-secret-file: ", "--bots (from environment CONFAB_BOTS): ", "--turn-cert: ", "--tls-cert: ", "--auth-jwks: "} {
		if !strings.Contains(problems, name) {
			t.Errorf("%q does not say %q", problems, name)
		}
	}
	if entries, err := os.ReadDir(data); err != nil || len(entries) > 0 {
		t.Errorf("it has made %v, %v", entries, err)
	}
}

func TestAllProblemsAreTold(t *testing.T) {
	_, _, problems := command(t, nil, "config", "--history", "0", "--listen", "x")
	if !strings.Contains(problems, "--history") || !strings.Contains(problems, "--listen") {
		t.Error(problems)
	}
}

func TestGuestsSetting(t *testing.T) {
	for _, c := range []struct {
		settings Settings
		want     signaling.Guests
	}{
		{Settings{Guests: "auto", Listen: "127.0.0.1:8080"}, signaling.GuestsLocal},
		{Settings{Guests: "auto", Listen: "[::1]:8080"}, signaling.GuestsLocal},
		{Settings{Guests: "auto", Listen: "localhost:8080", Origins: []string{"http://localhost:5173"}}, signaling.GuestsLocal},
		{Settings{Guests: "auto", Listen: ":8080"}, signaling.GuestsOff},
		{Settings{Guests: "auto", Listen: "0.0.0.0:8080"}, signaling.GuestsOff},
		{Settings{Guests: "auto", Listen: "192.168.1.2:8080"}, signaling.GuestsOff},
		{Settings{Guests: "auto", Listen: "127.0.0.1:8080", TrustedProxies: []string{"127.0.0.1"}}, signaling.GuestsOff},
		{Settings{Guests: "auto", Listen: "127.0.0.1:8080", Origins: []string{"https://meet.example"}}, signaling.GuestsOff},
		{Settings{Guests: "on", Listen: ":8080"}, signaling.GuestsAnywhere},
		{Settings{Guests: "off", Listen: "127.0.0.1:8080"}, signaling.GuestsOff},
	} {
		if got := c.settings.guests(); got != c.want {
			t.Errorf("%+v: %v", c.settings, got)
		}
	}
}

// What is no HTTP is opened for others only where others can come.
func TestPortsForOthers(t *testing.T) {
	at := func(listen string) net.Addr {
		tcp, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		return tcp
	}
	for _, c := range []struct {
		settings Settings
		on       bool
		listen   string
	}{
		{Settings{TURN: "auto", Listen: "127.0.0.1:8080"}, false, "127.0.0.1"},
		{Settings{TURN: "auto", Listen: "0.0.0.0:8080"}, true, "0.0.0.0"},
		{Settings{TURN: "auto", Listen: "192.0.2.1:8080"}, true, "192.0.2.1"},
		{Settings{TURN: "off", Listen: "0.0.0.0:8080"}, false, "0.0.0.0"},
		{Settings{TURN: "on", Listen: "127.0.0.1:8080"}, true, "127.0.0.1"},
		{Settings{TURN: "on", Listen: "127.0.0.1:8080", TrustedProxies: []string{"127.0.0.1"}}, true, "::"},
		{Settings{TURN: "on", Listen: "127.0.0.1:8080", TURNHost: "turn.example"}, true, "::"},
		{Settings{TURN: "on", Listen: "127.0.0.1:8080", PublicIP: []string{"203.0.113.7"}}, true, "::"},
		{Settings{TURN: "auto", Listen: "127.0.0.1:8080", TrustedProxies: []string{"127.0.0.1"}}, true, "::"},
		{Settings{TURN: "auto", Listen: "127.0.0.1:8080", Origins: []string{"https://example.org"}}, true, "::"},
		{Settings{TURN: "auto", Listen: "127.0.0.1:8080", Origins: []string{"http://localhost:5173"}}, false, "127.0.0.1"},
		{Settings{TURN: "auto", Listen: "127.0.0.1:8080", STUN: []string{"stun.example:3478"}}, true, "::"},
		{Settings{TURN: "auto", Listen: "127.0.0.1:8080", UDPPort: 7882}, true, "::"},
		{Settings{TURN: "off", Listen: "127.0.0.1:8080", UDPPort: 7882}, false, "::"},
		{Settings{TURN: "auto", Listen: "127.0.0.1:8080", PublicIP: []string{"127.0.0.2"}}, false, "127.0.0.1"},
		{Settings{TURN: "auto", Listen: "[::1]:8080"}, false, "::1"},
		{Settings{TURN: "auto", Listen: "192.0.2.1:8080", UDPPort: 7882}, true, "192.0.2.1"},
	} {
		media, err := mediaAddress(&c.settings, at(c.settings.Listen))
		if err != nil || c.settings.turnOn() != c.on || media.Addr().String() != c.listen {
			t.Errorf("%+v: TURN %v, ports at %v, %v; want %v at %v", c.settings, c.settings.turnOn(), media, err, c.on, c.listen)
		}
		if port := cmp.Or(c.settings.UDPPort, 8080); int(media.Port()) != port {
			t.Errorf("%+v: media at port %d; want %d", c.settings, media.Port(), port)
		}
	}
}

func TestParseListen(t *testing.T) {
	for text, want := range map[string]string{":7881": "[::]:7881", "0.0.0.0:7881": "0.0.0.0:7881", "[::1]:0": "[::1]:0"} {
		if got, err := parseListen(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

func TestParseICEServer(t *testing.T) {
	for text, want := range map[string]wire.ICEServer{
		"stun:stun.example:3478":                    {URLs: []string{"stun:stun.example:3478"}},
		"stun:[2001:db8::1]:3478":                   {URLs: []string{"stun:[2001:db8::1]:3478"}},
		"turn:me:p:w@d@turn.example?transport=tcp":  {URLs: []string{"turn:turn.example?transport=tcp"}, Username: "me", Credential: "p:w@d"},
		"turns:1700000000:c2VjcmV0=@192.0.2.1:5349": {URLs: []string{"turns:192.0.2.1:5349"}, Username: "1700000000", Credential: "c2VjcmV0="},
	} {
		if got, err := parseICEServer(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "stun:", "stun:a@b", "stun:h?transport=udp", "turn:u:@h", "turn::p@h", "turn:u:p@", "turn:u:p@h?x=y", "https://h"} {
		if got, err := parseICEServer(text); err == nil {
			t.Errorf("%s: %+v", text, got)
		}
	}
}

func TestEverySettingHasItsName(t *testing.T) {
	// The names that `confab config` prints are those that the parser knows.
	_, out, _ := command(t, nil, "config")
	if code, _, problems := command(t, nil, "config", "--config", writeFile(t, out)); code != exitOK {
		t.Error(problems)
	}
}

func TestHelpAndVersion(t *testing.T) {
	if code, out, _ := command(t, nil, "--help"); code != exitOK || !strings.Contains(out, "--listen") {
		t.Errorf("%d %q", code, out)
	}
	if code, out, _ := command(t, nil, "version"); code != exitOK || !strings.HasPrefix(out, "confab ") {
		t.Errorf("%d %q", code, out)
	}
	if code, _, problems := command(t, nil, "dance"); code != exitSetting || !strings.Contains(problems, "dance") {
		t.Errorf("%d %q", code, problems)
	}
}
