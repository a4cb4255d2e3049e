package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"confab/media"
	"confab/media/record"
	"confab/signaling"
)

const (
	doctorTimeout = 5 * time.Second
	minNATSMajor  = 2
	minNATSMinor  = 11
	natsPort      = "4222"
	enoughFiles   = 4096 // descriptors; one for each connection, and some dozens for the log
	busLockName   = "bus.lock"
	littleSpace   = 2 << 30  // bytes; about an hour of five people who show themselves
	maxInfoBytes  = 64 << 10 // of the first line of a NATS server
)

// oldestClock is before this program was written: a clock that shows less has not been set.
var oldestClock = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// doctorCommand is `confab doctor`. It looks and changes nothing, so it may run beside a server.
type doctorCommand struct{}

// A finding is the result of one check.
type finding struct {
	level  findingLevel
	what   string
	remedy string // empty when all is well
}

type findingLevel string

const (
	fine    findingLevel = "ok"
	warning findingLevel = "warning"
	failure findingLevel = "problem"
)

// Run prints a line for each check, with a remedy below where one is needed. It fails if a server with these
// settings could not run.
func (doctorCommand) Run(p *process) error {
	ctx, cancel := context.WithTimeout(context.Background(), doctorTimeout)
	defer cancel()
	s := p.settings
	found := []finding{checkPort(s.Listen), checkFolder(s.Data), checkSecret(s, p.origins)}
	found = append(found, checkDisk(s.Data)...)
	if s.NATS != "" {
		for server := range strings.SplitSeq(s.NATS, ",") {
			found = append(found, checkNATS(ctx, strings.TrimSpace(server)))
		}
		if !slices.ContainsFunc(found, func(f finding) bool { return f.level == failure }) { // a NATS that fails has no nodes
			found = append(found, checkNodes(ctx, s))
		}
	}
	if s.Bots != "" && s.Bots != botsOff {
		found = append(found, checkBots(s.Bots))
	}
	if s.AuthJWKS != "" {
		found = append(found, checkJWKS(ctx, s.AuthJWKS))
	}
	if s.Record == "on" && s.SFU == "on" {
		found = append(found, checkRecordings(s.recordDir()))
	}
	found = append(found, checkMedia(ctx, s)...)
	found = append(found, checkTURN(s)...)
	found = append(found, checkTransport(ctx, s)...)
	found = append(found, checkReach(s), checkClock(time.Now(), s.Data), checkFiles())
	if s.SFU == "on" && s.public() {
		found = append(found, checkBuffers()...)
	}
	failed := false
	for _, f := range found {
		fmt.Fprintf(p.stdout, "%-8s %s\n", f.level, f.what)
		if f.remedy != "" {
			fmt.Fprintf(p.stdout, "         %s\n", f.remedy)
		}
		failed = failed || f.level == failure
	}
	if failed {
		return errSilent
	}
	return nil
}

func checkPort(listen string) finding {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return finding{failure, "cannot listen at " + listen + ": " + listenProblem(err), listenRemedy(err)}
	}
	_ = listener.Close()
	return finding{fine, "can listen at " + listen, ""}
}

// checkFolder tries what the server needs of its data folder, or of the folder that it would be made in.
func checkFolder(dir string) finding {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		parent := filepath.Dir(filepath.Clean(dir))
		if err := tryWrite(parent); err != nil {
			return finding{failure, fmt.Sprintf("the data folder %s cannot be made: %v", dir, err), "Make it and give it to this user, or name another with --data."}
		}
		return finding{fine, "the data folder " + dir + " is made at the first start", ""}
	case err != nil:
		return finding{failure, fmt.Sprintf("the data folder: %v", err), "Name another with --data."}
	case !info.IsDir():
		return finding{failure, dir + " is no folder", "Name another with --data."}
	}
	if err := tryWrite(dir); err != nil {
		return finding{failure, fmt.Sprintf("the data folder %s cannot be written: %v", dir, err), "Give it to this user (chown), or name another with --data."}
	}
	if lockedByOther(filepath.Join(dir, busLockName)) {
		return finding{failure, "the data folder " + dir + " is in use by another process", "Stop that one, or give this one a folder of its own with --data."}
	}
	return finding{fine, "the data folder " + dir + " is writable and free", ""}
}

// checkRecordings tries what recording needs of its folder, or of the nearest one above it that is there. A server runs
// without room for recordings, and not without the folder.
func checkRecordings(dir string) finding {
	const remedy = "Make it and give it to this user, name another with --record-dir, or set --record off."
	at := filepath.Clean(dir)
	info, err := os.Stat(at)
	for errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
		at = filepath.Dir(at)
		info, err = os.Stat(at)
	}
	switch {
	case err != nil:
		return finding{failure, fmt.Sprintf("the folder of recordings: %v", err), remedy}
	case !info.IsDir():
		return finding{failure, "the folder of recordings " + dir + " cannot be: " + at + " is no folder", remedy}
	}
	if err := tryWrite(at); err != nil {
		return finding{failure, fmt.Sprintf("the folder of recordings %s cannot be written: %v", dir, err), remedy}
	}
	space, err := record.Space(at)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return finding{fine, "the folder of recordings " + dir + " is writable", ""}
	case err != nil:
		return finding{warning, fmt.Sprintf("the disk of the recordings in %s: %v", dir, err), "Check that its file system is in order."}
	case space < littleSpace:
		return finding{warning, fmt.Sprintf("the disk has room for %d MiB of recordings in %s", space>>20, dir),
			"Free some, or name another folder with --record-dir; recordings end before the disk is full."}
	}
	return finding{fine, fmt.Sprintf("the disk has room for %d GiB of recordings in %s", space>>30, dir), ""}
}

