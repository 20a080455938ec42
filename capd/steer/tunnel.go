package steer

import "weir/proto/pkt"

// UDP ports of tunnels.
const (
	portL2TP   = 1701
	portGTPU   = 2152
	portTeredo = 3544
	portVXLAN  = 4789
	portCAPWAP = 5247
	portGeneve = 6081
)

// maxDepth bounds tunnels in tunnels. Beyond it the innermost header that was
// read is the flow.
const maxDepth = 4

// maxGTPExtensions bounds the extension headers of a GTP-U packet.
const maxGTPExtensions = 8

// tunnel tries what stands at off as the inside of a tunnel. A port number or a
// protocol field proves nothing: only when the inner headers are right to the
// transport does the inner flow count. Otherwise p is as before.
func (p *Packet) tunnel(kind uint8, typ uint16, off, end int) (out Outcome, ok bool) {
	if p.depth >= maxDepth || off >= end {
		return 0, false
	}
	saved := *p
	p.depth++
	p.Fields.Link = kind
	if typ == etherWiFi {
		out = p.wifi(off, end)
	} else {
		out = p.etherType(typ, off, end)
	}
	if out == Delivered || out == Held {
		return out, true
	}
	*p = saved
	return 0, false
}

// carrier is an IP protocol that carries packets: their flow, or its own.
func (p *Packet) carrier(proto, kind uint8, typ uint16, off, end int) Outcome {
	if out, ok := p.tunnel(kind, typ, off, end); ok {
		return out
	}
	return p.plain(proto, off, end)
}

// gre reads RFC 2784 with RFC 2890's key and sequence number, and version 1,
// the enhanced header of PPTP (RFC 2637 section 4.1).
func (p *Packet) gre(off, end int) Outcome {
	const checksum, routing, key, sequence, ack = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080
	if !p.has(off, 4) {
		return p.plain(protoGRE, off, end)
	}
	flags, typ := be16(p.b[off:]), be16(p.b[off+2:])
	n := 4
	for _, bit := range [...]uint16{checksum, key, sequence} {
		if flags&bit != 0 {
			n += 4
		}
	}
	if flags&7 == 1 && flags&ack != 0 {
		n += 4
	}
	if flags&routing != 0 || flags&7 > 1 {
		return p.plain(protoGRE, off, end)
	}
	inside := off + n
	switch typ {
	case etherERSPAN: // type II has a header of 8 bytes, and a sequence number; type I neither
		if flags&sequence != 0 {
			inside += 8
		}
		typ = etherBridge
	case etherSPAN3:
		inside += 12
		if p.has(inside-1, 1) && p.b[inside-1]&1 != 0 { // platform specific subheader
			inside += 8
		}
		typ = etherBridge
	}
	if out, ok := p.tunnel(pkt.LinkGRE, typ, inside, end); ok {
		return out
	}
	return p.plain(protoGRE, off, end)
}

func isTunnelPort(port uint16) bool {
	switch port {
	case portL2TP, portGTPU, portTeredo, portVXLAN, portCAPWAP, portGeneve:
		return true
	}
	return false
}

// udpTunnel tries the payload at off as the tunnel that a port announces.
func (p *Packet) udpTunnel(sport, dport uint16, off, end int) (Outcome, bool) {
	either := func(port uint16) bool { return sport == port || dport == port }
	switch {
	case dport == portVXLAN:
		return p.vxlan(off, end)
	case dport == portGeneve:
		return p.geneve(off, end)
	case either(portGTPU):
		return p.gtpu(off, end)
	case either(portTeredo):
		return p.teredo(off, end)
	case either(portCAPWAP):
		return p.capwap(off, end)
	case either(portL2TP):
		return p.l2tp(off, end)
	}
	return 0, false
}

// vxlan reads RFC 7348 section 5: flags with the I bit, network id, Ethernet.
func (p *Packet) vxlan(off, end int) (Outcome, bool) {
	if !p.has(off, 8) || p.b[off] != 0x08 {
		return 0, false
	}
	return p.tunnel(pkt.LinkVXLAN, etherBridge, off+8, end)
}

// geneve reads RFC 8926 section 3.4; the C and O bits do not matter here.
func (p *Packet) geneve(off, end int) (Outcome, bool) {
	if !p.has(off, 8) || p.b[off]>>6 != 0 {
		return 0, false
	}
	n := 8 + 4*int(p.b[off]&0x3f)
	return p.tunnel(pkt.LinkGeneve, be16(p.b[off+2:]), off+n, end)
}

// gtpu reads a G-PDU, 3GPP TS 29.281 section 5.1. Everything else that comes by
// this port is signalling and belongs to the tunnel.
func (p *Packet) gtpu(off, end int) (Outcome, bool) {
	const extension, anyOption, gpdu = 4, 7, 0xff
	if !p.has(off, 8) || p.b[off]>>4 != 3 || p.b[off+1] != gpdu {
		return 0, false
	}
	flags := p.b[off]
	end = min(end, off+8+int(be16(p.b[off+2:])))
	off += 8
	if flags&anyOption != 0 {
		if !p.has(off, 4) {
			return 0, false
		}
		next := p.b[off+3]
		off += 4
		for i := 0; flags&extension != 0 && next != 0; i++ {
			if i == maxGTPExtensions || !p.has(off, 4) || p.b[off] == 0 {
				return 0, false
			}
			n := 4 * int(p.b[off])
			if !p.has(off, n) {
				return 0, false
			}
			next, off = p.b[off+n-1], off+n
		}
	}
	return p.tunnelIP(pkt.LinkGTPU, off, end)
}

// tunnelIP tries an inside that is IP of a version that only it tells.
func (p *Packet) tunnelIP(kind uint8, off, end int) (Outcome, bool) {
	if !p.has(off, 1) {
		return 0, false
	}
	typ := uint16(etherIPv4)
	if p.b[off]>>4 == 6 {
		typ = etherIPv6
	}
	return p.tunnel(kind, typ, off, end)
}

// l2tp reads a data message of RFC 2661 section 3.1; PPP follows.
func (p *Packet) l2tp(off, end int) (Outcome, bool) {
	const control, length, sequence, offset = 0x8000, 0x4000, 0x0800, 0x0200
	if !p.has(off, 6) {
		return 0, false
	}
	flags := be16(p.b[off:])
	if flags&control != 0 || flags&15 != 2 {
		return 0, false
	}
	off += 6
	if flags&length != 0 {
		off += 2
	}
	if flags&sequence != 0 {
		off += 4
	}
	if flags&offset != 0 {
		if !p.has(off, 2) {
			return 0, false
		}
		off += 2 + int(be16(p.b[off:]))
	}
	return p.tunnel(pkt.LinkL2TP, etherPPP, off, end)
}
