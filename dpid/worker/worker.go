// Package worker is the loop of dpid: packets from the rings, through the flow
// table and the dissectors, to events.
//
// One goroutine does all of it and owns everything it touches. Packets are taken
// in batches; a batch is one transaction of the flow table, so that a kill leaves
// it wholly done or wholly undone. On the way of a packet nothing allocates, locks
// or logs. Packet time is the only time: it comes with the packets and, so that
// timeouts do not depend on which worker got which packet, with ticks that capd
// puts into all rings.
package worker

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"weir/dpid/catalog"
	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/dpid/hint"
	"weir/dpid/place"
	"weir/proto/event"
	"weir/proto/flowkey"
	"weir/proto/pkt"
	"weir/shm/evtring"
	"weir/shm/hashset"
	"weir/shm/pktring"
)

// batchSize is how many packets one transaction takes at most: enough to hide the
// loads of the flow table behind each other, few enough to stay in the first cache.
const batchSize = 32

// slack is how many records one packet, timer or request may touch.
const slack = 8

// Settings are the values that the configuration gives a worker.
type Settings struct {
	Worker        int
	Offline       bool // a capture: wait for readers and for the other workers' hints
	Timeouts      Timeouts
	MaxPackets    int // packets with payload shown to the dissectors, per flow
	Contexts      int // flows under inspection at once
	StatsInterval time.Duration
	Spin          int           // loads before the worker yields when idle
	Sleep         time.Duration // longest sleep when idle
	Hold          time.Duration // inline: how long capd waits for an answer; 0 = nobody waits
}

// Parts are what a worker works on. They are opened by the caller, who closes them.
type Parts struct {
	Rings   []*pktring.Consumer // one per capture thread
	Events  *evtring.Producer
	Table   *flow.Table
	Adopted flow.Adopted
	Hints   *hint.Writer
	Names   *hint.Reader
	Catalog *catalog.Catalog      // nil: flows get no application
	Finals  *hashset.Writer       // final flows, which capd asks for; nil: it does not
	Places  *place.Book           // nil: flows do not say where their ends are
	Export  func(counters []byte) // shows the counters to others; u64 words
	// Verdicts are the rings of answers to the capture threads, for Settings.Hold.
	Verdicts []*pktring.Producer
	Log      *slog.Logger
}

// Worker is one dpid worker. See the package comment.
type Worker struct {
	set     Settings
	part    Parts
	table   *flow.Table
	events  *evtring.Producer
	timeout [classes]uint64 // ns, by timeout class
	active  uint64          // ns, 0 = none
	live    bool
	now     uint64 // packet time of the last tick
	emitted int    // events of this transaction
	ended   []bool // by ring: its end was seen
	pending pendingQueue
	inspect sessions
	held    held
	snap    snapshots
	finals  finals
	stats   statsWalk
	key     flowkey.Key // of the packet or flow at hand
	told    flowkey.Key // of the flow whose event is written
	desc    event.Description
	text    scratch
	out     dissect.Result
	in      dissect.Input
	cats    map[string]catalog.CategoryID
	warmed  uint32            // what lookAhead loaded, so that it is not left out
	likely  [batchSize]uint32 // by packet of the batch: slot of its flow, or noGuess
	hunch   uint32            // of the packet at hand
	beat    time.Time         // last housekeeping
	slice   time.Time         // next slice of a walk, when there are packets
	most    uint64            // bytes of events after which a transaction ends
	ts      uint64            // time of the packet that is being looked at
	rearm   bool              // its flow's deadline came nearer
}

// New makes a worker. It changes nothing in shared memory but what adoption asks
// for: the ring's head goes over packets whose transaction was already published.
func New(set Settings, part Parts) *Worker {
	w := &Worker{set: set, part: part, table: part.Table, events: part.Events, live: !set.Offline}
	w.ended = make([]bool, len(part.Rings))
	w.finals.set = part.Finals
	w.timeouts(set.Timeouts)
	w.inspect.init(max(set.Contexts, 16), part.Table.Cap())
	w.held.init(part.Verdicts, set.Hold, part.Table.Cap())
	w.text.init()
	w.cats = map[string]catalog.CategoryID{}
	if part.Catalog != nil {
		part.Catalog.Categories(func(id catalog.CategoryID, name string) bool {
			w.cats[name] = id
			return true
		})
	}
	w.now = part.Table.Clock()
	// A ring publishes by itself before a quarter of it is unpublished, and offline
	// mayWrite sees to an eighth. A transaction is to stay below both: what is seen of
	// one that a kill undoes would be told twice, under other flow ids.
	w.most = part.Events.Capacity() / 16
	for _, s := range part.Adopted.Pending {
		w.pending.push(s, part.Table.Record(s).ID())
	}
	if a := part.Adopted; a.Forward && int(a.Ring) < len(part.Rings) {
		w.forward(part.Rings[a.Ring], a.HeadEnd)
	}
	return w
}

