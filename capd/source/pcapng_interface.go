package source

import (
	"fmt"
	"math"
	"math/bits"
)

// describe reads an Interface Description Block.
func (p *pcapng) describe(b []byte) error {
	if len(b) < interfaceFixed {
		return fmt.Errorf("interface description block: %w: length %d", ErrCorrupt, len(b)+4)
	}
	if len(p.ifs) >= maxInterfaces {
		return fmt.Errorf("interface description block: %w: more than %d interfaces", ErrCorrupt, maxInterfaces)
	}
	i := ngInterface{snap: p.u32(b[12:]), clock: ngClock{mul: 1000}}
	i.Link = uint32(p.u16(b[8:]))
	if err := p.options(b[interfaceFixed:], &i); err != nil {
		return fmt.Errorf("interface description block: %w", err)
	}
	p.ifs = append(p.ifs, i)
	return nil
}

// options walks the options of an interface: u16 code, u16 length, value padded
// to four bytes. A broken list is an error, since a wrong resolution would put
// every packet at a wrong time.
func (p *pcapng) options(b []byte, i *ngInterface) error {
	for len(b) >= 4 {
		code, n := p.u16(b), int(p.u16(b[2:]))
		if code == optEnd {
			return nil
		}
		b = b[4:]
		if n > len(b) {
			return fmt.Errorf("option %d: %w: %d bytes, room for %d", code, ErrCorrupt, n, len(b))
		}
		v := b[:n:n]
		b = b[min((n+3)&^3, len(b)):]
		switch {
		case code == optName:
			i.Name = interfaceName(v)
		case code == optResolution && n == 1:
			if !i.clock.setResolution(v[0]) {
				return fmt.Errorf("option if_tsresol: %w: value %#x", ErrCorrupt, v[0])
			}
		case code == optTimeOffset && n == 8:
			lo, hi := uint64(p.u32(v)), uint64(p.u32(v[4:]))
			if p.big {
				lo, hi = hi, lo
			}
			i.clock.offset = int64(hi<<32 | lo)
		}
	}
	return nil
}

// interfaceName cuts a name at its terminator and at a length that no system
// exceeds, and replaces what would disturb a terminal.
func interfaceName(b []byte) string {
	b = b[:min(len(b), maxNameBytes)]
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c == 0 {
			break
		}
		if c < ' ' || c == 0x7f {
			c = '?'
		}
		out = append(out, c)
	}
	return string(out)
}

// ngClock turns the time stamps of one interface into nanoseconds.
type ngClock struct {
	mul, div uint64 // units of 10^-n s: multiply when n <= 9, else divide
	shift    uint8  // units of 2^-shift s, when mul and div are 0
	offset   int64  // seconds to add
}

// setResolution takes the value of option if_tsresol and reports whether it
// means something: 10^-v, or 2^-(v&0x7f) when the top bit is set.
func (c *ngClock) setResolution(v byte) bool {
	*c = ngClock{offset: c.offset}
	switch n := v & 0x7f; {
	case v&0x80 != 0:
		c.shift = n
		return n < 64
	case n <= 9:
		c.mul = pow10(9 - n)
		return true
	default:
		c.div = pow10(n - 9)
		return n <= 19+9
	}
}

func pow10(n byte) uint64 {
	v := uint64(1)
	for ; n > 0; n-- {
		v *= 10
	}
	return v
}

// ns saturates instead of wrapping: a hostile time stamp must not make time go
// backwards further than it says.
func (c *ngClock) ns(t uint64) uint64 {
	if c.mul != 0 && c.offset == 0 {
		if hi, lo := bits.Mul64(t, c.mul); hi == 0 {
			return lo
		}
		return math.MaxUint64
	}
	return c.nsSlow(t)
}

func (c *ngClock) nsSlow(t uint64) uint64 {
	var hi, lo uint64
	switch {
	case c.mul != 0:
		hi, lo = bits.Mul64(t, c.mul)
	case c.div != 0:
		lo = t / c.div
	default:
		hi, lo = bits.Mul64(t, 1e9)
		hi, lo = hi>>c.shift, lo>>c.shift|hi<<(64-c.shift)
	}
	if hi != 0 {
		return math.MaxUint64
	}
	d := c.offset
	neg := d < 0
	mag := uint64(d)
	if neg {
		mag = -mag
	}
	over, off := bits.Mul64(mag, 1e9)
	switch {
	case neg && (over != 0 || off > lo):
		return 0
	case neg:
		return lo - off
	case over != 0 || lo+off < lo:
		return math.MaxUint64
	}
	return lo + off
}
