package conntrack

import "weir/proto/flowkey"

// Views of a connection: which of its addresses stand in its packets depends on where
// they are looked at. The hooks between the translations (forward, input, output) see
// original source and true destination, in both directions. Before or after them, as on
// the wire, packets are as their sender or receiver has them.
const (
	viewHooks = iota
	viewOrig  // as the side that began the connection sees it
	viewReply // as the other side sees it
	views
)

// end is an address with its port.
type end struct {
	addr [16]byte
	port uint16
}

// view returns both ends of a connection as they are seen in view v, the side that began
// it first, and as they are on the far side of the translation.
func (e *entry) view(v int) (near, far [2]end) {
	origClient, origServer := end{e.orig.src, e.orig.sport}, end{e.orig.dst, e.orig.dport}
	replyClient, replyServer := end{e.reply.dst, e.reply.dport}, end{e.reply.src, e.reply.sport}
	switch v {
	case viewOrig:
		return [2]end{origClient, origServer}, [2]end{replyClient, replyServer}
	case viewReply:
		return [2]end{replyClient, replyServer}, [2]end{origClient, origServer}
	}
	return [2]end{origClient, replyServer}, [2]end{replyClient, origServer}
}

// key returns the key of a view, and whether the side that began the connection is
// endpoint B of it.
func (e *entry) key(near *[2]end) (k flowkey.Key, reverse bool) {
	k.Proto, k.Version = e.orig.proto, e.orig.version
	reverse = k.Set(&near[0].addr, &near[1].addr, near[0].port, near[1].port)
	return k, reverse
}

// followed reports whether a flow of this protocol is one connection: conntrack tells
// pings apart by their identifier, and associations of SCTP by ports, which are no part
// of a flow's key.
func followed(proto uint8) bool {
	switch proto {
	case protoICMP, protoICMPv6, protoSCTP, protoDCCP, protoGRE, protoUDPLite:
		return false
	}
	return true
}

// IP protocol numbers.
const (
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoDCCP    = 33
	protoGRE     = 47
	protoICMPv6  = 58
	protoSCTP    = 132
	protoUDPLite = 136
)
