// Command confab-bench measures what the server costs beside a plain melody hub: the chat server that one writes
// in an afternoon (plainhub.go). It starts both as processes of their own on the loopback, gives them the same
// work in turns, and prints microseconds of the server's CPU for each thing done, the ratio of the two, and how
// long people waited. CPU time and ratios hold on a busy machine; wall times do not.
//
// The scenarios sfu-* measure the media plane beside a naive forwarder on pion in the same way, with a process for
// each window (forward.go, package forwardbench).
//
// The driver in this program is one reading goroutine for each connection and parses frames by hand, but it shares
// the cores with the servers: the report says how much of a core each used, so that saturation can be seen.
//
// It runs on Linux, ends by itself, ends only processes that it started, and opens no port but on the loopback.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"confab/media/forwardbench"
)

// scenarios in the order of the report. The goals are ratios to the plain hub, or to the naive forwarder.
var scenarios = []*scenario{
	{name: "large", title: "delivered message, 1 room x 1,000 people, 100/s", unit: "us", goal: 0.65, open: openFanout(1, 1000, 100)},
	{name: "small", title: "delivered message, 100 rooms x 10 people, 10/s each", unit: "us", goal: 0.75, open: openFanout(100, 10, 10)},
	{name: "publish", title: "acknowledged message, 100 people in a closed loop", unit: "us", goal: 1.2, open: openPublish(100)},
	{name: "join", title: "join of a room of 100 with 256 messages, 100/s", unit: "us", goal: 0.35, open: openJoin(100)},
	{name: "join-slow", title: "the same, 10/s", unit: "us", open: openJoin(10)},
	{name: "idle-10", title: "memory of an idle person, rooms of 10", unit: "KiB", goal: 0.36, most: 1, open: openIdle(10)},
	{name: "idle-100", title: "memory of an idle person, rooms of 100", unit: "KiB", goal: 0.36, most: 1, open: openIdle(100)},
	{name: "comeback", title: "1,000 people come back to 100 missed messages each", unit: "s", limit: 0.3, most: 3, open: openComeback},
	{name: "survive", title: "acknowledged messages lost by SIGKILL and restart", unit: "lost", most: 2, open: openSurvive},
	{name: "sfu-even", title: "1 publisher, 100 viewers, evenly spaced", unit: "us", goal: 0.45, most: 3, media: true, open: openForward(viewers(100, false))},
	{name: "sfu-burst", title: "1 publisher, 100 viewers, frames back to back", unit: "us", goal: 0.33, most: 3, media: true, open: openForward(viewers(100, true))},
	{name: "sfu-audio", title: "20 rooms of 3, audio only", unit: "us", goal: 0.33, most: 3, media: true, open: openForward(forwardbench.Shape{Rooms: 20, Publishers: 3})},
	{name: "sfu-full", title: "1 publisher, 200 viewers, evenly spaced", unit: "us", most: 3, media: true, open: openForward(viewers(200, false))},
	{name: "sfu-even-50", title: "1 publisher, 50 viewers, evenly spaced", unit: "us", most: 3, media: true, open: openForward(viewers(50, false))},
	{name: "sfu-burst-50", title: "1 publisher, 50 viewers, frames back to back", unit: "us", most: 3, media: true, open: openForward(viewers(50, true))},
	{name: "sfu-even-20", title: "1 publisher, 20 viewers, evenly spaced", unit: "us", most: 3, media: true, open: openForward(viewers(20, false))},
	{name: "sfu-burst-20", title: "1 publisher, 20 viewers, frames back to back", unit: "us", most: 3, media: true, open: openForward(viewers(20, true))},
}

// A bench is one run of this program.
type bench struct {
	// Set by main, then constant.
	dir          string   // for everything that is written
	secret       string   // that tokens are signed with
	hubs         []target // the plain hub and confab
	forwarders   []target // the naive forwarder, others, and confab's
	rounds       int
	windowLength time.Duration
	idle         int // connections
	comeback     int // people who come back
	pid          int
	log          io.Writer
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.log, format+"\n", args...)
}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == hubArgument:
		err = servePlainHub(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == forwardArgument:
		err = serveForwarder(os.Args[2], os.Args[3])
	default:
		err = measure()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "confab-bench:", err)
		os.Exit(1)
	}
}

