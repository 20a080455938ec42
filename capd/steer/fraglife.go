package steer

import "weir/proto/flowkey"

// find returns the datagram of key, none when there is none.
func (t *fragments) find(key *flowkey.Key, hash uint64) int32 {
	for i := t.buckets[t.bucket(hash)]; i != none; i = t.table[i].chain {
		if t.table[i].key == *key {
			return i
		}
	}
	return none
}

func (t *fragments) bucket(hash uint64) int { return int(hash % uint64(len(t.buckets))) }

// begin takes a slot for a new datagram: a free one, else that of the oldest
// that only is remembered, else that of the oldest that waits.
func (t *fragments) begin(key *flowkey.Key, hash, now uint64) int32 {
	if t.lists[free].first == none {
		switch {
		case t.lists[done].first != none:
			t.release(t.lists[done].first)
		case t.lists[dead].first != none:
			t.release(t.lists[dead].first)
		default:
			t.end(t.lists[holding].first, FragmentEvicted)
		}
	}
	i := t.lists[free].first
	d := &t.table[i]
	d.key = *key
	d.first, d.last = noPiece, noPiece
	d.pieces, d.wire, d.have, d.total = 0, 0, 0, -1
	b := t.bucket(hash)
	d.chain, t.buckets[b] = t.buckets[b], i
	t.move(i, holding, now)
	return i
}

// reclaim drops the oldest piece; a datagram that still waits for it is lost.
func (t *fragments) reclaim() {
	p := t.drop()
	if d := &t.table[p.owner]; d.gen == p.gen && d.state == holding {
		t.end(p.owner, FragmentEvicted)
	}
}

// expire ends what waited too long. What is only remembered costs nothing and
// goes when its slot is wanted.
func (t *fragments) expire(now uint64) {
	for i := t.lists[holding].first; i != none && now-t.table[i].since > t.timeout; i = t.lists[holding].first {
		t.end(i, FragmentTimeout)
	}
}

// finish ends all that waits: no more fragments will come.
func (t *fragments) finish() {
	for i := t.lists[holding].first; i != none; i = t.lists[holding].first {
		t.end(i, FragmentTimeout)
	}
}

// end counts the pieces of a waiting datagram as out and frees it.
func (t *fragments) end(i int32, out Outcome) {
	t.recount(i, out)
	t.release(i)
}

// kill is end for a datagram that contradicts itself: what is yet to come of it
// must not be taken for a new one.
func (t *fragments) kill(i int32) Outcome {
	t.recount(i, FragmentOverlap)
	t.move(i, dead, t.table[i].since)
	return FragmentOverlap
}

func (t *fragments) recount(i int32, out Outcome) {
	n := uint64(t.table[i].pieces)
	t.count[Held] -= n
	t.count[out] += n
}

// release gives a slot back.
func (t *fragments) release(i int32) {
	d := &t.table[i]
	lo, _ := d.key.Hash(t.seed)
	at := &t.buckets[t.bucket(lo)]
	for *at != i {
		at = &t.table[*at].chain
	}
	*at = d.chain
	d.gen++
	t.move(i, free, 0)
}

// move brings a datagram into another state.
func (t *fragments) move(i int32, to state, now uint64) {
	d := &t.table[i]
	l := &t.lists[d.state]
	if d.prev == none {
		l.first = d.next
	} else {
		t.table[d.prev].next = d.next
	}
	if d.next == none {
		l.last = d.prev
	} else {
		t.table[d.next].prev = d.prev
	}
	d.since = now
	t.push(i, to)
}

// push puts a datagram that is in no list at the end of one.
func (t *fragments) push(i int32, to state) {
	d := &t.table[i]
	l := &t.lists[to]
	d.state, d.prev, d.next = to, l.last, none
	if l.last == none {
		l.first = i
	} else {
		t.table[l.last].next = i
	}
	l.last = i
}
