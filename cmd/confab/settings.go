package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"confab/signaling"
	"confab/signaling/wire"
)

// Settings are the server's settings: flags, CONFAB_* variables and keys of the YAML file, all of one name.
// After check every field is good by itself and together with the others.
type Settings struct {
	Config string `help:"YAML file with settings, by the same names." placeholder:"FILE" group:"settings"`

	Listen          string        `default:"127.0.0.1:8080" help:"Address and port to serve at. The default is for this machine only." group:"settings"`
	TLSCert         string        `name:"tls-cert" help:"Certificate of the server, in PEM: it speaks TLS then. Read again when it is renewed, and on SIGHUP." placeholder:"FILE" group:"settings"`
	TLSKey          string        `name:"tls-key" help:"Key of that certificate, in PEM." placeholder:"FILE" group:"settings"`
	TLSDomain       []string      `name:"tls-domain" help:"Names of the server: it gets certificates for them by ACME, and so agrees to the terms of who gives them. It must be reached at port 443, or 80 for --http-listen." placeholder:"DOMAIN" group:"settings"`
	ACMEDirectory   string        `name:"acme-directory" default:"https://acme-v02.api.letsencrypt.org/directory" help:"URL of who gives certificates for --tls-domain; for tries https://acme-staging-v02.api.letsencrypt.org/directory." placeholder:"URL" group:"settings"`
	ACMEEmail       string        `name:"acme-email" help:"Address that they may write to." placeholder:"ADDRESS" group:"settings"`
	ACMERoot        string        `name:"acme-root" help:"Certificate of the authority behind --acme-directory, in PEM, when the system does not know it." placeholder:"FILE" group:"settings"`
	HTTPListen      string        `name:"http-listen" help:"Address and port without TLS that sends browsers on to TLS, such as :80." placeholder:"HOST:PORT" group:"settings"`
	Data            string        `default:"./confab-data" help:"Folder for the logs of the rooms and the secret; ./confab-data when left out." placeholder:"FOLDER" group:"settings"`
	NATS            string        `name:"nats" help:"URL of an external NATS cluster with JetStream; without it the server has its own inside." placeholder:"URL" group:"settings"`
	NodeName        string        `help:"Name of this server among those that share a NATS; the name of the host when left out." placeholder:"NAME" group:"settings"`
	Replicas        int           `default:"1" help:"Copies of the logs on an external NATS cluster: 1, 3 or 5." group:"settings"`
	AuthSecret      string        `help:"Secret that tokens are signed with (HS256): its bytes, at least 32. Without any, one is made and kept in the data folder." placeholder:"TEXT" group:"settings"`
	AuthSecretFile  string        `help:"File that holds the secret; a line break at its end is not part of it." placeholder:"FILE" group:"settings"`
	AuthJWKS        string        `name:"auth-jwks" help:"File or URL of a JWK set: tokens by its keys are good too (RS256, ES256, EdDSA)." placeholder:"FILE|URL" group:"settings"`
	Guests          string        `default:"auto" enum:"auto,on,off" help:"Let people in without an account: auto, on or off. auto is on for this machine's own browsers only." group:"settings"`
	EmbedOrigins    []string      `help:"Web origins whose pages may show the app in a frame; * is any." placeholder:"ORIGIN" group:"settings"`
	Origins         []string      `help:"Web origins that may connect besides the server's own, such as https://example.org; * is any." placeholder:"ORIGIN" group:"settings"`
	TrustedProxies  []string      `help:"Addresses or networks of reverse proxies whose X-Forwarded-For is believed." placeholder:"CIDR" group:"settings"`
	History         int           `default:"256" help:"Messages that a person sees on entering a room." group:"settings"`
	MaxParticipants int           `default:"5000" help:"Participants that a room can hold." group:"settings"`
	RoomCapacity    int           `default:"0" help:"Participants that a room holds unless it is set otherwise; 0 = as many as it can." group:"settings"`
	RateLimit       int           `default:"50" help:"Messages a second for each session; 0 = no limit." group:"settings"`
	ConnectionLimit int           `default:"100" help:"Connections of one address at a time; 0 = no limit." group:"settings"`
	AuthTimeout     time.Duration `default:"30s" help:"Time from connecting to the token." group:"settings"`
	Durability      string        `default:"file" enum:"file,fsync" help:"When a message counts as stored: written to the file, or also forced to the disk (survives a power cut, slower)." group:"settings"`
	ICEServers      []string      `name:"ice-servers" help:"STUN and TURN servers for calls between browsers: stun:HOST:PORT, turn:USER:PASSWORD@HOST:PORT." placeholder:"URL" group:"settings"`
	SFU             string        `name:"sfu" default:"on" enum:"on,off" help:"Carry larger calls and shared screens through the server: on, or off for calls from browser to browser only." group:"settings"`
	MeshMax         int           `default:"4" help:"Participants up to which a call goes from browser to browser; 0 = every call goes through the server." group:"settings"`
	UDPPort         int           `name:"udp-port" default:"0" help:"UDP port of the media, for others too; 0 = the same number as in --listen, or any other if that is taken." group:"settings"`
	PublicIP        []string      `name:"public-ip" help:"Addresses by which browsers reach the media, when they are not those of this machine's interfaces." placeholder:"IP" group:"settings"`
	STUN            []string      `name:"stun" help:"STUN servers that are asked by which address browsers reach the media; --public-ip says it without asking." placeholder:"HOST:PORT" group:"settings"`
	ICETCP          string        `name:"ice-tcp" help:"Address and port for media by TCP, besides the port of --listen, which a proxy before it hides." placeholder:"HOST:PORT" group:"settings"`
	TURN            string        `name:"turn" default:"auto" enum:"auto,on,off" help:"Relay calls of those whose network lets nothing else through: auto, on or off. auto is on when others than this machine can come." group:"settings"`
	TURNPort        int           `name:"turn-port" default:"3478" help:"UDP and TCP port of TURN; 0 = any that is free." group:"settings"`
	TURNTLSPort     int           `name:"turn-tls-port" default:"0" help:"Port of TURN over TLS, such as 5349, or 443 for networks that let nothing else out; 0 = none." group:"settings"`
	TURNCert        string        `name:"turn-cert" help:"Certificate for TURN over TLS, in PEM; read again when it is renewed." placeholder:"FILE" group:"settings"`
	TURNKey         string        `name:"turn-key" help:"Key of that certificate, in PEM." placeholder:"FILE" group:"settings"`
	TURNHost        string        `name:"turn-host" help:"Name or address by which browsers reach TURN; without it the public address, else the one listened at." placeholder:"HOST" group:"settings"`
	TURNTTL         time.Duration `name:"turn-ttl" default:"1h" help:"How long credentials of TURN are good for; calls that go on get new ones." group:"settings"`
	TURNAllowPeers  []string      `name:"turn-allow-peers" help:"Private networks that TURN may relay to, which it refuses otherwise." placeholder:"CIDR" group:"settings"`
	Record          string        `default:"on" enum:"on,off" help:"Let moderators record rooms: on or off. It needs the SFU." group:"settings"`
	RecordDir       string        `help:"Folder for recordings; recordings in the data folder when left out." placeholder:"FOLDER" group:"settings"`
	Bots            string        `help:"File with bots of your own, what answers for them and what they can use; off = no bots. Left out: those that need nothing else." placeholder:"FILE|off" group:"settings"`
	AdminKey        []string      `help:"Keys of the admin API below /api/v1, as KEY or NAME:KEY, at least 32 bytes each; the audit log tells their names. Without one the API is off." placeholder:"KEY" group:"settings"`
	AuditLog        string        `help:"File that tells who moderated whom and what the admin API was used for; stdout, or off. Left out: audit.log in the data folder." placeholder:"FILE|stdout|off" group:"settings"`
	WebhookURL      []string      `name:"webhook-url" help:"Addresses that are told what happens in rooms, by signed requests (Standard Webhooks)." placeholder:"URL" group:"settings"`
	WebhookSecret   []string      `help:"Secrets that these requests are signed with, as whsec_ and base64; several while one takes the place of another." placeholder:"SECRET" group:"settings"`
	WebhookText     string        `default:"off" enum:"on,off" help:"Tell the text of messages too: on or off." group:"settings"`
	WebhookTimeout  time.Duration `default:"10s" help:"Time that an address may take to answer." group:"settings"`
	LogFormat       string        `default:"text" enum:"text,json" help:"Form of the log on stderr: text or json." group:"settings"`
	LogLevel        string        `default:"info" enum:"debug,info,warn,error" help:"Least level that is logged: debug, info, warn or error." group:"settings"`
}

