package hold

// bucket returns where the list of flows with this hash begins. The hash is as good as
// random (flowkey.Hash), whichever of its bits are taken.
func (t *Table) bucket(lo uint64) *uint32 { return &t.buckets[lo>>32&uint64(len(t.buckets)-1)] }

// find returns the flow of that hash, or none.
func (t *Table) find(lo, hi uint64) uint32 {
	f := *t.bucket(lo)
	for f != none && (t.flows[f].lo != lo || t.flows[f].hi != hi) {
		f = t.flows[f].chain
	}
	return f
}

// add appends a packet to its flow f, or to a new one. There are as many flows as
// packets, so that a packet that has room has a flow, too.
func (t *Table) add(f uint32, p *Packet, now uint64) {
	i := t.freePacket
	t.freePacket = t.packets[i].next
	if f == none {
		f = t.freeFlow
		t.freeFlow = t.flows[f].chain
		b := t.bucket(p.HashLo)
		t.flows[f] = flow{lo: p.HashLo, hi: p.HashHi, first: i, last: i, before: none, chain: *b, worker: int32(p.Worker)}
		*b = f
	} else {
		t.packets[t.flows[f].last].next = i
		t.flows[f].before, t.flows[f].last = t.flows[f].last, i
	}
	t.packets[i] = packet{id: p.ID, mark: p.Mark, flow: f, next: none, older: t.newest, newer: none, deadline: now + t.cfg.Time}
	if t.newest == none {
		t.oldest = i
	} else {
		t.packets[t.newest].newer = i
	}
	t.newest = i
	t.held++
}

// pop takes the first packet of a flow out, and the flow with its last one.
func (t *Table) pop(f uint32) {
	i := t.flows[f].first
	t.flows[f].first = t.packets[i].next
	t.drop(i, t.flows[f].first == none)
}

// drop takes a packet out of the list by age; the flow's list is the caller's. gone
// says that it was the last of its flow.
func (t *Table) drop(i uint32, gone bool) {
	p := &t.packets[i]
	if p.older == none {
		t.oldest = p.newer
	} else {
		t.packets[p.older].newer = p.newer
	}
	if p.newer == none {
		t.newest = p.older
	} else {
		t.packets[p.newer].older = p.older
	}
	if gone {
		t.forget(p.flow)
	}
	p.next = t.freePacket
	t.freePacket = i
	t.held--
}

// forget takes a flow without packets out of its bucket.
func (t *Table) forget(f uint32) {
	link := t.bucket(t.flows[f].lo)
	for *link != f {
		link = &t.flows[*link].chain
	}
	*link = t.flows[f].chain
	t.flows[f].chain = t.freeFlow
	t.freeFlow = f
}
