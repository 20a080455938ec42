package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

// command is one sub-command. Each has a file of its own, which registers it.
type command struct {
	name, args, help string
	writes           bool // needs -write
	least, most      int  // number of arguments

	// flags registers the command's own flags and returns what runs it.
	flags func(*flag.FlagSet) func(*env) error
}

var commands []*command

func register(c command) { commands = append(commands, &c) }

// env is what every command gets.
type env struct {
	context.Context
	root   layout.Root
	json   bool
	args   []string
	out    *bufio.Writer // for text
	stdout io.Writer     // for captures
	stderr io.Writer
}

// dispatch reads the command line and runs the command that it names.
func dispatch(ctx context.Context, args []string, out *bufio.Writer, stdout, stderr io.Writer) error {
	e := &env{Context: ctx, out: out, stdout: stdout, stderr: stderr}
	var write, showVersion bool
	global := e.flagSet("ringctl")
	global.BoolVar(&write, "write", false, "allow commands that change files")
	global.BoolVar(&showVersion, "version", false, "print the version")
	global.Usage = func() { usage(stderr, global) }
	if err := parse(global, args); err != nil {
		return err
	}
	if showVersion {
		fmt.Fprintln(out, version())
		return nil
	}
	name, rest := "status", global.Args()
	if len(rest) > 0 {
		name, rest = rest[0], rest[1:]
	}
	if name == "help" {
		usage(out, global)
		return nil
	}
	i := slices.IndexFunc(commands, func(c *command) bool { return c.name == name })
	if i < 0 {
		return usageError(fmt.Sprintf("no command %q; ringctl help lists them", name))
	}
	return e.start(commands[i], rest, write)
}

// start parses the arguments of c, flags before, between and after the others, and
// runs it.
func (e *env) start(c *command, args []string, write bool) error {
	if c.writes && !write {
		return usageError(fmt.Sprintf("%s changes files: say ringctl -write %s", c.name, c.name))
	}
	fs := e.flagSet("ringctl " + c.name)
	fs.Usage = func() {
		fmt.Fprintf(e.stderr, "usage: ringctl %s %s\n%s\n", c.name, c.args, c.help)
		fs.PrintDefaults()
	}
	run := c.flags(fs)
	for {
		if err := parse(fs, args); err != nil {
			return err
		}
		if fs.NArg() == 0 {
			break
		}
		e.args, args = append(e.args, fs.Arg(0)), fs.Args()[1:]
	}
	if len(e.args) < c.least || len(e.args) > c.most {
		return usageError(fmt.Sprintf("usage: ringctl %s %s", c.name, c.args))
	}
	return run(e)
}

// flagSet makes a flag set with the flags that may stand before and after a
// command's name.
func (e *env) flagSet(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(e.stderr)
	root := cmp.Or(string(e.root), string(layout.DefaultRoot))
	fs.StringVar((*string)(&e.root), "root", root, "ring `directory`, live or a copy")
	fs.BoolVar(&e.json, "json", e.json, "print one JSON object a line")
	return fs
}

func parse(fs *flag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		return usageError("") // flag has told it
	}
	return err
}

func usage(w io.Writer, fs *flag.FlagSet) {
	fmt.Fprint(w, "usage: ringctl [-root DIR] [-json] [-write] [COMMAND [ARGUMENTS]]\n\n"+
		"Without a command it says where packets are stuck. Names: c00-w00 (packet ring),\n"+
		"w00 (event ring), policyd.w00 (cursor of a reader), capd (counters).\n\n")
	list := slices.SortedFunc(slices.Values(commands), func(a, b *command) int { return cmp.Compare(a.name, b.name) })
	for _, c := range list {
		name := c.name
		if c.writes {
			name = "-write " + name
		}
		fmt.Fprintf(w, "  %-38s %s\n", name+" "+c.args, c.help)
	}
	fmt.Fprintln(w)
	fs.SetOutput(w)
	fs.PrintDefaults()
}

// object prints one JSON object on a line of its own.
func (e *env) object(v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// look reads the directory.
func (e *env) look() (*look.Instance, error) {
	in, err := look.Dir(e.root)
	if err != nil {
		return nil, fmt.Errorf("%w: is an instance running there? (-root DIR names another)", err)
	}
	return in, nil
}

// looks reads the directory twice, span apart, so that there are rates; once when
// nothing lives there.
func (e *env) looks(span time.Duration) (was, now *look.Instance, err error) {
	if was, err = e.look(); err != nil || span <= 0 || !was.AnyAlive() {
		return nil, was, err
	}
	if !e.pause(span) {
		return nil, was, nil
	}
	now, err = e.look()
	return was, now, err
}

// pause waits and reports whether nobody interrupted.
func (e *env) pause(d time.Duration) bool {
	select {
	case <-e.Done():
		return false
	case <-time.After(d):
		return true
	}
}