// Below the least one, calls would do little else than change credentials.
const (
	minTURNTTL = 10 * time.Second
	maxTURNTTL = 24 * time.Hour
)

// A settingError is a setting with a bad value. It says which, where the value came from, what is wrong with it
// and what to write instead.
type settingError struct {
	name   string
	origin string
	text   string
}

func (e *settingError) Error() string {
	if e.origin == "" || e.origin == originFlag || e.origin == originDefault {
		return "--" + e.name + ": " + e.text
	}
	return "--" + e.name + " (from " + e.origin + "): " + e.text
}

// check looks at every setting; the error joins all that is wrong, a *settingError each.
func (s *Settings) check(from origins) error {
	var problems []error
	bad := func(name, format string, args ...any) {
		problems = append(problems, &settingError{name: name, origin: from[name], text: fmt.Sprintf(format, args...)})
	}
	if err := checkListen(s.Listen); err != nil {
		bad("listen", "%v", err)
	}
	if s.Data == "" {
		bad("data", "it is empty; name a folder, such as ./confab-data")
	}
	s.checkTLS(bad)
	s.checkLog(bad)
	s.checkAuth(bad)
	s.checkAdmin(bad)
	s.checkWebhooks(bad)
	s.checkLimits(bad)
	for _, origin := range s.Origins {
		if err := checkOrigin(origin); err != nil {
			bad("origins", "%v", err)
		}
	}
	for _, origin := range s.EmbedOrigins {
		if err := checkOrigin(origin); err != nil {
			bad("embed-origins", "%v", err)
		}
	}
	for _, proxy := range s.TrustedProxies {
		if _, err := parseNetwork(proxy); err != nil {
			bad("trusted-proxies", "%q is no address or network; write 10.0.0.7 or 10.0.0.0/8", proxy)
		}
	}
	for _, server := range s.ICEServers {
		if _, err := parseICEServer(server); err != nil {
			bad("ice-servers", "%v", err)
		}
	}
	s.checkMedia(bad)
	return errors.Join(problems...)
}