func tryWrite(dir string) error {
	file, err := os.CreateTemp(dir, ".confab-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

func checkSecret(s *Settings, from origins) finding {
	found, err := openSecret(s, from, false, slog.New(slog.DiscardHandler))
	switch {
	case errors.Is(err, errNoSecret):
		return finding{fine, "a secret is made at the first start and kept in the data folder", ""}
	case err != nil:
		return finding{failure, "the secret: " + err.Error(), "Give one with --auth-secret-file or --auth-secret."}
	case found.file == "":
		return finding{fine, "the secret comes from --auth-secret", ""}
	}
	if info, err := os.Stat(found.file); err == nil && info.Mode().Perm()&0o077 != 0 {
		return finding{warning, "others on this machine can read the secret in " + found.file, "chmod 600 " + found.file}
	}
	if found.made && s.NATS != "" {
		return finding{warning, "the secret is known to this server only, and others may share its NATS", "Give all of them the same with --auth-secret-file."}
	}
	return finding{fine, "the secret is in " + found.file, ""}
}

// checkNATS reads what a NATS server says of itself at once after connecting: INFO and a JSON object. (The
// client protocol; with TLS too, unless the server is set to do the handshake first.)
func checkNATS(ctx context.Context, server string) finding {
	u, err := url.Parse(server)
	if err != nil || u.Scheme == "ws" || u.Scheme == "wss" {
		return finding{warning, "NATS over WebSocket is not checked", "Start the server: it says what is wrong."}
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), natsPort)
	}
	info, err := readNATSInfo(ctx, host)
	if err != nil {
		return finding{failure, fmt.Sprintf("NATS at %s: %v", host, err), "Check --nats, that the server runs, and the firewall between."}
	}
	major, rest, _ := strings.Cut(info.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, _ := strconv.Atoi(major)
	y, _ := strconv.Atoi(minor)
	switch {
	case x < minNATSMajor || x == minNATSMajor && y < minNATSMinor:
		return finding{failure, "NATS at " + host + " is version " + info.Version, fmt.Sprintf("Upgrade it to %d.%d or newer.", minNATSMajor, minNATSMinor)}
	case !info.JetStream:
		return finding{failure, "NATS at " + host + " has no JetStream", "Start it with -js, or with a jetstream block in its configuration."}
	}
	return finding{fine, "NATS at " + host + " is version " + info.Version + " with JetStream", ""}
}

type natsInfo struct {
	Version   string `json:"version"`
	JetStream bool   `json:"jetstream"`
}

func readNATSInfo(ctx context.Context, host string) (natsInfo, error) {
	var info natsInfo
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return info, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return info, err
		}
	}
	line, err := bufio.NewReader(io.LimitReader(conn, maxInfoBytes)).ReadString('\n')
	if err != nil {
		return info, fmt.Errorf("it does not say what it is: %w", err)
	}
	body, ok := strings.CutPrefix(line, "INFO ")
	if !ok || json.Unmarshal([]byte(body), &info) != nil {
		return info, errors.New("something else than NATS answers there")
	}
	return info, nil
}

func checkJWKS(ctx context.Context, at string) finding {
	if err := signaling.CheckJWKS(ctx, at); err != nil {
		return finding{failure, err.Error(), "Check --auth-jwks."}
	}
	return finding{fine, "the JWK set can be read and used", ""}
}

// checkReach says what people will meet who are not at this machine.
func checkReach(s *Settings) finding {
	switch {
	case !s.public():
		return finding{fine, "only this machine can reach the server", ""}
	case s.loopback() && !s.proxied():
		return finding{warning, "others can reach the ports of media, and only this machine the server",
			"Put a reverse proxy with a certificate before it, and name it with --trusted-proxies; or leave out what opens the ports (--udp-port, --stun, --public-ip, --turn-host)."}
	case s.tls():
		return finding{fine, "others can reach the server, by https", ""}
	}
	return finding{warning, "others can reach the server, and browsers give a camera and a microphone to https pages only",
		"Put a reverse proxy with a certificate before it, and name it with --trusted-proxies."}
}

