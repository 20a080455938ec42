package rule

import (
	"net/netip"

	"weir/proto/event"
)

// maxBoxes bounds each table of boxes: names come from the wire.
const maxBoxes = 1 << 13

// boxes keeps values that were put into an interface once. The machine takes its
// variables as interfaces, and making one allocates; names, addresses and ports
// repeat from event to event and from flow to flow.
type boxes struct {
	texts map[string]any
	addrs map[netip.Addr]any
	macs  map[[6]byte]any
	ints  map[int]any
}

func (x *boxes) text(b []byte) any {
	if v, ok := x.texts[string(b)]; ok {
		return v
	}
	s := string(b)
	var v any = s
	keep(&x.texts, s, v)
	return v
}

func (x *boxes) str(s string) any {
	v, ok := x.texts[s]
	if !ok {
		v = s
		keep(&x.texts, s, v)
	}
	return v
}

func (x *boxes) string(b []byte) string { return x.text(b).(string) }

func (x *boxes) addr(a netip.Addr) any {
	v, ok := x.addrs[a]
	if !ok {
		v = a
		keep(&x.addrs, a, v)
	}
	return v
}

func (x *boxes) mac(m [6]byte) any {
	v, ok := x.macs[m]
	if !ok {
		v = ""
		if m != [6]byte{} {
			v = string(event.AppendMAC(nil, m))
		}
		keep(&x.macs, m, v)
	}
	return v
}

func (x *boxes) int(i int) any {
	v, ok := x.ints[i]
	if !ok {
		v = i
		keep(&x.ints, i, v)
	}
	return v
}

// keep forgets everything when the table is full: that is rare, cheap and needs no
// order of use.
func keep[K comparable](m *map[K]any, k K, v any) {
	if *m == nil || len(*m) >= maxBoxes {
		*m = make(map[K]any)
	}
	(*m)[k] = v
}
