package flow

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"weir/proto/event"
	"weir/proto/flowkey"
)

const second = 1_000_000_000

func testSeed() *flowkey.Seed {
	var b [flowkey.SeedSize]byte
	r := rand.New(rand.NewPCG(7, 8))
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	s := flowkey.ParseSeed(&b)
	return &s
}

var seed = testSeed()

func key(i int) (k flowkey.Key, lo, hi uint64) {
	src := flowkey.V4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	dst := flowkey.V4([4]byte{192, 0, 2, 1})
	k.Proto, k.Version = 17, 4
	k.Set(&src, &dst, uint16(1024+i%60000), 53)
	lo, hi = k.Hash(seed)
	return k, lo, hi
}

func open(t testing.TB, mem []byte, fresh bool, events uint64, g Geometry) (*Table, Adopted) {
	t.Helper()
	table, ad, err := Open(mem, fresh, events, Options{
		Geometry: g, Worker: 3, Seed: seed, SlabID: 0x1234,
		Deadline: func(r *Record) uint64 { return r.Last() + 60*second },
	})
	if err != nil {
		t.Fatal(err)
	}
	return table, ad
}

func describe(text string) []byte {
	d := event.Description{Protocol: "dns", ProtocolID: 4, Evidence: []byte(text)}
	return d.Append(nil)
}

// TestSizes holds the memory of a flow against what the design promises.
func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(Record{}); n != 128 {
		t.Errorf("a record has %d bytes, want 128", n)
	}
	if n := unsafe.Sizeof(bucket{}); n != bucketSize {
		t.Errorf("a bucket has %d bytes, want one cache line", n)
	}
	const flows = 1 << 20
	x, err := newIndex(flows)
	if err != nil {
		t.Fatal(err)
	}
	perFlow := float64(len(x.b)*bucketSize)/flows + 8 /* wheel */ + RecordSize
	t.Logf("an idle flow takes %.1f bytes", perFlow)
	if perFlow > 160 {
		t.Errorf("an idle flow takes %.1f bytes, at most 160", perFlow)
	}
}

// model is what the table must hold: by key number, packets and description.
type model map[int]modelFlow

type modelFlow struct {
	packets uint64
	last    uint64
	text    string
}

