// Surrogate is a caching HTTP reverse proxy for content that changes: what the
// origin tags can be purged the instant it changes, with everything made from
// it.
//
//	surrogate --origin http://127.0.0.1:3000    serve, in front of an app
//	surrogate demo                              a shop behind it, to play with
//	surrogate help                              the rest
//
// This package joins the others: wire.go makes their options of the
// configuration, listen.go has the listeners, admin.go the routes of the admin
// API, serve.go the life of a running node, reload.go its SIGHUP, and each
// other subcommand has a file of its own. No other package is imported by it
// but through those.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"surrogate/config"
)

func main() {
	p := &program{stdout: os.Stdout, stderr: os.Stderr, env: os.Environ()}
	os.Exit(p.run(os.Args[1:]))
}

// A program is what a subcommand knows of its surroundings.
type program struct {
	stdout, stderr io.Writer
	env            []string // "NAME=value"
}

// A command is one subcommand.
type command struct {
	name    string
	args    string // what follows the name, for its usage
	summary string
	run     func(p *program, args []string) error
}

func commands() []command {
	return []command{
		{"serve", "[flags]", "serve; what happens when there are only flags", serve},
		{"demo", "[flags]", "a small shop behind the proxy, to play with", demo},
		{"check", "[flags] [proxy.toml]", "say what is wrong with a configuration", check},
		{"purge", "[flags] [tag …]", "purge by tag, URL, prefix, host or everything", purgeCommand},
		{"warm", "[flags] [file | - | URL …]", "fetch pages before anyone asks: a list, a sitemap, a crawl", warmCommand},
		{"explain", "[flags] URL", "why a URL is or is not in the cache, and what would purge it", explain},
		{"stats", "[flags]", "what a running surrogate has done so far", stats},
		{"version", "", "what this program is built from", printVersion},
	}
}

// errSaid is the error of a subcommand that has said all there is to say.
var errSaid = errors.New("said")

// errInterrupted is the error of a subcommand that Ctrl-C ended, and that has
// said what it leaves.
var errInterrupted = errors.New("interrupted")

// A usageError is a mistake in the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func wrongUsage(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

// run does what the arguments ask and returns the exit code.
func (p *program) run(args []string) int {
	name, rest := "serve", args
	if len(args) > 0 && (args[0] == "" || args[0][0] != '-') {
		name, rest = args[0], args[1:]
	}
	all := commands()
	switch {
	case name == "help" && len(rest) > 0 && rest[0] != "help":
		name, rest = rest[0], []string{"--help"}
	case name == "help", len(args) == 1 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]):
		p.usage(p.stdout)
		return 0
	case len(args) == 1 && slices.Contains([]string{"-v", "-version", "--version"}, args[0]):
		name, rest = "version", nil
	}
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		fmt.Fprintf(p.stderr, "surrogate: there is no command %q%s\n", name, p.unknown(name, all))
		return 2
	}
	err := all[i].run(p, rest)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errSaid):
		return 1
	case errors.Is(err, errInterrupted):
		return 130
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(p.stderr, "surrogate:", line)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

func (p *program) unknown(name string, all []command) string {
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.name
	}
	if strings.Contains(name, "://") {
		return ", did you mean --origin " + name + "?"
	}
	if strings.HasSuffix(name, ".toml") {
		return ", did you mean --config " + name + "?"
	}
	if c := config.Nearest(name, names); c != "" {
		return fmt.Sprintf(", did you mean %q?", c)
	}
	return "; there are " + strings.Join(names, ", ") + " and help"
}

func (p *program) usage(w io.Writer) {
	fmt.Fprint(w, `surrogate is a caching HTTP reverse proxy for content that changes.

  surrogate --origin http://127.0.0.1:3000    serve, in front of an app
  surrogate demo                              see what it does

Commands:

`)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nFlags of each: surrogate help COMMAND\n")
}

// flags is the flag set of a subcommand, which says nothing by itself.
func (p *program) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// parse reads the flags that stand before and between the arguments, which it
// returns. Asked for help it prints it and returns flag.ErrHelp.
func (p *program) parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		err := fs.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			p.help(fs)
			return nil, err
		}
		if err != nil {
			return nil, p.badFlag(fs, err)
		}
		parsed := len(args) - fs.NArg()
		if fs.NArg() == 0 {
			return rest, nil
		}
		if parsed > 0 && args[parsed-1] == "--" {
			return append(rest, fs.Args()...), nil
		}
		rest, args = append(rest, fs.Arg(0)), fs.Args()[1:]
	}
}

// badFlag is the error for what the flag package did not understand.
func (p *program) badFlag(fs *flag.FlagSet, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return wrongUsage("%s; surrogate %s --help lists the flags", strings.Replace(err.Error(), "flag needs an argument: -", "a value is missing after --", 1), fs.Name())
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	hint := fmt.Sprintf("; surrogate %s --help lists them", fs.Name())
	if n := config.Nearest(strings.TrimPrefix(name, "-"), names); n != "" {
		hint = ", did you mean --" + n + "?"
	}
	return wrongUsage("%s has no flag --%s%s", fs.Name(), strings.TrimPrefix(name, "-"), hint)
}

// help prints what a subcommand takes.
func (p *program) help(fs *flag.FlagSet) {
	for _, c := range commands() {
		if c.name == fs.Name() {
			fmt.Fprintf(p.stdout, "surrogate %s %s\n\n  %s\n\n", c.name, c.args, c.summary)
		}
	}
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		name := "--" + f.Name
		if value != "" {
			name += " " + value
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(p.stdout, "  %-22s %s\n", name, usage)
	})
}

// variable is the value of a variable of the environment.
func (p *program) variable(name string) string {
	for _, v := range p.env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// buildVersion is set by -ldflags "-X main.buildVersion=…" where the build cannot know.
var buildVersion string

func printVersion(p *program, args []string) error {
	rest, err := p.parse(p.flags("version"), args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return wrongUsage("version takes no arguments")
	}
	fmt.Fprintln(p.stdout, "surrogate", version())
	return nil
}

// version is what the program was built as, or what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if buildVersion != "" || !ok {
		return cmp.Or(buildVersion, "(unknown)")
	}
	v, revision, changed := info.Main.Version, "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", changed since"
		}
	}
	if revision == "" {
		return cmp.Or(v, "(unknown)")
	}
	return fmt.Sprintf("%s (revision %.12s%s)", cmp.Or(v, "(devel)"), revision, changed)
}
