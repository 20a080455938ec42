package worker

import "encoding/binary"

// Counters of a worker, u64 words in the slab: they are part of its transactions,
// so that a kill neither loses nor doubles one. Every descriptor of a ring ends in
// exactly one of cPackets, cOrphans, cUnparsed, cNoRoom, cPoison, cLostRecords (one
// record for many packets), cMarks, cAccounts, cUnaccounted or cUnknownKind. New ones are added at the end.
const (
	cClock       = iota // packet time of the last tick, ns (owned by the table)
	cPackets            // counted into a flow
	cBytes              // frame bytes of those
	cOrphans            // without payload, and the flow is not known
	cUnparsed           // payload offsets that make no sense
	cPoison             // killed a worker twice: not looked at
	cLost               // packets that capd lost before this ring
	cMarks              // ticks and ends
	cUnknownKind        // records of a kind we do not know
	cFlows              // alive now
	cProbation          // of these, in probation
	cPending            // waiting for the other workers' hints
	cCreated            // flows begun
	cEnded              // flows ended
	cEvicted            // of these, because the table was full
	cInspected          // packets shown to dissectors
	cClassified         // flows classified by their bytes
	cGuessed            // flows whose inspection ended without a protocol
	cNoContext          // inspections cut short: too many at once
	cNoDescribe         // descriptions dropped: the slab is full of them
	cPanics             // dissectors that panicked
	cHinted             // flows named by a DNS answer
	cUnsettled          // flows told before all workers had passed their time
	cShed               // FLOW_STATS and FLOW_UPDATE not written: readers lag
	cReinspected        // flows whose inspection began again after a restart
	cLostRecords        // records that told of lost packets
	cNoRoom             // packets without a flow: the table had no room for one
	cAsked              // packets that capd holds: policyd was asked
	cGoneOn             // they may go on
	cWithheld           // nothing was said: more has to come first
	cUnanswered         // no room for the answer: capd did not read
	cAccounts           // totals and ends of connections, from conntrack
	cUnaccounted        // the same, of flows that are not known (any more)
	cCount
)

// CounterNames are the names of the words, in order.
var CounterNames = []string{
	"clock_ns", "packets", "bytes", "orphans", "unparsed", "poison", "lost", "marks", "unknown_kind",
	"flows", "probation", "pending", "created", "ended", "evicted", "inspected", "classified", "guessed",
	"no_context", "no_room_to_describe", "dissector_panics", "hinted", "unsettled", "shed", "reinspected",
	"lost_records", "no_room", "asked", "gone_on", "withheld", "unanswered",
	"accounts", "accounts_unknown",
}

func (w *Worker) count(i int) { w.add(i, 1) }

func (w *Worker) add(i int, n uint64) {
	b := w.table.Stats()[8*i : 8*i+8]
	binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)+n)
}

func (w *Worker) set64(i int, v uint64) {
	binary.LittleEndian.PutUint64(w.table.Stats()[8*i:8*i+8], v)
}
