package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is one line of the table. Values are costs, smaller is better; ratio says how
// many times cheaper than the reference we are, or, with atMost, how many times
// dearer.
type row struct {
	what, unit     string
	value          float64
	reference      string
	referenceValue float64
	ratio, want    float64 // want 0: no target
	atMost         bool    // ratio is value / reference, and want its upper limit
	note           string
	mix            bool // measured on a mix: void below the agreement that a release must reach
}

// measured reports whether there are numbers.
func (r *row) measured() bool { return r.ratio != 0 }

// verdict holds the row against its target. void says that what was classified on
// the mixes is not good enough, or not known.
func (r *row) verdict(void bool) string {
	switch {
	case !r.measured():
		return "not measured"
	case r.mix && void:
		return "void"
	case r.want == 0:
		return "-"
	case r.atMost == (r.ratio <= r.want) || r.ratio == r.want:
		return "pass"
	}
	return "short"
}

func (r *row) target() string {
	switch {
	case r.want == 0:
		return "-"
	case r.atMost:
		return fmt.Sprintf("<= %.4gx", r.want)
	}
	return fmt.Sprintf(">= %.4gx", r.want)
}

// print writes the table, and below it what the rows have to say.
func (b *bench) print(out io.Writer) {
	fmt.Fprintf(out, "%s, %s/%s, %d CPUs; medians of %d interleaved pairs\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), b.pairs)
	if b.quick {
		fmt.Fprint(out, "short run: shows that each row can be measured; what it measures is not held against targets\n\n")
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tVALUE\tREFERENCE\tVALUE\tRATIO\tTARGET\t")
	for _, r := range b.rows {
		if b.quick {
			r.want = 0
		}
		if !r.measured() {
			fmt.Fprintf(w, "%s\t-\t%s\t-\t-\t%s\t%s\n", r.what, r.reference, r.target(), r.verdict(b.void))
			continue
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s %s\t%.2fx\t%s\t%s\n", r.what, number(r.value), r.unit,
			r.reference, number(r.referenceValue), r.unit, r.ratio, r.target(), r.verdict(b.void))
	}
	_ = w.Flush() // standard output
	fmt.Fprintln(out)
	for _, r := range b.rows {
		if r.note != "" {
			fmt.Fprintf(out, "%s: %s\n", r.what, r.note)
		}
	}
	if b.agreement != "" {
		fmt.Fprintf(out, "\n%s\n", b.agreement)
	}
	if b.void {
		fmt.Fprintln(out, "VOID: rows on mixes do not count without the agreement that a release must reach")
	}
}

// number writes three significant digits.
func number(v float64) string {
	s := fmt.Sprintf("%.3g", v)
	if strings.Contains(s, "e") {
		return fmt.Sprintf("%.0f", v)
	}
	return s
}

// compare measures ours and the reference in turn, who begins changing from pair to
// pair, and fills the row: medians of the values, and the median of the ratios of
// the pairs, which a drift of the machine's speed does not move.
func (b *bench) compare(r row, ours, reference func() (float64, error)) error {
	var us, them, ratios []float64
	for i := range b.pairs {
		var u, t float64
		steps := []func() error{
			func() (err error) { u, err = ours(); return err },
			func() (err error) { t, err = reference(); return err },
		}
		for k := range steps {
			if err := steps[(k+i)%2](); err != nil {
				return fmt.Errorf("%s: %w", r.what, err)
			}
			if err := b.ctx.Err(); err != nil {
				return err
			}
		}
		us, them = append(us, u), append(them, t)
		if r.atMost {
			ratios = append(ratios, u/t)
		} else {
			ratios = append(ratios, t/u)
		}
	}
	r.value, r.referenceValue, r.ratio = median(us), median(them), median(ratios)
	b.rows = append(b.rows, r)
	return nil
}

// last is the row that was added last.
func (b *bench) last() *row { return &b.rows[len(b.rows)-1] }

// median returns the middle of v, 0 of nothing.
func median[T cmp.Ordered](v []T) (m T) {
	if len(v) == 0 {
		return m
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
