// Command confab-load shows what a machine holds: it loads a confab server with idle connections, chat, joins or a storm
// of reconnects, and prints what the server used, how long people waited, and what was lost or came twice.
//
// Every scenario has bounds, ends by itself, and takes its time from --for and its size from flags; --limit ends the whole
// run. Rooms get names of the run's own, so that runs do not meet; what is written into them stays in the server's log
// until that drops it. Without --anywhere it loads this machine and private networks only.
//
// Exit codes: 0 = everything arrived, once; 1 = it could not do its work; 2 = the command line is wrong; 3 = something was
// lost, doubled, refused or cut off.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotWhole = 3
)

// commandLine is everything that may stand behind the name of the program.
type commandLine struct {
	Target   string        `default:"http://127.0.0.1:8080" placeholder:"URL" help:"The server."`
	Anywhere bool          `help:"Load a server that is neither on this machine nor in a private network."`
	Secret   string        `env:"CONFAB_AUTH_SECRET" help:"The server's secret, to make a token for each person."`
	File     string        `name:"secret-file" placeholder:"FILE" help:"A file with it, such as auth-secret in the server's data folder."`
	Token    string        `env:"CONFAB_LOAD_TOKEN" help:"One token for everybody. With neither, people come as guests."`
	Metrics  string        `placeholder:"URL" help:"Where the server's metrics are; off = nowhere. Left out: /metrics of the server."`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
	Limit    time.Duration `default:"10m" help:"The whole run ends after so long."`

	Idle  idle  `cmd:"" help:"Connections that do nothing: what does each take?"`
	Chat  chat  `cmd:"" help:"Rooms in which people write at a steady rate, and everybody reads."`
	Join  join  `cmd:"" help:"People who join a room that has members and a history."`
	Storm storm `cmd:"" help:"Everybody loses the connection, misses messages, and comes back."`
}

// A scenario is one of the commands.
type scenario interface {
	// run loads the server and says what came of it. What was found stands also beside an error.
	run(ctx context.Context, l *load) error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its surroundings as arguments; it returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	defer func() { // kong ends a parse for --help by its exit function
		switch p := recover().(type) {
		case nil:
		case exit:
			code = int(p)
		default:
			panic(p)
		}
	}()
	var line commandLine
	parser, err := kong.New(&line,
		kong.Name("confab-load"), kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exit(code)) }),
		kong.Description("Loads a confab server and says what it used, how long people waited, and what was lost."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		panic(err) // the tags above are wrong: every start would fail
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintln(stderr, "confab-load:", err)
		return exitUsage
	}
	found, err := line.measure(ctx, parsed.Selected().Target.Addr().Interface().(scenario), stderr)
	if found != nil {
		found.Scenario = parsed.Command()
		if failed := found.print(stdout, line.JSON); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "confab-load:", err)
		return exitFailed
	case !found.whole():
		return exitNotWhole
	default:
		return exitOK
	}
}

// exit unwinds run from inside the parser.
type exit int

// measure runs a scenario within its time.
func (line *commandLine) measure(ctx context.Context, s scenario, progress io.Writer) (*result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, line.Limit, fmt.Errorf("it took longer than --limit %v", line.Limit))
	defer cancel()
	l, err := line.open(ctx, progress)
	if err != nil {
		return nil, err
	}
	defer l.report.stop()
	defer context.AfterFunc(ctx, l.abort)()
	if err := s.run(ctx, l); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &l.found, explain(err)
	}
	return &l.found, nil
}
