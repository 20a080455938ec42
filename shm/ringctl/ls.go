package main

import (
	"flag"
	"fmt"
	"text/tabwriter"

	"weir/shm/ringctl/advice"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "ls", help: "every ring and who reads it: alive, epoch, size, fill, lag, drops",
		flags: func(*flag.FlagSet) func(*env) error { return (*env).ls },
	})
}

// ringJSON is a line of ls -json and info -json; positions and sizes are in unit.
type ringJSON struct {
	Kind      string       `json:"kind"` // ring
	Name      string       `json:"name"`
	Carries   string       `json:"carries"` // packet, event, verdict
	Producer  string       `json:"producer"`
	State     string       `json:"state"`
	Alive     bool         `json:"alive"`
	PID       int          `json:"pid"`
	Epoch     uint64       `json:"epoch"`
	Unit      string       `json:"unit"`
	Size      uint64       `json:"size"`
	FileBytes int64        `json:"file_bytes"`
	Tail      uint64       `json:"tail"`
	Fill      float64      `json:"fill"`
	Waits     bool         `json:"waits"`
	Dropped   uint64       `json:"dropped"` // packets dropped, or events shed
	Readers   []readerJSON `json:"readers"`
}

type readerJSON struct {
	Name     string `json:"name"`
	Cursor   string `json:"cursor"`
	State    string `json:"state"`
	Alive    bool   `json:"alive"`
	PID      int    `json:"pid"`
	Epoch    uint64 `json:"epoch"`
	Position uint64 `json:"position"`
	Lag      uint64 `json:"lag"`
	Lapped   bool   `json:"lapped"`
	Lost     uint64 `json:"lost"` // events
}

type problemJSON struct {
	Kind  string `json:"kind"` // problem
	Name  string `json:"name"`
	Path  string `json:"path"`
	Error string `json:"error"`
}

func ringOf(in *look.Instance, r *look.Ring) ringJSON {
	out := ringJSON{
		Kind: "ring", Name: r.Name, Carries: string(r.Kind), Producer: r.Producer(),
		State: advice.State(in, r.Owner, r.Process), Alive: r.Owner.Alive, PID: r.Owner.PID, Epoch: r.Owner.Epoch,
		Unit: r.Unit(), Size: r.Size, FileBytes: r.FileSize, Tail: r.Tail, Fill: r.Fill(), Waits: r.Waits(),
		Dropped: r.Packets.Dropped + r.Packets.DroppedConsumerDown + r.Events.Shed, Readers: []readerJSON{},
	}
	for _, rd := range r.Readers {
		state := advice.State(in, rd.Info.Owner, rd.Process)
		switch {
		case rd.Missing():
			state = "absent"
		case rd.Err != nil:
			state = "unreadable"
		case rd.Foreign:
			state = "of another ring"
		}
		out.Readers = append(out.Readers, readerJSON{
			Name: rd.Name, Cursor: rd.Cursor, State: state, Alive: rd.Info.Owner.Alive, PID: rd.Info.Owner.PID,
			Epoch: rd.Info.Owner.Epoch, Position: rd.Info.Position, Lag: rd.Lag, Lapped: rd.Lapped, Lost: rd.Events.Lost,
		})
	}
	return out
}

func (e *env) ls() error {
	in, err := e.look()
	if err != nil {
		return err
	}
	if e.json {
		for _, r := range in.Rings {
			if err := e.object(ringOf(in, r)); err != nil {
				return err
			}
		}
		for _, p := range in.Problems {
			if err := e.object(problemJSON{"problem", p.Name, p.Path, p.Err.Error()}); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RING\tROLE\tWHO\tSTATE\tPID\tEPOCH\tSIZE\tFULL\tLAG\tLOST")
	for _, r := range in.Rings {
		o := ringOf(in, r)
		fmt.Fprintf(t, "%s\twrites\t%s\t%s\t%s\t%d\t%s\t%s\t-\t%s\n", o.Name, o.Producer, o.State, pid(o.PID), o.Epoch,
			amount(o.Size, o.Unit), advice.Percent(o.Fill), advice.Count(o.Dropped))
		for i, rd := range o.Readers {
			lag := amount(rd.Lag, o.Unit)
			if rd.Lapped {
				lag = "lapped"
			}
			fmt.Fprintf(t, "%s\treads\t%s\t%s\t%s\t%d\t\t%s\t%s\t%s\n", o.Name, rd.Name, rd.State, pid(rd.PID), rd.Epoch,
				advice.Percent(r.FillOf(r.Readers[i])), lag, advice.Count(rd.Lost))
		}
	}
	for _, p := range in.Problems {
		fmt.Fprintf(t, "%s\t\t\tunreadable: %v\n", p.Name, p.Err)
	}
	return t.Flush()
}