// forward releases what an earlier process had done and not released: never more
// than a batch. An end that is further away is that of another ring of the name.
func (w *Worker) forward(r *pktring.Consumer, end uint64) {
	for left := end - r.Position(); left > 0 && left <= batchSize; left = end - r.Position() {
		n := len(r.Peek(int(left))) / pkt.DescSize
		if n == 0 {
			return
		}
		r.Release(n)
	}
}

// Run works until ctx is done or, offline, the capture's end was told by all rings
// and every event is published. It returns nil in both cases; an error means that
// shared memory was lost and the process should start anew.
func (w *Worker) Run(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.announce()
	for turn := 0; ctx.Err() == nil; turn++ {
		worked := false
		for i := range w.part.Rings {
			n, err := w.serve(i)
			if err != nil {
				return err
			}
			worked = worked || n > 0
		}
		if w.finished() {
			w.export()
			return nil
		}
		if worked && turn%16 != 0 {
			continue // reading the clock takes longer than a packet of a final flow
		}
		if err := w.housekeeping(worked); err != nil {
			return err
		}
		if !worked {
			w.idle()
		}
	}
	w.export()
	return nil
}

// serve takes one batch from ring i and returns how many descriptors it consumed.
func (w *Worker) serve(i int) (n int, err error) {
	ring := w.part.Rings[i]
	err = ring.Guard(func() error {
		descs := ring.Peek(batchSize)
		if len(descs) == 0 {
			return nil
		}
		if w.set.Offline && !w.events.WaitRoom(time.Second) {
			return nil // a reader is slow: come back, look at signals on the way
		}
		if k := pkt.Descriptor(descs).Kind(); k == pkt.KindTick || k == pkt.KindEOF {
			n = w.mark(i, pkt.Descriptor(descs))
			return nil
		}
		w.makeRoom(i)
		n = w.batch(i, descs)
		return nil
	})
	return n, err
}

// batch is one transaction over the packets in descs, up to the first that is none.
func (w *Worker) batch(i int, descs []byte) int {
	ring := w.part.Rings[i]
	w.lookAhead(ring, descs)
	pos := ring.Position()
	w.begin(i)
	n := 0
	for ; n*pkt.DescSize < len(descs) && w.room(); n++ {
		d := pkt.Descriptor(descs[n*pkt.DescSize : (n+1)*pkt.DescSize])
		if k := d.Kind(); k == pkt.KindTick || k == pkt.KindEOF {
			break
		}
		ring.Inflight(pos + uint64(n))
		w.hunch = w.likely[n]
		w.held.take(i, d)
		w.descriptor(ring, pos+uint64(n), d)
		w.answer()
	}
	w.commit(i, n)
	return n
}

// noGuess is the slot of a packet whose flow is likely to be new.
const noGuess = ^uint32(0)

// lookAhead loads what the packets of a batch will need, step by step, so that the
// cache misses of each step are under way together: index, records, and the headers
// of packets that are going to be inspected. It keeps where the flows are likely to be.
func (w *Worker) lookAhead(ring *pktring.Consumer, descs []byte) {
	at := func(i int) pkt.Descriptor { return pkt.Descriptor(descs[i*pkt.DescSize : (i+1)*pkt.DescSize]) }
	n := min(len(descs)/pkt.DescSize, batchSize)
	for i := range n {
		w.warmed ^= w.table.Warm(at(i).HashHi())
	}
	for i := range n {
		w.likely[i] = noGuess
		if slot, ok := w.table.Guess(at(i).HashLo(), at(i).HashHi()); ok {
			w.likely[i] = slot
			w.warmed ^= w.table.Record(slot).Rev()
		}
	}
	for i := range n {
		if g := w.likely[i]; g == noGuess || !w.table.Record(g).Has(flow.Final) {
			w.warmed ^= uint32(ring.Warm(at(i)))
		}
	}
}

