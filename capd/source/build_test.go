package source

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"testing"
)

// order writes the way the file under construction does.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// pcapFile is a classic capture under construction.
type pcapFile struct {
	order
	magic        uint32
	major, minor uint16
	link         uint32
	extra        int  // bytes more in a record header
	swapped      bool // lengths in the old order
	b            []byte
}

func newPcapFile(o order, magic, link uint32) *pcapFile {
	return (&pcapFile{order: o, magic: magic, major: 2, minor: 4, link: link}).start()
}

func (p *pcapFile) start() *pcapFile {
	p.b = p.AppendUint32(p.b, p.magic)
	p.b = p.AppendUint16(p.b, p.major)
	p.b = p.AppendUint16(p.b, p.minor)
	p.b = append(p.b, make([]byte, 8)...)
	p.b = p.AppendUint32(p.b, 65535)
	p.b = p.AppendUint32(p.b, p.link)
	return p
}

func (p *pcapFile) packet(sec, frac, captured, wire uint32, data []byte) *pcapFile {
	if p.swapped {
		captured, wire = wire, captured
	}
	for _, v := range [...]uint32{sec, frac, captured, wire} {
		p.b = p.AppendUint32(p.b, v)
	}
	p.b = append(p.b, make([]byte, p.extra)...)
	p.b = append(p.b, data...)
	return p
}

// ngFile is a pcapng capture under construction.
type ngFile struct {
	order
	b []byte
}

func (n *ngFile) block(typ uint32, body ...[]byte) *ngFile {
	all := bytes.Join(body, nil)
	for len(all)%4 != 0 {
		all = append(all, 0)
	}
	total := uint32(len(all) + blockOverhead)
	n.b = n.AppendUint32(n.b, typ)
	n.b = n.AppendUint32(n.b, total)
	n.b = append(n.b, all...)
	n.b = n.AppendUint32(n.b, total)
	return n
}

func (n *ngFile) words(v ...uint32) []byte {
	var b []byte
	for _, w := range v {
		b = n.AppendUint32(b, w)
	}
	return b
}

func (n *ngFile) section() *ngFile {
	b := n.words(orderMagic)
	b = n.AppendUint16(b, 1)
	b = n.AppendUint16(b, 0)
	return n.block(blockSection, b, n.words(0xffffffff, 0xffffffff))
}

func (n *ngFile) option(code uint16, v []byte) []byte {
	b := n.AppendUint16(nil, code)
	b = n.AppendUint16(b, uint16(len(v)))
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (n *ngFile) iface(link uint16, snap uint32, options ...[]byte) *ngFile {
	b := n.AppendUint16(nil, link)
	b = n.AppendUint16(b, 0)
	b = n.AppendUint32(b, snap)
	return n.block(blockInterface, append([][]byte{b}, options...)...)
}

func (n *ngFile) packet(id uint32, ts uint64, wire uint32, data []byte) *ngFile {
	return n.block(blockPacket, n.words(id, uint32(ts>>32), uint32(ts), uint32(len(data)), wire), data)
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
