package hold

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"weir/capd/source"
	"weir/proto/mark"
	"weir/proto/verdict"
)

const (
	queueNumber, generation = 7, 9
	holdTime                = 20
)

// log is a Queue that keeps what it was told.
type log []string

func (l *log) Verdict(id uint32, v source.Verdict) { *l = append(*l, line(id, v)) }

func line(id uint32, v source.Verdict) string {
	s := fmt.Sprintf("%d %d", id, v.Action)
	if v.SetMark {
		s += fmt.Sprintf(" mark %#x", v.Mark)
	}
	return s
}

func config(t testing.TB) Config {
	t.Helper()
	l, err := mark.New(mark.DefaultMask)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Number: queueNumber, Generation: generation, Layout: l, Time: holdTime, Expired: source.Accept, Packets: 8, Flows: 64}
}

func data(id uint32, flow uint64) *Packet {
	return &Packet{ID: id, Mark: 0x3f00, HashLo: flow << 32, HashHi: flow, Payload: true}
}

func goOn(id uint32, flow uint64) verdict.Record {
	return record(verdict.Fields{HashLo: flow << 32, HashHi: flow, ID: id, Queue: queueNumber, Generation: generation, Kind: verdict.KindGoOn})
}

func judged(id uint32, flow uint64, v mark.Verdict, bits uint32) verdict.Record {
	return record(verdict.Fields{HashLo: flow << 32, HashHi: flow, ID: id, Queue: queueNumber, Generation: generation, Kind: verdict.KindFlow, Verdict: v, Bits: bits})
}

func record(f verdict.Fields) verdict.Record {
	b := make([]byte, verdict.Size)
	f.Encode(b)
	return b
}

// Bits of the default mask.
const final, drop, reject = 0x80000000, 0x40000000, 0x20000000