// begin starts a transaction at the head of ring i.
func (w *Worker) begin(i int) {
	w.emitted = 0
	w.table.Begin(uint32(i), w.part.Rings[i].Position(), w.events.Tail())
}

// commit publishes the transaction: its events, then its answers, then the n packets it
// consumed. After a kill before the last the packets may be read and answered again,
// which does no harm: what an answer lets go is gone.
func (w *Worker) commit(i, n int) {
	ring := w.part.Rings[i]
	w.table.Prepare(ring.Position()+uint64(n), w.emitted > 0)
	if w.emitted > 0 {
		w.events.Publish()
	}
	if n > 0 {
		w.held.publish(i)
		ring.Release(n)
	}
	w.table.Commit()
	w.finals.commit(w.table)
}

// descriptor handles one record of a ring.
func (w *Worker) descriptor(ring *pktring.Consumer, pos uint64, d pkt.Descriptor) {
	switch d.Kind() {
	case pkt.KindPacket:
		if p, bad := ring.Poison(); bad && p == pos {
			ring.SkippedPoison()
			w.count(cPoison)
			return
		}
		w.ts = d.TS()
		w.packet(d, ring.Payload(d))
	case pkt.KindAccount:
		w.account(d, ring.Payload(d))
	case pkt.KindLost:
		w.count(cLostRecords)
		w.add(cLost, d.HashLo())
		w.lost(d)
	default:
		w.count(cUnknownKind)
	}
}

// lost tells the consumers that packets were lost on the way to this worker.
func (w *Worker) lost(d pkt.Descriptor) {
	l := event.Loss{Packets: d.HashLo(), Bytes: d.HashHi()}
	if b := w.events.Reserve(uint16(event.LostInput), event.Version, 0, d.TS(), event.LossSize); b != nil {
		l.Encode(b)
		w.emitted++
	}
}

// announce tells the consumers that this worker attached and what it adopted.
func (w *Worker) announce() {
	a := event.Attached{Slab: w.table.ID(), Adopted: uint32(w.part.Adopted.Flows), Reinspected: uint32(w.part.Adopted.Reinspected)}
	if b := w.events.Reserve(uint16(event.Epoch), event.Version, 0, w.now, event.AttachedSize); b != nil {
		a.Encode(b)
	}
	w.events.Publish()
	if a.Adopted > 0 {
		w.part.Log.Info("flows adopted", "flows", a.Adopted, "reinspected", a.Reinspected)
	}
}

// idle waits for a packet. What waits for other workers' hints is looked at on the
// way: nobody wakes us for that.
func (w *Worker) idle() {
	w.settle()
	sleep := w.set.Sleep
	if w.pending.len() > 0 || w.snap.running || w.stats.running || w.allEnded() {
		sleep = time.Millisecond
	}
	pktring.WaitAny(w.part.Rings, w.set.Spin, sleep)
}

// housekeeping does what is not for every packet, at most every 100 ms. busy says
// that there are packets.
func (w *Worker) housekeeping(busy bool) error {
	now := time.Now()
	w.background(now, busy)
	if now.Sub(w.beat) < 100*time.Millisecond {
		return nil
	}
	w.beat = now
	for i, r := range w.part.Rings {
		if err := r.Housekeeping(); err != nil {
			return err
		}
		r.Commit()
		if !w.ended[i] && past(r) {
			return &replacedError{ring: i}
		}
	}
	if _, err := w.events.Housekeeping(); err != nil {
		return err
	}
	if err := w.held.housekeeping(); err != nil {
		return err
	}
	if w.part.Places != nil {
		w.part.Places.Refresh()
	}
	if w.finals.set != nil {
		w.finals.set.Beat()
	}
	w.requests()
	w.startStats()
	w.export()
	return nil
}

// export shows the counters to others.
func (w *Worker) export() {
	w.set64(cFlows, uint64(w.table.Live()))
	w.set64(cProbation, uint64(w.table.InProbation()))
	w.set64(cPending, uint64(w.pending.len()))
	if w.part.Export != nil {
		w.part.Export(w.table.Stats())
	}
}
