package main

import (
	"fmt"
	"io"

	"weir/proto/pkt"
	"weir/proto/topology"
	"weir/shm/ringctl/look"
	"weir/shm/ringctl/pcapng"
)

// export writes what is in the ring as a capture file.
func export(w io.Writer, t *topology.Topology, r *look.Ring, want choose, sum *dumpJSON) error {
	out, err := pcapng.NewWriter(w, "ringctl")
	if err != nil {
		return err
	}
	x := exporter{out: out, topology: t, ids: map[iface]int{}, sum: sum}
	if err := visit(r, want, sum, x.record); err != nil {
		return err
	}
	return out.Flush()
}

// iface is an interface of the file: those of the ring carry frames with and
// without Ethernet header, a file's only one of them.
type iface struct {
	index uint16
	link  uint16
}

type exporter struct {
	out      *pcapng.Writer
	topology *topology.Topology
	ids      map[iface]int
	sum      *dumpJSON
}

// record writes one packet. Frames of other link layers than Ethernet begin with
// their network header: what was before it is nothing that a reader could name.
func (x *exporter) record(rec *record) error {
	d := rec.desc
	switch {
	case d.Kind() != pkt.KindPacket:
		x.sum.Marks++
		return nil
	case rec.payload == nil:
		x.sum.Bare++
		return nil
	}
	p, frame := pkt.Prefix(rec.payload[:pkt.PrefixSize]), rec.payload[pkt.PrefixSize:]
	link, cut := pcapng.Ethernet, 0
	if d.Flags()&pkt.FlagEthernet == 0 {
		link, cut = pcapng.RawIP, p.L3()
	}
	if cut > len(frame) {
		x.sum.Damaged++
		return nil
	}
	id, err := x.iface(iface{p.In(), link})
	if err != nil {
		return err
	}
	out := pcapng.Packet{Interface: id, TS: d.TS(), Data: frame[cut:], Direction: pcapng.UnknownDirection}
	if wire := d.WireLen(); wire > uint32(cut) {
		out.Wire = wire - uint32(cut)
	}
	if d.Flags()&pkt.FlagOutgoing != 0 {
		out.Direction = pcapng.Outbound
	}
	if rec.working {
		out.Comment = fmt.Sprintf("%s record %d: the worker works on it, or ended on it", x.sum.Ring, rec.pos)
	}
	x.sum.Packets++
	return x.out.Packet(&out)
}

func (x *exporter) iface(i iface) (int, error) {
	if id, ok := x.ids[i]; ok {
		return id, nil
	}
	id, err := x.out.Interface(i.link, interfaceName(x.topology, i.index))
	x.ids[i] = id
	return id, err
}
