package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"time"
)

// Limits that other packages may rely on.
const (
	MaxWorkers        = 64
	MaxThreads        = 64
	MaxFlows          = 1 << 27 // flow indices are 32 bits with room for tags
	MinPacketPayload  = 256 * KiB
	MaxPacketPayload  = 1 * GiB
	MinEventSize      = 256 * KiB // four blocks of 64 KiB
	MaxEventSize      = 4 * GiB
	MaxInspectPackets = 255
	MaxInspectBytes   = 256 * KiB
)

const year = 365 * 24 * time.Hour

// fields is the root of the configuration: every section and every key.
func (c *Config) fields() []field {
	return []field{
		section("instance", "One running set of daemons.",
			text("name", &c.Instance.Name, "Shown in logs and status.", checkName),
			text("dir", &c.Instance.Dir, "Root of rings, slabs and tables, on a tmpfs.", checkAbs),
			choice("log_level", &c.Instance.LogLevel, "debug, info, warn or error.", "debug", "info", "warn", "error")),
		section("capture", "Where packets come from.", c.Capture.fields()...),
		section("workers", "The dpid processes.",
			integer("count", &c.Workers.Count, "Number of workers; 0 = derived from the CPUs.", 0, MaxWorkers),
			integers("cpus", &c.Workers.CPUs, "CPUs to pin workers to, in turn; empty = not pinned.", 0, 4095),
			choice("idle", &c.Workers.Idle, "adaptive (spin, then sleep), spin (needs pinned CPUs) or sleep.", IdleAdaptive, IdleSpin, IdleSleep),
			text("user", &c.Workers.User, "Whom dpid becomes when started as root; empty = weir-dpi, else nobody.", checkNameOrNone)),
		section("rings", "Geometry of new rings; 0 = derived from the RAM.",
			powerOfTwo("packet_descriptors", &c.Rings.PacketDescriptors, "Descriptors of a packet ring, a power of two.", 1<<10, 1<<24),
			size("packet_payload", &c.Rings.PacketPayload, "Payload area of a packet ring, a power of two.", MinPacketPayload, MaxPacketPayload, checkPower),
			size("event_size", &c.Rings.EventSize, "An event ring, a power of two.", MinEventSize, MaxEventSize, checkPower)),
		section("flow", "The flow table of each worker.",
			integer("max_flows", &c.Flow.MaxFlows, "Flows tracked at once; 0 = derived from the RAM.", 0, MaxFlows),
			number("probation", &c.Flow.Probation, "Share of max_flows that unanswered flows may hold.", 0.01, 1),
			size("metadata", &c.Flow.Metadata, "Bytes kept of metadata; 0 = derived from max_flows.", 64*KiB, 64*GiB, nil),
			duration("stats_interval", &c.Flow.StatsInterval, "Between two reports on a live flow; 0s = none.", 0, year),
			section("timeouts", "Time without a packet after which a flow ends.", c.Flow.Timeouts.fields()...)),
		section("inspect", "What a flow may cost before its classification is final.",
			integer("max_packets", &c.Inspect.MaxPackets, "Packets with payload shown to the dissectors.", 1, MaxInspectPackets),
			size("max_bytes", &c.Inspect.MaxBytes, "Bytes kept for them, both directions together.", 2*KiB, MaxInspectBytes, checkNotZero),
			integer("contexts", &c.Inspect.Contexts, "Flows under inspection at once; 0 = derived from the RAM.", 0, 1<<22)),
		section("hint", "Caches that name later flows.",
			integer("dns_entries", &c.Hint.DNSEntries, "DNS answers remembered; 0 = derived from the RAM.", 0, 1<<26)),
		section("catalog", "Applications and categories.", c.Catalog.fields()...),
		list("application", "Applications of the user's own; `dpid catalog compile -config FILE` puts them into the catalogue.",
			&c.Applications, func(a *Application, p Pos) { a.Pos = p }, (*Application).fields),
		section("policy", "What may be done about flows.",
			choice("mode", &c.Policy.Mode, "observe (touch nothing) or enforce.", ModeObserve, ModeEnforce),
			choice("target", &c.Policy.Target, "nftables, or dry-run (print what would be done).", TargetDryRun, TargetNFTables),
			text("table", &c.Policy.Table, "The nftables table that is ours.", checkNFTName),
			mask("mark_mask", &c.Policy.MarkMask, "Our bits of packet marks and ct marks: a run of at least 2; the others are left alone.")),
		groups("group", &c.Groups),
		list("schedule", "A time of day on some days of the week, for use in rules.", &c.Schedules, func(s *Schedule, p Pos) { s.Pos, s.To = p, 24*time.Hour }, (*Schedule).fields),
		list("set", "A set of nftables that rules fill.", &c.Sets, openSet, (*Set).fields),
		list("rule", "A condition and what to do with the flows that meet it; see formats/rules.md.", &c.Rules, func(r *Rule, p Pos) { r.Pos, r.Enabled = p, true }, (*Rule).fields),
	}
}

