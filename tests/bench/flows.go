package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"weir/dpid/flow"
	"weir/proto/flowkey"
)

const second = uint64(time.Second)

// benchFlows holds the flow table against a Go map of pointers, and the table with
// its timers at work against itself without.
func benchFlows(b *bench) error {
	sizes := []int{100_000, 1_000_000}
	if b.quick {
		sizes = []int{2_000}
	} else if availableMemory() > 8<<30 {
		sizes = append(sizes, 5_000_000)
	}
	for _, n := range sizes {
		t, err := newTable(n)
		if err != nil {
			return err
		}
		m := newMap(n, t.keys)
		r := row{what: fmt.Sprintf("look-up + update, %d flows", n), unit: "ns/packet", reference: "Go map", want: 6}
		if err := b.compare(r, t.packets(nil), m.packets); err != nil {
			return err
		}
		b.last().note = "whole transactions of 32 packets, with their undo log"
		if n == 1_000_000 || b.quick {
			r := row{what: "time-outs", unit: "ns/packet", reference: "without", want: 1.05, atMost: true}
			if err := b.compare(r, t.packets(t.tick), t.packets(nil)); err != nil {
				return err
			}
		}
		runtime.KeepAlive(m)
	}
	return nil
}

// table is a flow table with flows in it, and packets for them in random order.
type table struct {
	t     *flow.Table
	keys  []flowkey.Key
	order []hash
	now   uint64
}

type hash struct {
	lo, hi uint64
	key    *flowkey.Key
}

const timeout = 60 * second

func newTable(n int) (*table, error) {
	g := flow.Geometry{Flows: n + n/8 + 64, Chunks: 64}
	mem, err := anonymous(g.Size())
	if err != nil {
		return nil, err
	}
	var raw [flowkey.SeedSize]byte
	for i := range raw {
		raw[i] = byte(i*91 + 5)
	}
	seed := flowkey.ParseSeed(&raw)
	x := &table{now: second}
	x.t, _, err = flow.Open(mem, true, 0, flow.Options{
		Geometry: g, Seed: &seed, SlabID: 1, Deadline: func(r *flow.Record) uint64 { return r.Last() + timeout }})
	if err != nil {
		return nil, err
	}
	x.keys = make([]flowkey.Key, n)
	for i := 0; i < n; {
		x.t.Begin(0, 0, 0)
		for ; i < n && x.t.Room(1); i++ {
			k := &x.keys[i]
			src, dst := flowkey.V4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), flowkey.V4([4]byte{192, 0, 2, byte(i >> 24)})
			k.Proto, k.Version = 17, 4
			k.Set(&src, &dst, uint16(1024+i%60000), 53)
			lo, hi := k.Hash(&seed)
			x.t.Create(k, lo, hi, x.now, 0, flow.Alive)
		}
		x.t.Prepare(0, false)
		x.t.Commit()
	}
	r := rand.New(rand.NewPCG(1, 1))
	x.order = make([]hash, 1<<20)
	for i := range x.order {
		k := &x.keys[r.IntN(n)]
		lo, hi := k.Hash(&seed)
		x.order[i] = hash{lo, hi, k}
	}
	return x, nil
}

// packets returns a pass over the packets as a worker does it, with each after every
// batch.
func (x *table) packets(each func()) func() (float64, error) {
	return func() (float64, error) {
		start := threadTime()
		for at := 0; at < len(x.order); at += 32 {
			x.now += 32 * 1000 // a million packets a second
			batch := x.order[at : at+32]
			for i := range batch {
				sink ^= uint64(x.t.Warm(batch[i].hi))
			}
			for i := range batch {
				if s, ok := x.t.Guess(batch[i].lo, batch[i].hi); ok {
					sink ^= uint64(x.t.Record(s).Rev())
				}
			}
			x.t.Begin(0, 0, 0)
			for i := range batch {
				s, ok := x.t.Find(batch[i].lo, batch[i].hi)
				if !ok {
					return 0, fmt.Errorf("a flow of %d is not in the table", len(x.keys))
				}
				x.t.Touch(s).Count(false, 100, x.now)
			}
			x.t.Prepare(0, false)
			x.t.Commit()
			if each != nil {
				each()
			}
		}
		return float64(threadTime()-start) / float64(len(x.order)), nil
	}
}

// tick looks for flows whose time is over, as a worker does with every tick of
// packet time. Flows that live on move on in the wheel; those that do not are given
// another life, so that every pass finds the same number.
func (x *table) tick() {
	for {
		slot, ok := x.t.Expired(x.now)
		if !ok {
			return
		}
		x.t.Begin(0, 0, 0)
		r := x.t.Touch(slot)
		r.Count(false, 100, x.now)
		x.t.Rearm(slot, r)
		x.t.Prepare(0, false)
		x.t.Commit()
	}
}

// goMap is the rival.
type goMap struct {
	m map[flowkey.Key]*value
	x []hash
}

type value struct{ packets, bytes, last uint64 }

func newMap(n int, keys []flowkey.Key) *goMap {
	g := &goMap{m: make(map[flowkey.Key]*value, n)}
	for i := range keys {
		g.m[keys[i]] = new(value)
	}
	r := rand.New(rand.NewPCG(1, 1))
	g.x = make([]hash, 1<<20)
	for i := range g.x {
		g.x[i].key = &keys[r.IntN(n)]
	}
	return g
}

func (g *goMap) packets() (float64, error) {
	start := threadTime()
	for i := range g.x {
		v := g.m[*g.x[i].key]
		v.packets++
		v.bytes += 100
		v.last = uint64(i)
	}
	return float64(threadTime()-start) / float64(len(g.x)), nil
}
