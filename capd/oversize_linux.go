package main

import (
	"fmt"

	"weir/proto/config"
	"weir/shm/pktring"
)

// wasDown is what a source tells of an interface that was down when it was opened.
type wasDown interface{ WasDown() bool }

// tellDown says that nothing can come yet.
func (t *thread) tellDown() {
	if s, ok := t.src.(wasDown); ok && s.WasDown() {
		t.live.log.Warn("the interface is down: packets are captured when it is up (\"ip link set "+t.iface+" up\")", "interface", t.iface, "thread", t.n)
	}
}

// tellTruncated says once that of some packets only the beginning is inspected. A
// queue's copy range means that.
func (t *thread) tellTruncated() {
	if t.toldTruncated || t.iface == "" || t.steer.Truncated() == 0 {
		return
	}
	t.toldTruncated = true
	t.live.log.Warn("packets are longer than what is kept of one: they are counted in full, and inspected as far as they are kept (counter \"truncated\")",
		"interface", t.iface, "remedy", t.remedy())
}

// remedy says what to change. What an interface joins to one packet (GRO, segmentation
// offload) has up to 64 KiB, with "BIG TCP" more, which no ring holds.
func (t *thread) remedy() string {
	c := t.live.cfg
	switch {
	case c.Capture.TPacket.BlockSize < 128*config.KiB:
		return "set capture.tpacket.block_size to 128 KiB or more"
	case t.rings[0].MaxFrame() < pktring.MaxFrame:
		return "set rings.packet_payload to 1 MiB or more"
	}
	return fmt.Sprintf("bound what the interface joins to one packet: ip link set dev %s gso_max_size 65536 gro_max_size 65536 (and gso_ipv4_max_size, gro_ipv4_max_size), "+
		"on the sending end too if that is this host's", t.iface)
}