func (m model) copy() model {
	c := make(model, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

func compare(t *testing.T, table *Table, want model, when string) {
	t.Helper()
	if table.Live() != len(want) {
		t.Fatalf("%s: %d flows, want %d", when, table.Live(), len(want))
	}
	for i, f := range want {
		k, lo, hi := key(i)
		slot, ok := table.Find(lo, hi)
		if !ok {
			t.Fatalf("%s: flow %d not found", when, i)
		}
		r := table.Record(slot)
		if !r.SameKey(&k) || r.PacketsA()+r.PacketsB() != f.packets || r.Last() != f.last {
			t.Fatalf("%s: flow %d has %d packets, last %d; want %d, %d", when, i, r.PacketsA()+r.PacketsB(), r.Last(), f.packets, f.last)
		}
		if f.text != "" && !bytes.Equal(table.Description(nil, r), describe(f.text)) {
			t.Fatalf("%s: flow %d: description differs", when, i)
		}
	}
}

// TestKilledAnywhere runs random transactions and kills the process, that is drops
// everything but the slab's bytes, at random points: after a restart the table holds
// exactly what it held at the last transaction border, or, when the events had been
// published, at the next one.
func TestKilledAnywhere(t *testing.T) {
	for run := range uint64(30) {
		r := rand.New(rand.NewPCG(run, 99))
		g := Geometry{Flows: 256, Chunks: 1024}
		mem := make([]byte, g.Size())
		table, _ := open(t, mem, true, 0, g)
		state, now, events, head := model{}, uint64(1000*second), uint64(0), uint64(0)
		for step := range 200 {
			before := state.copy()
			table.Begin(0, head, events)
			n := r.IntN(40)
			cut := -1
			if r.IntN(4) == 0 {
				cut = r.IntN(n + 1)
			}
			for i := range n {
				if i == cut {
					break
				}
				now += uint64(r.IntN(second))
				randomChange(r, table, state, now)
			}
			when := fmt.Sprintf("run %d step %d", run, step)
			if cut >= 0 {
				table, _ = reopen(t, mem, events, g, when, false)
				state = before
				compare(t, table, state, when+" killed while running")
				continue
			}
			emitted := r.IntN(2) == 0
			table.Prepare(head+uint64(n), emitted)
			if r.IntN(6) == 0 { // killed between Prepare and publishing
				table, _ = reopen(t, mem, events, g, when, !emitted)
				if emitted {
					state = before
				} else {
					head += uint64(n)
				}
				compare(t, table, state, when+" killed before publishing")
				continue
			}
			if emitted {
				events += 100
			}
			if r.IntN(6) == 0 { // killed between publishing and the head
				table, _ = reopen(t, mem, events, g, when, true)
				head += uint64(n)
				compare(t, table, state, when+" killed before the head was stored")
				continue
			}
			head += uint64(n)
			table.Commit()
			compare(t, table, state, when)
		}
	}
}

func reopen(t *testing.T, mem []byte, events uint64, g Geometry, when string, forward bool) (*Table, Adopted) {
	t.Helper()
	table, ad := open(t, mem, false, events, g)
	if ad.Forward != forward {
		t.Fatalf("%s: Forward = %v, want %v", when, ad.Forward, forward)
	}
	return table, ad
}

// randomChange does one of the things a worker does, in table and model.
func randomChange(r *rand.Rand, table *Table, m model, now uint64) {
	i := r.IntN(300)
	k, lo, hi := key(i)
	slot, ok := table.Find(lo, hi)
	f, want := m[i]
	if ok != want {
		panic("the table and the model disagree")
	}
	switch op := r.IntN(10); {
	case !ok && table.Full(false):
	case !ok:
		_, rec := table.Create(&k, lo, hi, now, 0, Alive)
		rec.Count(false, 100, now)
		m[i] = modelFlow{packets: 1, last: now}
	case op < 6:
		table.Touch(slot).Count(op%2 == 0, 1500, now)
		f.packets++
		f.last = now
		m[i] = f
	case op < 8:
		f.text = fmt.Sprintf("%0*d", r.IntN(200)+1, i)
		if _, ok := table.Describe(table.Touch(slot), describe(f.text)); ok {
			m[i] = f
		}
	default:
		table.Detach(slot, table.Touch(slot))
		table.Release(slot)
		delete(m, i)
	}
}

// TestExpiry holds the lazy wheel against the plain rule: a flow expires at the
// first tick that is not before its deadline, neither earlier nor, by more than the
// wheel's second, later.
func TestExpiry(t *testing.T) {
	g := Geometry{Flows: 4096, Chunks: 64}
	table, _ := open(t, make([]byte, g.Size()), true, 0, g)
	r := rand.New(rand.NewPCG(5, 6))
	last := map[int]uint64{}
	now := uint64(5_000 * second)
	for range 3000 {
		table.Begin(0, 0, 0)
		for range 10 {
			now += uint64(r.IntN(second / 20))
			i := r.IntN(3000)
			k, lo, hi := key(i)
			if slot, ok := table.Find(lo, hi); ok {
				table.Touch(slot).Count(false, 1, now)
			} else if !table.Full(false) {
				table.Create(&k, lo, hi, now, 0, Alive)
			} else {
				continue
			}
			last[i] = now
		}
		for table.Room(2) {
			slot, ok := table.Expired(now)
			if !ok {
				break
			}
			rec := table.TouchAll(slot)
			if d := rec.Last() + 60*second; d > now {
				t.Fatalf("flow expired %d ns before its deadline", d-now)
			}
			table.Detach(slot, rec)
			table.Release(slot)
		}
		table.Prepare(0, false)
		table.Commit()
	}
	live := 0
	for i, l := range last {
		_, lo, hi := key(i)
		_, ok := table.Find(lo, hi)
		if ok {
			live++
		}
		if !ok && l+60*second > now {
			t.Errorf("flow %d is gone before its time", i)
		}
		if ok && l+62*second < now {
			t.Errorf("flow %d is %d s over its time", i, (now-l-60*second)/second)
		}
	}
	if live == 0 || live == len(last) {
		t.Errorf("%d of %d flows live: the test shows nothing", live, len(last))
	}
}

// TestVictim: probation goes first, oldest first; then the one idle longest of a sample.
func TestVictim(t *testing.T) {
	g := Geometry{Flows: 128, Chunks: 64}
	table, _ := open(t, make([]byte, g.Size()), true, 0, g)
	table.Begin(0, 0, 0)
	for i := range 20 {
		k, lo, hi := key(i)
		s := Alive
		if i >= 10 && i < 15 {
			s = Probation
		}
		table.Create(&k, lo, hi, uint64(1000-i)*second, 0, s)
	}
	for _, want := range []int{10, 11, 12, 13, 14, 19, 18} {
		slot, ok := table.Victim()
		_, lo, hi := key(want)
		if s, _ := table.Find(lo, hi); !ok || s != slot {
			t.Fatalf("Victim() is not flow %d", want)
		}
		table.Detach(slot, table.Touch(slot))
		table.Release(slot)
	}
	table.Prepare(0, false)
	table.Commit()
}

// TestCounterCarry: the low half of the packet counter runs over into the high bits
// that share a word with the bytes.
func TestCounterCarry(t *testing.T) {
	var r Record
	binary.LittleEndian.PutUint32(r[32:], ^uint32(0))
	binary.LittleEndian.PutUint64(r[40:], 7)
	r.Count(false, 3, 1)
	if r.PacketsA() != 1<<32 || r.BytesA() != 10 {
		t.Errorf("packets %d, bytes %d, want %d, 10", r.PacketsA(), r.BytesA(), uint64(1)<<32)
	}
}

func TestNoAllocs(t *testing.T) {
	g := Geometry{Flows: 4096, Chunks: 4096}
	table, _ := open(t, make([]byte, g.Size()), true, 0, g)
	desc := describe("evidence that takes more than one chunk of the slab to store, to see chains at work")
	i := 0
	step := func() {
		table.Begin(0, 0, 0)
		for range 8 {
			i++
			k, lo, hi := key(i % 6000)
			slot, ok := table.Find(lo, hi)
			if !ok {
				if table.Full(false) {
					v, _ := table.Victim()
					table.Detach(v, table.Touch(v))
					table.Release(v)
					continue
				}
				slot, _ = table.Create(&k, lo, hi, uint64(i)*second, 0, Alive)
			}
			r := table.Touch(slot)
			r.Count(true, 99, uint64(i)*second)
			table.Describe(r, desc)
		}
		table.Prepare(0, false)
		table.Commit()
	}
	for range 2000 {
		step()
	}
	if n := testing.AllocsPerRun(200, step); n != 0 {
		t.Errorf("%v allocations in a transaction, want 0", n)
	}
}

// FuzzAdopt opens slabs of arbitrary bytes: no panic, and what is adopted can be
// found, changed and freed.
func FuzzAdopt(f *testing.F) {
	g := Geometry{Flows: 64, Chunks: 64}
	mem := make([]byte, g.Size())
	table, _ := open(f, mem, true, 0, g)
	table.Begin(0, 0, 0)
	for i := range 20 {
		k, lo, hi := key(i)
		_, r := table.Create(&k, lo, hi, 5*second, 0, Alive)
		table.Describe(r, describe("x"))
	}
	f.Add(uint32(0), mem[controlAt:undoAt], mem[recordsAt:])
	f.Add(uint32(1), mem[controlAt:undoAt], mem[recordsAt:])
	f.Fuzz(func(t *testing.T, phase uint32, control, rest []byte) {
		mem := make([]byte, g.Size())
		copy(mem[controlAt:undoAt], control)
		copy(mem[recordsAt:], rest)
		binary.LittleEndian.PutUint32(mem[ctlPhase:], phase%4)
		table, ad := open(t, mem, false, 0, g)
		if ad.Flows != table.Live() {
			t.Fatalf("adopted %d, live %d", ad.Flows, table.Live())
		}
		table.Begin(0, 0, 0)
		for table.Room(2) {
			slot, ok := table.Victim()
			if !ok {
				break
			}
			r := table.TouchAll(slot)
			table.Description(nil, r)
			table.Detach(slot, r)
			table.Release(slot)
		}
		table.Prepare(0, false)
		table.Commit()
	})
}

func BenchmarkFind(b *testing.B) {
	for _, flows := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) { benchFind(b, flows) })
		b.Run(fmt.Sprintf("flows=%d/gomap", flows), func(b *testing.B) { benchMap(b, flows) })
	}
}

