// Package pcapng writes capture files in the pcapng format
// (draft-ietf-opsawg-pcapng): one section, interfaces with names, enhanced packet
// blocks with times in ns.
//
// It does not read them, and it knows only the blocks and options that a copy of a
// ring needs.
package pcapng

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Link types, https://www.tcpdump.org/linktypes.html.
const (
	Ethernet uint16 = 1
	RawIP    uint16 = 101
)

// Direction of a packet, the low bits of the epb_flags option.
type Direction uint32

// Directions.
const (
	UnknownDirection Direction = 0
	Inbound          Direction = 1
	Outbound         Direction = 2
)

// Block types and options.
const (
	sectionHeader  = 0x0a0d0d0a
	interfaceBlock = 1
	packetBlock    = 6

	optEnd     = 0
	optComment = 1
	optAppl    = 4 // of a section: shb_userappl
	optName    = 2 // of an interface
	optTSResol = 9
	optFlags   = 2 // of a packet

	maxOption = 1<<16 - 4
)

var le = binary.LittleEndian

// Packet is one packet block.
type Packet struct {
	Interface int    // as Interface returned it
	TS        uint64 // ns since 1970
	Wire      uint32 // length on the wire; at least that of Data
	Data      []byte
	Direction Direction
	Comment   string // "" = none
}

// Writer writes a file. Its first error is that of every later call.
type Writer struct {
	w          *bufio.Writer
	block      []byte
	interfaces int
}

// NewWriter writes the header of a section whose writer is called application.
func NewWriter(w io.Writer, application string) (*Writer, error) {
	pw := &Writer{w: bufio.NewWriter(w)}
	pw.begin(sectionHeader)
	pw.u32(0x1a2b3c4d)
	pw.u32(1)          // version 1.0
	pw.u64(^uint64(0)) // length of the section: not known
	pw.option(optAppl, []byte(application))
	return pw, pw.end(true)
}

// Interface adds an interface and returns its number.
func (w *Writer) Interface(linkType uint16, name string) (int, error) {
	w.begin(interfaceBlock)
	w.u32(uint32(linkType))
	w.u32(0) // no limit of the captured length
	if name != "" {
		w.option(optName, []byte(name))
	}
	w.option(optTSResol, []byte{9})
	w.interfaces++
	return w.interfaces - 1, w.end(true)
}

// Packet writes one packet.
func (w *Writer) Packet(p *Packet) error {
	if p.Interface < 0 || p.Interface >= w.interfaces {
		return fmt.Errorf("pcapng: packet of interface %d, there are %d", p.Interface, w.interfaces)
	}
	n := uint32(len(p.Data))
	w.begin(packetBlock)
	w.u32(uint32(p.Interface))
	w.u32(uint32(p.TS >> 32))
	w.u32(uint32(p.TS))
	w.u32(n)
	w.u32(max(p.Wire, n))
	w.block = append(w.block, p.Data...)
	w.pad()
	if p.Direction != UnknownDirection {
		w.option(optFlags, le.AppendUint32(nil, uint32(p.Direction)))
	}
	if p.Comment != "" {
		w.option(optComment, []byte(p.Comment))
	}
	return w.end(p.Direction != UnknownDirection || p.Comment != "")
}

// Flush writes what is buffered.
func (w *Writer) Flush() error { return w.w.Flush() }

func (w *Writer) u32(v uint32) { w.block = le.AppendUint32(w.block, v) }
func (w *Writer) u64(v uint64) { w.block = le.AppendUint64(w.block, v) }

// begin starts a block; its length is filled in by end.
func (w *Writer) begin(typ uint32) {
	w.block = w.block[:0]
	w.u32(typ)
	w.u32(0)
}

func (w *Writer) pad() {
	for len(w.block)%4 != 0 {
		w.block = append(w.block, 0)
	}
}

func (w *Writer) option(code uint16, value []byte) {
	value = value[:min(len(value), maxOption)]
	w.block = le.AppendUint16(w.block, code)
	w.block = le.AppendUint16(w.block, uint16(len(value)))
	w.block = append(w.block, value...)
	w.pad()
}

// end completes the block: the end of its options, and its length on both sides.
func (w *Writer) end(options bool) error {
	if options {
		w.option(optEnd, nil)
	}
	n := uint32(len(w.block) + 4)
	w.u32(n)
	le.PutUint32(w.block[4:], n)
	_, err := w.w.Write(w.block)
	return err
}