func (t *Timeouts) fields() []field {
	at := func(key string, p *time.Duration, doc string) field { return duration(key, p, doc, time.Second, year) }
	return []field{
		at("tcp_established", &t.TCPEstablished, "Both sides have spoken."),
		at("tcp_closing", &t.TCPClosing, "After FIN both ways or RST."),
		at("tcp_unanswered", &t.TCPUnanswered, "The responder has not answered."),
		at("udp", &t.UDP, "UDP other than DNS."),
		at("dns", &t.DNS, "After the answer."),
		at("icmp", &t.ICMP, "ICMP and ICMPv6."),
		at("other", &t.Other, "All other protocols."),
		duration("active", &t.Active, "A longer flow ends and begins again; 0s = never.", 0, year),
	}
}

// groups is the one table whose keys the user chooses.
func groups(key string, p *[]Group) field {
	return field{key: key, doc: "Named lists of networks, for use in rules: NAME = [\"10.0.0.0/8\", ...].",
		read: func(b *binder, n *node, key string) {
			if _, ok := n.value.(map[string]*node); !ok {
				b.fail(n.Pos, key, fmt.Errorf("is %s, want a table [%s] of NAME = [\"10.0.0.0/8\", ...]", n.kind(), key))
				return
			}
			for name, v := range n.sorted() {
				g := Group{Pos: v.Pos, Name: name}
				if err := checkName(name); err != nil {
					b.fail(v.Pos, dotted(key, name), err)
				}
				g.field().read(b, v, dotted(key, name))
				*p = append(*p, g)
			}
		},
		print: func(pr *printer, key string) {
			if len(*p) == 0 {
				return
			}
			fields := make([]field, len(*p))
			for i := range *p {
				fields[i] = (*p)[i].field()
			}
			pr.table(key, "Named lists of networks, for use in rules.", fields)
		}}
}

func (g *Group) field() field {
	return texts(g.Name, &g.Networks, "Networks.", netip.Prefix.String, func(_ *node, s string) (netip.Prefix, error) {
		return parseNetwork(s)
	})
}

// parseNetwork reads a prefix or a single address. Bits beyond the prefix are
// an error: 10.0.0.1/8 may have been meant as /32.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New("not a network; write it like \"192.168.0.0/16\" or \"2001:db8::/32\"")
	}
	if p != p.Masked() {
		return p, fmt.Errorf("has bits set beyond /%d: write %s", p.Bits(), p.Masked())
	}
	return p, nil
}

func same(s string) string { return s }

func parsePath(n *node, s string) (string, error) {
	if s == "" {
		return "", errors.New("must not be empty")
	}
	return resolve(n, s), nil
}

func powerOfTwo(key string, p *int, doc string, lo, hi int) field {
	f := integer(key, p, doc, 0, hi)
	set := f.set
	f.set = func(n *node) error {
		v, ok := n.value.(int64)
		if ok && v != 0 && (v < int64(lo) || v > int64(hi) || v&(v-1) != 0) {
			return fmt.Errorf("must be a power of two, %d to %d, or 0", lo, hi)
		}
		return set(n)
	}
	return f
}

func checkPower(s Size) error {
	if s&(s-1) == 0 {
		return nil
	}
	below := Size(1)
	for below*2 < s {
		below *= 2
	}
	return fmt.Errorf("must be a power of two: %v or %v", below, below*2)
}

func checkNotZero(s Size) error {
	if s == 0 {
		return fmt.Errorf("must be at least %v", 2*KiB)
	}
	return nil
}

// checkName allows what is safe in file names, logs and metrics alike.
func checkName(s string) error {
	if s == "" || len(s) > 64 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" || s[0] == '.' || s[0] == '-' {
		return errors.New("must be 1 to 64 letters, digits, '_', '-' or '.', not beginning with '-' or '.'")
	}
	return nil
}

func checkNameOrNone(s string) error {
	if s == "" {
		return nil
	}
	return checkName(s)
}

func checkAbs(s string) error {
	if !filepath.IsAbs(s) || filepath.Clean(s) != s || s == "/" {
		return errors.New("must be an absolute path without \"..\", such as \"/dev/shm/weir\"")
	}
	return nil
}
