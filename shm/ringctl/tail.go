package main

import (
	"errors"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"time"

	"weir/proto/event"
	"weir/proto/pkt"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/ringctl/look"
)

func init() {
	register(command{
		name: "tail", args: "wNN [-type T,...] [-from oldest|now|NUMBER]", help: "events of a worker, as they come",
		least: 1, most: 1,
		flags: func(fs *flag.FlagSet) func(*env) error {
			types := fs.String("type", "", "only these `types`, such as FLOW_CLASS,FLOW_END")
			from := fs.String("from", "", "oldest, now, or the `number` of an event; default: now when a worker writes, else oldest")
			return func(e *env) error { return e.tail(*types, *from) }
		},
	})
}

// follower prints the events of one ring.
type follower struct {
	*env
	reader *evtring.Reader
	types  map[event.Type]bool // nil: all
	first  uint64              // number of the first event to print
	names  event.Names
	line   []byte
}

func (e *env) tail(types, from string) error {
	w, err := strconv.Atoi(strings.TrimPrefix(e.args[0], "w"))
	if err != nil || w < 0 || !strings.HasPrefix(e.args[0], "w") {
		return usageError(fmt.Sprintf("tail %s: not an event ring: those are called wNN", e.args[0]))
	}
	path := e.root.EventRing(w)
	f := &follower{env: e}
	if f.types, err = parseTypes(types); err != nil {
		return err
	}
	start := evtring.Oldest
	switch {
	case from == "now", from == "" && layout.Locked(path):
		start = evtring.Now
	case from != "" && from != "oldest":
		if f.first, err = strconv.ParseUint(from, 10, 64); err != nil {
			return usageError(fmt.Sprintf("tail -from %s: must be oldest, now, or the number of an event", from))
		}
	}
	f.names = e.eventNames()
	return f.rings(path, start)
}

// rings follows the ring at path, and the one that replaces it.
func (f *follower) rings(path string, start evtring.From) error {
	for last := uint64(0); ; {
		reader, err := evtring.Tail(path, start)
		if err != nil {
			return err
		}
		f.reader = reader
		id, replaced := reader.RingID(), false
		if id != last {
			err = reader.Guard(f.follow)
			replaced = reader.Replaced()
		}
		if err := errors.Join(err, reader.Close()); err != nil || !replaced || f.Err() != nil {
			return err
		}
		last, start = id, evtring.Oldest
	}
}

// follow prints what comes until nothing can come any more.
func (f *follower) follow() error {
	damages := uint64(0)
	for f.Err() == nil {
		rec, err := f.reader.Next()
		var lost *evtring.Overrun
		switch {
		case err == nil:
			damages, err = 0, f.print(rec)
		case errors.As(err, &lost):
			fmt.Fprintf(f.stderr, "ringctl: %d events lost here: overwritten before they were read, or damaged\n", lost.Lost)
			err = nil
		case errors.Is(err, evtring.ErrCorrupt):
			// A ring that nobody repairs may lead us in circles.
			if damages++; damages <= f.reader.Capacity()/evtring.BlockSize || f.reader.ProducerAlive() {
				fmt.Fprintf(f.stderr, "ringctl: %v\n", err)
				err = f.idle()
			}
		case errors.Is(err, evtring.ErrIdle):
			// Whether more may come is asked before looking once more.
			if ended := !f.reader.ProducerAlive() || f.reader.Replaced(); ended && !f.reader.Wait(0) {
				return nil
			}
			err = f.idle()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// idle shows what was printed so far and waits for more.
func (f *follower) idle() error {
	err := f.out.Flush()
	f.reader.Wait(100 * time.Millisecond)
	return err
}

// parseTypes reads a list of names of event types.
func parseTypes(list string) (map[event.Type]bool, error) {
	if list == "" {
		return nil, nil
	}
	byName := map[string]event.Type{}
	var names []string
	for t := event.FlowNew; t <= event.VerdictReq; t++ {
		byName[t.String()] = t
		names = append(names, t.String())
	}
	types := map[event.Type]bool{}
	for name := range strings.SplitSeq(list, ",") {
		t, ok := byName[strings.ToUpper(strings.TrimSpace(name))]
		if !ok {
			return nil, usageError(fmt.Sprintf("tail -type %s: the types are %s", name, strings.Join(names, ", ")))
		}
		types[t] = true
	}
	return types, nil
}

// eventNames gives the numbers in flows their names.
func (e *env) eventNames() event.Names {
	t, err := look.Topology(e.root)
	if err != nil {
		t = nil // numbers do
	}
	return event.Names{
		Interface: func(i uint16) string { return interfaceName(t, i) },
		Tunnel:    pkt.LinkName,
		Role:      func(i uint16) string { return interfaceRole(t, i) },
	}
}

func (f *follower) print(rec evtring.Record) error {
	t := event.Type(rec.Type)
	if evtring.Counter(rec.Seq) < f.first || f.types != nil && !f.types[t] {
		return nil
	}
	f.line = f.line[:0]
	if f.json {
		f.line = appendEventJSON(f.line, rec, &f.names)
	} else {
		f.line = appendEvent(f.line, rec)
	}
	_, err := f.out.Write(append(f.line, '\n'))
	return err
}
