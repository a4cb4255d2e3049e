package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/nats-io/nats-server/v2/server"
	"gopkg.in/yaml.v3"
)

// deployPorts are those that the image says it has, as in Dockerfiles.
var deployPorts = []string{"8080/tcp", "8080/udp", "3478/tcp", "3478/udp"}

// The user of the image, and of pods.
const deployUser = 65532

// knownCommand is what there is to write behind the name of the program: commands, and flags of all of them.
func knownCommand() (commands, flags []string) {
	var line commandLine
	model := newParser(&line, &layers{lookup: func(string) (string, bool) { return "", false }}, io.Discard, io.Discard).Model
	var walk func(*kong.Node)
	walk = func(node *kong.Node) {
		for _, flag := range node.Flags {
			flags = append(flags, flag.Name)
		}
		for _, child := range node.Children {
			commands = append(commands, child.Name)
			walk(child)
		}
	}
	walk(model.Node)
	return commands, flags
}

// Every setting, flag and command that a file to deploy or the text beside it names is one that there is.
func TestDeployNames(t *testing.T) {
	commands, flags := knownCommand()
	variable, flag := regexp.MustCompile(`\bCONFAB_([A-Z_]+)\b`), regexp.MustCompile(`(?:^|[\s\x60"'(\[])--([a-z][a-z-]*)`)
	command := regexp.MustCompile(`(?m)(?:^|\x60)(?:\$ |[/a-z]*/)?confab ([a-z]+)\b`)
	ofOthers := map[string][]string{ // programs in these files that have flags too
		"compose/compose.yaml": {"build", "name"}, "kubernetes/confab.yaml": {"from-literal"}, "Dockerfile": {"from", "chown", "interval", "timeout", "start-period", "retries"},
		"systemd/confab.service": {"now"},
	}
	for _, path := range deployFiles(t) {
		text := read(t, filepath.Join("deploy", path))
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			name := strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
			if !slices.Contains(flags, name) && name != "drain" && name != "soak" {
				t.Errorf("%s: there is no setting %s", path, name)
			}
		}
		for _, m := range flag.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(flags, m[1]) && !slices.Contains(ofOthers[path], m[1]) {
				t.Errorf("%s: there is no flag --%s", path, m[1])
			}
		}
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(commands, m[1]) {
				t.Errorf("%s: there is no command %q", path, m[1])
			}
		}
	}
}

// deployFiles are all files below deploy.
func deployFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := fs.WalkDir(os.DirFS("deploy"), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%v, %v", files, err)
	}
	return files
}

func TestDockerfile(t *testing.T) {
	text := read(t, "deploy/Dockerfile")
	lines := func(instruction string) (found []string) {
		for _, m := range regexp.MustCompile(`(?m)^`+instruction+` (.*)$`).FindAllStringSubmatch(text, -1) {
			found = append(found, m[1])
		}
		return found
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../../go.mod"))
	if from := lines("FROM"); !slices.Equal(from, []string{"golang:" + version[1] + " AS build", "scratch"}) {
		t.Errorf("made of %q", from)
	}
	if user := lines("USER"); len(user) != 1 || user[0] != fmt.Sprintf("%d:%d", deployUser, deployUser) {
		t.Errorf("runs as %q; Kubernetes must see that it is not root", user)
	}
	if ports := lines("EXPOSE"); len(ports) != 1 || !slices.Equal(strings.Fields(ports[0]), deployPorts) {
		t.Errorf("ports %q", ports)
	}
	if entry := lines("ENTRYPOINT"); len(entry) != 1 || entry[0] != `["/confab"]` {
		t.Errorf("starts %q; only that way does it get signals", entry)
	}
	health := lines("HEALTHCHECK")
	if len(health) != 1 || !strings.HasSuffix(health[0], `CMD ["/confab", "healthcheck"]`) {
		t.Fatalf("health check %q", health)
	}
	timeout := regexp.MustCompile(`--timeout=(\S+)`).FindStringSubmatch(health[0])
	if limit, err := time.ParseDuration(timeout[1]); err != nil || limit <= healthTimeout {
		t.Errorf("Docker waits %v for a health check that takes up to %v", limit, healthTimeout)
	}
	// The settings of the image are good.
	var args []string
	for _, pair := range strings.Fields(lines("ENV")[0]) {
		name, value, _ := strings.Cut(pair, "=")
		args = append(args, "--"+settingOf(name)+"="+value)
	}
	checkSettings(t, "Dockerfile", args...)
}

func settingOf(variable string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(variable, envPrefix), "_", "-"))
}

// checkSettings wants settings to be good together.
func checkSettings(t *testing.T, where string, args ...string) *Settings {
	t.Helper()
	s := settingsOf(t, args...)
	if err := s.check(origins{}); err != nil {
		t.Errorf("%s: %v", where, err)
	}
	return s
}

