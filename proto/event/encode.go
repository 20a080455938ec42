package event

import "encoding/binary"

// Counters are the parts of a flow payload that change with every packet or event.
type Counters struct {
	ID                           uint64
	Rev                          uint32
	Worker, Flags                uint16
	First, Last                  uint64
	Client, Server               [16]byte
	ClientPort, ServerPort       uint16
	IPProto, IPVersion           uint8
	VLAN, In, Out                uint16
	Mark                         uint32
	ClientPackets, ServerPackets uint64
	ClientBytes, ServerBytes     uint64
}

// Encode lays c out in bytes 0 to DescriptionAt of b.
// Precondition: len(b) >= DescriptionAt.
func (c *Counters) Encode(b []byte) {
	b = b[:DescriptionAt:DescriptionAt]
	le := binary.LittleEndian
	le.PutUint64(b[0:], c.ID)
	le.PutUint32(b[8:], c.Rev)
	le.PutUint16(b[12:], c.Worker)
	le.PutUint16(b[14:], c.Flags)
	le.PutUint64(b[16:], c.First)
	le.PutUint64(b[24:], c.Last)
	copy(b[32:48], c.Client[:])
	copy(b[48:64], c.Server[:])
	le.PutUint16(b[64:], c.ClientPort)
	le.PutUint16(b[66:], c.ServerPort)
	b[68], b[69] = c.IPProto, c.IPVersion
	le.PutUint16(b[70:], c.VLAN)
	le.PutUint16(b[72:], c.In)
	le.PutUint16(b[74:], c.Out)
	le.PutUint32(b[76:], c.Mark)
	le.PutUint64(b[80:], c.ClientPackets)
	le.PutUint64(b[88:], c.ServerPackets)
	le.PutUint64(b[96:], c.ClientBytes)
	le.PutUint64(b[104:], c.ServerBytes)
}

// Description is the part of a flow payload that inspection finds out. Strings
// longer than 255 bytes and attributes beyond MaxAttrs are cut.
type Description struct {
	ClientMAC, ServerMAC [6]byte
	ProtocolID           uint16
	CategoryID           uint16
	ApplicationID        uint32
	Confidence           uint8
	End                  EndReason
	Source               Source
	Link                 uint8
	Client, Server       Place
	Protocol             string
	Application          string
	Category             string
	Host, Evidence       []byte
	Attrs                []byte // as AppendAttr made them
}

// Append appends the description, bytes 112 to the end of a flow payload, to dst.
// It does not allocate when dst has room for MaxFlow - DescriptionAt bytes.
func (d *Description) Append(dst []byte) []byte {
	var f [DescriptionSize]byte
	b := f[:]
	le := binary.LittleEndian
	copy(b[0:], d.ClientMAC[:])
	copy(b[6:], d.ServerMAC[:])
	le.PutUint16(b[12:], d.ProtocolID)
	le.PutUint16(b[14:], d.CategoryID)
	le.PutUint32(b[16:], d.ApplicationID)
	b[20], b[21], b[22], b[23] = d.Confidence, uint8(d.End), uint8(d.Source), d.Link
	b[PlaceAt-DescriptionAt] = Places(d.Client, d.Server)
	p, a, c := cut(d.Protocol), cut(d.Application), cut(d.Category)
	h, e := d.Host[:min(len(d.Host), 255)], d.Evidence[:min(len(d.Evidence), 255)]
	b[24], b[25], b[26], b[27], b[28] = uint8(len(p)), uint8(len(a)), uint8(len(c)), uint8(len(h)), uint8(len(e))
	attrs := d.Attrs
	if len(attrs) > MaxAttrs {
		attrs = nil // never half an attribute
	}
	le.PutUint16(b[30:], uint16(len(attrs)))
	dst = append(dst, b...)
	dst = append(dst, p...)
	dst = append(dst, a...)
	dst = append(dst, c...)
	dst = append(dst, h...)
	dst = append(dst, e...)
	return append(dst, attrs...)
}

func cut(s string) string { return s[:min(len(s), 255)] }
