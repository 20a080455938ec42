package catalog

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"weir/proto/config"
)

const usage = `usage:
  dpid catalog compile [-o FILE] [-config FILE] [-data DIR] [-list CATEGORY=FILE[@ATTRIBUTE...]]...
  dpid catalog lookup [-f FILE] [-json] NAME|ADDRESS|JA4...
  dpid catalog check [-f FILE] [-config FILE] [-data DIR] [-list CATEGORY=FILE[@ATTRIBUTE...]]...

compile  write a compiled catalogue from the curated data and the user's lists and
         applications; with -config, -o is by default the configuration's catalog.file
lookup   say what a host name, an address or a JA4 fingerprint belongs to
check    report every mistake in the data, or in a compiled file, and write nothing
`

// Exit codes, the same for all commands of Weir.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Main runs the command "catalog" with its arguments, those behind the word
// itself, and returns the exit code: 0 fine, 1 mistakes or nothing found, 2
// wrong usage.
func Main(args []string) int {
	return run(args, os.Stdout, os.Stderr)
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		_, _ = io.WriteString(stderr, usage)
		return exitUsage
	}
	c := command{stdout: stdout, stderr: stderr}
	var err error
	switch args[0] {
	case "compile":
		err = c.compile(args[1:])
	case "lookup":
		err = c.lookup(args[1:])
	case "check":
		err = c.check(args[1:])
	case "help", "-h", "-help", "--help":
		_, err = io.WriteString(stdout, usage)
	default:
		err = usageError(fmt.Sprintf("unknown command %q", args[0]))
	}
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, usage)
		return exitOK
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintf(stderr, "catalog: %v\n%s", err, usage)
		return exitUsage
	case !errors.Is(err, errNotFound):
		_, _ = fmt.Fprintf(stderr, "catalog: %v\n", err)
	}
	return exitError
}

type usageError string

func (e usageError) Error() string { return string(e) }

// errNotFound is the outcome of a look-up; what was not found is printed.
var errNotFound = errors.New("not found")

type command struct {
	stdout, stderr io.Writer
}

// parse reads flags without printing; the error is for usage.
func parse(set *flag.FlagSet, args []string) error {
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	if err := set.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return usageError(err.Error())
	}
	return nil
}

// inputs is what the flags say to compile.
type inputs struct {
	data   string       // folder in place of the curated data
	config string       // file of the configuration, "" for none
	lists  []List       // of -list
	file   string       // catalog.file of the configuration, known after input
	warn   func(string) // told every warning
}

// inputFlags adds the flags that say what to compile.
func (c command) inputFlags(set *flag.FlagSet) *inputs {
	s := &inputs{warn: func(text string) { _, _ = fmt.Fprintln(c.stderr, text) }}
	set.StringVar(&s.data, "data", "", "")
	set.StringVar(&s.config, "config", "", "")
	set.Func("list", "", func(arg string) error {
		category, path, ok := strings.Cut(arg, "=")
		if !ok || category == "" || path == "" {
			return errors.New("want CATEGORY=FILE")
		}
		l := List{Category: category, Path: path}
		if base := filepath.Base(path); strings.Contains(base, "@") {
			parts := strings.Split(base, "@")
			l.Path, l.Attrs = filepath.Join(filepath.Dir(path), parts[0]), parts[1:]
		}
		s.lists = append(s.lists, l)
		return nil
	})
	return s
}

// input reads the configuration, if there is one, and returns all that is to be
// compiled.
func (s *inputs) input() (Input, error) {
	var in Input
	if s.config != "" {
		c, err := config.Load(s.config)
		if err != nil {
			return in, err
		}
		in, s.file = FromConfig(c), c.Catalog.File
	}
	if s.data != "" {
		in.Data = os.DirFS(s.data)
	}
	in.Lists, in.Warn = append(in.Lists, s.lists...), s.warn
	return in, nil
}

func (c command) compile(args []string) error {
	set := flag.NewFlagSet("compile", flag.ContinueOnError)
	out := set.String("o", "", "")
	from := c.inputFlags(set)
	if err := parse(set, args); err != nil {
		return err
	}
	if *out == "" && from.config == "" || set.NArg() > 0 {
		return usageError("compile needs -o FILE or -config FILE, and takes no other arguments")
	}
	in, err := from.input()
	if err != nil {
		return err
	}
	if *out == "" {
		if *out = from.file; *out == "" {
			return usageError(fmt.Sprintf("compile needs -o FILE: %s sets no catalog.file", from.config))
		}
	}
	return CompileFile(in, *out)
}

// check reports mistakes in the data, or opens a compiled file.
func (c command) check(args []string) error {
	set := flag.NewFlagSet("check", flag.ContinueOnError)
	file := set.String("f", "", "")
	from := c.inputFlags(set)
	if err := parse(set, args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return usageError("check takes no arguments but flags")
	}
	in, err := from.input()
	if err != nil {
		return err
	}
	cat, err := c.open(*file, in)
	if err != nil {
		return err
	}
	n := cat.Size()
	_, err = fmt.Fprintf(c.stdout, "%d applications, %d categories, %d names, %d networks, %d fingerprints, %d patterns, %d lists, %d bytes\n",
		n.Applications, n.Categories, n.Names, n.Networks, n.JA4, n.Patterns, n.Lists, n.Bytes)
	return errors.Join(err, cat.Close())
}

// open opens a compiled file, or compiles the input in memory.
func (c command) open(file string, in Input) (*Catalog, error) {
	if file != "" {
		return Open(file)
	}
	return compileInMemory(in)
}

func (c command) lookup(args []string) error {
	set := flag.NewFlagSet("lookup", flag.ContinueOnError)
	file := set.String("f", "", "")
	asJSON := set.Bool("json", false, "")
	if err := parse(set, args); err != nil {
		return err
	}
	if set.NArg() == 0 {
		return usageError("lookup needs a name, an address or a fingerprint")
	}
	cat, err := c.open(*file, Input{})
	if err != nil {
		return err
	}
	defer func() { _ = cat.Close() }() // read-only: nothing is lost
	print := c.printText
	if *asJSON {
		print = c.printJSON
	}
	missing := false
	for _, arg := range set.Args() {
		m, ok := cat.lookup(arg)
		missing = missing || !ok
		if err := print(cat, arg, m); err != nil {
			return err
		}
	}
	if missing {
		return errNotFound
	}
	return nil
}
