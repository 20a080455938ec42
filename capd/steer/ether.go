package steer

import "weir/proto/pkt"

// EtherTypes.
const (
	etherIPv4   = 0x0800
	etherBridge = 0x6558 // transparent Ethernet bridging, in GRE and Geneve
	etherVLAN   = 0x8100
	etherIPv6   = 0x86dd
	etherPPP    = 0x880b
	etherMPLS   = 0x8847
	etherMPLSUp = 0x8848
	etherPPPoE  = 0x8864
	etherERSPAN = 0x88be // type I and II
	etherQinQ   = 0x88a8
	etherOldQ1  = 0x9100 // stacked tags before 802.1ad
	etherOldQ2  = 0x9200
	etherSPAN3  = 0x22eb // ERSPAN type III
	etherLowest = 0x0600 // below: a length, and LLC follows
)

const (
	maxTags   = 8  // VLAN tags and layers of link headers in one frame
	maxLabels = 16 // MPLS labels
)

// etherType goes on at off with what typ says is there.
func (p *Packet) etherType(typ uint16, off, end int) Outcome {
	for range maxTags {
		switch typ {
		case etherIPv4:
			return p.ipv4(off, end)
		case etherIPv6:
			return p.ipv6(off, end)
		case etherVLAN, etherQinQ, etherOldQ1, etherOldQ2:
			if !p.has(off, 4) {
				return Short
			}
			p.Prefix.VLAN = be16(p.b[off:])
			p.Key.VLAN = p.Prefix.VLAN & 0x0fff
			p.Fields.Flags |= pkt.FlagVLAN
			typ, off = be16(p.b[off+2:]), off+4
		default:
			return p.etherOther(typ, off, end)
		}
	}
	return NonIP
}

func (p *Packet) etherOther(typ uint16, off, end int) Outcome {
	if p.layers++; p.layers > maxTags {
		return NonIP
	}
	switch typ {
	case etherBridge:
		return p.ethernet(off, end)
	case etherPPPoE:
		return p.pppoe(off, end)
	case etherMPLS, etherMPLSUp:
		return p.mpls(off, end)
	case etherPPP:
		return p.ppp(off, end)
	}
	if typ < etherLowest {
		return p.llc(off, end)
	}
	return NonIP
}

// llc reads an 802.2 header. Only SNAP with an EtherType (RFC 1042, or bridged
// 802.1H) and the rare SAP 6 carry IP.
func (p *Packet) llc(off, end int) Outcome {
	if !p.has(off, 3) {
		return Short
	}
	switch h := p.b[off : off+3 : off+3]; {
	case h[0] == 0xaa && h[1] == 0xaa && h[2] == 3:
		if !p.has(off, 8) {
			return Short
		}
		oui := be32(p.b[off+2:]) & 0xffffff
		typ := be16(p.b[off+6:])
		if oui != 0 && oui != 0xf8 || typ < etherLowest {
			return NonIP
		}
		return p.etherType(typ, off+8, end)
	case h[0] == 6 && h[1] == 6 && h[2] == 3:
		return p.ipv4(off+3, end)
	}
	return NonIP
}

// pppoe reads a session header, RFC 2516 section 4.
func (p *Packet) pppoe(off, end int) Outcome {
	if !p.has(off, 6) {
		return Short
	}
	h := p.b[off : off+6 : off+6]
	if h[0] != 0x11 || h[1] != 0 {
		return NonIP // discovery, or another version
	}
	p.Fields.Link = pkt.LinkPPPoE
	return p.ppp(off+6, min(end, off+6+int(be16(h[4:]))))
}

// mpls reads a label stack, RFC 3032. What follows is not named: IP starts with
// its version, a pseudowire with a control word of zeros (RFC 4385) or at once
// with the Ethernet header.
func (p *Packet) mpls(off, end int) Outcome {
	for range maxLabels {
		if !p.has(off, 5) {
			return Short
		}
		bottom := p.b[off+2]&1 != 0
		off += 4
		if !bottom {
			continue
		}
		p.Fields.Link = pkt.LinkMPLS
		switch p.b[off] >> 4 {
		case 4:
			return p.ipv4(off, end)
		case 6:
			return p.ipv6(off, end)
		case 0:
			return p.pseudowire(off, end)
		}
		return NonIP
	}
	return NonIP
}

// pseudowire tries Ethernet behind a control word, then without one.
func (p *Packet) pseudowire(off, end int) Outcome {
	if out, ok := p.tunnel(pkt.LinkMPLS, etherBridge, off+4, end); ok {
		return out
	}
	if out, ok := p.tunnel(pkt.LinkMPLS, etherBridge, off, end); ok {
		return out
	}
	return NonIP
}
