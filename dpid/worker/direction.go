package worker

import (
	"weir/dpid/dissect"
	"weir/proto/pkt"
)

// IP protocol numbers, IANA.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// hasPorts must agree with capd's steering: the key is made on both sides.
func hasPorts(proto uint8) bool { return proto == protoTCP || proto == protoUDP }

func transportOf(proto uint8) dissect.Transport {
	switch proto {
	case protoTCP:
		return dissect.TCP
	case protoUDP:
		return dissect.UDP
	}
	return dissect.IP
}

// senderIsClient decides which end of a new flow is the client, from its first
// packet: who sent a SYN; who got a SYN with ACK; otherwise the sender, unless it
// sends from a port that a protocol of its transport calls its own to one that none
// does, which is what a server does whose client was not heard.
func (w *Worker) senderIsClient(v *view, reverse bool) bool {
	flags := v.d.TCPFlags()
	tr := transportOf(v.d.IPProto())
	if tr == dissect.TCP && flags&tcpSYN != 0 {
		return flags&tcpACK == 0
	}
	if tr == dissect.IP || multicast(v) {
		return true
	}
	sport, dport := w.key.PortA, w.key.PortB
	if reverse {
		sport, dport = dport, sport
	}
	_, from := dissect.LikelyPort(tr, sport)
	_, to := dissect.LikelyPort(tr, dport)
	if from != to {
		return to
	}
	if tr == dissect.TCP && sport < 1024 && dport >= 1024 {
		return false
	}
	return true
}

// multicast reports whether the packet goes to many: then nobody answers from
// that address, and the sender is the client.
func multicast(v *view) bool {
	ip := v.frame[v.p.L3():]
	if v.d.Flags()&pkt.FlagIPv6 != 0 {
		return ip[24] == 0xff
	}
	return ip[16] >= 224
}