func (s *Settings) checkMedia(bad func(name, format string, args ...any)) {
	if s.MeshMax < 0 || s.MeshMax > 50 {
		bad("mesh-max", "%d is not within 0 and 50", s.MeshMax)
	}
	if s.UDPPort < 0 || s.UDPPort > 65535 {
		bad("udp-port", "%d is no port; write one from 1 to 65535, or 0 for the one of --listen", s.UDPPort)
	}
	for _, ip := range s.PublicIP {
		if addr, err := netip.ParseAddr(ip); err != nil || addr.IsUnspecified() || addr.Zone() != "" {
			bad("public-ip", "%q is no address that browsers could send to; write one such as 203.0.113.7", ip)
		}
	}
	for _, server := range s.STUN {
		if host, port, err := net.SplitHostPort(server); err != nil || host == "" || !isPort(port) {
			bad("stun", "%q is no STUN server; write HOST:PORT, such as stun.example.org:3478", server)
		}
	}
	if s.ICETCP != "" {
		if _, err := parseListen(s.ICETCP); err != nil {
			bad("ice-tcp", "%v", err)
		}
	}
	s.checkTURN(bad)
}

func (s *Settings) checkTURN(bad func(name, format string, args ...any)) {
	if s.TURNPort < 0 || s.TURNPort > 65535 {
		bad("turn-port", "%d is no port; write one from 1 to 65535, such as 3478, or 0 for any that is free", s.TURNPort)
	}
	switch {
	case s.TURNTLSPort < 0 || s.TURNTLSPort > 65535:
		bad("turn-tls-port", "%d is no port; write one from 1 to 65535, such as 5349, or 0 for none", s.TURNTLSPort)
	case s.TURNTLSPort != 0 && (s.TURNCert == "" || s.TURNKey == "") && (!s.tls() || s.TURNCert != s.TURNKey):
		bad("turn-tls-port", "TLS needs a certificate and its key; name their files with --turn-cert and --turn-key")
	case s.TURNTLSPort == 0 && (s.TURNCert != "" || s.TURNKey != ""):
		bad("turn-cert", "no port uses it; set --turn-tls-port too, or leave --turn-cert and --turn-key out")
	}
	if s.TURNHost != "" && !isHost(s.TURNHost) {
		bad("turn-host", "%q is no name or address of a host; write one such as turn.example.org, without a port", s.TURNHost)
	}
	if s.TURNTTL < minTURNTTL || s.TURNTTL > maxTURNTTL {
		bad("turn-ttl", "%v is not within %v and %v", s.TURNTTL, minTURNTTL, maxTURNTTL)
	}
	for _, network := range s.TURNAllowPeers {
		if _, err := parseNetwork(network); err != nil {
			bad("turn-allow-peers", "%q is no address or network; write 10.0.0.7 or 10.0.0.0/8", network)
		}
	}
}

