// Package rules makes the netfilter rules that bring packets to capd's queues, and
// that keep the packets of judged flows in the kernel.
//
// Plan is pure: it turns a Config into a Ruleset that can be printed. Install puts
// it into the kernel as a table of our own, in one transaction; Remove takes it out.
// The package knows neither queues' sockets nor verdicts. What it asks of the one
// who answers the queue is this:
//
//   - A verdict on a flow is NF_ACCEPT with our bits (package mark) in the packet
//     mark, for drop and reject too: the save chain stores the bits in the ct mark and
//     then drops or rejects the packet itself, as it does with all later ones. With
//     NF_DROP the kernel would learn nothing about the flow.
//   - NFQA_MARK replaces the whole packet mark: send mark.Layout.Merge of the
//     packet's own mark and our bits, or foreign bits are lost.
//   - NF_ACCEPT without our bits lets one packet pass and leaves the flow queued.
//
// A flow whose first packet is dropped or rejected has no conntrack entry yet, and
// gets none: its next packet is queued again.
//
// Invariants: nothing outside of our table is changed; bits outside of the mark mask
// are kept in packet mark and ct mark; nobody listening means accept, except for
// flows whose ct mark says drop or reject.
package rules

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"weir/proto/mark"
)

// DefaultTable is the name of our table where Config names none.
const DefaultTable = "weir_capture"

// MaxQueues bounds Config.Count: one thread serves one queue.
const MaxQueues = 1024

// Mode says which packets are queued.
type Mode string

// Modes.
const (
	Forward Mode = "forward" // what passes through this machine
	Input   Mode = "input"   // connections that others make to this machine, both directions
	Output  Mode = "output"  // connections that this machine makes, both directions
	Bridge  Mode = "bridge"  // what passes through its bridges
	Manual  Mode = "manual"  // nothing: the user has rules of his own
)

// Errors that the caller tells apart.
var (
	// ErrDenied means that the kernel does not let this process change rules.
	ErrDenied = errors.New("permission refused: capd needs CAP_NET_ADMIN: run it as root, or give it AmbientCapabilities=CAP_NET_ADMIN")

	// ErrForeign means that a table with our name was not made by this instance.
	ErrForeign = errors.New("the table exists but is not ours")

	// ErrNoQueue means that the kernel cannot do what the mode needs.
	ErrNoQueue = errors.New("this kernel cannot queue packets by nftables")
)

// Config is what the rules depend on.
type Config struct {
	Table    string         // name of our table; "" = DefaultTable
	Instance string         // whose table it is; instance.name
	Mode     Mode           // one of the Mode constants
	First    uint16         // first queue
	Count    int            // queues, at least 1; the kernel spreads flows by their pair of addresses
	MarkMask uint32         // our bits, see package mark
	Exempt   []netip.Prefix // packets from or to these are never queued
	Packets  uint64         // flows with more packets than this, both directions together, are not queued; 0 = no limit
}

// validate reports all problems at once.
func (c *Config) validate() (l mark.Layout, err error) {
	var errs []error
	l, err = mark.New(c.MarkMask)
	if err != nil {
		errs = append(errs, err)
	}
	switch c.Mode {
	case Forward, Input, Output, Bridge, Manual:
	default:
		errs = append(errs, fmt.Errorf("mode %q: must be forward, input, output, bridge or manual", c.Mode))
	}
	if c.Count < 1 || c.Count > MaxQueues || int(c.First)+c.Count > 1<<16 {
		errs = append(errs, fmt.Errorf("%d queues from %d on: must be 1 to %d, and none above 65535", c.Count, c.First, MaxQueues))
	}
	for _, name := range []string{c.Table, c.Instance} {
		if !nftName(name) {
			errs = append(errs, fmt.Errorf("name %q: must be 1 to 64 letters, digits, '_', '-' or '.'", name))
		}
	}
	if c.Table != "" && strings.Trim(c.Table[:1], "0123456789-.") == "" {
		errs = append(errs, fmt.Errorf("table %q: must begin with a letter or '_'", c.Table))
	}
	for _, p := range c.Exempt {
		if !p.IsValid() {
			errs = append(errs, errors.New("exempt: holds a network that is none"))
		}
	}
	return l, errors.Join(errs...)
}

func nftName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

// Ruleset is what Install would do.
type Ruleset struct {
	cfg    Config
	layout mark.Layout
	only   []variant // instead of those of the mode, for tests
}

// Plan checks a configuration and makes its rules. The kernel is not asked.
func Plan(cfg Config) (*Ruleset, error) {
	if cfg.Table == "" {
		cfg.Table = DefaultTable
	}
	l, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("plan capture rules: %w", err)
	}
	return &Ruleset{cfg: cfg, layout: l}, nil
}

// Print writes the rules of a configuration. It touches nothing.
func Print(w io.Writer, cfg Config) error {
	r, err := Plan(cfg)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, r.String())
	return err
}

// String returns the rules as nft would take them, in the form that is tried first.
func (r *Ruleset) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Capture rules of weir instance %s, mode %s.\n", r.cfg.Instance, r.cfg.Mode)
	if r.cfg.Mode == Manual {
		b.WriteString("# capd installs nothing: packets come from rules of your own. Each mode but manual\n# prints rules that may serve as a pattern.\n")
		return b.String()
	}
	fmt.Fprintf(&b, "# Mark %v.\n", r.layout)
	b.WriteString("# Where the kernel has no queue expression, xt target NFQUEUE takes its place.\n")
	for _, t := range r.tables(r.variants()[0]) {
		t.print(&b)
	}
	return b.String()
}
