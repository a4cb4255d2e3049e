package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

// A network is a namespace for each of three nodes, and a bridge between them on which this process is too.
type network struct {
	name   string // begins the names of all parts
	subnet string // of four numbers the first three
}

// newNetwork makes a network that ends with the test; nil where this user may not.
func newNetwork(t *testing.T) *network {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		return nil
	}
	n := &network{name: fmt.Sprintf("cf%04x", rand.N(1<<16)), subnet: fmt.Sprintf("10.%d.%d", 100+rand.N(100), rand.N(256))}
	bridge := n.name + "b"
	if exec.Command("ip", "link", "add", bridge, "type", "bridge").Run() != nil {
		return nil
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", bridge).Run() })
	n.ip(t, "addr", "add", n.subnet+".254/24", "dev", bridge)
	n.ip(t, "link", "set", bridge, "up")
	for i := range 3 {
		space, near, far := n.namespace(i), fmt.Sprintf("%sn%d", n.name, i), fmt.Sprintf("%sf%d", n.name, i)
		n.ip(t, "netns", "add", space)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", space).Run() })
		n.ip(t, "link", "add", near, "type", "veth", "peer", "name", far)
		n.ip(t, "link", "set", near, "master", bridge, "up")
		n.ip(t, "link", "set", far, "netns", space)
		n.ip(t, "-n", space, "addr", "add", n.address(i)+"/24", "dev", far)
		n.ip(t, "-n", space, "link", "set", far, "up")
		n.ip(t, "-n", space, "link", "set", "lo", "up")
	}
	return n
}

func (n *network) ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v %s", args, err, out)
	}
}

// namespace is that of a node, empty without a network.
func (n *network) namespace(i int) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf("%s%d", n.name, i)
}

func (n *network) address(i int) string { return fmt.Sprintf("%s.%d", n.subnet, i+1) }

// part cuts node i and its NATS server off from the others; clients still reach them all.
func (n *network) part(t *testing.T, i int) { n.route(t, "add", i) }

// mend undoes part.
func (n *network) mend(t *testing.T, i int) { n.route(t, "del", i) }

func (n *network) route(t *testing.T, what string, i int) {
	t.Helper()
	for other := range 3 {
		if other != i {
			n.ip(t, "-n", n.namespace(i), "route", what, "blackhole", n.address(other)+"/32")
			n.ip(t, "-n", n.namespace(other), "route", what, "blackhole", n.address(i)+"/32")
		}
	}
}

// runIn has cmd run in a network namespace, if one is named. Its process is the same.
func runIn(cmd *exec.Cmd, namespace string) {
	if namespace == "" {
		return
	}
	args := append([]string{"ip", "netns", "exec", namespace, cmd.Path}, cmd.Args[1:]...)
	if path, err := exec.LookPath("ip"); err == nil {
		cmd.Path, cmd.Args = path, args
	}
}
