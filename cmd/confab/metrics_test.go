package main

import (
	"encoding/json"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"
)

// settingsOf are the settings of a command line, with the defaults of all others.
func settingsOf(t *testing.T, args ...string) *Settings {
	t.Helper()
	var line commandLine
	layers := &layers{lookup: func(string) (string, bool) { return "", false }}
	if _, err := newParser(&line, layers, io.Discard, io.Discard).Parse(args); err != nil {
		t.Fatal(err)
	}
	return &line.Settings
}

// A series is what all time series of one name have in common.
type series struct {
	labels string // sorted, with ", " between
	help   string
}

var descText = regexp.MustCompile(`fqName: "([^"]*)", help: "((?:[^"\\]|\\.)*)".*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// allMetrics are the metrics that a server has of its own which has everything that can be had, by name.
func allMetrics(t *testing.T) map[string]series {
	t.Helper()
	cert, key, _ := writeCertificate(t, t.TempDir(), 1)
	_, behind := openWhole(t, "--nats", testNATS(t), "--turn", "on", "--turn-port", "0",
		"--turn-tls-port", freePort(t), "--turn-cert", cert, "--turn-key", key,
		"--webhook-url", "http://127.0.0.1:9/", "--webhook-secret", testHookSecret)
	descs := make(chan *prometheus.Desc)
	go func() {
		behind.metrics.Describe(descs)
		close(descs)
	}()
	all := map[string]series{}
	for d := range descs {
		part := descText.FindStringSubmatch(d.String())
		if part == nil {
			t.Fatalf("cannot read %s", d)
		}
		if !strings.HasPrefix(part[1], "confab_") {
			continue // of the process and of Go
		}
		var labels []string
		for _, label := range strings.Split(part[3]+","+part[4], ",") {
			if name, _, _ := strings.Cut(label, "="); name != "" {
				labels = append(labels, name)
			}
		}
		slices.Sort(labels)
		all[part[1]] = series{strings.Join(labels, ", "), part[2]}
	}
	if _, err := behind.metrics.Gather(); err != nil {
		t.Error(err)
	}
	return all
}

// testNATS is the address of a NATS server in this process, with JetStream: a node outside has metrics of the cluster.
func testNATS(t *testing.T) string {
	t.Helper()
	nats, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	nats.Start()
	t.Cleanup(func() {
		nats.Shutdown()
		nats.WaitForShutdown()
	})
	if !nats.ReadyForConnections(patience) {
		t.Fatal("NATS does not start")
	}
	return nats.ClientURL()
}

// TestMetrics holds the table of metrics, the alert rules and the dashboard against what a server really has.
func TestMetrics(t *testing.T) {
	have := allMetrics(t)
	t.Run("conventions", func(t *testing.T) {
		for name, s := range have {
			if s.help == "" || !regexp.MustCompile(`^[a-z_]+$`).MatchString(name) {
				t.Errorf("%s: help %q", name, s.help)
			}
		}
	})
	t.Run("table", func(t *testing.T) {
		doc := read(t, "deploy/README.md")
		rows := map[string]series{}
		for _, row := range regexp.MustCompile("(?m)^\\| `(confab_[a-z_]+)` \\| (.*?) ?\\| (.*?) \\|$").FindAllStringSubmatch(doc, -1) {
			rows[row[1]] = series{row[2], row[3]}
		}
		for name, s := range have {
			if rows[name] != s {
				t.Error(strings.ReplaceAll("the table should have the row | `"+name+"` | "+s.labels+" | "+s.help+" |", "|  |", "| |"))
			}
			delete(rows, name)
		}
		for name := range rows {
			t.Errorf("the table has %s, the server has not", name)
		}
	})
	t.Run("rules", func(t *testing.T) {
		var file struct {
			Groups []struct {
				Rules []struct {
					Alert, Expr, For    string
					Labels, Annotations map[string]string
				}
			}
		}
		if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/rules.yml")), &file); err != nil {
			t.Fatal(err)
		}
		alerts := map[string]bool{}
		for _, group := range file.Groups {
			for _, rule := range group.Rules {
				checkQuery(t, rule.Alert, rule.Expr, have)
				if alerts[rule.Alert] || rule.Annotations["summary"] == "" || rule.Annotations["action"] == "" ||
					rule.Labels["severity"] != "critical" && rule.Labels["severity"] != "warning" {
					t.Errorf("%s: a second one of its name, or without a summary, an action or a severity", rule.Alert)
				}
				alerts[rule.Alert] = true
			}
		}
		tests := read(t, "deploy/prometheus/rules_test.yml")
		for alert := range alerts {
			if !strings.Contains(tests, `alertname="`+alert+`"`) {
				t.Errorf("rules_test.yml tests no %s", alert)
			}
		}
	})
	t.Run("dashboard", func(t *testing.T) {
		var board struct {
			Title  string
			Panels []struct {
				Title   string
				Type    string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal([]byte(read(t, "deploy/grafana/confab.json")), &board); err != nil {
			t.Fatal(err)
		}
		queries := 0
		for _, panel := range board.Panels {
			for _, target := range panel.Targets {
				checkQuery(t, panel.Title, target.Expr, have)
				queries++
			}
		}
		if board.Title == "" || queries < 20 {
			t.Errorf("%q has %d queries", board.Title, queries)
		}
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	metricName = regexp.MustCompile(`\b(?:confab|process|go)_[a-z_]+\b`)
	selectors  = regexp.MustCompile(`(confab_[a-z_]+)\{([^}]*)\}`)
	groupings  = regexp.MustCompile(`\b(?:by|without|on|ignoring) *\(([^)]*)\)`)
)

// ofOthers are metrics that the libraries of Prometheus add on Linux.
var ofOthers = []string{
	"process_cpu_seconds_total", "process_max_fds", "process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds",
	"go_gc_heap_live_bytes", "go_goroutines",
}

// checkQuery wants every metric and every label of a query to be one that there is.
func checkQuery(t *testing.T, where, query string, have map[string]series) {
	t.Helper()
	labels := []string{"instance", "job", "le"}
	for _, name := range metricName.FindAllString(query, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		s, ok := have[base]
		if !ok && !slices.Contains(ofOthers, name) {
			t.Errorf("%s: there is no metric %s", where, name)
		}
		labels = append(labels, strings.Split(s.labels, ", ")...)
	}
	for _, part := range groupings.FindAllStringSubmatch(query, -1) {
		for _, label := range strings.Split(part[1], ",") {
			if !slices.Contains(labels, strings.TrimSpace(label)) {
				t.Errorf("%s: no metric of the query has a label %q", where, label)
			}
		}
	}
	for _, part := range selectors.FindAllStringSubmatch(query, -1) {
		for _, matcher := range strings.Split(part[2], ",") {
			label, _, _ := strings.Cut(matcher, "=")
			label = strings.TrimRight(strings.TrimSpace(label), "!")
			if label != "instance" && label != "job" && !slices.Contains(strings.Split(have[part[1]].labels, ", "), label) {
				t.Errorf("%s: %s has no label %q", where, part[1], label)
			}
		}
	}
}
