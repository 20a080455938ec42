package main

import (
	"errors"
	"fmt"
	"os"
)

// benchLive measures what an interface may bring before a packet is lost: small packets
// of many flows from a sender that has the first CPU, on which the kernel receives them
// too, to one program at a time that has the others.
func benchLive(b *bench) (err error) {
	r := row{what: "live, loss-free", unit: "ns/packet", reference: "ndpiReader", want: 2}
	w, err := b.newWire()
	if err != nil {
		return b.skipped(r, err)
	}
	defer func() { err = errors.Join(err, w.close()) }()
	parent, err := os.MkdirTemp(shmDir(), "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(parent)) }()
	if err := os.Chmod(parent, 0o755); err != nil { // daemons without privileges pass through
		return err
	}
	list, err := b.listeners(parent)
	if err != nil {
		return b.skipped(r, err)
	}
	return newContest(w, list).run(r)
}

// contest is several listeners on one wire.
type contest struct {
	w               *wire
	ours, them, dev contestant // dev writes to /dev/null and looks at nothing
	ms, flows       int
}

// contestant is a listener with what became of it, round by round.
type contestant struct {
	*listener
	rates   []float64 // highest without a loss
	cpu     []float64 // ns of a packet, when as many come as go
	full    []listened
	limited int // rounds in which the sender could not make it lose
	most    int // lowest rate at which it lost a fifth, 0: none
}

func newContest(w *wire, list []*listener) *contest {
	c := &contest{w: w, ours: contestant{listener: list[0]}, them: contestant{listener: list[1]}, dev: contestant{listener: list[2]}, ms: 2000, flows: 4096}
	if w.b.quick {
		c.ms, c.flows = 200, 256
	}
	return c
}

func (c *contest) run(r row) error {
	b := c.w.b
	err := b.compare(r, func() (float64, error) { return c.search(&c.ours) }, func() (float64, error) {
		if _, err := c.search(&c.dev); err != nil {
			return 0, err
		}
		return c.search(&c.them)
	})
	if err != nil {
		return err
	}
	last := b.last()
	last.note = fmt.Sprintf("64-byte UDP of %d flows over veth: weir %s, ndpiReader %s, tcpdump -w /dev/null %s", c.flows, &c.ours, &c.them, &c.dev)
	if 2*c.ours.limited > len(c.ours.rates) && last.ratio < last.want {
		last.want = 0
		last.note += "; the sender is the limit: the row below decides"
	}
	cpu := row{what: "live, CPU as the sender can", unit: "ns/packet", reference: "ndpiReader", want: 2,
		value: median(c.ours.cpu), referenceValue: median(c.them.cpu),
		note: fmt.Sprintf("all processes of the listener, by packets that it had; tcpdump %s; lost weir %s, ndpiReader %s, tcpdump %s",
			number(median(c.dev.cpu)), c.ours.losses(), c.them.losses(), c.dev.losses())}
	var ratios []float64
	for i := range c.ours.cpu {
		ratios = append(ratios, c.them.cpu[i]/c.ours.cpu[i])
	}
	cpu.ratio = median(ratios)
	b.rows = append(b.rows, cpu)
	return c.overload()
}

// search looks for the highest rate at which nothing is lost, by halves between what the
// sender can and nothing, and returns the time between two packets in ns.
func (c *contest) search(x *contestant) (float64, error) {
	top, err := c.w.listen(x.listener, c.topRate(), c.ms, c.flows)
	if err != nil {
		return 0, err
	}
	x.full, x.cpu = append(x.full, top), append(x.cpu, top.perPacket())
	best := 0.0
	if top.lost() == 0 {
		best = top.rate
		x.limited++
	}
	lo, hi := 0.0, top.rate
	for range c.steps() {
		if best == hi {
			break
		}
		mid := (lo + hi) / 2
		r, err := c.w.listen(x.listener, int(mid), c.ms, c.flows)
		if err != nil {
			return 0, err
		}
		if r.lost() == 0 {
			best, lo = mid, mid
			continue
		}
		hi = mid
		if 5*r.lost() >= r.sent && (x.most == 0 || int(mid) < x.most) {
			x.most = int(mid)
		}
	}
	if 5*top.lost() >= top.sent && x.most == 0 {
		x.most = int(top.rate)
	}
	x.rates = append(x.rates, best)
	return 1e9 / max(best, lossFloor), nil
}

// lossFloor is what a listener is taken to manage that lost something in every pass.
const lossFloor = 1000

// steps is how often the search halves: to a 32nd of what the sender can.
func (c *contest) steps() int {
	if c.w.b.quick {
		return 0
	}
	return 5
}

// topRate is the rate that the search begins with, 0: as many as go.
func (c *contest) topRate() int {
	if c.w.b.quick {
		return 20_000
	}
	return 0
}

// overload has us listen at the lowest rate at which ndpiReader lost a fifth.
func (c *contest) overload() error {
	if c.them.most == 0 {
		c.w.b.last().note += "; ndpiReader never lost a fifth"
		return nil
	}
	r, err := c.w.listen(c.ours.listener, c.them.most, c.ms, c.flows)
	if err == nil {
		c.w.b.last().note += fmt.Sprintf("; at %s kpps, where ndpiReader lost a fifth, weir lost %d of %d", number(float64(c.them.most)/1000), r.lost(), r.sent)
	}
	return err
}

// String tells the rate.
func (x *contestant) String() string {
	s := number(median(x.rates)/1000) + " kpps"
	if x.limited > 0 {
		s += fmt.Sprintf(" (%d of %d rounds all that the sender could)", x.limited, len(x.rates))
	}
	return s
}

// losses tells what was lost when as many came as went, in the middle of the rounds.
func (x *contestant) losses() string {
	var shares, rates []float64
	for i := range x.full {
		shares = append(shares, 100*float64(x.full[i].lost())/float64(max(x.full[i].sent, 1)))
		rates = append(rates, x.full[i].rate)
	}
	return fmt.Sprintf("%s %% of %s kpps", number(median(shares)), number(median(rates)/1000))
}
