package pktring

import "encoding/binary"

// ProducerStats are the counters of a ring's producer. Every packet that was
// offered is in exactly one of Records, Dropped, DroppedConsumerDown, TooLong.
// Records counts the "lost" records too.
type ProducerStats struct {
	Records             uint64 // published descriptors
	Bytes               uint64 // payload bytes with prefixes
	Batches             uint64 // publications
	Dropped             uint64 // packets: ring full
	DroppedBytes        uint64 // of those packets
	DroppedConsumerDown uint64 // packets: ring full and no consumer alive
	TooLong             uint64 // packets: refused, longer than MaxFrame
	Wakes               uint64 // calls to the kernel to wake the consumer
}

// ConsumerStats are the counters of a ring's consumer.
type ConsumerStats struct {
	Records       uint64 // released descriptors
	Bytes         uint64 // payload bytes handed out, with prefixes
	Corrupt       uint64 // payloads and tails that made no sense
	PoisonSkipped uint64 // packets that killed the consumer twice
	Sleeps        uint64 // waits that went to the kernel
	Resyncs       uint64 // jumps of the head: a cursor that made no sense
}

// statsLine is 128 bytes of shared counters in host byte order. One process
// writes them, with plain stores once per batch; a reader on a 32-bit machine
// may see half an update.
type statsLine []byte

func (l statsLine) get(i int) uint64 { return binary.NativeEndian.Uint64(l[8*i:]) }

func (l statsLine) put(i int, v uint64) { binary.NativeEndian.PutUint64(l[8*i:], v) }

func (s *ProducerStats) load(l statsLine) {
	*s = ProducerStats{l.get(0), l.get(1), l.get(2), l.get(3), l.get(4), l.get(5), l.get(6), l.get(7)}
}

func (s *ProducerStats) store(l statsLine) {
	l = l[:64:64]
	l.put(0, s.Records)
	l.put(1, s.Bytes)
	l.put(2, s.Batches)
	l.put(3, s.Dropped)
	l.put(4, s.DroppedBytes)
	l.put(5, s.DroppedConsumerDown)
	l.put(6, s.TooLong)
	l.put(7, s.Wakes)
}

func (s *ConsumerStats) load(l statsLine) {
	*s = ConsumerStats{l.get(0), l.get(1), l.get(2), l.get(3), l.get(4), l.get(5)}
}

func (s *ConsumerStats) store(l statsLine) {
	l = l[:48:48]
	l.put(0, s.Records)
	l.put(1, s.Bytes)
	l.put(2, s.Corrupt)
	l.put(3, s.PoisonSkipped)
	l.put(4, s.Sleeps)
	l.put(5, s.Resyncs)
}
