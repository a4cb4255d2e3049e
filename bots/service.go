package bots

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"confab/bots/hearing"
	"confab/bots/provider"
	"confab/bots/tool"
	"confab/bots/voice"
	"confab/rooms"
	"confab/signaling/wire"
)

// Options of a Service.
type Options struct {
	Personas []Persona // CheckPersonas must have nothing to say; nil = DefaultPersonas
	// Models by the names that personas know them by. Each falls back by itself to whatever it may.
	Models map[string]provider.Model
	// Names of what answers, as people are shown them, by the same names; absent = the name itself.
	Engines map[string]string
	BuiltIn provider.Model // answers for personas without a provider
	Tools   []tool.Tool
	// Servers have the tools of MCP servers, which personas name server__tool; they are asked for with each answer. nil = none.
	Servers Servers
	// Profile returns what is known of a user beside the room, as text for a model, at most 4 KiB; nil = nothing is. It
	// is asked once for each session, and its error is no reason not to answer.
	Profile func(ctx context.Context, user wire.UserID) (string, error)
	Voice   *voice.Service   // nil = no bot speaks; closed by Close
	Hearing *hearing.Service // nil = no bot hears; closed by Close
	// Spoken returns how long each participant of a room has spoken in the call that goes on; nil, also of the function,
	// when nobody knows.
	Spoken func(wire.RoomID) map[wire.ParticipantID]time.Duration
	// Connection returns how well a participant's media comes through; false, also of no function, when nobody knows.
	Connection func(wire.RoomID, wire.ParticipantID) (tool.Connection, bool)
	Metrics    Metrics      // nil = nobody counts
	Logger     *slog.Logger // nil = slog.Default
}

// Servers have tools that are not known before they are asked for.
type Servers interface {
	// Tools returns the tools of servers, all of them named server__tool. Those of servers that cannot be asked are left
	// out; the error, which may stand beside tools, says why.
	Tools(ctx context.Context, servers ...string) ([]tool.Tool, error)
}

// Metrics are told what happens. The methods may be called from any goroutine.
type Metrics interface {
	// Run has ended. first is the time to the first word, 0 when there was none.
	Run(bot wire.BotID, status wire.RunStatus, first, whole time.Duration, usage provider.Usage, degraded bool)
	// Asked says whether the answer to a question that may be kept was at hand.
	Asked(cached bool)
	// Tool was used.
	Tool(name string, ok bool, took time.Duration)
}

// A Service holds the bots of this server. It implements rooms.Bots.
type Service struct {
	// Set by New, then constant.
	opts    Options
	logger  *slog.Logger
	bots    map[wire.BotID]*bot
	catalog []wire.BotInfo
	cache   *cache
	budget  *budget
	profile *profiles
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // halls and runs

	mu    sync.Mutex
	halls map[wire.RoomID]*hall // guarded by mu
}

// A bot is a persona with what answers for it.
type bot struct {
	Persona
	info  wire.BotInfo
	model provider.Model
	tools map[string]tool.Tool // of this server's own
}