type hashed struct {
	k      flowkey.Key
	lo, hi uint64
}

func keys(flows int) []hashed {
	r := rand.New(rand.NewPCG(1, 1))
	h := make([]hashed, 1<<20)
	for i := range h {
		h[i].k, h[i].lo, h[i].hi = key(r.IntN(flows))
	}
	return h
}

func benchFind(b *testing.B, flows int) {
	g := Geometry{Flows: flows * 5 / 4, Chunks: 64}
	mem, err := private(g.Size())
	if err != nil {
		b.Fatal(err)
	}
	table, _ := open(b, mem, true, 0, g)
	for i := 0; i < flows; {
		table.Begin(0, 0, 0)
		for ; i < flows && table.Room(2); i++ {
			k, lo, hi := key(i)
			table.Create(&k, lo, hi, second, 0, Alive)
		}
		table.Prepare(0, false)
		table.Commit()
	}
	h := keys(flows)
	var sink uint32
	b.ResetTimer()
	for n := 0; n < b.N; n += 32 {
		batch := h[n&(len(h)-1):][:32]
		for i := range batch {
			sink ^= table.Warm(batch[i].hi)
		}
		for i := range batch {
			if slot, ok := table.Guess(batch[i].lo, batch[i].hi); ok {
				sink ^= table.Record(slot).Rev()
			}
		}
		table.Begin(0, 0, 0)
		for i := range batch {
			slot, _ := table.Find(batch[i].lo, batch[i].hi)
			table.Touch(slot).Count(false, 100, uint64(n))
		}
		table.Prepare(0, false)
		table.Commit()
	}
	_ = sink
}

