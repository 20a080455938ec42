package evtring

// ProducerStats are the counters of a ring's producer.
type ProducerStats struct {
	Events         uint64 // completed
	Bytes          uint64 // of those, with headers, without padding
	Batches        uint64 // publications
	Wakes          uint64 // calls to the kernel to wake readers
	SnapshotsBegun uint64
	SnapshotsDone  uint64
	Shed           uint64 // low-priority events that were not written
	MaxLag         uint64 // bytes, of the slowest reader that is not lapped
	GivenUp        uint64 // readers that died and were not waited for any longer
	WaitedNS       uint64 // time spent waiting for readers
}

// ReaderStats are the counters of one reader of one ring.
type ReaderStats struct {
	Events   uint64 // returned by Next
	Bytes    uint64 // of those, with headers
	Overruns uint64 // times the reader was lapped
	Lost     uint64 // events lost, by laps and damage
	Corrupt  uint64 // damaged places
	Resyncs  uint64 // snapshots asked for
	Reread   uint64 // events that were returned before a restart and are returned again
}

// statsLine is 128 bytes of shared counters in host byte order. One process
// writes them, with plain stores once per batch; a reader on a 32-bit machine
// may see half an update.
type statsLine []byte

func (l statsLine) get(i int) uint64 { return host.Uint64(l[8*i:]) }

func (l statsLine) put(i int, v uint64) { host.PutUint64(l[8*i:], v) }

func (s *ProducerStats) load(l statsLine) {
	*s = ProducerStats{
		l.get(0), l.get(1), l.get(2), l.get(3), l.get(4),
		l.get(5), l.get(6), l.get(7), l.get(8), l.get(9),
	}
}

func (s *ProducerStats) store(l statsLine) {
	l = l[:80:80]
	l.put(0, s.Events)
	l.put(1, s.Bytes)
	l.put(2, s.Batches)
	l.put(3, s.Wakes)
	l.put(4, s.SnapshotsBegun)
	l.put(5, s.SnapshotsDone)
	l.put(6, s.Shed)
	l.put(7, s.MaxLag)
	l.put(8, s.GivenUp)
	l.put(9, s.WaitedNS)
}

func (s *ReaderStats) load(l statsLine) {
	*s = ReaderStats{l.get(0), l.get(1), l.get(2), l.get(3), l.get(4), l.get(5), l.get(6)}
}

func (s *ReaderStats) store(l statsLine) {
	l = l[:56:56]
	l.put(0, s.Events)
	l.put(1, s.Bytes)
	l.put(2, s.Overruns)
	l.put(3, s.Lost)
	l.put(4, s.Corrupt)
	l.put(5, s.Resyncs)
	l.put(6, s.Reread)
}
