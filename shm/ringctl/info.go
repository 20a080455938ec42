package main

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"weir/shm/layout"
	"weir/shm/ringctl/advice"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "info", args: "NAME", help: "all there is to know of a ring, cursor or counter file", least: 1, most: 1,
		flags: func(*flag.FlagSet) func(*env) error { return (*env).info },
	})
}

// field is one line of info; in JSON, one key.
type field struct {
	key   string
	value any
	text  string // for people; "" = the value itself
}

func (e *env) info() error {
	in, err := e.look()
	if err != nil {
		return err
	}
	name, found := e.args[0], false
	if r := in.Ring(name); r != nil {
		found = true
		if err := e.section("ring", name, ringFields(in, r)); err != nil {
			return err
		}
		for _, rd := range r.Readers {
			if err := e.section("cursor", rd.Cursor, cursorFields(in, r, rd)); err != nil {
				return err
			}
		}
	} else if r, rd := in.Reader(name); rd != nil {
		found = true
		if err := e.section("cursor", name, cursorFields(in, r, rd)); err != nil {
			return err
		}
	}
	if c := in.Counter(name); c != nil {
		found = true
		if err := e.section("counters", name, counterFields(c)); err != nil {
			return err
		}
	}
	for _, p := range in.Problems {
		if p.Name == name || strings.HasPrefix(p.Name, name+" ") {
			found = true
			if err := e.section("problem", p.Name, []field{{"path", p.Path, ""}, {"error", p.Err.Error(), ""}}); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("nothing in %s is called %q: ringctl ls lists the rings", e.root, name)
	}
	return nil
}

// section prints one object.
func (e *env) section(kind, name string, fields []field) error {
	if e.json {
		o := orderedObject{{"kind", kind, ""}, {"name", name, ""}}
		return e.object(append(o, fields...))
	}
	fmt.Fprintf(e.out, "%s %s\n", kind, name)
	for _, f := range fields {
		text := f.text
		if text == "" {
			text = fmt.Sprint(f.value)
		}
		fmt.Fprintf(e.out, "  %-22s %s\n", strings.ReplaceAll(f.key, "_", " "), text)
	}
	return nil
}

func headerFields(path string, h *layout.Header) []field {
	created := time.Unix(0, int64(h.CreatedNS)).UTC()
	return []field{
		{"path", path, ""},
		{"ring_id", fmt.Sprintf("%016x", h.RingID), ""},
		{"abi", fmt.Sprintf("%d.%d", h.ABIMajor, h.ABIMinor), ""},
		{"label", h.Name, ""},
		{"tag", fmt.Sprintf("%08x", h.Tag), ""},
		{"created", created.Format(time.RFC3339Nano), ""},
	}
}

func ownerFields(in *look.Instance, p layout.Peer, proc look.Process) []field {
	beat := "-"
	if s := in.Silence(p); s > 0 {
		beat = s.Round(time.Millisecond).String() + " ago"
	}
	return []field{
		{"locked", p.Alive, yes(p.Alive, "yes: its owner lives", "no: nobody owns it")},
		{"state", advice.State(in, p, proc), ""},
		{"owner_state", p.State.String(), ""},
		{"pid", p.PID, ""},
		{"epoch", p.Epoch, ""},
		{"heartbeat_ns", in.Silence(p).Nanoseconds(), beat},
	}
}

func yes(b bool, t, f string) string {
	if b {
		return t
	}
	return f
}
