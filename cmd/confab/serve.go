package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"confab/bots/agui"
	"confab/media/whip"
	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling"
	"confab/signaling/audit"
	"confab/signaling/wire"
	"confab/web"
)

const (
	stopTimeout  = 10 * time.Second // from the signal to the end, clients and log together
	drainTimeout = 5 * time.Second  // of it, for the clients
	openTimeout  = time.Minute      // for the log: a large one is read once after an unclean stop

	// A client that is slow with its headers is cut; one that is slow otherwise may be on a socket or reading
	// events, which have no such limit.
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

// serveCommand is `confab serve`, and `confab` alone.
type serveCommand struct{}

// Run serves until SIGINT or SIGTERM, then ends in good order. A second signal ends the process at once.
//
// Errors: one line with what is wrong and what to do.
func (serveCommand) Run(p *process) error {
	relaxTimers() // before there is anything that would have to be closed
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // from here on a signal has its usual effect
	return serve(ctx, p)
}

// serve runs the server until ctx ends.
func serve(ctx context.Context, p *process) error {
	s, log := p.settings, newLogger(p.settings, p.stderr)
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen at %s: %s; %s", s.Listen, listenProblem(err), listenRemedy(err))
	}
	defer listener.Close() // again after the server has: harmless

	var memory sync.WaitGroup
	tend, endTending := context.WithCancel(context.Background())
	_, paced := os.LookupEnv("GOGC")
	memory.Go(func() { tendMemory(tend, paced) })
	defer memory.Wait()
	defer endTending()
	behind, err := openParts(ctx, p, listener.Addr(), log)
	if err != nil {
		return err
	}
	h, err := openHub(ctx, p, behind, log)
	if err == nil {
		announce(p, listener.Addr())
		log.Info("serving", "version", version(), "address", listener.Addr().String(), "data", s.Data, "nats", maskURL(s.NATS),
			"guests", s.guests() != signaling.GuestsOff)
		if err = behind.front.begin(ctx, behind.turn.certificate); err == nil {
			err = h.run(ctx, behind.front.wrap(signaling.Listener(listener, behind.calls.takeTCP())))
		}
	}
	deadline, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if h != nil {
		err = errors.Join(err, h.stop(deadline))
	}
	if err = errors.Join(err, behind.close(deadline)); err == nil {
		log.Info("stopped")
	}
	return err
}

// parts is what stands behind the socket, in the order in which it starts; it ends in the other one. Each field needs
// those before it, and is nil or zero where the settings want none of it.
type parts struct {
	secret     *secret
	metrics    *prometheus.Registry
	front      transport
	records    *bus.Bus
	calls      sfu
	turn       relay
	ice        func(wire.ParticipantID) wire.ICEServers // for participants with a socket
	encoderICE func(wire.ParticipantID) wire.ICEServers // for those of WHIP and WHEP
	recordings *recorder
	bots       crew
	audit      *audit.Log // nil = none is kept
	hooks      *hooks     // nil = nobody is told
	registry   *rooms.Registry
	backups    *backupSocket // nil = it could not be opened
}

// openParts starts everything, or nothing when there is an error.
func openParts(ctx context.Context, p *process, listen net.Addr, log *slog.Logger) (_ *parts, err error) {
	s := p.settings
	b := &parts{metrics: prometheus.NewRegistry()}
	appended := storedHistogram()
	if b.records, err = openLog(ctx, s, appended, log); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close(ctx))
		}
	}()
	if b.secret, err = openSecret(s, p.origins, true, log); err != nil {
		return nil, err
	}
	if b.front, err = openTransport(s, listen, log); err != nil {
		return nil, err
	}
	if b.calls, err = openSFU(s, listen, func() *rooms.Registry { return b.registry }, log); err != nil {
		return nil, err
	}
	if b.turn, err = openTURN(s, b.secret.turnKey(), listen, b.calls, &b.front, log); err != nil {
		return nil, err
	}
	b.ice, b.encoderICE = b.turn.ice(s.ice(), s.TURNTTL), b.turn.ice(s.ice(), encoderTTL)
	if b.recordings, err = openRecorder(s, b.calls, log); err != nil {
		return nil, err
	}
	if b.bots, err = openBots(s, p.origins, b.metrics, b.calls, log); err != nil {
		return nil, err
	}
	if b.audit, err = openAudit(p, log); err != nil {
		return nil, err
	}
	if b.hooks, err = openHooks(ctx, s, b.records, log); err != nil {
		return nil, err
	}
	b.registry = rooms.NewRegistry(b.records, rooms.Options{
		History: s.History, Capacity: s.MaxParticipants, RoomCapacity: s.RoomCapacity, ICE: b.ice, Durability: s.Durability, Logger: log,
		SFU: b.calls.forRooms(), MeshMax: s.MeshMax, Recorder: b.recordings.forRooms(), Bots: b.bots.forRooms(),
		Owners: b.cluster().owners(), Audit: b.audit.Act, Events: b.hooks.forRooms(),
	})
	b.cluster().begin(b.registry)
	b.backups = openBackupSocket(s.Data, b.records, log)
	if err = b.register(s, appended); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *parts) cluster() cluster { return cluster{b.records.Nodes()} }

