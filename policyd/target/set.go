// Package target puts what rules want into the kernel: elements of nftables sets.
//
// It knows no rules and no events. The Ledger keeps which elements are wanted, by
// how many flows, and what is believed to be in the kernel; a backend (nft.go,
// dry.go) makes the difference true, one transaction per batch.
//
// The invariants: objects that are not ours are never created, changed, flushed or
// deleted, but for the elements that we put into them; nothing is deleted while
// somebody whom we do not know of may want it (hold); applying a change twice is the
// same as applying it once.
package target

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/proto/config"
	"weir/proto/event"
)

// maxParts is how many types nftables can join to one key: six bits each in 32.
const maxParts = 5

// kind is the nftables type of one part of a key.
type kind uint8

const (
	kindIPv4 kind = iota
	kindIPv6
	kindPort
	kindProto
	kindMAC
	kindMark
	kindIfname
)

// kinds gives the name that nft has for a type, and its length in bytes.
var kinds = [...]struct {
	name string
	size int
}{
	kindIPv4: {"ipv4_addr", 4}, kindIPv6: {"ipv6_addr", 16}, kindPort: {"inet_service", 2},
	kindProto: {"inet_proto", 1}, kindMAC: {"ether_addr", 6}, kindMark: {"mark", 4}, kindIfname: {"ifname", 16},
}

// Set is one nftables set to fill.
type Set struct {
	config.Set
	kinds []kind
	timed bool // elements have timeouts
}

// NewSet checks what the configuration could not and completes what it left open.
// table is the one that is ours; timeouts are those that rules give themselves.
func NewSet(c config.Set, table string, timeouts ...time.Duration) (*Set, error) {
	s := &Set{Set: c, timed: c.Timeout > 0}
	if s.Table == "" {
		s.Table = table
	}
	if s.Size == 0 {
		s.Size = 65536
	}
	for _, t := range timeouts {
		s.timed = s.timed || t > 0
	}
	if len(c.Key) > maxParts {
		return nil, fmt.Errorf("%s: set %s: key has %d parts: nftables joins at most %d", c.Pos, c.Name, len(c.Key), maxParts)
	}
	if s.Create && (s.Table != table || s.Family != "inet") {
		return nil, fmt.Errorf("%s: set %s: only table inet %s is ours: leave table and family out, or declare the set yourself and give create = false",
			c.Pos, c.Name, table)
	}
	for _, part := range c.Key {
		s.kinds = append(s.kinds, kindOf(part, c.Address))
	}
	return s, nil
}

func kindOf(part, address string) kind {
	switch part {
	case config.KeyClientIP, config.KeyServerIP:
		if address == config.FamilyIPv6 {
			return kindIPv6
		}
		return kindIPv4
	case config.KeyClientPort, config.KeyServerPort:
		return kindPort
	case config.KeyIPProtocol:
		return kindProto
	case config.KeyMAC:
		return kindMAC
	case config.KeyMark:
		return kindMark
	}
	return kindIfname
}

// Type returns the key's type as nft writes it: "ipv4_addr . inet_service".
func (s *Set) Type() string {
	names := make([]string, len(s.kinds))
	for i, k := range s.kinds {
		names[i] = kinds[k].name
	}
	return strings.Join(names, " . ")
}

// String returns the set's name as nft writes it: "inet weir blocked4".
func (s *Set) String() string { return s.Family + " " + s.Table + " " + s.Name }

// Declaration returns the nft command that makes a set we can fill.
func (s *Set) Declaration() string {
	flags := ""
	if s.timed {
		flags = " flags timeout;"
	}
	return fmt.Sprintf("nft 'add set %s { type %s;%s size %d; }'", s, s.Type(), flags, s.Size)
}

// keySize returns the length of an element's key in bytes.
func (s *Set) keySize() int {
	if len(s.kinds) == 1 {
		return kinds[s.kinds[0]].size
	}
	n := 0
	for _, k := range s.kinds {
		n += padded(kinds[k].size)
	}
	return n
}

// padded is how much room a part has in a joined key: whole registers.
func padded(n int) int { return (n + 3) &^ 3 }

// AppendKey appends the element that flow f has in the set to dst. parts are the names of
// the key's fields, the set's own or others of the same types. It reports false
// when the flow has no such element: another address family, an unknown MAC
// address or interface.
func (s *Set) AppendKey(dst []byte, parts []string, f event.Flow, iface string) ([]byte, bool) {
	if s.Address == config.FamilyIPv4 && f.IPVersion() != 4 || s.Address == config.FamilyIPv6 && f.IPVersion() != 6 {
		return dst, false
	}
	for i, part := range parts {
		start, ok := len(dst), false
		if dst, ok = s.kinds[i].appendPart(dst, part, f, iface); !ok {
			return dst, false
		}
		size := kinds[s.kinds[i]].size
		if len(s.kinds) > 1 {
			size = padded(size)
		}
		for len(dst)-start < size {
			dst = append(dst, 0)
		}
	}
	return dst, true
}

// appendPart appends one part, at most as long as its kind.
func (k kind) appendPart(dst []byte, part string, f event.Flow, iface string) ([]byte, bool) {
	switch part {
	case config.KeyClientIP:
		return k.appendAddr(dst, f.ClientAddr())
	case config.KeyServerIP:
		return k.appendAddr(dst, f.ServerAddr())
	case config.KeyClientPort:
		return binary.BigEndian.AppendUint16(dst, f.ClientPort()), true
	case config.KeyServerPort:
		return binary.BigEndian.AppendUint16(dst, f.ServerPort()), true
	case config.KeyIPProtocol:
		return append(dst, f.IPProto()), true
	case config.KeyMAC:
		mac := f.ClientMAC()
		return append(dst, mac[:]...), mac != [6]byte{}
	case config.KeyMark:
		return binary.NativeEndian.AppendUint32(dst, f.Mark()), true
	}
	return append(dst, iface...), iface != "" && len(iface) < kinds[kindIfname].size
}

// appendAddr appends an address of the family that k stands for. A payload may call
// itself IPv4 and hold another address.
func (k kind) appendAddr(dst []byte, a netip.Addr) ([]byte, bool) {
	if k == kindIPv6 {
		b := a.As16()
		return append(dst, b[:]...), true
	}
	if !a.Is4() {
		return dst, false
	}
	b := a.As4()
	return append(dst, b[:]...), true
}

// Format returns a key as nft writes it: "192.0.2.1 . 443".
func (s *Set) Format(key string) string {
	if len(key) != s.keySize() {
		return fmt.Sprintf("%x", key)
	}
	parts := make([]string, 0, len(s.kinds))
	for _, k := range s.kinds {
		size := kinds[k].size
		parts = append(parts, k.format([]byte(key[:size])))
		key = key[min(padded(size), len(key)):]
	}
	return strings.Join(parts, " . ")
}

func (k kind) format(b []byte) string {
	switch k {
	case kindIPv4, kindIPv6:
		a, _ := netip.AddrFromSlice(b)
		return a.String()
	case kindPort:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case kindProto:
		return protoName(b[0])
	case kindMAC:
		return net.HardwareAddr(b).String()
	case kindMark:
		return fmt.Sprintf("0x%08x", binary.NativeEndian.Uint32(b))
	}
	return strconv.Quote(strings.TrimRight(string(b), "\x00"))
}

func protoName(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "ipv6-icmp"
	}
	return strconv.Itoa(int(p))
}

// Named returns the set called name, nil when there is none.
func Named(sets []*Set, name string) *Set {
	i := slices.IndexFunc(sets, func(s *Set) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return sets[i]
}
