package catalog

import (
	"fmt"
	"net/netip"
	"strings"
)

// lookup takes text for an address, a fingerprint or a host name, in that
// order: none of them can be mistaken for another.
func (c *Catalog) lookup(text string) (Match, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return c.Addr(a.As16())
	}
	if m, ok := c.JA4([]byte(text)); ok {
		return m, true
	}
	return c.Host([]byte(text))
}

// printText prints one line, aligned for the usual lengths.
func (c command) printText(cat *Catalog, arg string, m Match) error {
	if m.Kind == KindNone {
		_, err := fmt.Fprintf(c.stdout, "%-32s unknown\n", arg)
		return err
	}
	name, _ := cat.App(m.App)
	if name == "" {
		name = "-"
	}
	_, err := fmt.Fprintf(c.stdout, "%-32s %-24s %-16s %s %s%s\n", arg, name, cat.Category(m.Category),
		m.Kind, cat.AppendEntry(nil, m), listText(cat.listNames(m.Lists)))
	return err
}

func listText(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " (lists: " + strings.Join(names, ", ") + ")"
}

func (c *Catalog) listNames(set ListSet) []string {
	var names []string
	for i, l := range c.lists {
		if set>>i&1 != 0 {
			names = append(names, l.name)
		}
	}
	return names
}

// printJSON prints one object a line. It is written by hand so that the
// workers' binary has no JSON encoder on account of a command.
func (c command) printJSON(cat *Catalog, arg string, m Match) error {
	name, _ := cat.App(m.App)
	var b strings.Builder
	fmt.Fprintf(&b, `{"query":%s,"found":%t`, quote(arg), m.Kind != KindNone)
	if m.Kind != KindNone {
		fmt.Fprintf(&b, `,"application":%s,"application_id":%d,"category":%s,"category_id":%d,"kind":%s,"entry":%s,"lists":[`,
			quote(name), m.App, quote(cat.Category(m.Category)), m.Category, quote(m.Kind.String()), quote(string(cat.AppendEntry(nil, m))))
		for i, l := range cat.listNames(m.Lists) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quote(l))
		}
		b.WriteByte(']')
	}
	b.WriteString("}\n")
	_, err := fmt.Fprint(c.stdout, b.String())
	return err
}

// quote is s as a JSON string, RFC 8259 section 7.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s { // what is not UTF-8 becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