type options struct {
	quick  bool
	json   bool
	only   string
	rounds int
	binary string

	comeback int
}

func parseOptions() (options, error) {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "take two minutes: fewer rounds, shorter windows, fewer connections")
	flag.BoolVar(&o.json, "json", false, "print the result as JSON")
	flag.StringVar(&o.only, "only", "", "run only these scenarios, separated by commas: "+strings.Join(names(), ", "))
	flag.IntVar(&o.rounds, "rounds", 0, "rounds of each scenario; 0 = 5, with -quick 1")
	flag.StringVar(&o.binary, "binary", "", "the confab to measure; without it, one is built from the sources")
	flag.IntVar(&o.comeback, "comeback", comebackPeople, "people who come back in the scenario of that name; each takes a file here and one at the server")
	flag.Parse()
	if o.comeback < comebackSize {
		return o, fmt.Errorf("-comeback %d: a room of them is %d", o.comeback, comebackSize)
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if o.only != "" && !slices.Contains(names(), name) {
			return o, fmt.Errorf("there is no scenario %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	if flag.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag", flag.Arg(0))
	}
	if o.rounds <= 0 {
		o.rounds = 5
		if o.quick {
			o.rounds = 1
		}
	}
	return o, nil
}

// wants reports whether a scenario is to be run. What takes long and has a near relative is left out of a quick run.
func (o *options) wants(sc *scenario) bool {
	if o.only != "" {
		return slices.Contains(strings.Split(o.only, ","), sc.name)
	}
	return !o.quick || !slices.Contains([]string{"join-slow", "idle-100", "sfu-full", "sfu-even-50", "sfu-burst-50", "sfu-even-20", "sfu-burst-20"}, sc.name)
}

// wantsHub reports whether any scenario needs the server as a whole.
func (o *options) wantsHub() bool {
	return slices.ContainsFunc(scenarios, func(sc *scenario) bool { return !sc.media && o.wants(sc) })
}

func names() []string {
	all := make([]string, len(scenarios))
	for i, sc := range scenarios {
		all[i] = sc.name
	}
	return all
}

// measure runs the scenarios and prints the report.
func measure() error {
	o, err := parseOptions()
	if err != nil {
		return err
	}
	if !supported {
		return errors.New("the figures are read from Linux's /proc: run this on Linux")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "confab-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, o, dir)
	if err != nil {
		return err
	}
	report := &report{Conditions: conditionsOf(b)}
	for _, sc := range scenarios {
		if sc.name == "comeback" && b.comeback != comebackPeople { // the limit is for the usual number
			sc.title, sc.limit = fmt.Sprintf("%d people come back to %d missed messages each", b.comeback, comebackMissed), 0
		}
		if !o.wants(sc) {
			continue
		}
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		found := b.run(ctx, sc)
		if found.failed != nil {
			b.progress("%-12s failed: %v", sc.name, found.failed)
		}
		report.add(found)
	}
	report.Conditions.finish()
	if o.json {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	return report.print(os.Stdout)
}

func newBench(ctx context.Context, o options, dir string) (*bench, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &bench{
		dir: dir, secret: rand.Text() + rand.Text(), rounds: o.rounds, pid: os.Getpid(), log: os.Stderr,
		windowLength: 3 * time.Second, idle: 5000, comeback: o.comeback / comebackSize * comebackSize,
	}
	if o.quick {
		b.windowLength, b.idle = time.Second, 2000
	}
	if o.binary == "" && o.wantsHub() {
		b.progress("building confab …")
		if o.binary, err = buildConfab(ctx, dir); err != nil {
			return nil, err
		}
	}
	b.hubs, b.forwarders = hubs(o.binary, self), forwarders(self)
	return b, nil
}
