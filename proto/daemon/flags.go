package daemon

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"weir/proto/config"
)

// flags are those that every daemon has.
type flags struct {
	config, root, logLevel string
	check, print, version  bool

	command string
	rest    []string
}

// parse reads a command, flags and arguments. Flags may stand anywhere: people add
// them where the cursor is. After "--" everything is an argument.
func (p Program) parse(args []string) (*flags, error) {
	f := &flags{}
	set := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard) // the caller says what is wrong, once
	set.Usage = func() {}
	set.StringVar(&f.config, "config", "", "read `FILE` and the folder beside it (default "+config.DefaultPath+", where it exists)")
	set.StringVar(&f.root, "root", "", "keep rings and tables in `DIR` (default: instance.dir)")
	set.StringVar(&f.logLevel, "log-level", "", "`LEVEL`: debug, info, warn or error (default: instance.log_level)")
	set.BoolVar(&f.check, "check", false, "check flags and configuration, print every problem and exit")
	set.BoolVar(&f.print, "print", false, "print the effective configuration and exit")
	set.BoolVar(&f.version, "version", false, "print the version and exit")
	if p.Flags != nil {
		p.Flags(set)
	}
	err := f.words(set, args)
	if errors.Is(err, flag.ErrHelp) {
		p.help(set)
	}
	if err != nil {
		return nil, err
	}
	if len(f.rest) > 0 && slices.Contains(p.Commands, f.rest[0]) {
		f.command, f.rest = f.rest[0], f.rest[1:]
	}
	if len(f.rest) > 0 && p.Args == "" {
		return nil, fmt.Errorf("unexpected argument %q", f.rest[0])
	}
	return f, nil
}

// words parses the flags among args and keeps the other words in f.rest.
func (f *flags) words(set *flag.FlagSet, args []string) error {
	for len(args) > 0 {
		if err := set.Parse(args); err != nil {
			return err
		}
		read := len(args) - set.NArg()
		ended := read > 0 && args[read-1] == "--"
		if args = set.Args(); ended {
			f.rest = append(f.rest, args...)
			return nil
		}
		if len(args) > 0 {
			f.rest, args = append(f.rest, args[0]), args[1:]
		}
	}
	return nil
}

func (p Program) help(set *flag.FlagSet) {
	words := []string{"usage:", p.Name}
	if len(p.Commands) > 0 {
		words = append(words, "["+strings.Join(p.Commands, "|")+"]")
	}
	words = append(words, "[flags]")
	if p.Args != "" {
		words = append(words, p.Args)
	}
	fmt.Fprintln(p.Stdout, strings.Join(words, " "))
	set.SetOutput(p.Stdout)
	set.PrintDefaults()
}
