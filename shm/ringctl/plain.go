package main

import "io"

// plain takes control characters out of what is printed: names and host names come
// from files that anybody may have written, and a terminal obeys them. Line ends
// and tabs stay.
type plain struct {
	w    io.Writer
	last byte
	buf  []byte
}

// Write implements io.Writer.
func (p *plain) Write(b []byte) (int, error) {
	p.buf = append(p.buf[:0], b...)
	for i, c := range p.buf {
		switch {
		case c < ' ' && c != '\n' && c != '\t', c == 0x7f:
			p.buf[i] = '?'
		case p.last == 0xc2 && c >= 0x80 && c < 0xa0: // the same, beyond ASCII
			p.buf[i] = 0xbf
		}
		p.last = c
	}
	return p.w.Write(p.buf)
}
