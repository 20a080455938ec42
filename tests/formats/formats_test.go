// Package formats holds the layouts of packages that may not know each other
// against each other.
package formats

import (
	"testing"

	"weir/proto/pkt"
	"weir/shm/layout"
	"weir/shm/pktring"

	"weir/proto/flowkey"
)

// TestDescriptor: the ring knows three fields of a descriptor by offset; package pkt
// knows all of them. What one writes the other must read.
func TestDescriptor(t *testing.T) {
	if pktring.DescSize != pkt.DescSize || pktring.PrefixSize != pkt.PrefixSize {
		t.Fatalf("sizes %d, %d in the ring, %d, %d in proto/pkt", pktring.DescSize, pktring.PrefixSize, pkt.DescSize, pkt.PrefixSize)
	}
	p, c, err := pktring.NewHeap(pktring.Config{Descriptors: 16, PayloadBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	f := pkt.Fields{TS: 1, HashLo: 2, HashHi: 3, WireLen: 60, CapLen: 999, Kind: pkt.KindPacket, Flags: pkt.FlagVLAN}
	desc, prefix := make([]byte, pkt.DescSize), make([]byte, pkt.PrefixSize)
	f.Encode(desc)
	(&pkt.PrefixFields{In: 7, VLAN: 9}).Encode(prefix)
	frame := []byte("a frame of some bytes")
	if !p.Put(desc, prefix, frame) || !p.Put(desc, nil, nil) {
		t.Fatal("an empty ring is full")
	}
	p.Drop(5, 600)
	p.Put(desc, nil, nil)
	p.Publish()
	got := c.Peek(4)
	if len(got) != 4*pkt.DescSize {
		t.Fatalf("%d bytes of descriptors, want four", len(got))
	}
	with, without, lost := pkt.Descriptor(got), pkt.Descriptor(got[pkt.DescSize:]), pkt.Descriptor(got[2*pkt.DescSize:])
	if with.Flags() != pkt.FlagVLAN|pkt.FlagPayload || int(with.CapLen()) != len(frame) || with.HashHi() != 3 {
		t.Errorf("descriptor with payload: flags %#x, captured %d", with.Flags(), with.CapLen())
	}
	if b := c.Payload(got); pkt.Prefix(b).In() != 7 || pkt.Prefix(b).VLAN() != 9 || string(b[pkt.PrefixSize:]) != string(frame) {
		t.Errorf("payload = %x", b)
	}
	if without.Flags() != pkt.FlagVLAN || c.Payload(got[pkt.DescSize:]) != nil {
		t.Errorf("descriptor without payload: flags %#x", without.Flags())
	}
	if lost.Kind() != pkt.KindLost || lost.HashLo() != 5 || lost.HashHi() != 600 {
		t.Errorf("lost record: kind %d, %d packets, %d bytes; want %d, 5, 600", lost.Kind(), lost.HashLo(), lost.HashHi(), pkt.KindLost)
	}
}

// TestSeed: the bytes that shm keeps are the bytes that the hash is made of.
func TestSeed(t *testing.T) {
	if layout.SeedSize != flowkey.SeedSize {
		t.Errorf("a seed has %d bytes in shm, %d in proto", layout.SeedSize, flowkey.SeedSize)
	}
}
