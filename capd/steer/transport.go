package steer

import "weir/proto/pkt"

// transport reads the ports, or goes into a tunnel. Precondition: src and dst
// are set. Every protocol that is no tunnel is a flow, with ports 0 unless it is
// TCP or UDP.
func (p *Packet) transport(proto uint8, off, end int) Outcome {
	switch proto {
	case protoTCP:
		return p.tcp(off, end)
	case protoUDP:
		return p.udp(off, end)
	case protoAH:
		return p.auth(off, end)
	case protoIPIP:
		return p.carrier(proto, pkt.LinkIPIP, etherIPv4, off, end)
	case protoIPv6:
		return p.carrier(proto, pkt.LinkIPIP, etherIPv6, off, end)
	case protoMPLS:
		return p.carrier(proto, pkt.LinkMPLS, etherMPLS, off, end)
	case protoGRE:
		return p.gre(off, end)
	case protoEtherIP:
		if p.has(off, 2) && be16(p.b[off:]) == 0x3000 { // RFC 3378: version 3
			return p.carrier(proto, pkt.LinkGRE, etherBridge, off+2, end)
		}
	}
	return p.plain(proto, off, end)
}

// plain makes a flow without ports.
func (p *Packet) plain(proto uint8, off, end int) Outcome {
	p.ports(proto, 0, 0)
	return p.payload(off, off, end)
}

// tcp reads a TCP header, RFC 9293 section 3.1. Where the capture cut it, the
// ports are enough.
func (p *Packet) tcp(off, end int) Outcome {
	if end-off < 20 {
		return L4Header
	}
	if !p.has(off, 4) {
		return Short
	}
	data := off + 20
	if p.has(off, 20) {
		h := p.b[off : off+20 : off+20]
		n := int(h[12]>>4) * 4
		if n < 20 || n > end-off {
			return L4Header
		}
		data = off + n
		p.Fields.Seq, p.Fields.Ack, p.Fields.TCPFlags = be32(h[4:]), be32(h[8:]), h[13]
	} else {
		p.tcpCut(p.b[off:])
	}
	p.ports(protoTCP, be16(p.b[off:]), be16(p.b[off+2:]))
	return p.payload(off, data, end)
}

// tcpCut takes what there is of a header that the capture cut.
func (p *Packet) tcpCut(h []byte) {
	if len(h) >= 8 {
		p.Fields.Seq = be32(h[4:])
	}
	if len(h) >= 12 {
		p.Fields.Ack = be32(h[8:])
	}
	if len(h) >= 14 {
		p.Fields.TCPFlags = h[13]
	}
}

// udp reads a UDP header, RFC 768. Its length field bounds the payload only when
// it is possible; senders that leave checksums and lengths to the interface
// write others.
func (p *Packet) udp(off, end int) Outcome {
	if end-off < 8 {
		return L4Header
	}
	if !p.has(off, 4) {
		return Short
	}
	sport, dport := be16(p.b[off:]), be16(p.b[off+2:])
	if p.has(off, 6) {
		if n := int(be16(p.b[off+4:])); n >= 8 && n < end-off {
			end = off + n
		}
	}
	if isTunnelPort(sport) || isTunnelPort(dport) {
		if out, ok := p.udpTunnel(sport, dport, off+8, end); ok {
			return out
		}
	}
	p.ports(protoUDP, sport, dport)
	return p.payload(off, off+8, end)
}

// auth steps over an authentication header, RFC 4302 section 2; a broken one is
// a flow of its own.
func (p *Packet) auth(off, end int) Outcome {
	if p.has(off, 12) && p.layers < maxTags {
		p.layers++
		next, n := p.b[off], (int(p.b[off+1])+2)*4
		if n >= 12 && n <= end-off {
			return p.transport(next, off+n, end)
		}
	}
	return p.plain(protoAH, off, end)
}
