package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRelaxTimers runs this test's binary as a process that relaxes its timers, which begins it anew.
func TestRelaxTimers(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^$", "an argument")
	cmd.Env = append(os.Environ(), "TEST_RELAX_TIMERS=1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)), "slack 1000000, begun 2 times, argument: an argument"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
}

// In that process nothing else is tested.
func init() {
	if os.Getenv("TEST_RELAX_TIMERS") != "" {
		relaxedHelper()
		os.Exit(0)
	}
}

func relaxedHelper() {
	times := "1"
	if os.Getenv("TEST_RELAX_TIMERS") == "2" {
		times = "2"
	}
	if err := os.Setenv("TEST_RELAX_TIMERS", "2"); err != nil {
		panic(err)
	}
	relaxTimers()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString("slack " + strconv.Itoa(slack) + ", begun " + times + " times, argument: " + os.Args[len(os.Args)-1] + "\n")
}
