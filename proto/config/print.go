package config

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Print writes the configuration as TOML that Parse reads back unchanged,
// each key below a line that says what it is.
func (c *Config) Print(w io.Writer) error {
	p := &printer{w: bufio.NewWriter(w)}
	for _, f := range c.fields() {
		f.print(p, f.key)
	}
	return p.w.Flush()
}

type printer struct {
	w *bufio.Writer
}

func (p *printer) table(key, doc string, fields []field) {
	fmt.Fprintf(p.w, "# %s\n[%s]\n", doc, key)
	p.fields(key, fields, true)
}

// element writes one table of an array, without the comments that would repeat
// with each.
func (p *printer) element(key string, fields []field) {
	fmt.Fprintf(p.w, "[[%s]]\n", key)
	p.fields(key, fields, false)
}

// fields writes values first: what follows a table header belongs to it.
func (p *printer) fields(key string, fields []field, doc bool) {
	for _, f := range fields {
		if f.print != nil {
			continue
		}
		if doc {
			fmt.Fprintf(p.w, "# %s\n", f.doc)
		}
		fmt.Fprintf(p.w, "%s = %s\n", f.key, f.get())
	}
	p.w.WriteByte('\n')
	for _, f := range fields {
		if f.print != nil {
			f.print(p, dotted(key, f.key))
		}
	}
}

// quote writes a TOML basic string. strconv.Quote would use escapes that TOML
// does not know.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
