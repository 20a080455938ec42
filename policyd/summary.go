package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"weir/proto/event"
)

// row is a flow in the table.
type row struct {
	first                                 uint64
	client, server                        netip.AddrPort
	ipproto                               uint8
	protocol, application, host, evidence string
	bytes                                 uint64
}

// total is what flows of one application come to.
type total struct {
	flows, packets, bytes uint64
}

func newRow(f event.Flow) row {
	return row{
		first:  f.First(),
		client: netip.AddrPortFrom(f.ClientAddr(), f.ClientPort()), server: netip.AddrPortFrom(f.ServerAddr(), f.ServerPort()),
		ipproto: f.IPProto(), protocol: string(f.Protocol()), application: string(f.Application()),
		host: string(f.Host()), evidence: string(f.Evidence()), bytes: f.ClientBytes() + f.ServerBytes(),
	}
}

// maxTotals bounds the applications that are told apart: their names come from
// workers.
const maxTotals = 1 << 14

func (p *flowPrinter) count(f event.Flow) {
	name := string(f.Application())
	if p.totals[name] == nil && len(p.totals) >= maxTotals {
		name = "(others)"
	}
	t := p.totals[name]
	if t == nil {
		t = &total{}
		p.totals[name] = t
	}
	for _, t := range []*total{t, &p.sum} {
		t.flows++
		t.packets += f.ClientPackets() + f.ServerPackets()
		t.bytes += f.ClientBytes() + f.ServerBytes()
	}
}

// maxColumn cuts long names in the table; -json has them whole.
const maxColumn = 48

// summary writes the table of flows, by the time they began, and the totals.
func (p *flowPrinter) summary() {
	slices.SortFunc(p.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.first, b.first), a.client.Compare(b.client), a.server.Compare(b.server), cmp.Compare(a.ipproto, b.ipproto))
	})
	if !p.live {
		w := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
		fmt.Fprintln(w, strings.Join(columns[:], "\t"))
		for _, r := range p.rows {
			fmt.Fprintln(w, strings.Join(r.cells(), "\t"))
		}
		_ = w.Flush() // errors of p.out stick to it
	}
	writeTotals(p.out, p.totals, p.sum)
	if p.lost > 0 {
		fmt.Fprintf(p.out, "%d events were lost: the list is not complete\n", p.lost)
	}
}

var columns = [...]string{"CLIENT", "SERVER", "PROTOCOL", "APPLICATION", "HOST", "BYTES", "EVIDENCE"}

func (r *row) cells() []string {
	protocol := column(r.protocol)
	if r.protocol == "" {
		protocol = fmt.Sprintf("ip/%d", r.ipproto)
	}
	return []string{
		r.client.String(), r.server.String(), protocol,
		column(r.application), column(r.host), amount(r.bytes), column(r.evidence),
	}
}

// liveFormat gives columns widths that suit most: what comes is not known yet.
const liveFormat = "%-21s %-21s %-10s %-14s %-32s %9s %s\n"

func (p *flowPrinter) header() { p.liveRow(columns[:]) }

func (p *flowPrinter) liveRow(c []string) {
	fmt.Fprintf(p.out, liveFormat, c[0], c[1], c[2], c[3], c[4], c[5], c[6])
}

func writeTotals(out io.Writer, totals map[string]*total, sum total) {
	names := make([]string, 0, len(totals))
	for n := range totals {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(totals[b].bytes, totals[a].bytes), strings.Compare(a, b))
	})
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nAPPLICATION\tFLOWS\tPACKETS\tBYTES\tSHARE")
	line := func(name string, t total) {
		share := 0.0
		if sum.bytes > 0 {
			share = 100 * float64(t.bytes) / float64(sum.bytes)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%.1f %%\n", name, t.flows, t.packets, amount(t.bytes), share)
	}
	for _, n := range names {
		line(column(n), *totals[n])
	}
	line("all", sum)
	_ = w.Flush() // errors of out stick to it
}

// column makes a name from the wire fit for a terminal.
func column(s string) string {
	if s == "" {
		return "-"
	}
	s = printable(s)
	if r := []rune(s); len(r) > maxColumn {
		return string(r[:maxColumn-3]) + "..."
	}
	return s
}

// printable replaces what could steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// amount writes a number of bytes for people.
func amount(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	v, i := float64(n), 0
	for v >= 999.95 && i < len(units)-1 {
		v, i = v/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// progress is a line on a terminal that is written again and again.
type progress struct {
	w     io.Writer // nil: not a terminal
	next  time.Time
	shown bool
}

const progressEvery = 200 * time.Millisecond

func (p *progress) show(flows, bytes uint64) {
	if p.w == nil {
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next, p.shown = now.Add(progressEvery), true
	fmt.Fprintf(p.w, "\r\x1b[K%d flows, %s", flows, amount(bytes))
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
