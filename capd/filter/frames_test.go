package filter

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// frames builds Ethernet frames that differ in all that expressions ask for.
func frames() [][]byte {
	var all [][]byte
	for _, head := range []struct{ dst, src, tags []byte }{
		{[]byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2}, nil},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []byte{2, 0, 0, 0, 0, 2}, nil},
		{[]byte{1, 0, 0x5e, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 3}, nil},
		{[]byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2}, []byte{0x81, 0, 0, 5}},
		{[]byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 3}, []byte{0x81, 0, 0x60, 7}},
		{[]byte{2, 0, 0, 0, 0, 1}, []byte{2, 0, 0, 0, 0, 2}, []byte{0x88, 0xa8, 0, 5, 0x81, 0, 0, 9}},
	} {
		for _, l3 := range packets() {
			all = append(all, slices.Concat(head.dst, head.src, head.tags, l3))
		}
	}
	return all
}

// packets builds what follows the addresses: EtherType and packet.
func packets() [][]byte {
	var all [][]byte
	pairs4 := [][2]string{{"192.0.2.1", "198.51.100.7"}, {"198.51.100.7", "192.0.2.1"}, {"10.1.2.3", "224.0.0.251"}, {"10.1.2.3", "10.1.3.4"}, {"192.0.2.1", "192.0.2.1"}}
	pairs6 := [][2]string{{"2001:db8::1", "2001:db8:1::2"}, {"2001:db8:1::2", "2001:db8::1"}, {"fe80::1", "ff02::fb"}}
	ports := [][2]uint16{{40000, 80}, {80, 40000}, {40000, 53}, {85, 443}, {22, 22}, {1000, 65535}}
	for _, proto := range []byte{1, 2, 6, 17, 50, 51, 58, 103, 112, 132} {
		for _, port := range ports {
			for size := range 2 {
				l4 := transport(proto, port, size*80)
				for _, a := range pairs4 {
					for _, options := range []int{0, 8} {
						for _, frag := range []uint16{0, 0x4000, 0x2000, 0x2010} {
							all = append(all, v4(a, proto, frag, options, l4))
						}
					}
				}
				for _, a := range pairs6 {
					all = append(all, v6(a, proto, l4), v6(a, 44, append([]byte{proto, 0, 0, 1, 0, 0, 0, 9}, l4...)))
				}
			}
		}
	}
	for _, typ := range []uint16{0x0806, 0x8035} {
		for _, a := range pairs4 {
			b := binary.BigEndian.AppendUint16(nil, typ)
			b = append(b, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2)
			b = append(b, netip.MustParseAddr(a[0]).AsSlice()...)
			b = append(b, 2, 0, 0, 0, 0, 1)
			all = append(all, append(b, append(netip.MustParseAddr(a[1]).AsSlice(), make([]byte, 40)...)...))
		}
	}
	return append(all, append([]byte{0x88, 0xb5}, make([]byte, 100)...), append([]byte{0, 50}, make([]byte, 100)...))
}

func transport(proto byte, port [2]uint16, n int) []byte {
	b := make([]byte, 40+n) // long enough for any header
	switch proto {
	case 1:
		b[0], b[1] = byte(port[1]%45), byte(port[0]%3) // 53 makes an echo request
		return b
	case 58:
		b[0] = 128 + byte(port[1]%73) // 80 makes a neighbour solicitation
		return b
	}
	binary.BigEndian.PutUint16(b, port[0])
	binary.BigEndian.PutUint16(b[2:], port[1])
	b[12], b[13] = 0x50, byte(port[0]>>3)
	return b
}

func v4(a [2]string, proto byte, frag uint16, options int, l4 []byte) []byte {
	b := []byte{8, 0, byte(0x45 + options/4), 0, 0, 0, 0, 1, byte(frag >> 8), byte(frag), 64, proto, 0, 0}
	binary.BigEndian.PutUint16(b[4:], uint16(20+options+len(l4)))
	b = append(b, netip.MustParseAddr(a[0]).AsSlice()...)
	b = append(b, netip.MustParseAddr(a[1]).AsSlice()...)
	b = append(b, make([]byte, options)...)
	return append(b, l4...)
}

func v6(a [2]string, next byte, l4 []byte) []byte {
	b := []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(l4)), next, 64}
	b = append(b, netip.MustParseAddr(a[0]).AsSlice()...)
	b = append(b, netip.MustParseAddr(a[1]).AsSlice()...)
	return append(b, l4...)
}
