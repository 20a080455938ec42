package catalog

import (
	"encoding/binary"

	"weir/dpid/catalog/internal/format"
)

// Addr looks an address up by longest prefix. An IPv4 address comes mapped,
// ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).
func (c *Catalog) Addr(a [16]byte) (Match, bool) {
	hi, lo := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	var net uint32
	if hi == 0 && lo>>32 == 0xffff {
		net = c.net4(uint32(lo))
	} else {
		net = c.net6(hi, lo)
	}
	r := row(c.nets, net, format.NetSize)
	if net == 0 || r == nil {
		return Match{}, false
	}
	app, lists := c.value(binary.LittleEndian.Uint32(r))
	return c.match(app, lists, KindNetwork, net)
}

// net4 is the net row of the last range that does not begin after a.
func (c *Catalog) net4(a uint32) uint32 {
	le := binary.LittleEndian
	lo, hi := 0, len(c.v4)/format.V4Size
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if le.Uint32(c.v4[mid*format.V4Size:]) <= a {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0
	}
	return le.Uint32(c.v4[(lo-1)*format.V4Size+4:])
}

// net6 is net4 for IPv6.
func (c *Catalog) net6(ahi, alo uint64) uint32 {
	le := binary.LittleEndian
	lo, hi := 0, len(c.v6)/format.V6Size
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		r := c.v6[mid*format.V6Size:][:format.V6Size]
		if h, l := le.Uint64(r), le.Uint64(r[8:]); h < ahi || h == ahi && l <= alo {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return 0
	}
	return le.Uint32(c.v6[(lo-1)*format.V6Size+16:])
}

func (c *Catalog) appendNet(dst []byte, net uint32) []byte {
	r := row(c.nets, net, format.NetSize)
	if r == nil {
		return dst
	}
	s, err := c.str(binary.LittleEndian.Uint32(r[4:]), binary.LittleEndian.Uint32(r[8:]))
	if err != nil {
		return dst
	}
	return append(dst, s...)
}

// JA4 looks a JA4 fingerprint up, the 36 characters of FoxIO's specification.
func (c *Catalog) JA4(s []byte) (Match, bool) {
	if len(s) != format.JA4Len {
		return Match{}, false
	}
	lo, hi := 0, len(c.ja4)/format.JA4Size
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		r := c.ja4[mid*format.JA4Size:][:format.JA4Size]
		switch text := r[:format.JA4Len]; {
		case string(text) == string(s):
			app, lists := c.value(binary.LittleEndian.Uint32(r[format.JA4Len:]))
			return c.match(app, lists, KindJA4, uint32(mid))
		case string(text) < string(s):
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return Match{}, false
}
