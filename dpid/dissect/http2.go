package dissect

import "slices"

// http2Preface is what a client that knows that its server speaks HTTP/2 begins with
// (RFC 9113 section 3.4). Its first two lines look like a request.
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Frames of RFC 9113 section 6 that a client sends before or with its first request.
const (
	frameHeaders      = 1
	framePriority     = 2
	frameSettings     = 4
	frameWindow       = 8
	frameContinuation = 9

	http2Head    = 9       // frame header
	http2Largest = 1 << 14 // of a frame, before the server allows more
)

// Flags of HEADERS.
const (
	flagEndHeaders = 0x04
	flagPadded     = 0x08
	flagPriority   = 0x20
)

// tellHTTP2 reads the client's frames up to its first request, which names the flow.
// Between the frames before it nothing is unfinished: some clients wait for the
// server's settings.
func tellHTTP2(b []byte, full bool, out *Result) Verdict {
	if !mayPrefix(b, http2Preface) {
		return Yes
	}
	if len(b) < len(http2Preface) {
		out.Unfinished()
		return YesMore
	}
	var block [httpBytes]byte
	n, open := 0, false // header block so far; a CONTINUATION is to come
	for b = b[len(http2Preface):]; len(b) >= http2Head; {
		size, kind, flags := uint24(b), b[3], b[4]
		if size > http2Largest || open != (kind == frameContinuation) {
			return Yes
		}
		if len(b) < http2Head+size {
			break
		}
		body := b[http2Head : http2Head+size]
		b = b[http2Head+size:]
		switch kind {
		case frameHeaders:
			body = headerBlock(body, flags)
			fallthrough
		case frameContinuation:
			n += copy(block[n:], body)
			if open = flags&flagEndHeaders == 0; !open {
				tellFields(block[:n], out)
				return Yes
			}
		case frameSettings, frameWindow, framePriority:
		default:
			if kind <= frameContinuation {
				return Yes // nothing of the sort comes before a request
			}
		}
	}
	if full {
		return Yes
	}
	if len(b) > 0 || open {
		out.Unfinished()
	}
	return YesMore
}

// headerBlock takes padding and priority off the body of a HEADERS frame.
func headerBlock(b []byte, flags byte) []byte {
	if flags&flagPadded != 0 {
		if len(b) == 0 || int(b[0]) >= len(b) {
			return nil
		}
		b = b[1 : len(b)-int(b[0])]
	}
	if flags&flagPriority != 0 {
		b = b[min(len(b), 5):]
	}
	return b
}

// Entries of the static table, RFC 7541 appendix A, that tell something.
const (
	fieldAuthority = 1
	fieldGET       = 2
	fieldPOST      = 3
	fieldRoot      = 4
	fieldIndex     = 5
	fieldHost      = 38
	fieldAgent     = 58
)

// field is one of a header block. Without a name of its own, its name is that of the
// static entry index; without a value it is that entry as it is.
type field struct {
	index       uint64
	name, value []byte
	literal     bool
}

// is reports whether a literal field has the name of one of these static entries.
func (f *field) is(name string, entries ...uint64) bool {
	return f.literal && (slices.Contains(entries, f.index) || f.index == 0 && string(f.name) == name)
}

// tellFields reads the header block of a connection's first request (RFC 7541 section
// 6). What it would add to the dynamic table only later blocks refer to.
func tellFields(b []byte, out *Result) {
	var room [2][512]byte
	var kept [256]byte
	host := kept[:0]
	for len(b) > 0 {
		f, rest, ok := nextField(b, &room)
		if !ok {
			return
		}
		switch b = rest; {
		case f.is(":authority", fieldAuthority):
			out.SetHost(withoutPort(f.value))
		case f.is("host", fieldHost): // :authority overrules it, RFC 9113 section 8.3.1
			host = kept[:copy(kept[:], f.value)]
		case f.is(":method", fieldGET, fieldPOST):
			out.Str("http.method", f.value)
		case f.is(":path", fieldRoot, fieldIndex):
			out.Str("http.url", f.value)
		case f.is("user-agent", fieldAgent):
			out.Str("http.user_agent", f.value)
		case f.literal:
		case f.index == fieldGET:
			out.Str("http.method", []byte("GET"))
		case f.index == fieldPOST:
			out.Str("http.method", []byte("POST"))
		case f.index == fieldRoot:
			out.Str("http.url", []byte("/"))
		case f.index == fieldIndex:
			out.Str("http.url", []byte("/index.html"))
		}
	}
	out.SetHost(withoutPort(host))
}

