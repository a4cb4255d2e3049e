package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"confab/bots"
)

const (
	enoughBuffer  = 4 << 20 // bytes that a media socket asks for; see plane.Listen
	receiveBuffer = "net.core.rmem_max"
	sendBuffer    = "net.core.wmem_max"
)

// checkDisk looks at the room for the log: below littleSpace there is a warning, as an alert would say later on.
func checkDisk(dir string) []finding {
	at := filepath.Clean(dir)
	_, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
		at = filepath.Dir(at)
		_, err = os.Stat(at)
	}
	found, err := diskOf(at)
	switch {
	case err != nil:
		return nil // checkFolder says what is wrong with the folder
	case found.free < littleSpace:
		return []finding{{warning, fmt.Sprintf("the disk has %d MiB left for the log in %s", found.free>>20, dir),
			"Make room, or name another folder with --data: when the disk is full nothing is stored."}}
	}
	return []finding{{fine, fmt.Sprintf("the disk has %d GiB left for the log in %s", found.free>>30, dir), ""}}
}

// checkBots reads the file of bots. Their providers are not asked.
func checkBots(path string) finding {
	file, err := bots.ReadFile(path)
	if err != nil {
		return finding{failure, "the file of bots: " + err.Error(), "Correct " + path + ", or set --bots off."}
	}
	return finding{fine, fmt.Sprintf("%s has %d bots and %d providers", path, len(file.Bots), len(file.Providers)), ""}
}

// checkSeen says what it means for media that a STUN server sees this machine at an address.
func checkSeen(server string, seen netip.Addr, port string) finding {
	f := finding{fine, fmt.Sprintf("the STUN server %s sees this machine as %v", server, seen), ""}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return f // it is not known which are ours
	}
	if !slices.ContainsFunc(own, func(addr net.Addr) bool { return strings.HasPrefix(addr.String(), seen.String()+"/") }) {
		f.what += ", which a router has"
		f.remedy = "Have the router pass UDP port " + port + " on to this machine; it cannot be tried from here."
	}
	return f
}

// checkBuffers looks at how much of a burst a media socket may hold (Linux).
func checkBuffers() []finding {
	var small []string
	for _, name := range []string{receiveBuffer, sendBuffer} {
		text, err := os.ReadFile(filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/")))
		if err != nil {
			return nil // another system, or not for us to see
		}
		if most, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && most < enoughBuffer {
			small = append(small, fmt.Sprintf("%s=%d", name, enoughBuffer))
		}
	}
	if len(small) > 0 {
		return []finding{{warning, "sockets for media may hold less than a burst of a large call", "sysctl -w " + strings.Join(small, " ")}}
	}
	return []finding{{fine, fmt.Sprintf("sockets for media may hold %d MiB", enoughBuffer>>20), ""}}
}
