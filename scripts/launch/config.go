package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"weir/proto/config"
)

// configure writes the configuration of this job and has it checked: by the reader
// that all daemons share, by capd where it compiles a filter, and by policyd.
func (j *job) configure(ctx context.Context) error {
	if err := j.linkPolicy(); err != nil {
		return err
	}
	if err := j.writeConfig(); err != nil {
		return err
	}
	c, err := config.Load(j.conf)
	if err != nil {
		return &policyError{err.Error()}
	}
	if j.Filter != "" {
		if err := j.ask(ctx, "capd", "-check", "-config", j.conf); err != nil {
			return err
		}
	}
	if err := j.giveCatalog(ctx, c); err != nil {
		return err
	}
	return j.checkPolicy(ctx)
}

// liveSize is the size in bytes of a capture whose flows a live run has room for: some
// hundred thousand at once.
const liveSize = 16 << 20

// writeConfig writes what a replay needs, in sizes that follow the captures.
func (j *job) writeConfig() error {
	mem, err := memory(j.Dir)
	if err != nil {
		return err
	}
	if j.live() {
		j.size = liveSize
	}
	s := sizesFor(j.size, j.Workers, mem).shared(j.rings())
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("[instance]\nname = \"replay\"\ndir = %s\nlog_level = %s", quote(j.Dir), quote(j.LogLevel))
	switch {
	case j.Queue != "":
		line("[capture]\nsource = \"nfqueue\"\nthreads = %d\nfilter = %s\n[capture.nfqueue]\nrules = %s", j.Threads, quote(j.Filter), quote(j.Queue))
		if j.Hold > 0 { // who is not judged has no leave to pass because of his number
			line("hold = %s\npackets = 0", quote(j.Hold.String()))
		}
		for _, i := range slices.Concat(j.LAN, j.WAN) {
			line("[[capture.interface]]\nname = %s\nrole = %s", quote(i), quote(j.role(i)))
		}
	case j.live():
		line("[capture]\nsource = \"tpacket\"\nthreads = %d\nfilter = %s", j.Threads, quote(j.Filter))
		for _, i := range j.Interfaces {
			line("[[capture.interface]]\nname = %s\nrole = %s", quote(i), quote(j.role(i)))
		}
	default:
		line("[capture]\nsource = \"pcap\"\nthreads = 1\npace = %s", float(j.Pace))
	}
	line("[workers]\ncount = %d", j.Workers)
	line("[rings]\npacket_descriptors = %d\npacket_payload = %d\nevent_size = %d", s.descriptors, s.payload, s.events)
	line("[flow]\nmax_flows = %d\nmetadata = %d", s.flows, s.metadata)
	if j.live() {
		line("stats_interval = \"5s\"") // for the totals
	} else { // nobody is to be protected from a flood that is over: probation is no limit
		line("probation = 1.0\nstats_interval = \"0s\"")
	}
	line("[inspect]\ncontexts = %d", s.contexts)
	line("[hint]\ndns_entries = %d", s.names)
	j.conf = filepath.Join(j.Dir, "weir.toml")
	return os.WriteFile(j.conf, []byte(b.String()), 0o644)
}

// giveCatalog adds a catalogue to the configuration: one made for the policy's own
// applications and lists of domains, else the one beside the binaries. A policy that
// names a catalogue has it compiled from the same file.
func (j *job) giveCatalog(ctx context.Context, c *config.Config) error {
	if c.Catalog.File != "" {
		return nil
	}
	path := filepath.Join(j.bin, "catalog.weir")
	if c.OwnNames() {
		path = filepath.Join(j.Dir, "catalog.weir")
		if err := j.ask(ctx, "dpid", "catalog", "compile", "-o", path, "-config", j.conf); err != nil {
			return err
		}
	}
	if _, err := os.Stat(path); err != nil {
		return nil // a build without: protocols are still told
	}
	f, err := os.OpenFile(j.conf, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "[catalog]\nfile = %s\n", quote(path))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// role returns the role of an interface, "" when it has none.
func (j *job) role(name string) string {
	switch {
	case slices.Contains(j.LAN, name):
		return config.RoleLAN
	case slices.Contains(j.WAN, name):
		return config.RoleWAN
	}
	return ""
}

func quote(s string) string { return strconv.Quote(s) }

// float writes f as TOML wants it: with a point.
func float(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
