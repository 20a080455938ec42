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
		name: "status", help: "where packets are stuck, in words",
		flags: func(fs *flag.FlagSet) func(*env) error {
			w := fs.Duration("w", 300*time.Millisecond, "watch that long before judging")
			return func(e *env) error { return e.status(*w) }
		},
	})
}

// findingJSON and stageJSON are lines of status -json.
type findingJSON struct {
	Kind  string `json:"kind"` // finding
	Level string `json:"level"`
	Who   string `json:"who"`
	Where string `json:"where"`
	What  string `json:"what"`
	Do    string `json:"do"`
}

type stageJSON struct {
	Kind   string  `json:"kind"` // stage
	Who    string  `json:"who"`
	State  string  `json:"state"`
	PID    int     `json:"pid"`
	Ring   string  `json:"ring"`
	Unread uint64  `json:"unread"`
	Size   uint64  `json:"size"`
	Unit   string  `json:"unit"`
	Fill   float64 `json:"fill"`
	Rate   float64 `json:"rate"`
}

type summaryJSON struct {
	Kind     string `json:"kind"` // summary
	Root     string `json:"root"`
	Stuck    bool   `json:"stuck"`
	Headline string `json:"headline"`
}

func (e *env) status(span time.Duration) error {
	was, now, err := e.looks(span)
	if err != nil {
		return err
	}
	report, stages := advice.Of(was, now), stagesOf(was, now)
	if !e.json {
		e.page(report, stages)
		return nil
	}
	for _, s := range stages {
		if err := e.object(s); err != nil {
			return err
		}
	}
	for _, f := range report.Findings {
		if err := e.object(findingJSON{"finding", f.Level.String(), f.Who, f.Where, f.What, f.Do}); err != nil {
			return err
		}
	}
	return e.object(summaryJSON{"summary", string(e.root), report.Stuck(), report.Headline})
}

// page is the answer for people: one sentence, what to do, everything else.
func (e *env) page(report *advice.Report, stages []stageJSON) {
	fmt.Fprintln(e.out, report.Headline)
	for i, f := range report.Findings {
		if i > 0 || f.Level <= advice.Wait { // the first one is the headline
			fmt.Fprintf(e.out, "%-6s %s %s\n", f.Level.String()+":", f.Who, f.What)
		}
		if f.Do != "" {
			fmt.Fprintf(e.out, "    do: %s\n", f.Do)
		}
	}
	if len(stages) == 0 {
		return
	}
	t := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\nSTAGE\tSTATE\tPID\tREADS\tUNREAD\tFULL\tRATE\n")
	for _, s := range stages {
		if s.Ring == "" {
			fmt.Fprintf(t, "%s\t%s\t%s\t-\t-\t-\t%s/s\n", s.Who, s.State, pid(s.PID), advice.Count(uint64(s.Rate)))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s of %s\t%s\t%s/s\n", s.Who, s.State, pid(s.PID), s.Ring,
			amount(s.Unread, s.Unit), amount(s.Size, s.Unit), advice.Percent(s.Fill), amount(uint64(s.Rate), s.Unit))
	}
	_ = t.Flush() // to a bufio.Writer, which keeps its error
}

// stagesOf lists who works here, from the capture to the last reader.
func stagesOf(was, now *look.Instance) (out []stageJSON) {
	capd := -1
	for _, r := range now.Rings {
		c := r.Since(was, now)
		if r.Kind == look.Packet {
			if capd < 0 {
				capd = len(out)
				out = append(out, stageJSON{Kind: "stage", Who: "capd", State: advice.State(now, r.Owner, r.Process), PID: r.Owner.PID})
			}
			out[capd].Rate += c.PerSecond(c.Records)
			waiting(&out[capd], r)
		}
		for _, rd := range r.Readers {
			s := stageJSON{
				Kind: "stage", Who: rd.Name, State: advice.State(now, rd.Info.Owner, rd.Process), PID: rd.Info.Owner.PID,
				Ring: r.Name, Unread: rd.Lag, Size: r.Size, Unit: r.Unit(), Fill: r.FillOf(rd),
				Rate: c.PerSecond(c.Readers[rd.Cursor].Position),
			}
			if rd.Missing() {
				s.State = "absent"
			}
			if r.Kind == look.Packet {
				waiting(&s, now.Ring(fmt.Sprintf("w%02d", r.Worker())))
			}
			out = append(out, s)
		}
	}
	return out
}

// waiting says of a stage that it waits for room in the ring it fills.
func waiting(s *stageJSON, fills *look.Ring) {
	if s.State == "runs" && fills != nil && fills.Waits() {
		s.State = "waits"
	}
}

func pid(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// amount writes a number of descriptors, or of bytes.
func amount(n uint64, unit string) string {
	if unit == "bytes" {
		return advice.Bytes(n)
	}
	return advice.Count(n)
}
