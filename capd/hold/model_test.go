package hold

import (
	"math/rand/v2"
	"slices"
	"testing"

	"weir/capd/source"
	"weir/proto/mark"
	"weir/proto/verdict"
)

// model is a Table in slices and maps, with everything done the long way.
type model struct {
	cfg   Config
	held  []waiting // by age
	known map[uint64]verdictOf
	since map[uint64]uint32
	count Counters
	said  log
}

type waiting struct {
	Packet
	flow     uint64
	deadline uint64
}

type verdictOf struct {
	v    mark.Verdict
	bits uint32
}

func (m *model) accept(id uint32, n *uint64) {
	*n++
	m.said.Verdict(id, source.Verdict{Action: source.Accept})
}

func (m *model) treat(id, old uint32, v verdictOf, n *uint64) {
	*n++
	s := source.Verdict{Action: source.Accept}
	if v.bits != 0 {
		s.SetMark, s.Mark = true, m.cfg.Layout.Merge(old, v.bits)
	}
	m.said.Verdict(id, s)
}

// leave takes out what f says, by age.
func (m *model) leave(f func(waiting) bool, do func(waiting)) {
	m.held = slices.DeleteFunc(m.held, func(w waiting) bool {
		if f(w) {
			do(w)
			return true
		}
		return false
	})
}

func of(flow uint64) func(waiting) bool { return func(w waiting) bool { return w.flow == flow } }

func (m *model) arrive(p Packet, flow, now uint64, ask bool) bool {
	v, judged := m.known[flow]
	switch {
	case p.Begin:
		delete(m.known, flow)
		m.since[flow] = p.ID
		m.leave(of(flow), func(w waiting) {
			m.count.Renewed++
			m.said.Verdict(w.ID, source.Verdict{Action: source.Drop})
		})
	case judged:
		m.treat(p.ID, p.Mark, v, &m.count.Known)
		return false
	}
	switch {
	case !p.Payload && !slices.ContainsFunc(m.held, of(flow)):
		m.accept(p.ID, &m.count.Empty)
	case !ask:
		m.accept(p.ID, &m.count.Nobody)
	case len(m.held) == m.cfg.Packets:
		m.accept(p.ID, &m.count.Full)
	default:
		m.held = append(m.held, waiting{p, flow, now + m.cfg.Time})
		return true
	}
	return false
}

func (m *model) goOn(id uint32, flow uint64) {
	at := slices.IndexFunc(m.held, func(w waiting) bool { return w.flow == flow && w.ID == id })
	if at < 0 {
		m.count.Late++
		return
	}
	m.leave(func(w waiting) bool { return w.flow == flow && int32(w.ID-id) <= 0 }, func(w waiting) { m.accept(w.ID, &m.count.WentOn) })
}

func (m *model) judge(id uint32, flow uint64, v verdictOf) {
	if v.v > mark.Reject {
		m.count.Unreadable++
		return
	}
	since, begun := m.since[flow]
	if begun && int32(id-since) < 0 {
		m.count.Late++
		return
	}
	settled := v.v != mark.Accept || m.cfg.Layout.Decode(v.bits).Final
	if settled {
		if _, judged := m.known[flow]; !judged {
			m.since[flow] = id
		}
		m.known[flow] = v
	}
	asked := func(w waiting) bool { return w.flow == flow && (settled || w.ID == id) }
	if !slices.ContainsFunc(m.held, asked) {
		m.count.Late++
		return
	}
	m.leave(func(w waiting) bool { return w.flow == flow && (settled || int32(w.ID-id) <= 0) }, func(w waiting) { m.treat(w.ID, w.Mark, v, &m.count.Judged) })
}

// A Table says what the model says, in the same order, and counts it the same, while
// the numbers of packets turn over.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var said log
		cfg := config(t)
		x := New(cfg, &said)
		m := &model{cfg: cfg, known: map[uint64]verdictOf{}, since: map[uint64]uint32{}}
		now, id := uint64(0), ^uint32(0)-uint32(r.Uint32N(500))
		for step := range 1000 {
			now += r.Uint64N(4)
			flow, before := 1+r.Uint64N(5), id-r.Uint32N(8)
			switch k := r.IntN(20); {
			case k < 11:
				id++
				p := data(id, flow)
				p.Payload, p.Begin, p.Worker = r.IntN(4) > 0, r.IntN(20) == 0, int(flow%2)
				ask := r.IntN(20) > 0
				held := x.Arrive(p, now, ask)
				if want := m.arrive(*p, flow, now, ask); held != want {
					t.Fatalf("seed %d, step %d: Arrive = %v, want %v", seed, step, held, want)
				}
				if held && r.IntN(10) == 0 {
					x.Refused()
					m.held = m.held[:len(m.held)-1]
					m.accept(id, &m.count.NoRoom)
				}
			case k < 14:
				x.Answer(goOn(before, flow), Worker)
				m.goOn(before, flow)
			case k < 16:
				v := verdictOf{mark.Verdict(r.IntN(4)), r.Uint32() &^ final}
				if r.IntN(3) == 0 {
					v.bits |= final
				}
				x.Answer(judged(before, flow, v.v, v.bits), Policy)
				m.judge(before, flow, v)
			case k < 17:
				f := verdict.Fields{HashLo: flow << 32, HashHi: flow, ID: before, Queue: queueNumber, Generation: generation - 1, Kind: verdict.KindGoOn}
				x.Answer(record(f), Worker)
				m.count.Foreign++
			case k < 19:
				x.Expire(now)
				m.leave(func(w waiting) bool { return w.deadline <= now }, func(w waiting) { m.accept(w.ID, &m.count.Expired) })
			case r.IntN(5) == 0:
				worker := int(flow % 2)
				x.Abandon(worker)
				m.leave(func(w waiting) bool { return w.Worker == worker }, func(w waiting) { m.accept(w.ID, &m.count.Nobody) })
			}
			if at, ok := x.Deadline(); ok != (len(m.held) > 0) || ok && at != m.held[0].deadline {
				t.Fatalf("seed %d, step %d: Deadline = %d, %v; %d are held", seed, step, at, ok, len(m.held))
			}
		}
		if !slices.Equal(said, m.said) || x.Counters() != m.count || x.Held() != len(m.held) {
			t.Fatalf("seed %d: counters = %+v, want %+v; %d verdicts, want %d", seed, x.Counters(), m.count, len(said), len(m.said))
		}
	}
}
