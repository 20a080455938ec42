package event

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Sizes of the parts of a flow payload in bytes.
const (
	FixedSize       = 144
	DescriptionAt   = 112                          // the description begins here
	DescriptionSize = FixedSize - DescriptionAt    // its fixed part
	MaxAttrs        = 2048                         // longest attribute list
	MaxFlow         = FixedSize + 5*255 + MaxAttrs // longest flow payload
)

// Flow is a checked flow payload. It aliases the bytes given to ParseFlow.
type Flow []byte

// ParseFlow checks that b holds a whole flow payload and returns it. Bytes after
// it are ignored, so that a later version can add some.
func ParseFlow(b []byte) (Flow, error) {
	if len(b) < FixedSize {
		return nil, fmt.Errorf("flow event: %d bytes, want at least %d", len(b), FixedSize)
	}
	n := FixedSize + int(binary.LittleEndian.Uint16(b[142:]))
	for _, l := range b[136:141] {
		n += int(l)
	}
	if n > len(b) {
		return nil, fmt.Errorf("flow event: %d bytes, its lengths add up to %d", len(b), n)
	}
	return Flow(b[:n:n]), nil
}

// ID returns the flow id: worker, slab epoch, counter.
func (f Flow) ID() uint64 { return binary.LittleEndian.Uint64(f[0:]) }

// Rev returns the revision: of two events of a flow the higher one is newer.
func (f Flow) Rev() uint32 { return binary.LittleEndian.Uint32(f[8:]) }

// Worker returns the number of the worker that owns the flow.
func (f Flow) Worker() uint16 { return binary.LittleEndian.Uint16(f[12:]) }

// Flags returns the Flag bits.
func (f Flow) Flags() uint16 { return binary.LittleEndian.Uint16(f[14:]) }

// First returns the time of the first packet in ns since the epoch.
func (f Flow) First() uint64 { return binary.LittleEndian.Uint64(f[16:]) }

// Last returns the time of the last packet in ns since the epoch.
func (f Flow) Last() uint64 { return binary.LittleEndian.Uint64(f[24:]) }

// ClientAddr returns the client's address, IPv4 unmapped.
func (f Flow) ClientAddr() netip.Addr { return f.addr(32) }

// ServerAddr returns the server's address, IPv4 unmapped.
func (f Flow) ServerAddr() netip.Addr { return f.addr(48) }

func (f Flow) addr(off int) netip.Addr {
	a := netip.AddrFrom16([16]byte(f[off : off+16]))
	if f[69] == 4 {
		return a.Unmap()
	}
	return a
}

// ClientPort returns the client's port.
func (f Flow) ClientPort() uint16 { return binary.LittleEndian.Uint16(f[64:]) }

// ServerPort returns the server's port.
func (f Flow) ServerPort() uint16 { return binary.LittleEndian.Uint16(f[66:]) }

// IPProto returns the IP protocol number.
func (f Flow) IPProto() uint8 { return f[68] }

// IPVersion returns 4 or 6.
func (f Flow) IPVersion() uint8 { return f[69] }

// VLAN returns the VLAN id, 0 without one.
func (f Flow) VLAN() uint16 { return binary.LittleEndian.Uint16(f[70:]) }

// In returns the interface table index of the flow (of the pair, the lower).
func (f Flow) In() uint16 { return binary.LittleEndian.Uint16(f[72:]) }

// Out returns the other interface of the pair.
func (f Flow) Out() uint16 { return binary.LittleEndian.Uint16(f[74:]) }

// Mark returns the netfilter mark of the first packet.
func (f Flow) Mark() uint32 { return binary.LittleEndian.Uint32(f[76:]) }

// ClientPackets returns how many packets the client sent.
func (f Flow) ClientPackets() uint64 { return binary.LittleEndian.Uint64(f[80:]) }

// ServerPackets returns how many packets the server sent.
func (f Flow) ServerPackets() uint64 { return binary.LittleEndian.Uint64(f[88:]) }

// ClientBytes returns the frame bytes from the client.
func (f Flow) ClientBytes() uint64 { return binary.LittleEndian.Uint64(f[96:]) }

// ServerBytes returns the frame bytes from the server.
func (f Flow) ServerBytes() uint64 { return binary.LittleEndian.Uint64(f[104:]) }

// ClientMAC returns the client's Ethernet address, zero when unknown.
func (f Flow) ClientMAC() [6]byte { return [6]byte(f[112:118]) }

// ServerMAC returns the server's Ethernet address, zero when unknown.
func (f Flow) ServerMAC() [6]byte { return [6]byte(f[118:124]) }

// ProtocolID returns the stable id of the protocol, 0 when unknown.
func (f Flow) ProtocolID() uint16 { return binary.LittleEndian.Uint16(f[124:]) }

// CategoryID returns the stable id of the category, 0 when unknown.
func (f Flow) CategoryID() uint16 { return binary.LittleEndian.Uint16(f[126:]) }

// ApplicationID returns the stable id of the application, 0 when unknown.
func (f Flow) ApplicationID() uint32 { return binary.LittleEndian.Uint32(f[128:]) }

// Confidence returns how sure that is which Source speaks of, 0 to 100.
func (f Flow) Confidence() uint8 { return f[132] }

// EndReason returns why the flow ended, EndNone while it lives.
func (f Flow) EndReason() EndReason { return EndReason(f[133]) }

// Source returns what the most telling part of the classification rests on: the
// application where one is named, else the protocol.
func (f Flow) Source() Source { return Source(f[134]) }

// Link returns the tunnel kind (pkt.LinkName), 0 for none.
func (f Flow) Link() uint8 { return f[135] }

// Protocol returns the protocol's name, empty when unknown.
func (f Flow) Protocol() []byte { return f.str(0) }

// Application returns the application's name, empty when unknown.
func (f Flow) Application() []byte { return f.str(1) }

// Category returns the category's name, empty when unknown.
func (f Flow) Category() []byte { return f.str(2) }

// Host returns the host name, empty when unknown.
func (f Flow) Host() []byte { return f.str(3) }

// Evidence returns what decided, for people: dissector rule, catalogue entry.
func (f Flow) Evidence() []byte { return f.str(4) }

func (f Flow) str(i int) []byte {
	off := FixedSize
	for _, l := range f[136 : 136+i] {
		off += int(l)
	}
	end := off + int(f[136+i])
	return f[off:end:end]
}

// Attrs returns the attribute list; see NextAttr.
func (f Flow) Attrs() []byte { return f[len(f)-int(binary.LittleEndian.Uint16(f[142:])):] }
