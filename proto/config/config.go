// Package config reads weir.toml and weir.d/*.toml, the one configuration that
// all daemons share, into a typed Config.
//
// It is not a place for behaviour: what a value does is decided where it is
// used, expressions of rules are compiled by policyd, and no file that the
// configuration names is opened here.
//
// The invariant: Load returns either a Config in which every value lies within
// its limits and every reference resolves, or one error that lists every
// mistake of every file, each with file, line, key, value and remedy.
package config

import (
	"net/netip"
	"time"
)

// Config is the whole configuration. Zero values of sizes and counts mean
// "derive from the machine"; Derive replaces them.
type Config struct {
	Instance Instance
	Capture  Capture
	Workers  Workers
	Rings    Rings
	Flow     Flow
	Inspect  Inspect
	Hint     Hint
	Catalog  Catalog
	Policy   Policy

	Applications []Application // in order of appearance
	Groups       []Group       // in order of appearance
	Schedules    []Schedule    // in order of appearance
	Sets         []Set         // in order of appearance
	Rules        []Rule        // in order of evaluation
}

// Instance names one running set of daemons.
type Instance struct {
	Name     string // shown in logs and status
	Dir      string // root of rings, slabs and tables; absolute
	LogLevel string // debug, info, warn or error
}

// Values of Workers.Idle.
const (
	IdleAdaptive = "adaptive"
	IdleSpin     = "spin"
	IdleSleep    = "sleep"
)

// Workers describes the dpid processes.
type Workers struct {
	Count int    // number of dpid processes; 0 = derived
	CPUs  []int  // CPU of worker i is CPUs[i % len]; empty = not pinned
	Idle  string // one of the Idle constants
	User  string // whom dpid becomes when it is started as root; "" = weir-dpi, else nobody
}

// Rings gives the geometry of new ring files. A ring that exists keeps its own.
type Rings struct {
	PacketDescriptors int  // descriptors of one packet ring, a power of two
	PacketPayload     Size // payload area of one packet ring, a power of two
	EventSize         Size // one event ring, a power of two
}

// Flow bounds the flow table of each worker.
type Flow struct {
	MaxFlows      int           // flows one worker tracks at once
	Probation     float64       // share of MaxFlows that unanswered flows may hold
	Metadata      Size          // bytes one worker keeps of metadata
	StatsInterval time.Duration // between two FLOW_STATS of a live flow; 0 = never
	Timeouts      Timeouts
}

// Timeouts are the times without a packet after which a flow ends.
type Timeouts struct {
	TCPEstablished time.Duration
	TCPClosing     time.Duration // FIN seen both ways, or RST
	TCPUnanswered  time.Duration
	UDP            time.Duration
	DNS            time.Duration // after the answer
	ICMP           time.Duration
	Other          time.Duration
	Active         time.Duration // longest life of a flow's record; 0 = no limit
}

// Inspect is the budget of one flow and the number of flows that may spend it at once.
type Inspect struct {
	MaxPackets int  // packets with payload shown to the dissectors
	MaxBytes   Size // bytes kept for them, both directions together
	Contexts   int  // flows under inspection at once, per worker
}

// Hint sizes the caches that name later flows.
type Hint struct {
	DNSEntries int // answers one worker remembers
}

// Values of Policy.Mode and Policy.Target.
const (
	ModeObserve = "observe" // decide and report, touch nothing
	ModeEnforce = "enforce"

	TargetDryRun   = "dry-run" // print what would be done
	TargetNFTables = "nftables"
)

// Policy switches enforcement.
type Policy struct {
	Mode     string // one of the Mode constants
	Target   string // one of the Target constants
	Table    string // the nftables table that is ours
	MarkMask uint32 // our bits of packet marks and ct marks: a run of at least two, see proto/mark
}

// Group is a named list of networks, for use in rules.
type Group struct {
	Pos
	Name     string
	Networks []netip.Prefix // masked
}