// checkMedia looks at the ports of the SFU, and asks the STUN servers.
func checkMedia(ctx context.Context, s *Settings) []finding {
	if s.SFU == "off" {
		return nil
	}
	_, port, _ := net.SplitHostPort(s.Listen) // checked with the settings
	if s.UDPPort != 0 {
		port = strconv.Itoa(s.UDPPort)
	}
	found := []finding{checkUDP(net.JoinHostPort(s.doctorHost(), port), s.UDPPort == 0)}
	switch {
	case s.ICETCP != "":
		found = append(found, checkTCP("media by TCP", s.ICETCP, "--ice-tcp"))
	case s.loopback() && s.public():
		found = append(found, finding{warning, "media by TCP reaches this machine only, as --listen does", "Open a port for it with --ice-tcp, such as :7881."})
	}
	if len(s.PublicIP) > 0 {
		return found
	}
	for _, server := range s.STUN {
		seen, err := media.AskSTUN(ctx, server)
		if err != nil {
			found = append(found, finding{warning, fmt.Sprintf("the STUN server %s: %v", server, err), "Check --stun and the firewall for UDP, or say the address with --public-ip."})
			continue
		}
		found = append(found, checkSeen(server, seen.Addr(), port))
	}
	return found
}

// doctorHost is portHost as text, empty for every address.
func (s *Settings) doctorHost() string {
	addr, err := net.ResolveTCPAddr("tcp", s.Listen)
	if err != nil {
		return "" // checkPort says so
	}
	if ip, err := s.portHost(addr); err == nil && ip.IsValid() && !ip.IsUnspecified() {
		return ip.String()
	}
	return ""
}

// checkUDP tries the media port. Without one of its own choice the server takes another when it is taken.
func checkUDP(at string, another bool) finding {
	conn, err := net.ListenPacket("udp", at)
	switch {
	case err == nil:
		_ = conn.Close() // nothing was sent on it
		return finding{fine, "can use UDP port " + at + " for media; a firewall must let it through", ""}
	case another && portTaken(err):
		return finding{warning, "UDP port " + at + " is taken; media would use another one, which a firewall may not let through", "Choose one with --udp-port."}
	}
	return finding{failure, "cannot use UDP port " + at + " for media: " + listenProblem(err), "Choose another with --udp-port, or set --sfu off."}
}

func checkTCP(what, at, flag string) finding {
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return finding{failure, "cannot listen at " + at + " for " + what + ": " + listenProblem(err), "Choose another with " + flag + "."}
	}
	_ = listener.Close()
	return finding{fine, "can listen at " + at + " for " + what, ""}
}

// checkTURN looks at the ports and the certificate of TURN.
func checkTURN(s *Settings) []finding {
	if !s.turnOn() {
		return nil
	}
	host := s.doctorHost()
	at := net.JoinHostPort(host, strconv.Itoa(s.TURNPort))
	found := []finding{checkTCP("TURN", at, "--turn-port")}
	if conn, err := net.ListenPacket("udp", at); err != nil {
		found = append(found, finding{failure, "cannot use UDP port " + at + " for TURN: " + listenProblem(err), "Choose another with --turn-port, or set --turn off."})
	} else {
		_ = conn.Close()
	}
	if s.TURN == "auto" {
		for i := range found {
			if found[i].level == failure { // the server goes on without
				found[i].level = warning
			}
		}
	}
	if s.TURNTLSPort == 0 {
		return found
	}
	found = append(found, checkTCP("TURN over TLS", net.JoinHostPort(host, strconv.Itoa(s.TURNTLSPort)), "--turn-tls-port"))
	if s.TURNCert == "" { // that of the server
		return found
	}
	return append(found, checkCertificate("TURN", s.TURNCert, s.TURNKey, s.TURNHost, "--turn-cert, --turn-key and --turn-host"))
}

// checkClock compares the clock with what the data folder remembers: tokens live by it.
func checkClock(now time.Time, dir string) finding {
	remedy := "Set the clock, or let it be set over the network (timedatectl set-ntp true)."
	if now.Before(oldestClock) {
		return finding{failure, "the clock shows " + now.UTC().Format(time.DateTime) + " UTC", remedy}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		entries = nil // it is not there yet; checkFolder says so
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().After(now.Add(time.Minute)) {
			return finding{warning, "the clock shows less than when " + entry.Name() + " was written", remedy}
		}
	}
	if right, known := clockSynchronized(); known && !right {
		return finding{warning, "the clock shows " + now.UTC().Format(time.DateTime) + " UTC, and nothing keeps it right", remedy}
	}
	return finding{fine, "the clock shows " + now.UTC().Format(time.DateTime) + " UTC", ""}
}

func checkFiles() finding {
	limit, known := fileLimit()
	switch {
	case !known:
		return finding{fine, "this system tells no limit of open files", ""}
	case limit < enoughFiles:
		return finding{warning, fmt.Sprintf("at most %d open files, one for each connection", limit),
			"Raise the hard limit: ulimit -Hn 65536, LimitNOFILE=65536 in a unit file, or --ulimit nofile=65536 of a container."}
	}
	return finding{fine, fmt.Sprintf("%d open files, one for each connection", limit), ""}
}
