package main

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"weir/proto/flowkey"
	"weir/shm/layout"
)

// benchCollector measures what the flows of a worker cost the garbage collector: a
// cycle in a process that has a million of them, against a cycle in the same program
// with an empty heap.
func benchCollector(b *bench) error {
	flows := 1_000_000
	if b.quick {
		flows = 2000
	}
	cycle := func(flows int) func() (float64, error) {
		return func() (us float64, err error) {
			out, err := b.child("collector", b.catalog(), strconv.Itoa(flows))
			if err == nil {
				_, err = fmt.Sscan(out, &us)
			}
			return us, err
		}
	}
	r := row{what: fmt.Sprintf("garbage collection, %d flows", flows), unit: "us/cycle", reference: "empty heap", want: 2, atMost: true,
		note: "CPU time of all threads, mean of 20 cycles; the worker's own heap, its contexts of inspection and its catalogue included"}
	return b.compare(r, cycle(flows), cycle(0))
}

// collect is the process whose heap is collected: it prints the CPU time of a cycle
// in microseconds.
func collect(args []string) error {
	if len(args) != 2 {
		return errors.New("want a catalogue and a number of flows")
	}
	flows, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if flows == 0 {
		fmt.Println(cycleTime())
		return nil
	}
	return inPlace(func(root layout.Root, seed *flowkey.Seed) error {
		t, done, err := newTurns(root, seed, args[0], maxPackets)
		if err != nil {
			return errors.Join(err, done())
		}
		t.step = 1000
		if err := t.open(flows); err != nil {
			return errors.Join(err, done())
		}
		fmt.Println(cycleTime())
		runtime.KeepAlive(t)
		return done()
	})
}

// cycleTime returns the CPU time of a collection, in microseconds.
func cycleTime() float64 {
	const cycles = 20
	runtime.GC()
	runtime.GC() // what the first one left to be swept
	start := cpuTime()
	for range cycles {
		runtime.GC()
	}
	return float64(cpuTime()-start) / cycles / 1000
}
