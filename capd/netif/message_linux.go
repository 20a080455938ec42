package netif

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// apply takes one message of the kernel into t.
func (t table) apply(m netlink.Message) (Event, bool) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		l, err := parseLink(m.Data)
		if err != nil {
			break
		}
		if m.Header.Type == unix.RTM_DELLINK {
			return t.remove(l.Index)
		}
		l.Addrs = t[l.Index].Addrs
		return t.put(l)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		index, a, err := parseAddr(m.Data)
		l, known := t[index]
		if err != nil || !known {
			break
		}
		l.Addrs = slices.DeleteFunc(slices.Clone(l.Addrs), func(p netip.Prefix) bool { return p == a })
		if m.Header.Type == unix.RTM_NEWADDR {
			l.Addrs = append(l.Addrs, a)
			slices.SortFunc(l.Addrs, netip.Prefix.Compare)
		}
		return t.put(l)
	}
	return Event{}, false
}

var errMessage = errors.New("not a message about an interface")

// parseLink reads struct ifinfomsg: family u8, pad, type u16, index s32, flags u32,
// changed u32, attributes.
func parseLink(b []byte) (Link, error) {
	// Messages of family AF_BRIDGE tell of a bridge's ports: one that is deleted
	// is there still.
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return Link{}, errMessage
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	l := Link{
		Index: int(int32(binary.NativeEndian.Uint32(b[4:]))), Hardware: binary.NativeEndian.Uint16(b[2:]),
		Up: flags&unix.IFF_UP != 0, Running: flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0,
	}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofIfInfomsg:])
	if err != nil {
		return Link{}, err
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_IFNAME:
			l.Name = ad.String()
		case unix.IFLA_MTU:
			l.MTU = int(ad.Uint32())
		case unix.IFLA_ADDRESS:
			if mac := ad.Bytes(); len(mac) == 6 {
				l.MAC = string(mac)
			}
		}
	}
	return l, ad.Err()
}

// parseAddr reads struct ifaddrmsg: family u8, prefix length u8, flags u8, scope u8,
// index u32, attributes.
func parseAddr(b []byte) (index int, p netip.Prefix, err error) {
	if len(b) < unix.SizeofIfAddrmsg {
		return 0, p, errMessage
	}
	index = int(binary.NativeEndian.Uint32(b[4:]))
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofIfAddrmsg:])
	if err != nil {
		return 0, p, err
	}
	var local, address netip.Addr
	for ad.Next() {
		switch ad.Type() {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(ad.Bytes())
		}
	}
	if !local.IsValid() { // on a point-to-point link the address is the peer's
		local = address
	}
	p = netip.PrefixFrom(local, int(b[1]))
	if ad.Err() == nil && !p.IsValid() {
		return 0, p, errMessage
	}
	return index, p, ad.Err()
}