func TestTable(t *testing.T) {
	begin := func(id uint32, flow uint64) *Packet {
		p := data(id, flow)
		p.Payload, p.Begin = false, true
		return p
	}
	ack := func(id uint32, flow uint64) *Packet {
		p := data(id, flow)
		p.Payload = false
		return p
	}
	tests := []struct {
		name   string
		change func(*Config)
		do     func(*Table)
		want   log
		count  Counters
	}{
		{
			name: "what carries nothing goes at once",
			do:   func(x *Table) { x.Arrive(begin(1, 1), 0, true); x.Arrive(ack(2, 1), 0, true) },
			want: log{"1 1", "2 1"}, count: Counters{Empty: 2},
		},
		{
			name: "an acknowledgement does not overtake what is held",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Arrive(ack(2, 1), 0, true)
				x.Arrive(ack(3, 2), 0, true)
				x.Answer(goOn(2, 1), Worker)
			},
			want: log{"3 1", "1 1", "2 1"}, count: Counters{Empty: 1, WentOn: 2},
		},
		{
			name: "go on says nothing about later packets, or other flows",
			do: func(x *Table) {
				for id := range uint32(4) {
					x.Arrive(data(id, uint64(id%2)), 0, true)
				}
				x.Answer(goOn(0, 0), Worker)
			},
			want: log{"0 1"}, count: Counters{WentOn: 1},
		},
		{
			name: "a verdict is for all that is held, and what comes",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Arrive(data(2, 1), 0, true)
				x.Answer(judged(2, 1, mark.Drop, final|drop), Policy)
				x.Arrive(data(3, 1), 0, true)
				x.Arrive(ack(4, 1), 0, true)
			},
			want:  log{"1 1 mark 0xc0003f00", "2 1 mark 0xc0003f00", "3 1 mark 0xc0003f00", "4 1 mark 0xc0003f00"},
			count: Counters{Judged: 2, Known: 2},
		},
		{
			name:   "without rules of ours packets are dropped here",
			change: func(c *Config) { c.Direct = true },
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Answer(judged(1, 1, mark.Reject, final|drop|reject), Policy)
				x.Arrive(data(2, 1), 0, true)
			},
			want: log{"1 0", "2 0"}, count: Counters{Judged: 1, Known: 1},
		},
		{
			name: "a verdict that is not final is asked for again",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Answer(judged(1, 1, mark.Accept, 0), Policy)
				x.Arrive(data(2, 1), 0, true)
			},
			want: log{"1 1"}, count: Counters{Judged: 1},
		},
		{
			name: "and says nothing about what came behind the question",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Arrive(data(2, 1), 0, true)
				x.Arrive(data(3, 1), 0, true)
				x.Answer(judged(2, 1, mark.Accept, 0), Policy)
				x.Answer(judged(2, 1, mark.Accept, 0), Policy)
			},
			want: log{"1 1", "2 1"}, count: Counters{Judged: 2, Late: 1},
		},
		{
			name: "a verdict is forgotten when nothing comes",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Answer(judged(1, 1, mark.Accept, final), Policy)
				x.Arrive(data(2, 1), 20e9, true)
				x.Arrive(data(3, 1), 40e9, true)
				x.Arrive(data(4, 1), 70e9, true)
				x.Release()
			},
			want:  log{"1 1 mark 0x80003f00", "2 1 mark 0x80003f00", "3 1 mark 0x80003f00", "4 1"},
			count: Counters{Judged: 1, Known: 2, Left: 1},
		},
		{
			name: "a connection that begins anew is judged anew",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Answer(judged(1, 1, mark.Drop, final|drop), Policy)
				x.Arrive(begin(2, 1), 0, true)
				x.Arrive(data(3, 1), 0, true)
				x.Answer(judged(1, 1, mark.Drop, final|drop), Policy) // about the one before
				x.Answer(goOn(3, 1), Worker)
			},
			want: log{"1 1 mark 0xc0003f00", "2 1", "3 1"}, count: Counters{Judged: 1, Empty: 1, WentOn: 1, Late: 1},
		},
		{
			name: "nobody answers",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Arrive(data(2, 1), 1, true)
				x.Expire(holdTime)
				x.Answer(goOn(1, 1), Worker)
				x.Answer(judged(1, 1, mark.Drop, final|drop), Policy)
			},
			want: log{"1 1", "2 1 mark 0xc0003f00"}, count: Counters{Expired: 1, Late: 1, Judged: 1},
		},
		{
			name:   "nobody answers, and that is no leave to pass",
			change: func(c *Config) { c.Expired = source.Drop },
			do:     func(x *Table) { x.Arrive(data(1, 1), 0, true); x.Expire(holdTime) },
			want:   log{"1 0"}, count: Counters{Expired: 1},
		},
		{
			name: "the answer that comes late holds for what follows",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Expire(holdTime)
				x.Answer(judged(1, 1, mark.Drop, final|drop), Policy)
				x.Arrive(data(2, 1), holdTime, true)
			},
			want: log{"1 1", "2 1 mark 0xc0003f00"}, count: Counters{Expired: 1, Late: 1, Known: 1},
		},
		{
			name: "there is nobody to ask",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Abandon(0)
				x.Arrive(data(2, 1), 0, false)
				x.Arrive(data(3, 1), 0, true)
				x.Release()
			},
			want: log{"1 1", "2 1", "3 1"}, count: Counters{Nobody: 2, Left: 1},
		},
		{
			name: "one of two workers is gone",
			do: func(x *Table) {
				for id := range uint32(5) {
					p := data(id, uint64(id%2))
					p.Worker = int(id % 2)
					x.Arrive(p, 0, true)
				}
				x.Abandon(1)
				x.Answer(goOn(4, 0), Worker)
			},
			want: log{"1 1", "3 1", "0 1", "2 1", "4 1"}, count: Counters{Nobody: 2, WentOn: 3},
		},
		{
			name: "a second SYN brings nothing past its verdict",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Arrive(data(2, 1), 0, true)
				x.Arrive(begin(3, 1), 0, true)
				x.Arrive(data(4, 1), 0, true)
				x.Answer(goOn(3, 1), Worker)
				x.Answer(judged(1, 1, mark.Accept, final), Policy)
				x.Answer(judged(4, 1, mark.Drop, final|drop), Policy)
			},
			want: log{"1 0", "2 0", "3 1", "4 1 mark 0xc0003f00"}, count: Counters{Renewed: 2, Empty: 1, Judged: 1, Late: 2},
		},
		{
			name: "a connection outlives a turn of the numbers",
			do: func(x *Table) {
				x.Arrive(begin(7, 1), 0, true)
				for id := uint32(7); id < 1<<31+1<<30; id += 1 << 29 {
					x.Arrive(ack(id+1, 1), 0, true)
				}
				x.Arrive(data(7|1<<31+1<<30, 1), 0, true)
				x.Answer(judged(7|1<<31+1<<30, 1, mark.Accept, 0), Policy)
			},
			want: log{"7 1", "8 1", "536870920 1", "1073741832 1", "1610612744 1", "2147483656 1", "2684354568 1", "3221225479 1"}, count: Counters{Empty: 7, Judged: 1},
		},
		{
			name: "too many are held",
			do: func(x *Table) {
				for id := range uint32(10) {
					x.Arrive(data(id, uint64(id)), 0, true)
				}
			},
			want: log{"8 1", "9 1"}, count: Counters{Full: 2},
		},
		{
			name: "the ring has no room",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				x.Arrive(data(2, 2), 0, true)
				x.Refused()
				x.Arrive(data(3, 1), 0, true)
				x.Refused()
				x.Arrive(data(4, 1), 0, true)
				x.Answer(goOn(4, 1), Worker)
			},
			want: log{"2 1", "3 1", "1 1", "4 1"}, count: Counters{NoRoom: 2, WentOn: 2},
		},
		{
			name: "answers that are none",
			do: func(x *Table) {
				x.Arrive(data(1, 1), 0, true)
				for _, f := range []verdict.Fields{
					{HashLo: 1 << 32, HashHi: 1, ID: 1, Queue: queueNumber, Generation: generation - 1, Kind: verdict.KindGoOn},
					{HashLo: 1 << 32, HashHi: 1, ID: 1, Queue: queueNumber + 1, Generation: generation, Kind: verdict.KindGoOn},
					{HashLo: 1 << 32, HashHi: 1, ID: 1, Queue: queueNumber, Generation: generation, Kind: 1},
					{HashLo: 1 << 32, HashHi: 2, ID: 1, Queue: queueNumber, Generation: generation, Kind: verdict.KindGoOn},
					{HashLo: 1 << 32, HashHi: 1, ID: 2, Queue: queueNumber, Generation: generation, Kind: verdict.KindGoOn},
				} {
					x.Answer(record(f), Worker)
				}
				x.Answer(judged(1, 1, mark.Accept, final), Worker)
				x.Answer(judged(1, 1, 3, final), Policy)
				x.Answer(goOn(1, 1), Policy)
			},
			count: Counters{Foreign: 2, Unreadable: 4, Late: 2},
		},
		{
			name: "packet numbers turn over",
			do: func(x *Table) {
				for i := range uint32(4) {
					x.Arrive(data(i-2, 1), 0, true)
				}
				x.Answer(goOn(0, 1), Worker)
			},
			want: log{"4294967294 1", "4294967295 1", "0 1"}, count: Counters{WentOn: 3},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got log
			c := config(t)
			if tt.change != nil {
				tt.change(&c)
			}
			x := New(c, &got)
			tt.do(x)
			if !slices.Equal(got, tt.want) {
				t.Errorf("verdicts = %q, want %q", got, tt.want)
			}
			if x.Counters() != tt.count {
				t.Errorf("counters = %+v, want %+v", x.Counters(), tt.count)
			}
		})
	}
}