// New makes a Service. Errors say which persona names what there is not.
func New(opts Options) (*Service, error) {
	if opts.Personas == nil {
		opts.Personas = DefaultPersonas()
	}
	if err := CheckPersonas(opts.Personas); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	s := &Service{
		opts: opts, logger: opts.Logger, bots: make(map[wire.BotID]*bot), halls: make(map[wire.RoomID]*hall),
		cache: newCache(), budget: newBudget(), profile: newProfiles(opts.Profile),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	var problems []error
	for _, p := range opts.Personas {
		b, err := s.newBot(p)
		if err != nil {
			problems = append(problems, fmt.Errorf("bot %q: %w", p.ID, err))
			continue
		}
		s.bots[p.ID] = b
		s.catalog = append(s.catalog, b.info)
	}
	return s, errors.Join(problems...)
}

func (s *Service) newBot(p Persona) (*bot, error) {
	p.Limits = p.Limits.withDefaults()
	b := &bot{Persona: p, model: s.opts.BuiltIn, tools: make(map[string]tool.Tool)}
	engine := "built-in"
	if p.Provider != "" {
		if b.model = s.opts.Models[p.Provider]; b.model == nil {
			return nil, fmt.Errorf("there is no provider %q; name one of the file's providers", p.Provider)
		}
		if engine = s.opts.Engines[p.Provider]; engine == "" {
			engine = p.Provider
		}
	}
	b.info = wire.BotInfo{
		Bot: p.ID, User: wire.BotUser(p.ID), Name: p.Name, Avatar: p.Avatar, Description: p.Description, Engine: engine,
		Tools: []wire.BotTool{}, Remote: p.Provider != "", Prompts: p.Prompts, Speaks: s.opts.Voice != nil, Hears: s.opts.Hearing != nil,
		Limits: wire.BotLimits{
			RequestsPerMinute: p.Limits.RequestsPerMinute, Concurrent: p.Limits.Concurrent, TokensPerDay: p.Limits.TokensPerDay,
			UserTokensPerDay: p.Limits.UserTokensPerDay,
		},
	}
	for _, name := range p.Tools {
		if server, _, remote := strings.Cut(name, "__"); remote {
			b.info.Tools = append(b.info.Tools, wire.BotTool{Tool: name, Title: server + ": " + strings.TrimPrefix(name, server+"__")})
			continue
		}
		i := slices.IndexFunc(s.opts.Tools, func(t tool.Tool) bool { return t.Spec().Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no tool %q", name)
		}
		spec := s.opts.Tools[i].Spec()
		b.tools[name] = s.opts.Tools[i]
		b.info.Tools = append(b.info.Tools, wire.BotTool{Tool: spec.Name, Title: spec.Title, Writes: b.asks(spec)})
	}
	return b, nil
}

// toolsNow are the bot's tools, those of its servers too. Those of a server that cannot be asked are left out.
func (s *Service) toolsNow(ctx context.Context, b *bot) map[string]tool.Tool {
	servers := b.servers()
	if s.opts.Servers == nil || len(servers) == 0 {
		return b.tools
	}
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	found, err := s.opts.Servers.Tools(ctx, servers...)
	if err != nil {
		s.logger.Warn("some tools of a bot cannot be had", "bot", string(b.ID), "error", err)
	}
	all := maps.Clone(b.tools)
	for _, t := range found {
		if name := t.Spec().Name; b.uses(name) {
			all[name] = t
		}
	}
	return all
}

// listPatience is how long an answer waits for its servers to tell what tools they have.
const listPatience = 5 * time.Second

// specsOf are tools as a model is told of them, sorted by name.
func specsOf(tools map[string]tool.Tool) []provider.Tool {
	specs := make([]provider.Tool, 0, len(tools))
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		specs = append(specs, tools[name].Spec().Tool)
	}
	return specs
}

// asks reports whether a person must approve each call of a tool.
func (b *bot) asks(spec tool.Spec) bool { return spec.Writes && !slices.Contains(b.Trust, spec.Name) }

// Catalog implements rooms.Bots.
func (s *Service) Catalog() []wire.BotInfo { return s.catalog }

// Seat implements rooms.Bots.
func (s *Service) Seat(id wire.BotID, place *rooms.Member) rooms.Seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.halls[place.Room()]
	if h == nil {
		h = newHall(s, place.Room())
		s.halls[place.Room()] = h
		s.running.Go(h.run)
	}
	st := &seat{hall: h, bot: s.bots[id], place: place}
	h.take(st)
	return st
}

// left takes a seat out of its hall, and the hall with its last seat.
func (s *Service) left(st *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.hall.giveUp(st) && s.halls[st.hall.room] == st.hall {
		delete(s.halls, st.hall.room)
		st.hall.stop()
	}
}

// Close ends all halls and runs, and waits for them until ctx ends. The rooms must have been closed before.
func (s *Service) Close(ctx context.Context) error {
	s.cancel()
	done := make(chan struct{})
	go func() {
		if s.opts.Voice != nil {
			s.opts.Voice.Close()
		}
		if s.opts.Hearing != nil {
			s.opts.Hearing.Close()
		}
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
