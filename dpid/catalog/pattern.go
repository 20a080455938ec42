package catalog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"regexp/syntax"
	"sync"

	"weir/dpid/catalog/internal/format"
)

// pattern is a keyword or a regular expression of a user list.
type pattern struct {
	text    string
	value   uint32
	need    []byte         // text without which re cannot match
	re      *regexp.Regexp // nil for a keyword, which is need
	anyName bool           // need is empty
}

// loadPatterns compiles the patterns.
func (c *Catalog) loadPatterns(sec []byte) error {
	n := len(sec) / format.PatternSize
	if n > format.MaxPatterns {
		return fmt.Errorf("%w: %d patterns", ErrCorrupt, n)
	}
	le := binary.LittleEndian
	c.patterns = make([]pattern, n)
	for i := range c.patterns {
		r := sec[i*format.PatternSize:][:format.PatternSize]
		text, err := c.str(le.Uint32(r[4:]), le.Uint32(r[8:]))
		if err != nil {
			return err
		}
		p := pattern{text: text, value: le.Uint32(r)}
		if r[12] == 0 {
			p.need = []byte(text)
		} else if p.re, p.need, err = compilePattern(text); err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		p.anyName = len(p.need) == 0
		c.patterns[i] = p
	}
	return nil
}

// pattern returns the first pattern that matches a name in lower case.
func (c *Catalog) pattern(name []byte) (uint32, Kind, uint32) {
	for i := range c.patterns {
		p := &c.patterns[i]
		if !p.anyName && !bytes.Contains(name, p.need) {
			continue
		}
		if p.re == nil {
			return uint32(i), KindKeyword, p.value
		}
		if matches(p.re, name) {
			return uint32(i), KindRegexp, p.value
		}
	}
	return 0, KindNone, 0
}

// scratch holds names for regexp, to which the compiler believes that they
// escape: without it every name in upper case would cost an allocation.
var scratch = sync.Pool{New: func() any { return new([maxName]byte) }}

func matches(re *regexp.Regexp, name []byte) bool {
	buf := scratch.Get().(*[maxName]byte)
	ok := re.Match(buf[:copy(buf[:], name)])
	scratch.Put(buf)
	return ok
}

// compilePattern compiles a regular expression and finds the longest text
// that every match of it contains: looking for that first makes the misses,
// nearly all look-ups, about thirty times cheaper.
func compilePattern(text string) (*regexp.Regexp, []byte, error) {
	if len(text) > format.MaxPatternLen {
		return nil, nil, fmt.Errorf("regular expression of %d bytes, longest is %d", len(text), format.MaxPatternLen)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, nil, err
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, nil, err
	}
	return re, literal(tree), nil
}

// literal is the longest literal that any match of tree must contain.
func literal(tree *syntax.Regexp) []byte {
	switch tree.Op {
	case syntax.OpLiteral:
		if tree.Flags&syntax.FoldCase != 0 {
			return nil
		}
		return []byte(string(tree.Rune))
	case syntax.OpCapture, syntax.OpPlus:
		return literal(tree.Sub[0])
	case syntax.OpConcat:
		var best []byte
		for _, s := range tree.Sub {
			if l := literal(s); len(l) > len(best) {
				best = l
			}
		}
		return best
	}
	return nil
}