// isHost reports whether a text is an IP address, or a name that can stand in a URL.
func isHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return len(text) <= 253 && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n <= 65535
}

// parseListen reads an address and port of this machine; without a host it is every address.
func parseListen(text string) (netip.AddrPort, error) {
	if err := checkListen(text); err != nil {
		return netip.AddrPort{}, err
	}
	host, port, _ := net.SplitHostPort(text) // checked above
	ip := netip.IPv6Unspecified()
	if host != "" {
		var err error
		if ip, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is no address of this machine; write one such as 0.0.0.0:7881, or :7881 for all", text)
		}
	}
	n, _ := strconv.Atoi(port) // checked above
	return netip.AddrPortFrom(ip, uint16(n)), nil
}

// parseNetwork reads a network, or one address as a network of its own.
func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix.Masked(), err
}

func (s *Settings) checkLog(bad func(name, format string, args ...any)) {
	if s.Replicas != 1 && s.Replicas != 3 && s.Replicas != 5 {
		bad("replicas", "%d is not 1, 3 or 5", s.Replicas)
	} else if s.Replicas > 1 && s.NATS == "" {
		bad("replicas", "%d copies need an external NATS cluster; set --nats, or --replicas 1", s.Replicas)
	}
	for _, server := range strings.Split(s.NATS, ",") {
		if s.NATS == "" {
			break
		}
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil || u.Host == "" || u.Scheme != "nats" && u.Scheme != "tls" && u.Scheme != "ws" && u.Scheme != "wss" {
			bad("nats", "it is no URL of NATS; write nats://host:4222, several separated by commas")
			break
		}
	}
	if s.NATS != "" && s.Durability == "fsync" {
		bad("durability", "fsync is for the server's own log; set sync_interval: always on the external NATS instead")
	}
}

func (s *Settings) checkAuth(bad func(name, format string, args ...any)) {
	if s.AuthSecret != "" && s.AuthSecretFile != "" {
		bad("auth-secret-file", "--auth-secret is set too; leave one of them out")
	}
	if n := len(s.AuthSecret); n > 0 && n < signaling.MinSecretBytes {
		bad("auth-secret", "it is %d bytes; at least %d are needed: make one with openssl rand -hex 32", n, signaling.MinSecretBytes)
	}
	if scheme, rest, ok := strings.Cut(s.AuthJWKS, "://"); ok && (scheme != "http" && scheme != "https" || rest == "") {
		bad("auth-jwks", "it is neither a file nor an http or https URL")
	}
}

func (s *Settings) checkLimits(bad func(name, format string, args ...any)) {
	within := func(name string, value, low, high int) {
		if value < low || value > high {
			bad(name, "%d is not within %d and %d", value, low, high)
		}
	}
	within("history", s.History, 1, 4096)
	within("max-participants", s.MaxParticipants, 1, 100_000)
	within("room-capacity", s.RoomCapacity, 0, s.MaxParticipants)
	within("rate-limit", s.RateLimit, 0, 100_000)
	within("connection-limit", s.ConnectionLimit, 0, 1_000_000)
	if s.AuthTimeout < time.Second || s.AuthTimeout > 10*time.Minute {
		bad("auth-timeout", "%v is not within 1s and 10m", s.AuthTimeout)
	}
}

func checkListen(listen string) error {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("%q is no address with a port; write 127.0.0.1:8080 for this machine, :8080 for all", listen)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is no port; write one from 1 to 65535, or 0 for any that is free", port)
	}
	return nil
}

// checkOrigin takes an origin as browsers send it (RFC 6454 section 6.1) or *.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if origin == "*" || err == nil && !strings.ContainsAny(origin, " ;,'\"") && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil &&
		u.Path == "" && u.RawQuery == "" && u.Fragment == "" {
		return nil
	}
	return fmt.Errorf("%q is no web origin; write scheme and host with nothing behind, such as https://example.org", origin)
}

