package source

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"weir/dpid/catalog/internal/format"
)

// Sink takes the entries of a list.
type Sink interface {
	// Domain takes a checked name; without exact it stands for all below too.
	Domain(name string, exact bool) error

	// Network takes an address or range that stood among the names.
	Network(p netip.Prefix)

	// Pattern takes a keyword or a regular expression that compiles.
	Pattern(text string, isRegexp bool)
}

// Bounds of lists: what a mistaken or hostile list could cost the compiler.
const (
	maxListLine = 4096
	maxInclude  = 16    // files inside each other
	maxFiles    = 10000 // of one list, includes counted as often as they are read
)

// ReadList reads a list in the community format: one entry a line,
//
//	domain:NAME or NAME   the name and all below it
//	full:NAME             the name alone
//	keyword:TEXT          names that contain the text
//	regexp:EXPRESSION     names that match
//	include:FILE          the entries of another file in the same folder
//
// each with attributes "@x" behind, and comments from '#'. An include takes
// only the entries with all the attributes that stand behind it, and without
// those that stand there as "@-x"; attrs does the same for the whole list.
// Addresses and CIDR ranges are taken as networks.
func ReadList(path string, attrs []string, sink Sink, ps *Problems) {
	l := &listReader{sink: sink, ps: ps}
	l.file(path, Place{File: path}, [][]string{attrs})
}

type listReader struct {
	sink  Sink
	ps    *Problems
	open  []string // files being read, the outer first
	files int
}

// file reads one file. Only entries that pass every one of the filters count.
func (l *listReader) file(path string, from Place, filters [][]string) {
	switch {
	case slices.Contains(l.open, path):
		l.ps.Errorf(from, "include of %s goes in a circle", filepath.Base(path))
		return
	case len(l.open) == maxInclude:
		l.ps.Errorf(from, "includes go more than %d deep", maxInclude)
		return
	case l.files == maxFiles:
		l.ps.Errorf(from, "more than %d includes", maxFiles)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the place says which file
		}
		l.ps.Errorf(from, "open %s: %v", filepath.Base(path), err)
		return
	}
	defer func() { _ = f.Close() }()
	l.files++
	l.open = append(l.open, path)
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, maxListLine), maxListLine)
	at := Place{File: path}
	for sc.Scan() {
		at.Line++
		if err := l.line(sc.Text(), at, filters); err != nil {
			l.ps.Errorf(at, "%v", err)
		}
	}
	if err := sc.Err(); err != nil {
		at.Line++
		l.ps.Errorf(at, "%v", err)
	}
	l.open = l.open[:len(l.open)-1]
}

// line reads one line.
func (l *listReader) line(line string, at Place, filters [][]string) error {
	// A regular expression may hold a '#', a comment follows white space.
	if i := strings.IndexByte(line, '#'); i >= 0 && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
		line = line[:i]
	}
	entry, rest := strings.TrimSpace(line), ""
	if i := strings.IndexAny(entry, " \t"); i >= 0 {
		entry, rest = entry[:i], entry[i:]
	}
	if entry == "" {
		return nil
	}
	var attrs []string
	for _, a := range strings.Fields(rest) {
		switch {
		case len(a) > 1 && a[0] == '@':
			attrs = append(attrs, a[1:])
		case len(a) > 1 && a[0] == '&': // membership of another list: not ours to follow
		default:
			return fmt.Errorf("%q behind %s; want @attribute", a, entry)
		}
	}
	if file, ok := strings.CutPrefix(entry, "include:"); ok {
		if file == "" || file != filepath.Base(file) {
			return fmt.Errorf("include %q; want the name of a file in the same folder", file)
		}
		deeper := filters
		if len(attrs) > 0 {
			deeper = append(slices.Clone(filters), attrs)
		}
		l.file(filepath.Join(filepath.Dir(at.File), file), at, deeper)
		return nil
	}
	for _, f := range filters {
		if !pass(f, attrs) {
			return nil
		}
	}
	return l.entry(entry)
}

// pass reports whether an entry with the attributes has all that are wanted
// and none of those wanted away with "-".
func pass(want, attrs []string) bool {
	for _, w := range want {
		if name, not := strings.CutPrefix(w, "-"); slices.Contains(attrs, name) == not {
			return false
		}
	}
	return true
}

// entry takes one entry without its attributes.
func (l *listReader) entry(entry string) error {
	kind, text, ok := strings.Cut(entry, ":")
	if !ok || strings.Contains(text, ":") && kind != "regexp" && kind != "keyword" {
		kind, text = "domain", entry // a name, or an IPv6 address
	}
	switch kind {
	case "regexp":
		if len(text) == 0 || len(text) > format.MaxPatternLen {
			return fmt.Errorf("regular expression must have 1 to %d characters", format.MaxPatternLen)
		}
		if _, err := regexp.Compile(text); err != nil {
			return err
		}
		l.sink.Pattern(text, true)
		return nil
	case "keyword":
		// Shorter ones hit names at random.
		if len(text) < 3 || len(text) > 253 {
			return errors.New("keyword must have 3 to 253 characters")
		}
		l.sink.Pattern(strings.ToLower(text), false)
		return nil
	case "domain", "full":
	default:
		return fmt.Errorf("unknown kind %q; want domain, full, keyword, regexp or include", kind)
	}
	if c := text[len(text)-min(1, len(text)):]; c != "" && (c[0] >= '0' && c[0] <= '9' || strings.ContainsAny(text, ":/")) {
		if p, err := parsePrefix(text); err == nil {
			l.sink.Network(p)
			return nil
		}
	}
	text = strings.TrimSuffix(strings.ToLower(text), ".")
	if err := CheckName(text); err != nil {
		return fmt.Errorf("domain %q: %w", text, err)
	}
	return l.sink.Domain(text, kind == "full")
}
