package flow

import "encoding/binary"

// accounted is the bit of a record's end reason that says that conntrack counts.
const accounted = 1 << 7

// Accounted reports whether conntrack counts the packets of this flow: those that
// pass in the kernel as well as those that come to us. From then on Count leaves the
// counters alone, so that no packet is counted twice, nor do they ever go back.
func (r *Record) Accounted() bool { return r[1]&accounted != 0 }

// Seen notes a packet at time ts. The time of the last packet never goes back.
func (r *Record) Seen(ts uint64) {
	if ts > r.Last() {
		binary.LittleEndian.PutUint64(r[24:], ts)
	}
}

// Total sets what endpoint B (reverse) or A has sent since the flow began, as
// conntrack counted it. It reports whether that is more than was known. Less is not
// believed: somebody has reset conntrack's counters, or the record is an old one.
func (r *Record) Total(reverse bool, packets, bytes uint64) (more bool) {
	r[1] |= accounted
	p, b, known := r[32:36:36], r[40:48:48], r.PacketsA()
	if reverse {
		p, b, known = r[36:40:40], r[48:56:56], r.PacketsB()
	}
	if packets < known || packets > mask48 || bytes > mask48 {
		return false
	}
	binary.LittleEndian.PutUint32(p, uint32(packets))
	binary.LittleEndian.PutUint64(b, packets>>32<<48|bytes)
	return packets > known
}