// parseICEServer reads stun:host[:port] and turn:user:password@host[:port][?transport=udp|tcp], stuns and turns
// too (RFC 7064, RFC 7065; the credential before the @ is ours). The error does not repeat a password.
func parseICEServer(s string) (wire.ICEServer, error) {
	none := wire.ICEServer{}
	scheme, rest, _ := strings.Cut(s, ":")
	switch scheme {
	case "stun", "stuns":
		if strings.Contains(rest, "@") || strings.Contains(rest, "?") || !isICEHost(rest) {
			return none, fmt.Errorf("not a STUN server; write %s:HOST:PORT", scheme)
		}
		return wire.ICEServer{URLs: []string{s}}, nil
	case "turn", "turns":
		at := strings.LastIndex(rest, "@")
		user, password, ok := strings.Cut(rest[:max(at, 0)], ":")
		host, query, _ := strings.Cut(rest[at+1:], "?")
		if !ok || user == "" || password == "" { // browsers refuse a TURN server without them
			return none, fmt.Errorf("a TURN server needs a user and a password; write %s:USER:PASSWORD@HOST:PORT", scheme)
		}
		if !isICEHost(host) || query != "" && query != "transport=udp" && query != "transport=tcp" {
			return none, fmt.Errorf("not a TURN server; write %s:USER:PASSWORD@HOST:PORT, with ?transport=tcp at will", scheme)
		}
		return wire.ICEServer{URLs: []string{scheme + ":" + rest[at+1:]}, Username: user, Credential: password}, nil
	}
	return none, errors.New("not a STUN or TURN server; each begins with stun, stuns, turn or turns and a colon")
}

func isICEHost(s string) bool {
	u, err := url.Parse("//" + s)
	return err == nil && u.Hostname() != "" && u.Path == "" && u.User == nil
}

// ice gives every participant the servers of the settings, which were checked.
func (s *Settings) ice() func(wire.ParticipantID) wire.ICEServers {
	servers := make([]wire.ICEServer, 0, len(s.ICEServers)) // an array on the wire
	for _, text := range s.ICEServers {
		if server, err := parseICEServer(text); err == nil {
			servers = append(servers, server)
		}
	}
	return func(wire.ParticipantID) wire.ICEServers { return wire.ICEServers{ICEServers: servers} }
}

// loopback reports whether only this machine can reach the server.
func (s *Settings) loopback() bool {
	host, _, _ := net.SplitHostPort(s.Listen)
	return signaling.IsLoopback(host)
}

// proxied reports whether the settings say that people come through another server.
func (s *Settings) proxied() bool {
	if len(s.TrustedProxies) > 0 {
		return true
	}
	for _, origin := range s.Origins {
		if u, err := url.Parse(origin); err != nil || !signaling.IsLoopback(u.Hostname()) {
			return true
		}
	}
	return false
}

// public reports whether others than this machine can come: by the address, or because a setting makes sense only then.
// What is no HTTP comes by no proxy, so its ports are opened for others by themselves. An address of the loopback is no
// public one.
func (s *Settings) public() bool {
	if !s.loopback() || s.proxied() || s.UDPPort != 0 || len(s.STUN) > 0 {
		return true
	}
	for _, host := range append([]string{s.TURNHost}, s.PublicIP...) {
		if host != "" && !signaling.IsLoopback(host) {
			return true
		}
	}
	return false
}

// portHost is the address at which the ports of media and TURN are opened: that of --listen, or every one where that
// is this machine's alone and others come all the same.
func (s *Settings) portHost(listen net.Addr) (netip.Addr, error) {
	tcp, ok := listen.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, fmt.Errorf("media cannot be served beside %s", listen)
	}
	if s.loopback() && s.public() {
		return netip.IPv6Unspecified(), nil
	}
	return tcp.AddrPort().Addr().Unmap(), nil
}

// guests says who may come without an account. auto is for trying things out on one's own machine: as soon as
// others can come, by the address or through a proxy, letting strangers in is a decision to be made.
func (s *Settings) guests() signaling.Guests {
	switch {
	case s.Guests == "on":
		return signaling.GuestsAnywhere
	case s.Guests == "auto" && s.loopback() && !s.proxied():
		return signaling.GuestsLocal
	}
	return signaling.GuestsOff
}
