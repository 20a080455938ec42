// Command bench measures Weir against named references on the same machine in the
// same run, and prints one table. "make bench" runs it; docs/bench.md says what each
// row is.
//
// It is not a test: a number that falls short is printed, never an error, because a
// machine that is busy with something else would fail it. What cannot be measured,
// because a program or the captures are missing, is a row that says so.
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

var le = binary.LittleEndian

// suite is one group of rows. Its rows are measured together, so that a reference
// and what is held against it share their minute.
type suite struct {
	name string
	run  func(*bench) error
}

var suites = []suite{
	{"ring", benchRing},
	{"hand-over", benchHandOver},
	{"capd", benchCapture},
	{"flow", benchFlows},
	{"memory", benchFootprint},
	{"gc", benchCollector},
	{"final", benchFinal},
	{"event", benchEvent},
	{"catalog", benchCatalog},
	{"new", benchNewFlows},
	{"dpid", benchMemory},
	{"pipeline", benchPipeline},
	{"set", benchSetMemory},
	{"inline", benchInline},
	{"live", benchLive},
	{"agreement", benchAgreement},
}

// bench is one run: where things are, how long to measure, and the rows so far.
type bench struct {
	ctx       context.Context
	root      string // top folder of the checkout
	cache     string // what is kept from run to run: mixes, references in C
	bin       string // the programs
	corpus    string // captures for the mixes, "" without
	pairs     int    // of each row
	quick     bool
	only      *regexp.Regexp
	rows      []row
	agreement string // of what was classified, in words
	void      bool   // it is too low, or was not measured in this run
	skips     string // file for rows that cannot be measured here
}

func main() {
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", os.Args[1], err)
			os.Exit(1)
		}
		return
	}
	runtime.LockOSThread() // some times are those of one thread
	b := &bench{void: true}
	var only string
	flag.BoolVar(&b.quick, "quick", false, "everything once and small: that it works, not how fast")
	flag.IntVar(&b.pairs, "pairs", 5, "measurements of each row and of its reference, in turn")
	flag.StringVar(&only, "run", ".", "suites whose name matches this `regexp`: "+suiteNames())
	flag.StringVar(&b.corpus, "corpus", os.Getenv("WEIR_CORPUS"), "`folder` with the captures of the mixes in ndpi/pcap")
	flag.StringVar(&b.bin, "bin", os.Getenv("WEIR_BIN"), "`folder` with the programs (default: build them)")
	flag.StringVar(&b.cache, "cache", "", "`folder` for mixes and references in C (default: bench in the checkout)")
	flag.StringVar(&b.skips, "skips", "", "append rows that cannot be measured here to `FILE`")
	flag.Parse()
	if err := b.prepare(only); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b.ctx = ctx
	status := 0
	for _, s := range suites {
		if !b.only.MatchString(s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s ...\n", s.name)
		if err := s.run(b); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", s.name, err)
			status = 1
		}
		if ctx.Err() != nil {
			os.Exit(1)
		}
	}
	if b.quick {
		b.void = false // says nothing of speed
	}
	b.print(os.Stdout)
	if err := b.tellSkips(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

func suiteNames() string {
	var names []string
	for _, s := range suites {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// prepare finds the folders and builds the programs where that is needed.
func (b *bench) prepare(only string) (err error) {
	if b.only, err = regexp.Compile(only); err != nil {
		return err
	}
	_, file, _, _ := runtime.Caller(0)
	b.root = filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if b.bin, err = absolute(b.bin); err != nil {
		return err
	}
	if b.cache == "" {
		b.cache = filepath.Join(b.root, "bench")
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return err
	}
	if b.corpus == "" {
		b.corpus = filepath.Join(b.root, "..", "shared", "corpus")
	}
	if _, err := os.Stat(b.captures()); err != nil {
		b.corpus = ""
	}
	if b.quick {
		b.pairs = 1
	}
	return b.programs()
}

// captures is the folder of the captures that the mixes are made of.
func (b *bench) captures() string { return filepath.Join(b.corpus, "ndpi", "pcap") }

// absolute is filepath.Abs that leaves the empty path alone.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}