// checker is a Queue that knows which packets wait, and in which order those of a flow
// came.
type checker struct {
	t     *testing.T
	flow  map[uint32]uint64
	order map[uint64][]uint32
	loose bool // order does not matter for this one: it is counted apart
	said  uint64
}

func (c *checker) Verdict(id uint32, _ source.Verdict) {
	f, there := c.flow[id]
	if !there {
		c.t.Fatalf("a verdict on packet %d, which does not wait", id)
	}
	delete(c.flow, id)
	i := slices.Index(c.order[f], id)
	if i != 0 && !c.loose {
		c.t.Fatalf("packet %d of flow %d leaves before %v", id, f, c.order[f][:i])
	}
	c.order[f] = slices.Delete(c.order[f], i, i+1)
	c.said++
}

// Whatever comes in whatever order: each packet gets one verdict, those of a flow in
// their order, and each is in one counter.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := &checker{t: t, flow: map[uint32]uint64{}, order: map[uint64][]uint32{}}
		x := New(config(t), c)
		now, id, arrived := uint64(0), uint32(r.Uint32()), uint64(0)
		for range 3000 {
			now += r.Uint64N(3)
			flow, before := r.Uint64N(12), id-r.Uint32N(12)
			switch k := r.IntN(20); {
			case k < 11:
				id++
				arrived++
				p := data(id, flow)
				p.Payload, p.Begin = r.IntN(4) > 0, r.IntN(30) == 0
				c.flow[id], c.order[flow] = flow, append(c.order[flow], id)
				// What passes because of want of room or of somebody to ask may
				// overtake, and is counted.
				c.loose = true
				held := x.Arrive(p, now, r.IntN(20) > 0)
				if held && r.IntN(10) == 0 {
					x.Refused()
				}
				c.loose = false
			case k < 15:
				x.Answer(goOn(before, flow), Worker)
			case k < 17:
				x.Answer(judged(before, flow, mark.Verdict(r.IntN(4)), r.Uint32()), Policy)
			case k < 19:
				x.Expire(now)
			case r.IntN(10) == 0:
				if r.IntN(2) == 0 {
					x.Release()
				} else {
					x.Abandon(0)
				}
			}
			if x.Held() != len(c.flow) {
				t.Fatalf("seed %d: %d are held, %d have no verdict", seed, x.Held(), len(c.flow))
			}
		}
		x.Release()
		n := x.Counters()
		if sum := n.Empty + n.Known + n.WentOn + n.Judged + n.Expired + n.Nobody + n.Full + n.NoRoom + n.Renewed + n.Left; sum != arrived || c.said != arrived {
			t.Fatalf("seed %d: %d packets, %d verdicts, %d in counters: %+v", seed, arrived, c.said, sum, n)
		}
	}
}