// nextField splits the first field off a block; one that sets the table's size tells
// nothing. Strings that are coded are decoded into room.
func nextField(b []byte, room *[2][512]byte) (f field, rest []byte, ok bool) {
	bits := uint(4)
	switch {
	case b[0]&0x80 != 0: // an entry as it is
		f.index, rest, ok = hpackInt(b, 7)
		return f, rest, ok
	case b[0]&0x40 != 0:
		bits = 6
	case b[0]&0x20 != 0:
		_, rest, ok = hpackInt(b, 5)
		return f, rest, ok
	}
	f.literal = true
	if f.index, b, ok = hpackInt(b, bits); ok && f.index == 0 {
		f.name, b, ok = hpackString(b, room[0][:])
	}
	if !ok {
		return f, nil, false
	}
	f.value, rest, ok = hpackString(b, room[1][:])
	return f, rest, ok
}

// hpackInt reads an integer whose first byte gives it bits bits, RFC 7541 section 5.1.
func hpackInt(b []byte, bits uint) (v uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	most := uint64(1)<<bits - 1
	v, b = uint64(b[0])&most, b[1:]
	if v < most {
		return v, b, true
	}
	for shift := uint(0); len(b) > 0 && shift < 28; shift += 7 {
		c := b[0]
		b = b[1:]
		v += uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return v, b, true
		}
	}
	return 0, nil, false
}

// hpackString reads a string, RFC 7541 section 5.2, decoded into room where it must be.
// One that does not fit is cut.
func hpackString(b, room []byte) (s, rest []byte, ok bool) {
	coded := len(b) > 0 && b[0]&0x80 != 0
	n, b, ok := hpackInt(b, 7)
	if !ok || n > uint64(len(b)) {
		return nil, nil, false
	}
	s, rest = b[:n:n], b[n:]
	if coded {
		s = huffmanDecode(room[:0], s)
	}
	return s, rest, true
}

// huffmanBits are the lengths of the codes of RFC 7541 appendix B, by byte. The code is
// canonical: codes of a length follow each other in the order of their bytes.
var huffmanBits = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

// huffman is the code as it is decoded: by length, the first code, how many there are,
// and where their bytes begin in order.
var huffman = func() (h struct {
	first, count, at [31]uint32
	order            [256]byte
}) {
	n, code := uint32(0), uint32(0)
	for bits := 1; bits <= 30; bits++ {
		code <<= 1
		h.first[bits], h.at[bits] = code, n
		for c, l := range huffmanBits {
			if int(l) == bits {
				h.order[n] = byte(c)
				n++
			}
		}
		h.count[bits] = n - h.at[bits]
		code += h.count[bits]
	}
	return h
}()

// huffmanDecode appends what b means to dst, as far as that has room. Bits at the end
// that are no whole code are padding.
func huffmanDecode(dst, b []byte) []byte {
	code, bits := uint32(0), 0
	for _, c := range b {
		for i := 7; i >= 0; i-- {
			code, bits = code<<1|uint32(c>>i&1), bits+1
			if bits > 30 {
				return dst
			}
			if off := code - huffman.first[bits]; code >= huffman.first[bits] && off < huffman.count[bits] {
				if len(dst) == cap(dst) {
					return dst
				}
				dst = append(dst, huffman.order[huffman.at[bits]+off])
				code, bits = 0, 0
			}
		}
	}
	return dst
}