// register has /metrics tell of everything but the bots and the socket, which register themselves.
func (b *parts) register(s *Settings, appended prometheus.Histogram) error {
	return errors.Join(
		registerProcess(b.metrics), registerBuild(b.metrics), registerDisk(b.metrics, "data", s.Data),
		registerLog(b.metrics, appended, b.records), registerAudit(b.metrics, b.audit), b.hooks.register(b.metrics),
		registerRooms(b.metrics, b.registry), registerMedia(b.metrics, b.calls), b.turn.register(b.metrics), b.front.register(b.metrics), b.recordings.register(b.metrics, s.recordDir()),
		b.cluster().register(b.metrics),
	)
}

// close ends what was started. Rooms end after what acts in them, and the log after all that writes to it.
func (b *parts) close(ctx context.Context) error {
	b.recordings.close()
	err := errors.Join(b.backups.close(), b.calls.close(), b.turn.close(), b.front.close(ctx))
	if b.registry != nil {
		err = errors.Join(err, wrap("ending the rooms", b.registry.Close(ctx)))
		b.cluster().leave() // before what takes longer: others wait for the rooms
	}
	b.hooks.close(ctx)
	return errors.Join(err, b.bots.close(ctx), wrap("closing the audit log", b.audit.Close()), closeLog(ctx, b.records))
}

// openLog opens the log of the rooms, for which the data folder is locked. How long appends take goes into appended.
func openLog(ctx context.Context, s *Settings, appended prometheus.Histogram, log *slog.Logger) (*bus.Bus, error) {
	if err := checkRestored(s.Data); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	records, err := bus.Open(ctx, bus.Options{
		DataDir: s.Data, URL: s.NATS, NodeName: s.NodeName, Replicas: s.Replicas, History: s.History, Durability: s.busDurability(), Logger: log,
		Stored: func(took time.Duration) { appended.Observe(took.Seconds()) },
	})
	if err != nil {
		return nil, plainLogError(err)
	}
	return records, nil
}

// plainLogError is an error of the log for a person: what is wrong and not where it was found, and once for all streams
// that have it.
func plainLogError(err error) error {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.TrimPrefix(first, "bus: "))
}

// busDurability is the durability as the log knows it.
func (s *Settings) busDurability() string {
	if s.Durability == "fsync" {
		return bus.DurabilityFsync
	}
	return bus.DurabilityDefault
}

