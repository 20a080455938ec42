package rule

import (
	"bytes"
	"unicode/utf8"
)

// cursor walks the text of a TOML file, counting lines and columns.
type cursor struct {
	text []byte
	pos  int
	at   Place // of text[pos]
}

// next steps over one character.
func (c *cursor) next() bool {
	if c.pos >= len(c.text) {
		return false
	}
	r, n := utf8.DecodeRune(c.text[c.pos:])
	c.pos += n
	if r == '\n' {
		c.at = Place{c.at.Line + 1, 1}
	} else {
		c.at.Column++
	}
	return true
}

func (c *cursor) rest() []byte { return c.text[c.pos:] }

func (c *cursor) skip(n int) {
	for ; n > 0 && c.next(); n-- {
	}
}

func (c *cursor) blanks() {
	for c.pos < len(c.text) && (c.text[c.pos] == ' ' || c.text[c.pos] == '\t') {
		c.next()
	}
}

// findKey goes to the value of key in the table that begins at the cursor: to the
// character after its opening quote is seek's business.
func (c *cursor) findKey(key string) bool {
	for first := true; c.pos < len(c.text); first = false {
		c.blanks()
		if !first && bytes.HasPrefix(c.rest(), []byte("[")) && !bytes.HasPrefix(c.rest(), []byte("[[rule.")) {
			return false // the next table
		}
		if c.key(key) {
			return true
		}
		if !c.endOfLine() {
			return false
		}
	}
	return false
}

// key steps over "key =" and reports whether it stood there.
func (c *cursor) key(key string) bool {
	save := *c
	for _, k := range []string{key, `"` + key + `"`, `'` + key + `'`} {
		if bytes.HasPrefix(c.rest(), []byte(k)) {
			c.skip(len(k))
			c.blanks()
			if bytes.HasPrefix(c.rest(), []byte("=")) {
				c.skip(1)
				c.blanks()
				return true
			}
		}
		*c = save
	}
	return false
}

// endOfLine goes behind the line, or behind the multi-line string it begins.
func (c *cursor) endOfLine() bool {
	for c.pos < len(c.text) {
		r := c.rest()
		for _, q := range []string{`"""`, `'''`} {
			if bytes.HasPrefix(r, []byte(q)) {
				c.skip(3)
				for c.pos < len(c.text) && !bytes.HasPrefix(c.rest(), []byte(q)) {
					c.next()
				}
				c.skip(3)
				r = c.rest()
			}
		}
		if len(r) == 0 {
			return false
		}
		line := c.at.Line
		c.next()
		if c.at.Line != line {
			return true
		}
	}
	return false
}

// seek reads the string at the cursor and returns where its character want stands.
func (c *cursor) seek(want Place) (Place, bool) {
	quote := c.open()
	if quote == "" {
		return Place{}, false
	}
	at := Place{1, 1}
	for !bytes.HasPrefix(c.rest(), []byte(quote)) {
		if at == want {
			return c.at, true
		}
		newline, ok := c.char(quote[0] == '"')
		if !ok {
			return Place{}, false
		}
		if newline {
			at = Place{at.Line + 1, 1}
		} else {
			at.Column++
		}
	}
	// An error may stand behind the last character: "something is missing here".
	return c.at, at == want
}

// open steps over the opening quote and returns what closes it.
func (c *cursor) open() string {
	for _, q := range []string{`"""`, `'''`, `"`, `'`} {
		if bytes.HasPrefix(c.rest(), []byte(q)) {
			c.skip(len(q))
			if len(q) == 3 && bytes.HasPrefix(c.rest(), []byte("\r\n")) {
				c.skip(2)
			} else if len(q) == 3 && bytes.HasPrefix(c.rest(), []byte("\n")) {
				c.skip(1)
			}
			return q
		}
	}
	return ""
}

// char steps over what stands for one character of the string's value.
func (c *cursor) char(escapes bool) (newline, ok bool) {
	if c.pos >= len(c.text) {
		return false, false
	}
	switch b := c.text[c.pos]; {
	case !escapes || b != '\\':
		c.next()
		return b == '\n', true
	}
	c.next()
	if c.pos >= len(c.text) {
		return false, false
	}
	b := c.text[c.pos]
	c.next()
	switch b {
	case 'u':
		c.skip(4)
	case 'U':
		c.skip(8)
	case '\n', ' ', '\t', '\r': // a line continued: all white space goes
		for c.pos < len(c.text) && bytes.IndexByte([]byte(" \t\r\n"), c.text[c.pos]) >= 0 {
			c.next()
		}
		if c.pos >= len(c.text) {
			return false, false
		}
		return c.char(escapes)
	case 'n':
		return true, true
	}
	return false, true
}