func benchMap(b *testing.B, flows int) {
	type value struct{ packets, bytes, last uint64 }
	m := make(map[flowkey.Key]*value, flows)
	for i := range flows {
		k, _, _ := key(i)
		m[k] = new(value)
	}
	h := keys(flows)
	b.ResetTimer()
	for n := range b.N {
		v := m[h[n&(len(h)-1)].k]
		v.packets++
		v.bytes += 100
		v.last = uint64(n)
	}
}

// TestGuess: what Guess says is what Find says, but for hashes whose tag others have,
// and Is tells the difference.
func TestGuess(t *testing.T) {
	const flows = 2000
	g := Geometry{Flows: flows, Chunks: 64}
	table, _ := open(t, make([]byte, g.Size()), true, 0, g)
	for i := range flows {
		table.Begin(0, 0, 0)
		k, lo, hi := key(i)
		slot, r := table.Create(&k, lo, hi, second, 0, Alive)
		if i%3 == 0 {
			table.Detach(slot, r)
		}
		table.Prepare(0, false)
		table.Commit()
	}
	right := 0
	for i := range 2 * flows {
		_, lo, hi := key(i)
		want, found := table.Find(lo, hi)
		if alive := i < flows && i%3 != 0; found != alive {
			t.Fatalf("Find of flow %d = %v, want %v", i, found, alive)
		}
		slot, ok := table.Guess(lo, hi)
		if ok && table.Is(slot, lo, hi) {
			if right++; slot != want || !found {
				t.Errorf("flow %d: Guess = %d, which Is; Find = %d, %v", i, slot, want, found)
			}
		}
		if found && !table.Is(want, lo, hi) {
			t.Errorf("flow %d: Is = false of the slot that Find returned", i)
		}
	}
	if living := flows - (flows+2)/3; right < living*9/10 {
		t.Errorf("%d guesses of %d were right", right, living)
	}
}
