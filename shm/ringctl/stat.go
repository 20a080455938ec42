package main

import (
	"flag"
	"fmt"
	"text/tabwriter"
	"time"

	"weir/shm/ringctl/advice"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "stat", help: "rates of every ring, again and again",
		flags: func(fs *flag.FlagSet) func(*env) error {
			w := fs.Duration("w", time.Second, "time between two lines")
			n := fs.Int("n", 0, "stop after that many; 0 = when interrupted")
			return func(e *env) error { return e.stat(*w, *n) }
		},
	})
}

// rateJSON is a line of stat -json. Rates are per second.
type rateJSON struct {
	Time      string  `json:"time"`
	Ring      string  `json:"ring"`
	Seconds   float64 `json:"seconds"`
	Records   float64 `json:"records_per_s"`
	Bytes     float64 `json:"bytes_per_s"`
	Batch     float64 `json:"records_per_batch"`
	Dropped   float64 `json:"dropped_per_s"` // packets, or events shed
	Wakes     float64 `json:"wakes_per_s"`
	Slowest   string  `json:"slowest"`
	Lag       uint64  `json:"lag"`
	Unit      string  `json:"unit"`
	Fill      float64 `json:"fill"`
	Overruns  uint64  `json:"overruns"` // of all readers, in this time
	Lost      uint64  `json:"lost"`
	Corrupt   uint64  `json:"corrupt"`
	ReadPerS  float64 `json:"read_per_s"` // of the slowest, in unit
	SleepPerS float64 `json:"sleeps_per_s"`
}

func (e *env) stat(span time.Duration, times int) error {
	if span <= 0 {
		return usageError(fmt.Sprintf("stat -w %s: must be more than 0", span))
	}
	was, err := e.look()
	if err != nil {
		return err
	}
	for i := 0; times <= 0 || i < times; i++ {
		if !e.pause(span) {
			return nil
		}
		now, err := e.look()
		if err != nil {
			return err
		}
		if err := e.rates(was, now); err != nil {
			return err
		}
		if err := e.out.Flush(); err != nil {
			return err
		}
		was = now
	}
	return nil
}

func (e *env) rates(was, now *look.Instance) error {
	stamp := time.Now().Format(time.RFC3339)
	t := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	if !e.json {
		fmt.Fprintf(t, "%s\tREC/S\tB/S\tBATCH\tDROP/S\tWAKE/S\tOVERRUN\tLOST\tLAG\tFULL\tSLOWEST\t\n", stamp[11:19])
	}
	for _, r := range now.Rings {
		o := rateOf(was, now, r)
		o.Time = stamp
		if e.json {
			if err := e.object(o); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t\n", r.Name, advice.Count(uint64(o.Records)),
			advice.Bytes(uint64(o.Bytes)), o.Batch, advice.Count(uint64(o.Dropped)), advice.Count(uint64(o.Wakes)),
			o.Overruns, o.Lost, amount(o.Lag, o.Unit), advice.Percent(o.Fill), o.Slowest)
	}
	return t.Flush()
}

func rateOf(was, now *look.Instance, r *look.Ring) rateJSON {
	c := r.Since(was, now)
	o := rateJSON{
		Ring: r.Name, Seconds: c.Span.Seconds(), Records: c.PerSecond(c.Records), Bytes: c.PerSecond(c.Bytes),
		Dropped: c.PerSecond(c.Dropped + c.Shed), Wakes: c.PerSecond(c.Wakes), Slowest: "-", Unit: r.Unit(), Fill: r.Fill(),
	}
	if c.Batches > 0 {
		o.Batch = float64(c.Records) / float64(c.Batches)
	}
	for i, rd := range r.Readers {
		m := c.Readers[rd.Cursor]
		o.Overruns, o.Lost, o.Corrupt = o.Overruns+m.Overruns, o.Lost+m.Lost, o.Corrupt+m.Corrupt
		if i == 0 || rd.Lag > o.Lag {
			o.Slowest, o.Lag = rd.Name, rd.Lag
			o.ReadPerS, o.SleepPerS = c.PerSecond(m.Position), c.PerSecond(m.Sleeps)
		}
	}
	return o
}
