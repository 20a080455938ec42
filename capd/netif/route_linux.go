package netif

import (
	"encoding/binary"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"weir/proto/network"
)

// route is a network and the interfaces that lead there.
type route struct {
	to  netip.Prefix
	out []int
}

// parseRoute reads struct rtmsg: family u8, length of destination u8, of source u8,
// TOS u8, table u8, protocol u8, scope u8, type u8, flags u32, attributes. A route that
// says nothing of where a network is, is errMessage: to this machine, to a group, or
// remembered for one peer.
func parseRoute(b []byte) (r route, err error) {
	if len(b) < unix.SizeofRtMsg {
		return r, errMessage
	}
	if b[7] != unix.RTN_UNICAST || b[4] == unix.RT_TABLE_LOCAL || binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return r, errMessage
	}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofRtMsg:])
	if err != nil {
		return r, err
	}
	to := netip.IPv4Unspecified()
	if b[0] == unix.AF_INET6 {
		to = netip.IPv6Unspecified()
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.RTA_DST:
			to, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.RTA_OIF:
			if v := ad.Bytes(); len(v) == 4 {
				r.out = append(r.out, int(int32(binary.NativeEndian.Uint32(v))))
			}
		case unix.RTA_MULTIPATH:
			r.out = appendHops(r.out, ad.Bytes())
		}
	}
	r.to = netip.PrefixFrom(to, int(b[1])).Masked()
	if ad.Err() == nil && !r.to.IsValid() {
		return r, errMessage
	}
	return r, ad.Err()
}

// appendHops reads structs rtnexthop: length u16 with what follows, flags u8, hops u8,
// interface s32, attributes; each begins at a multiple of 4.
func appendHops(out []int, b []byte) []int {
	for len(b) >= unix.SizeofRtNexthop {
		out = append(out, int(int32(binary.NativeEndian.Uint32(b[4:]))))
		n := int(binary.NativeEndian.Uint16(b)+3) &^ 3
		if n < unix.SizeofRtNexthop || n > len(b) {
			break
		}
		b = b[n:]
	}
	return out
}

// reachable are the states of an entry whose Ethernet address is one.
const reachable = unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT

// parseNeighbour reads struct ndmsg: family u8, pad u8 and u16, interface s32, state
// u16, flags u8, type u8, attributes. valid says that the entry has an Ethernet address.
func parseNeighbour(b []byte) (a netip.Addr, n neighbour, valid bool, err error) {
	if len(b) < unix.SizeofNdMsg || b[0] != unix.AF_INET && b[0] != unix.AF_INET6 || b[10]&unix.NTF_PROXY != 0 {
		return a, n, false, errMessage
	}
	n.index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofNdMsg:])
	if err != nil {
		return a, n, false, err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.NDA_DST:
			a, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.NDA_LLADDR:
			if mac := ad.Bytes(); len(mac) == len(n.mac) {
				n.mac = network.MAC(mac)
			}
		}
	}
	if ad.Err() == nil && (!a.IsValid() || a.Is4In6() || a.IsMulticast()) {
		return a, n, false, errMessage
	}
	state := binary.NativeEndian.Uint16(b[8:])
	return a, n, state&reachable != 0 && n.mac != network.MAC{}, ad.Err()
}