// closeLog closes the log, but waits no longer than ctx.
func closeLog(ctx context.Context, records *bus.Bus) error {
	closed := make(chan error, 1)
	go func() { closed <- records.Close() }()
	select {
	case err := <-closed:
		return wrap("closing the log", err)
	case <-ctx.Done():
		return errors.New("the log was not closed in time; what was acknowledged is stored")
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// A hub is what people connect to: the keys, the socket, the routes.
type hub struct {
	// Set by openHub, then constant.
	keys    *signaling.Keyring
	socket  *signaling.Server
	cluster cluster
	gateway *whip.Handler // nil = no SFU
	export  *agui.Handler // nil = no bots
	http    *http.Server

	// Set by run, read by stop after it.
	endKeys   context.CancelFunc
	keysEnded chan struct{} // closed when the keys are no longer refreshed
}

func openHub(ctx context.Context, p *process, behind *parts, log *slog.Logger) (*hub, error) {
	s := p.settings
	if behind.secret.made && s.NATS != "" {
		log.Warn("this server's secret is its own: servers that share a NATS need one in common for tokens and tickets; set --auth-secret-file",
			"secret", behind.secret.file)
	}
	keys, err := signaling.OpenKeyring(ctx, signaling.KeyringOptions{Secret: behind.secret.bytes, JWKS: s.AuthJWKS, Logger: log})
	if err != nil {
		return nil, &settingError{name: "auth-jwks", origin: p.origins["auth-jwks"], text: err.Error()}
	}
	guests := signaling.NewGuestHandler(signaling.GuestOptions{Keys: keys, Guests: s.guests(), Logger: log})
	gateway := behind.calls.openGateway(keys, behind.encoderICE, log)
	if err := registerGateway(behind.metrics, gateway); err != nil {
		return nil, err
	}
	export, err := openExport(s, behind, keys, log)
	if err != nil {
		return nil, err
	}
	admin := signaling.NewAdminHandler(signaling.AdminOptions{
		AdminKeys: s.adminKeys(), Registry: behind.registry, Nodes: behind.cluster().links(), Keys: keys, Audit: behind.audit, Logger: log,
	})
	routes := func(router gin.IRouter) {
		guests.Routes(router)
		admin.Routes(router)
		behind.recordings.routes(router, keys)
		gatewayRoutes(router, gateway)
		exportRoutes(router, export)
	}
	socket, err := signaling.New(signaling.Options{
		Registry: behind.registry, Nodes: behind.cluster().links(), Asked: admin.Asked, Verifier: keys, TicketKey: behind.secret.ticketKey(),
		Origins: s.Origins, EmbedOrigins: s.EmbedOrigins, RateLimit: s.RateLimit, ConnectionLimit: s.ConnectionLimit, AuthTimeout: s.AuthTimeout,
		History: s.History, TrustedProxies: s.TrustedProxies,
		Web: web.Dist, Routes: routes, Described: operations(), Ready: behind.records.Ready, Metrics: behind.metrics, Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("starting the server: %w", err)
	}
	return &hub{
		keys: keys, socket: socket, cluster: behind.cluster(), gateway: gateway, export: export,
		http: &http.Server{
			Handler: socket.Handler(), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
		},
	}, nil
}

// run serves until ctx ends, which is no error.
func (h *hub) run(ctx context.Context, listener net.Listener) error {
	var refreshing context.Context
	refreshing, h.endKeys = context.WithCancel(context.WithoutCancel(ctx)) // tokens are verified until the last client is gone
	h.keysEnded = make(chan struct{})
	go func() {
		defer close(h.keysEnded)
		h.keys.Run(refreshing)
	}()
	served := make(chan error, 1)
	go func() { served <- h.http.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
		return nil
	}
}

// stop sends the clients away, with a word that they shall come back, and ends what run started.
func (h *hub) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	// Drain first: while it runs, /readyz says so to a load balancer, and Shutdown would wait for open streams.
	h.cluster.drain()
	err := wrap("sending the clients away", h.socket.Drain(ctx))
	if h.export != nil {
		h.export.Close()
	}
	if down := h.http.Shutdown(ctx); down != nil {
		err = errors.Join(err, wrap("ending requests", down), h.http.Close())
	}
	if h.gateway != nil {
		h.gateway.Close()
	}
	if h.endKeys != nil {
		h.endKeys()
		<-h.keysEnded
	}
	return err
}

// newLogger logs to w as the settings say.
func newLogger(s *Settings, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		level = slog.LevelInfo // cannot be: the parser knows the levels
	}
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// announce tells the person who started the server where to go. A ready room is offered rather than the front
// page, so that one click is enough.
func announce(p *process, addr net.Addr) {
	s, room := p.settings, randomRoom()
	address := s.address(addr) + "/r/" + room
	fmt.Fprintf(p.stdout, "Confab is ready. A room for you:\n\n  %s\n\n", address)
	switch s.guests() {
	case signaling.GuestsAnywhere:
		fmt.Fprintln(p.stdout, "Anyone with the link can come in.")
	case signaling.GuestsLocal:
		fmt.Fprintln(p.stdout, "Guests can come in from this machine. For others see --listen, --guests and --help.")
	case signaling.GuestsOff:
		fmt.Fprintf(p.stdout, "Guests are off (--guests on lets them in). To come in, make a token with the same settings and put it\n"+
			"behind the address, as %s#token=TOKEN :\n\n  confab token --user me --role moderator --rooms %s%s\n", address, room, sameSettings(p))
	}
	if !s.loopback() && !s.tls() {
		fmt.Fprintln(p.stdout, "Browsers give a camera and a microphone to https pages only: put a proxy with a certificate before this address.")
	}
	folder, err := filepath.Abs(s.Data)
	if err != nil {
		folder = s.Data
	}
	fmt.Fprintf(p.stdout, "Messages are kept in %s. Ctrl-C ends the server.\n", folder)
}

// sameSettings is what `confab token` needs to find the secret of this server.
func sameSettings(p *process) string {
	var options strings.Builder
	for _, name := range []string{"config", "data", "auth-secret-file"} {
		value := map[string]string{"config": p.settings.Config, "data": p.settings.Data, "auth-secret-file": p.settings.AuthSecretFile}[name]
		if p.origins[name] == originFlag {
			fmt.Fprintf(&options, " --%s %s", name, value)
		}
	}
	return options.String()
}

// reachableAt is the URL of addr for a browser on this machine: an address that stands for all is no address
// to go to.
func reachableAt(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// listenProblem and listenRemedy put the error of net.Listen into a person's words.
func listenProblem(err error) string {
	switch {
	case portTaken(err):
		return "another program uses that port"
	case portDenied(err):
		return "this user may not use that port"
	case portNotHere(err):
		return "this machine does not have that address"
	}
	if failed, ok := errors.AsType[*net.OpError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}

func listenRemedy(err error) string {
	switch {
	case portTaken(err):
		return "stop it, or choose another port, such as --listen 127.0.0.1:8081"
	case portDenied(err):
		return "choose a port from 1024 up, such as --listen 127.0.0.1:8080, or allow it (setcap cap_net_bind_service)"
	}
	return "choose another address with --listen, such as 127.0.0.1:8080 for this machine or :8080 for all"
}