type ignore struct{}

func (ignore) Verdict(uint32, source.Verdict) {}

func TestNoAllocs(t *testing.T) {
	x := New(config(t), ignore{})
	p, id, answer := data(0, 0), uint32(0), make([]byte, verdict.Size)
	got := testing.AllocsPerRun(1000, func() {
		id++
		p.ID, p.HashLo, p.HashHi = id, uint64(id)<<32, uint64(id)
		x.Arrive(p, uint64(id), true)
		f := verdict.Fields{HashLo: p.HashLo, HashHi: p.HashHi, ID: id, Queue: queueNumber, Generation: generation, Kind: verdict.KindGoOn}
		if id%2 == 0 {
			f.Kind, f.Bits = verdict.KindFlow, final
		}
		f.Encode(answer)
		x.Answer(answer, From(1-id%2))
		x.Expire(uint64(id))
	})
	if got != 0 {
		t.Errorf("%v allocations for a packet, want 0", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(goOn(2, 1)), []byte(judged(3, 2, mark.Drop, final)))
	f.Fuzz(func(t *testing.T, worker, policy []byte) {
		c := &checker{t: t, flow: map[uint32]uint64{}, order: map[uint64][]uint32{}}
		x := New(config(t), c)
		for id := range uint32(6) {
			flow := uint64(id % 3)
			c.flow[id], c.order[flow] = flow, append(c.order[flow], id)
			x.Arrive(data(id, flow), 0, true)
		}
		if len(worker) >= verdict.Size {
			x.Answer(worker, Worker)
		}
		if len(policy) >= verdict.Size {
			x.Answer(policy, Policy)
		}
		x.Expire(holdTime)
		if len(c.flow) != 0 {
			t.Errorf("%d packets never leave", len(c.flow))
		}
	})
}
