package steer

import (
	"encoding/binary"

	"weir/proto/pkt"
)

// etherWiFi stands for an 802.11 frame where an EtherType is wanted. It is no
// EtherType: on a wire its value is a length.
const etherWiFi = 1

// capwap reads a data packet of RFC 5415 section 4.3: a frame of the wireless
// network, whole and in clear, on its way between access point and controller.
func (p *Packet) capwap(off, end int) (Outcome, bool) {
	const native, fragmented, keepAlive = 1 << 8, 1 << 7, 1 << 3
	if !p.has(off, 8) {
		return 0, false
	}
	word := be32(p.b[off:])
	if word>>24 != 0 || word&(fragmented|keepAlive) != 0 { // version 0, not DTLS
		return 0, false
	}
	n := 4 * int(word>>19&31)
	if n < 8 {
		return 0, false
	}
	typ := uint16(etherBridge)
	if word&native != 0 {
		typ = etherWiFi
	}
	return p.tunnel(pkt.LinkCAPWAP, typ, off+n, end)
}

// wifi reads an 802.11 data frame, IEEE 802.11 section 9.3.2. Controllers of one
// large maker send the frame control field with its bytes swapped.
func (p *Packet) wifi(off, end int) Outcome {
	const toDS, fromDS, protected, order = 1, 2, 0x40, 0x80
	if !p.has(off, 24) {
		return Short
	}
	fc := binary.LittleEndian.Uint16(p.b[off:])
	if !isWiFiData(fc) {
		fc = be16(p.b[off:])
	}
	subtype, flags := uint8(fc)>>4, uint8(fc>>8)
	if !isWiFiData(fc) || subtype&4 != 0 || flags&protected != 0 {
		return NonIP
	}
	n := 24
	if flags&(toDS|fromDS) == toDS|fromDS {
		n += 6
	}
	if subtype&8 != 0 { // QoS
		n += 2
		if flags&order != 0 {
			n += 4
		}
	}
	return p.llc(off+n, end)
}

// isWiFiData reports whether a frame control field says protocol 0, type data.
func isWiFiData(fc uint16) bool { return fc&0x0f == 0x08 }

// teredo reads RFC 4380 section 5.1.1: an authentication and an origin
// indication may stand before the IPv6 packet. Bubbles and router discovery are
// the tunnel's own traffic.
func (p *Packet) teredo(off, end int) (Outcome, bool) {
	if p.has(off, 4) && be16(p.b[off:]) == 1 {
		off += 4 + int(p.b[off+2]) + int(p.b[off+3]) + 9
	}
	if p.has(off, 8) && be16(p.b[off:]) == 0 {
		off += 8
	}
	if !p.has(off, 40) || p.b[off+6] == protoNone || !isTeredo(p.b[off+8:]) && !isTeredo(p.b[off+24:]) {
		return 0, false
	}
	return p.tunnel(pkt.LinkTeredo, etherIPv6, off, end)
}

// isTeredo reports whether an address is in 2001::/32. Precondition: len(a) >= 4.
func isTeredo(a []byte) bool { return be32(a) == 0x20010000 }
