// Command confab is the server: one binary that serves the web app, the HTTP API and the socket.
//
// It wires the packages together and owns what is of the process: settings (flags, environment, file), the
// secret, signals and the order in which things start and end. Nothing else lives here.
//
// Exit codes: 0 = done, 1 = it could not do its work, 2 = a setting or the command line is wrong.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

const (
	exitOK      = 0
	exitFailed  = 1
	exitSetting = 2
)

// commandLine is everything that may stand behind the name of the program.
type commandLine struct {
	Settings

	Serve   serveCommand       `cmd:"" default:"1" help:"Run the server (the default)."`
	Token   tokenCommand       `cmd:"" help:"Print a token that lets a person in."`
	Show    configCommand      `cmd:"" name:"config" help:"Print the effective settings and where each comes from, secrets masked."`
	Doctor  doctorCommand      `cmd:"" help:"Check that the server can run here, and say what to do where it cannot."`
	Backup  backupCommand      `cmd:"" help:"Write the log and the data folder into one file, also while a server is at work on them."`
	Restore restoreCommand     `cmd:"" help:"Fill an empty data folder with what a backup holds."`
	Upgrade upgradeCommand     `cmd:"" help:"Change a log to another history or number of replicas, while no server is at work on it."`
	Health  healthcheckCommand `cmd:"" name:"healthcheck" help:"Ask the server of these settings whether it is ready, for containers."`
	Version versionCommand     `cmd:"" help:"Print the version."`
}

// A process is what a command gets from its surroundings.
type process struct {
	settings *Settings
	origins  origins
	stdout   io.Writer
	stderr   io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments; it returns the exit code.
func run(args []string, lookup func(string) (string, bool), stdout, stderr io.Writer) (code int) {
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
	layers := &layers{lookup: lookup}
	parser := newParser(&line, layers, stdout, stderr)
	parsed, err := parser.Parse(args)
	if err != nil {
		_ = report(stderr, layers.explain(err)) // whatever is wrong with a command line, it is no failure of the work
		return exitSetting
	}
	layers.origins.flags(parsed)
	if err := line.check(layers.origins); err != nil {
		return report(stderr, err)
	}
	return report(stderr, parsed.Run(&process{
		settings: &line.Settings, origins: layers.origins, stdout: stdout, stderr: stderr,
	}))
}

// newParser makes the parser of the command line, which fills line.
func newParser(line *commandLine, layers *layers, stdout, stderr io.Writer) *kong.Kong {
	parser, err := kong.New(line,
		kong.Name("confab"),
		kong.Description("Rooms with video chat, screen sharing and chat, from one binary.\n\n"+
			"Every setting is also an environment variable (--auth-secret is CONFAB_AUTH_SECRET) and a key of the "+
			"YAML file that --config names (auth-secret: …). A flag wins over the environment, the environment over "+
			"the file."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exit(code)) }), kong.Resolvers(layers),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.ExplicitGroups([]kong.Group{{Key: "settings", Title: "Settings:"}}),
	)
	if err != nil {
		panic(err) // the tags above are wrong: every start would fail
	}
	return parser
}

// exit unwinds run from inside the parser.
type exit int

// report prints what went wrong, for a person, and says which exit code that is.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errSilent) {
		return exitFailed
	}
	fmt.Fprintln(stderr, "confab: "+err.Error())
	if _, ok := errors.AsType[*settingError](err); ok {
		return exitSetting
	}
	return exitFailed
}

// errSilent fails a command that has said already what is wrong.
var errSilent = errors.New("failed")

type versionCommand struct{}

// Run prints the module's version, the commit it was built from, and the compiler's.
func (versionCommand) Run(p *process) error {
	_, err := fmt.Fprintln(p.stdout, "confab "+version()+" "+runtime.Version()+" "+runtime.GOOS+"/"+runtime.GOARCH)
	return err
}

// version is the module's version as the build recorded it; a build outside a release bears its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}
