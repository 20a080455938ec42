package main

import (
	"cmp"
	"flag"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"weir/shm/ringctl/advice"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "lag", help: "readers by lag, and when they will be lapped or the ring will be full",
		flags: func(fs *flag.FlagSet) func(*env) error {
			w := fs.Duration("w", 500*time.Millisecond, "measure rates that long; 0 = do not")
			return func(e *env) error { return e.lag(*w) }
		},
	})
}

// lagJSON is a line of lag -json. Seconds is until the ring is full for this reader
// (packet ring) or it is lapped (event ring) at present rates; null: never.
type lagJSON struct {
	Reader    string   `json:"reader"`
	Cursor    string   `json:"cursor"`
	Ring      string   `json:"ring"`
	Unit      string   `json:"unit"`
	Lag       uint64   `json:"lag"`
	Size      uint64   `json:"size"`
	Fill      float64  `json:"fill"`
	Published float64  `json:"published_per_s"`
	Read      float64  `json:"read_per_s"`
	Lapped    bool     `json:"lapped"`
	Seconds   *float64 `json:"seconds_left"`
}

func (e *env) lag(span time.Duration) error {
	was, now, err := e.looks(span)
	if err != nil {
		return err
	}
	rows := lags(was, now)
	if e.json {
		for _, r := range rows {
			if err := e.object(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "READER\tRING\tLAG\tFULL\tPUBLISHED\tREAD\tFULL OR LAPPED")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s of %s\t%s\t%s/s\t%s/s\t%s\n", r.Reader, r.Ring, amount(r.Lag, r.Unit), amount(r.Size, r.Unit),
			advice.Percent(r.Fill), amount(uint64(r.Published), r.Unit), amount(uint64(r.Read), r.Unit), r.left())
	}
	return t.Flush()
}

// lags lists all readers, those that have least room left first.
func lags(was, now *look.Instance) (rows []lagJSON) {
	for _, r := range now.Rings {
		c := r.Since(was, now)
		for _, rd := range r.Readers {
			if rd.Err != nil && !rd.Missing() || rd.Foreign {
				continue
			}
			row := lagJSON{
				Reader: rd.Name, Cursor: rd.Cursor, Ring: r.Name, Unit: r.Unit(), Lag: rd.Lag, Size: r.Size, Fill: r.FillOf(rd),
				Published: c.PerSecond(c.Tail), Read: c.PerSecond(c.Readers[rd.Cursor].Position), Lapped: rd.Lapped,
			}
			if grows := row.Published - row.Read; grows > 0 && !row.Lapped {
				left := float64(r.Size-rd.Lag) / grows
				row.Seconds = &left
			}
			rows = append(rows, row)
		}
	}
	slices.SortStableFunc(rows, func(a, b lagJSON) int { return cmp.Compare(b.Fill, a.Fill) })
	return rows
}

func (r *lagJSON) left() string {
	switch {
	case r.Lapped:
		return "lapped"
	case r.Seconds == nil:
		return "-"
	case *r.Seconds > 86400:
		return "in more than a day"
	}
	return "in " + time.Duration(*r.Seconds*float64(time.Second)).Round(time.Second/10).String()
}
