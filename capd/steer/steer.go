package steer

import (
	"context"
	"fmt"
	"time"

	"weir/capd/source"
	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// Output is the producing end of one worker's ring.
type Output interface {
	// Put copies a record into the ring. False means that there is no room.
	Put(desc, prefix, frame []byte) bool

	// Drop accounts for packets that found no room, with their bytes on the
	// wire. The worker is told before the next record that does.
	Drop(packets, bytes uint64)

	// Publish shows what was put to the worker, and wakes it if it sleeps.
	Publish()

	// Show is Publish that lets it sleep.
	Show()

	// WaitSpace waits until any record fits, and reports whether one does.
	WaitSpace(timeout time.Duration) bool

	// MaxFrame is the length of the longest frame that Put can take.
	MaxFrame() int
}

// Holder decides which packets of a netfilter queue are held until somebody has said
// what becomes of them.
type Holder interface {
	// Arrive is told of each packet before it goes to worker w. True means that it is
	// held: the worker is asked about it.
	Arrive(p *Packet, w int) bool

	// Refused is told that the packet that was held last found no room in its ring.
	Refused()
}

// Finals is what workers say of flows whose inspection is over.
type Finals interface {
	// Final reports whether worker w wants no bytes of the flow of that hash. It may
	// be wrong, at the cost of the bytes.
	Final(w int, lo, hi uint64) bool
}

// Witness is told of each packet, with its flow's hash, before it goes to its worker.
type Witness interface {
	Saw(p *Packet)
}

const (
	// batch is how many frames are read between two publications: enough that
	// the store of the tail and a wake-up cost little, few enough that a
	// worker never waits long.
	batch = 64

	// tickEvery is how far the time of the stream moves between two ticks, in ns.
	tickEvery = uint64(100 * time.Millisecond)

	// waitSlice bounds one wait for room, so that a cancelled run ends.
	waitSlice = 100 * time.Millisecond
)

// Config is what a Steerer works with.
type Config struct {
	Seed      *flowkey.Seed
	Outputs   []Output // one per worker, in their order
	Fragments FragmentConfig
	Pace      *Pace    // nil: as fast as the workers can
	Time      Timeline // of a live run; nil: that of the packets

	// Generation tells the packets of this capd from those of an earlier one, in
	// verdicts on packets in netfilter queues.
	Generation uint16

	// Holder, if not nil, is asked about each packet of a flow that waits in a
	// netfilter queue.
	Holder Holder

	// Finals, if not nil, knows flows whose bytes nobody wants any more.
	Finals Finals

	// Witness, if not nil, is told of each packet.
	Witness Witness

	// Drop says that the stream waits for nobody, as that of an interface: a
	// packet that finds no room in its ring is counted as RingFull, a tick is
	// left out.
	Drop bool

	// Last are the last published descriptors, nil where a ring has none, of a
	// capd that died in the middle of the very run that begins now. Nil when
	// there was none.
	Last []pkt.Descriptor

	// Housekeep, if not nil, is called after every batch; its error ends the run.
	Housekeep func() error
}

// Steerer brings the packets of one stream to the rings. One goroutine owns it.
type Steerer struct {
	cfg      Config
	rings    []ring
	frags    *fragments
	count    Counters
	p        Packet
	frame    source.Frame
	maxFrame int

	ordinal  uint64 // of the frame at hand: how many were before it in the run
	lean     uint64 // packets that went without their bytes
	now      uint64 // highest packet time so far
	lastTick uint64
	started  bool
	pending  int // frames since the last publication

	truncated uint64

	desc   [pkt.DescSize]byte
	prefix [pkt.PrefixSize]byte
	body   [pkt.AccountSize]byte
}

// ring is an output with what the Steerer knows of it.
type ring struct {
	Output
	resume  resume
	touched bool // since the last publication
	urgent  bool // and the worker is to be woken
}

// New returns a Steerer. It is an error to give it no outputs, or another number
// of last descriptors.
func New(cfg Config) (*Steerer, error) {
	if len(cfg.Outputs) == 0 || cfg.Seed == nil {
		return nil, fmt.Errorf("steer: want outputs and a seed, got %d outputs", len(cfg.Outputs))
	}
	if cfg.Last != nil && len(cfg.Last) != len(cfg.Outputs) {
		return nil, fmt.Errorf("steer: %d last descriptors for %d rings", len(cfg.Last), len(cfg.Outputs))
	}
	s := &Steerer{cfg: cfg, rings: make([]ring, len(cfg.Outputs)), maxFrame: cfg.Outputs[0].MaxFrame()}
	for i, out := range cfg.Outputs {
		s.rings[i].Output = out
		s.maxFrame = min(s.maxFrame, out.MaxFrame())
		if cfg.Last != nil {
			s.rings[i].resume = resumeAfter(cfg.Last[i])
		}
	}
	s.frags = newFragments(cfg.Fragments, cfg.Seed, &s.count)
	return s, nil
}

// Counters returns what became of the frames so far. Their sum is Frames.
func (s *Steerer) Counters() Counters { return s.count }

// Truncated returns how many of the delivered packets are in the rings without their
// end, because the capture or the ring has no room for it.
func (s *Steerer) Truncated() uint64 { return s.truncated }

// Frames returns how many frames were steered.
func (s *Steerer) Frames() uint64 { return s.ordinal }

// Time returns the highest packet time so far, in ns.
func (s *Steerer) Time() uint64 { return s.now }

// Steer takes one frame. Its error is that of ctx, which ends a wait for room,
// or of a ring that cannot go on.
func (s *Steerer) Steer(ctx context.Context, f *source.Frame) error {
	if err := s.advance(ctx, f.TS); err != nil {
		return err
	}
	out, err := s.parse(f), error(nil)
	if out == Delivered {
		if out, err = s.deliver(ctx); err != nil {
			return err
		}
	}
	if out != Held { // those the fragment table counts
		s.count[out]++
	}
	s.ordinal++
	s.pending++
	return nil
}

// advance moves the time of the stream, which never goes back, and puts a tick
// into every ring where it moved far enough: time-outs in a worker must not
// depend on which packets fell to the others.
func (s *Steerer) advance(ctx context.Context, ts uint64) error {
	s.now = max(s.now, ts)
	s.frags.expire(s.now)
	if !s.started {
		s.started, s.lastTick = true, s.now
	}
	if s.now-s.lastTick < tickEvery {
		return nil
	}
	s.lastTick = s.now
	return s.mark(ctx, pkt.KindTick)
}

// parse takes f apart and puts fragments together. A datagram may turn out to
// carry a fragment in turn, each time inside of what was complete.
func (s *Steerer) parse(f *source.Frame) Outcome {
	out := s.p.Parse(f)
	for again := out == Held; again; again = again && out == Held {
		out, again = s.frags.add(&s.p, s.now)
	}
	return out
}

func (s *Steerer) housekeep() error {
	if s.cfg.Housekeep == nil {
		return nil
	}
	return s.cfg.Housekeep()
}

// Flush publishes and does what is due once a batch.
func (s *Steerer) Flush(ctx context.Context) error {
	s.publish()
	if err := s.housekeep(); err != nil {
		return err
	}
	return ctx.Err()
}

// Finish ends the stream: fragments that wait are counted as timed out, and every
// ring gets its end mark, with the last time of the stream.
func (s *Steerer) Finish(ctx context.Context) error {
	s.frags.finish()
	if err := s.mark(ctx, pkt.KindEOF); err != nil {
		return err
	}
	return s.Flush(ctx)
}