// endsWithin wants whoever stops the server to wait until it has ended by itself.
func endsWithin(t *testing.T, where string, wait, before time.Duration) {
	t.Helper()
	if wait < stopTimeout+before+5*time.Second {
		t.Errorf("%s: killed %v after the signal; it may take %v, after %v in which nothing happens", where, wait, stopTimeout, before)
	}
}

func TestSystemdUnit(t *testing.T) {
	set := map[string]string{}
	for _, line := range strings.Split(read(t, "deploy/systemd/confab.service"), "\n") {
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			set[key] = value
		}
	}
	wait, err := time.ParseDuration(set["TimeoutStopSec"])
	if err != nil {
		t.Fatal(err)
	}
	endsWithin(t, "confab.service", wait, 0)
	for key, want := range map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "Restart": "always",
		"KillSignal": "SIGTERM", "StateDirectory": "confab", "SystemCallErrorNumber": "EPERM",
	} {
		if set[key] != want {
			t.Errorf("%s=%s", key, set[key])
		}
	}
	if files, err := strconv.Atoi(set["LimitNOFILE"]); err != nil || files < 1<<16 {
		t.Errorf("LimitNOFILE=%s", set["LimitNOFILE"])
	}
	if _, hidden := set["ProcSubset"]; hidden {
		t.Error("without /proc/sys the log cannot tell a crash from a power cut")
	}
}

func TestCompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
			Ports       []string
			Volumes     []string
			Grace       string `yaml:"stop_grace_period"`
			Healthcheck struct{ Test []string }
			Build       struct{ Context, Dockerfile string }
		}
		Volumes map[string]any
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/compose/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	published := map[string]string{}
	nodes, stores := 0, 0
	for name, service := range file.Services {
		for _, port := range service.Ports {
			outside, _, _ := strings.Cut(port, ":")
			protocol := "tcp"
			if _, p, ok := strings.Cut(port, "/"); ok {
				protocol = p
			}
			if other, taken := published[outside+"/"+protocol]; taken {
				t.Errorf("%s and %s both want port %s/%s", name, other, outside, protocol)
			}
			published[outside+"/"+protocol] = name
		}
		for _, volume := range service.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if path, ok := strings.CutPrefix(from, "./"); ok {
				if _, err := os.Stat(filepath.Join("deploy/compose", path)); err != nil {
					t.Error(err)
				}
			} else if _, ok := file.Volumes[from]; !ok {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		if !regexp.MustCompile(`^(confab|[a-z]+:\d+\.\d+-alpine)$`).MatchString(service.Image) {
			t.Errorf("%s: image %q has no version", name, service.Image)
		}
		switch {
		case strings.HasPrefix(name, "nats-"):
			stores++
			if len(service.Healthcheck.Test) == 0 {
				t.Errorf("%s has no health check", name)
			}
		case strings.HasPrefix(name, "confab-"):
			nodes++
			if _, err := os.Stat(filepath.Join("deploy/compose", service.Build.Context, service.Build.Dockerfile)); err != nil {
				t.Error(err)
			}
			wait, err := time.ParseDuration(service.Grace)
			if err != nil {
				t.Fatal(err)
			}
			endsWithin(t, name, wait, 0)
			checkComposeNode(t, name, service.Environment, published)
		}
	}
	if nodes != 3 || stores != 3 {
		t.Errorf("%d servers on %d of NATS", nodes, stores)
	}
}

// checkComposeNode wants the ports of media to be the same outside, since browsers are told them.
func checkComposeNode(t *testing.T, name string, environment, published map[string]string) {
	t.Helper()
	args := []string{"--listen=:8080"}
	for variable, value := range environment {
		value = regexp.MustCompile(`\$\{PUBLIC_IP:\?[^}]*\}`).ReplaceAllString(value, "203.0.113.7")
		value = regexp.MustCompile(`\$\{[A-Z]+:-([a-z]*)\}`).ReplaceAllString(value, "$1")
		args = append(args, "--"+settingOf(variable)+"="+value)
	}
	s := checkSettings(t, name, args...)
	for _, port := range []string{fmt.Sprintf("%d/udp", s.UDPPort), fmt.Sprintf("%d/udp", s.TURNPort), fmt.Sprintf("%d/tcp", s.TURNPort)} {
		if published[port] != name {
			t.Errorf("%s does not publish %s", name, port)
		}
	}
	if s.Replicas != 3 || len(strings.Split(s.NATS, ",")) != 3 {
		t.Errorf("%s: %d copies at %s", name, s.Replicas, s.NATS)
	}
}

// The NATS servers of the compose file take their configuration, and keep what they store on the disk.
func TestComposeNATS(t *testing.T) {
	opts, err := server.ProcessConfigFile("deploy/compose/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !opts.JetStream || opts.StoreDir != "/data" || len(opts.Routes) != 3 || opts.Cluster.Name == "" || opts.SyncInterval > 2*time.Second {
		t.Errorf("JetStream %v in %q, %d routes, cluster %q", opts.JetStream, opts.StoreDir, len(opts.Routes), opts.Cluster.Name)
	}
}

