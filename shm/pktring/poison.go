package pktring

import "weir/shm/cursor"

// poisonTries is how often one packet may kill its consumer.
const poisonTries = 2

// Inflight notes that the packet at position pos is being worked on; Release
// clears the note. A consumer that is killed leaves it behind: see Poison. One
// plain store to a line that nobody else reads.
func (c *Consumer) Inflight(pos uint64) {
	c.working = true
	host.PutUint64(c.inflight, pos+1)
}

// Poison returns the position of a packet that killed its consumer twice. When
// Peek comes to it: keep a copy, do not dissect it, and call SkippedPoison.
func (c *Consumer) Poison() (pos uint64, ok bool) { return c.poison, c.hasPoison }

// SkippedPoison counts the packet and forgets it.
func (c *Consumer) SkippedPoison() {
	c.hasPoison = false
	c.stats.PoisonSkipped++
}

// findPoison looks what the consumer before us was doing when it ended. The note
// is cleared, so that a kill before the first packet is not held against it.
func (c *Consumer) findPoison(tail uint64) {
	note := host.Uint64(c.inflight)
	if note == 0 {
		return
	}
	host.PutUint64(c.inflight, 0)
	pos := note - 1
	if pos-c.head >= tail-c.head || tail-c.head > c.mask+1 {
		return
	}
	tries, triesPos := c.cur.U32(cursor.OffTries), c.cur.U32(cursor.OffTriesPos)
	n := uint32(1)
	if triesPos.Load() == uint32(note) {
		n = tries.Load() + 1
	}
	tries.Store(n)
	triesPos.Store(uint32(note))
	if n >= poisonTries {
		c.poison, c.hasPoison = pos, true
	}
}
