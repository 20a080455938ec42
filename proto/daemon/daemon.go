// Package daemon is the shell around every daemon: the flags they share, the
// configuration, log, version, exit status, signals and the talk with systemd.
//
// It is not a framework: it starts nothing and knows nothing of rings or
// packets. A main function calls Start, runs its own code and returns the
// status that Finish gives it.
//
// The invariant: whatever is wrong with flags or configuration is told
// completely, and told before anything is opened, mapped or bound.
package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"weir/proto/config"
)

// Exit statuses of all daemons.
const (
	ExitOK      = 0
	ExitFailure = 1  // runtime error, or a problem found by -check
	ExitUsage   = 2  // flags or configuration
	ExitTemp    = 75 // another process owns what is needed; trying again may help
)

// Program describes a daemon to the shared command line.
type Program struct {
	Name     string   // "capd"
	Args     string   // what follows the flags, for -help; "" = nothing may follow
	Formats  []Format // what -version says beside tag and commit
	Commands []string // words that may come first; main decides what they do

	// Flags registers the daemon's own flags; may be nil.
	Flags func(*flag.FlagSet)
	// Configure applies them to the configuration and checks what only this
	// daemon can check; may be nil. It must not open or change anything: -check
	// and -print call it too. It joins all problems.
	Configure func(*config.Config) error

	// Print answers -print after a command; nil: the configuration is printed.
	Print func(w io.Writer, command string, c *config.Config) error

	Stdout, Stderr io.Writer // nil = those of the process
}

// Env is what Start hands to a daemon.
type Env struct {
	Config  *config.Config // effective: file, then flags, then derived sizes
	Path    string         // the file it came from; "" = built-in defaults
	Command string         // one of Program.Commands, or ""
	Args    []string       // arguments after the flags
	Log     *slog.Logger
	Level   *slog.LevelVar // level of Log; changes at once
	Systemd Systemd
}

// Start reads args (without the program's name) and the configuration. A nil
// Env means that everything is said and the process should exit with status.
func (p Program) Start(args []string) (env *Env, status int) {
	if p.Stdout == nil {
		p.Stdout = os.Stdout
	}
	if p.Stderr == nil {
		p.Stderr = os.Stderr
	}
	f, err := p.parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, ExitOK
	case err != nil:
		fmt.Fprintf(p.Stderr, "%s: %v; see %s -help\n", p.Name, err, p.Name)
		return nil, ExitUsage
	case f.version:
		fmt.Fprintln(p.Stdout, Version(p.Name, p.Formats...))
		return nil, ExitOK
	}
	c, path, err := p.load(f)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%v\n%s: configuration refused\n", err, p.Name)
		if f.check {
			return nil, ExitFailure
		}
		return nil, ExitUsage
	}
	switch {
	case f.check:
		fmt.Fprintf(p.Stdout, "%s: configuration is good\n", p.Name)
		return nil, ExitOK
	case f.print:
		show := c.Print
		if f.command != "" && p.Print != nil {
			show = func(w io.Writer) error { return p.Print(w, f.command, c) }
		}
		if err := show(p.Stdout); err != nil {
			fmt.Fprintf(p.Stderr, "%s: %v\n", p.Name, err)
			return nil, ExitFailure
		}
		return nil, ExitOK
	}
	env = &Env{Config: c, Path: path, Command: f.command, Args: f.rest, Level: new(slog.LevelVar), Systemd: NewSystemd(os.Getenv)}
	env.Level.Set(parseLevel(c.Instance.LogLevel))
	env.Log = slog.New(NewHandler(p.Stderr, env.Level, onJournal(p.Stderr, os.Getenv("JOURNAL_STREAM")))).With("daemon", p.Name)
	return env, ExitOK
}

// load makes the effective configuration.
func (p Program) load(f *flags) (c *config.Config, path string, err error) {
	path = f.config
	if path == "" {
		path = config.DefaultPath
	}
	c, err = config.Load(path)
	if f.config == "" && errors.Is(err, fs.ErrNotExist) {
		c, path, err = config.Default(), "", nil
	}
	if err != nil {
		return nil, "", err
	}
	if f.root != "" {
		c.Instance.Dir = f.root
	}
	if f.logLevel != "" {
		c.Instance.LogLevel = f.logLevel
	}
	if p.Configure != nil {
		err = p.Configure(c)
	}
	if err := errors.Join(err, c.Validate()); err != nil {
		return nil, "", err
	}
	ram, ncpu, err := config.Machine()
	if err != nil {
		return nil, "", err
	}
	c.Derive(ram, ncpu)
	return c, path, nil
}

// Reload reads the configuration again, as at the start, for SIGHUP. On an
// error nothing has changed.
func (e *Env) Reload(p Program, args []string) (*config.Config, error) {
	f, err := p.parse(args)
	if err != nil {
		return nil, err
	}
	c, _, err := p.load(f)
	return c, err
}

// Finish logs err, when there is one, and returns the exit status. An error
// that is one of temporary asks the supervisor to try again. The end that a
// signal asked for is not an error.
func (e *Env) Finish(err error, temporary ...error) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return ExitOK
	}
	e.Log.Error("stopped", "error", err)
	for _, t := range temporary {
		if errors.Is(err, t) {
			return ExitTemp
		}
	}
	return ExitFailure
}