// A manifest is as much of a Kubernetes object as is looked at.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		ServiceName string `yaml:"serviceName"`
		Selector    any
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     podSpec
		}
		VolumeClaimTemplates []struct{ Metadata struct{ Name string } } `yaml:"volumeClaimTemplates"`
	}
}

type podSpec struct {
	Grace           int  `yaml:"terminationGracePeriodSeconds"`
	HostNetwork     bool `yaml:"hostNetwork"`
	SecurityContext struct {
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
		RunAsUser    int  `yaml:"runAsUser"`
	} `yaml:"securityContext"`
	Containers []struct {
		Env []struct {
			Name, Value string
			ValueFrom   any `yaml:"valueFrom"`
		}
		Ports []struct {
			Port     int `yaml:"containerPort"`
			Protocol string
		}
		Startup   probe `yaml:"startupProbe"`
		Liveness  probe `yaml:"livenessProbe"`
		Readiness probe `yaml:"readinessProbe"`
		Lifecycle struct {
			PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
		}
		VolumeMounts []struct{ Name string } `yaml:"volumeMounts"`
	}
	Volumes []struct{ Name string }
}

type probe struct {
	HTTPGet struct{ Path string } `yaml:"httpGet"`
}

func TestKubernetes(t *testing.T) {
	kinds := map[string]manifest{}
	for decoder := yaml.NewDecoder(bytes.NewReader([]byte(read(t, "deploy/kubernetes/confab.yaml")))); ; {
		var m manifest
		err := decoder.Decode(&m)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds[m.Kind+" "+m.Metadata.Name] = m
	}
	set, ok := kinds["StatefulSet confab"]
	if !ok || len(set.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("there are %v", slices.Sorted(maps.Keys(kinds)))
	}
	for _, needed := range []string{"Service confab", "Service " + set.Spec.ServiceName, "PodDisruptionBudget confab", "Ingress confab"} {
		if _, ok := kinds[needed]; !ok {
			t.Errorf("there is no %s", needed)
		}
	}
	for name, m := range kinds {
		if m.Spec.Selector != nil && !strings.Contains(fmt.Sprint(m.Spec.Selector), "app:"+set.Spec.Template.Metadata.Labels["app"]) {
			t.Errorf("%s selects %v", name, m.Spec.Selector)
		}
	}
	pod := set.Spec.Template.Spec
	c := pod.Containers[0]
	endsWithin(t, "pod", time.Duration(pod.Grace)*time.Second, time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second)
	if !pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.RunAsUser != deployUser || !pod.HostNetwork {
		t.Errorf("%+v", pod.SecurityContext)
	}
	if got := [...]string{c.Startup.HTTPGet.Path, c.Liveness.HTTPGet.Path, c.Readiness.HTTPGet.Path}; got != [...]string{"/healthz", "/healthz", "/readyz"} {
		t.Errorf("probes of %v", got)
	}
	var ports []string
	for _, p := range c.Ports {
		ports = append(ports, fmt.Sprintf("%d/%s", p.Port, strings.ToLower(cmp.Or(p.Protocol, "TCP"))))
	}
	if !slices.Equal(ports, deployPorts) {
		t.Errorf("ports %v; the image has %v", ports, deployPorts)
	}
	var args []string
	for _, env := range c.Env {
		if env.ValueFrom != nil {
			env.Value = "203.0.113.7" // of the machine
		}
		args = append(args, "--"+settingOf(env.Name)+"="+env.Value)
	}
	checkSettings(t, "StatefulSet", args...)
	var volumes []string
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, v := range set.Spec.VolumeClaimTemplates {
		volumes = append(volumes, v.Metadata.Name)
	}
	for _, mount := range c.VolumeMounts {
		if !slices.Contains(volumes, mount.Name) {
			t.Errorf("there is no volume %s", mount.Name)
		}
	}
}

// A container asks the server by the program itself.
func TestHealthcheck(t *testing.T) {
	server := start(t, t.TempDir(), "--bots", "off", "--sfu", "off")
	listen := strings.TrimPrefix(server.url, "http://")
	if out := does(t, "healthcheck", "--listen", listen); out != "" {
		t.Errorf("it says %q", out)
	}
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Error(err)
	}
	if code, _, problems := command(t, nil, "healthcheck", "--listen", listen); code != exitFailed || !strings.Contains(problems, "does not answer") {
		t.Errorf("exit %d %q", code, problems)
	}
	if code, _, problems := command(t, nil, "healthcheck", "--listen", "127.0.0.1:0"); code != exitSetting || !strings.Contains(problems, "--listen") {
		t.Errorf("exit %d %q", code, problems)
	}
}
