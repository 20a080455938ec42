package config

import (
	"fmt"
	"strconv"
	"strings"
)

// The TOML module reports where a syntax error is, but not where a valid key
// is. A scanner of our own finds the lines, so that "unknown key" and "must be
// below 64" can say where. It runs before the parser and refuses what would make
// the parser recurse without bound.

const (
	maxDepth = 32 // of nested arrays, tables and dotted keys
	pathSep  = "\x00"
)

// index is a path element that stands for element i of an array.
func index(i int) string { return "#" + strconv.Itoa(i) }

// lines maps the path of each key and array element to its line.
type lines map[string]int

// at returns the line of path or of its closest known ancestor.
func (l lines) at(path string) int {
	for path != "" {
		if n := l[path]; n != 0 {
			return n
		}
		path = path[:max(strings.LastIndex(path, pathSep), 0)]
	}
	return 0
}

type scanner struct {
	s     string
	pos   int
	line  int
	depth int
	found lines
	count map[string]int // elements so far of each array of tables
}

// scanLines walks text, which need not be valid TOML. The only error is
// nesting beyond maxDepth.
func scanLines(text string) (lines, error) {
	sc := &scanner{s: text, line: 1, found: lines{}, count: map[string]int{}}
	table := ""
	for {
		sc.skip(" \t\r\n")
		if sc.pos == len(sc.s) {
			return sc.found, nil
		}
		if sc.s[sc.pos] == '[' {
			table = sc.header()
		} else {
			sc.keyValue(table)
			sc.toLineEnd()
		}
		if sc.depth > maxDepth {
			return nil, fmt.Errorf("line %d: nested deeper than %d", sc.line, maxDepth)
		}
	}
}

// skip passes over the bytes in set, and over comments where set has newlines.
func (sc *scanner) skip(set string) {
	for sc.pos < len(sc.s) {
		c := sc.s[sc.pos]
		switch {
		case c == '#' && strings.Contains(set, "\n"):
			sc.toLineEnd()
			continue
		case strings.IndexByte(set, c) < 0:
			return
		case c == '\n':
			sc.line++
		}
		sc.pos++
	}
}

func (sc *scanner) toLineEnd() {
	if n := strings.IndexByte(sc.s[sc.pos:], '\n'); n >= 0 {
		sc.pos += n
	} else {
		sc.pos = len(sc.s)
	}
}

// next reports whether c is next, and passes over it.
func (sc *scanner) next(c byte) bool {
	if sc.pos < len(sc.s) && sc.s[sc.pos] == c {
		sc.pos++
		return true
	}
	return false
}

// header reads [a.b] or [[a.b]] and returns the path of the table it opens.
func (sc *scanner) header() string {
	sc.pos++
	array := sc.next('[')
	keys := sc.key()
	path := ""
	for i, k := range keys {
		path = join(path, k)
		sc.mark(path)
		last := i == len(keys)-1
		if last && array {
			sc.count[path]++
		}
		if last && !array {
			break
		}
		if n := sc.count[path]; n > 0 {
			path = join(path, index(n-1))
		}
	}
	sc.mark(path)
	sc.toLineEnd()
	return path
}

// key reads a dotted key. Escapes in quoted keys are kept as they are: such a
// key is reported at the line of its table.
func (sc *scanner) key() []string {
	var keys []string
	for {
		sc.skip(" \t")
		start := sc.pos
		switch {
		case sc.next('"'):
			sc.quoted('"', `"`)
		case sc.next('\''):
			sc.quoted('\'', `'`)
		default:
			for sc.pos < len(sc.s) && strings.IndexByte(" \t\r\n.=]}#,", sc.s[sc.pos]) < 0 {
				sc.pos++
			}
		}
		keys = append(keys, strings.Trim(sc.s[start:sc.pos], `"'`))
		if len(keys) > maxDepth {
			sc.depth = len(keys)
			return keys
		}
		sc.skip(" \t")
		if !sc.next('.') {
			return keys
		}
	}
}

func (sc *scanner) keyValue(table string) {
	path := table
	for _, k := range sc.key() {
		path = join(path, k)
		sc.mark(path)
	}
	sc.skip(" \t")
	if sc.next('=') {
		sc.skip(" \t")
		sc.value(path)
	}
}

// value passes over one value and marks the elements of arrays.
func (sc *scanner) value(path string) {
	if sc.pos == len(sc.s) || sc.depth > maxDepth {
		return
	}
	switch c := sc.s[sc.pos]; c {
	case '[':
		sc.pos++
		sc.depth++
		for i := 0; sc.more(']'); i++ {
			elem := join(path, index(i))
			sc.mark(elem)
			sc.value(elem)
		}
		sc.leave()
	case '{':
		sc.pos++
		sc.depth++
		for sc.more('}') {
			sc.keyValue(path)
		}
		sc.leave()
	case '"', '\'':
		sc.pos++
		if long := strings.Repeat(string(c), 3); strings.HasPrefix(sc.s[sc.pos-1:], long) {
			sc.pos += 2
			sc.quoted(c, long)
			for sc.next(c) { // up to two quotes may stand before the closing ones
			}
			return
		}
		sc.quoted(c, string(c))
	default:
		for sc.pos < len(sc.s) && strings.IndexByte(",]}\r\n#", sc.s[sc.pos]) < 0 {
			sc.pos++
		}
	}
}

// leave closes a level, unless the limit was passed: then depth stays as a sign.
func (sc *scanner) leave() {
	if sc.depth <= maxDepth {
		sc.depth--
	}
}

// more passes over separators and reports whether another element follows; it
// always makes progress, also on text that is not TOML.
func (sc *scanner) more(end byte) bool {
	sc.skip(" \t\r\n,")
	if sc.depth > maxDepth || sc.pos == len(sc.s) || sc.next(end) {
		return false
	}
	if c := sc.s[sc.pos]; c == ']' || c == '}' || c == '=' {
		sc.pos = len(sc.s) // not TOML; the parser says so
		return false
	}
	return true
}

// quoted passes over a string up to and including its closing quotes.
func (sc *scanner) quoted(quote byte, end string) {
	for sc.pos < len(sc.s) {
		switch {
		case strings.HasPrefix(sc.s[sc.pos:], end):
			sc.pos += len(end)
			return
		case quote == '"' && sc.s[sc.pos] == '\\':
			sc.pos++ // the escaped byte is passed below
		case len(end) == 1 && sc.s[sc.pos] == '\n':
			return // not TOML; the parser says so
		}
		if sc.pos < len(sc.s) && sc.s[sc.pos] == '\n' {
			sc.line++
		}
		sc.pos = min(sc.pos+1, len(sc.s))
	}
}

func (sc *scanner) mark(path string) {
	if _, ok := sc.found[path]; !ok {
		sc.found[path] = sc.line
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + pathSep + key
}
