package main

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"weir/proto/event"
	"weir/proto/pkt"
	"weir/proto/topology"
	"weir/shm/cursor"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/stat"
)

// scene is a small instance, made by the real packages and still alive: capd has
// left; worker 0 has read everything; worker 1 is at its third record; policyd has
// read half of what worker 0 said.
type scene struct {
	t       testing.TB
	root    layout.Root
	packets [2]*pktring.Producer
	workers [2]*pktring.Consumer
	events  [2]*evtring.Producer
	policyd *evtring.Reader
	stats   map[string]*stat.File
}

// frames of the packets in the rings: n is the number of the packet.
const (
	etherHeader = 14
	dataBytes   = 20
)

func newScene(t testing.TB) *scene {
	t.Helper()
	s := &scene{t: t, root: layout.Root(filepath.Join(t.TempDir(), "live")), stats: map[string]*stat.File{}}
	s.must(s.root.Make(0o750))
	var seed [layout.SeedSize]byte
	s.must(os.WriteFile(s.root.Seed(), seed[:], 0o600))
	topo := topology.Topology{Threads: 1, Workers: 2, SeedID: 1, Interfaces: []topology.Interface{{Index: 1, Name: "lan0"}, {Index: 2, Name: "ppp0"}}}
	s.must(topo.Save(s.root.Topology()))
	tag := layout.InstanceTag(&seed, 2)
	for w := range 2 {
		s.openWorker(w, tag)
	}
	for n := range uint64(5) {
		s.put(0, n)
		s.put(1, n)
	}
	s.mark(0)
	s.mark(1)
	s.read(0, 6)
	s.read(1, 2)
	s.workers[1].Inflight(2)
	for n := range uint64(4) {
		s.tell(0, event.FlowClass, n)
	}
	s.policyd = s.attach("policyd", 0, 2)
	s.counters("capd", "delivered=10 non_ip=2 frames=12 time_ns=1700000000000000005")
	s.counters("w00", "clock_ns=1700000000000000005 packets=5 orphans=0 unparsed=0 poison=0 lost=0 marks=1 unknown_kind=0")
	s.counters("w01", "clock_ns=0 packets=2 orphans=0 unparsed=0 poison=0 lost=0 marks=0 unknown_kind=0")
	slab, err := layout.Create(s.root.Slab(0), layout.Spec{Magic: 0x31424c5352494557, ABIMajor: 1, Size: 8192, Tag: tag, Name: "flows of worker 0"})
	s.must(err)
	s.must(slab.Close())
	s.must(s.packets[0].Close())
	s.must(s.packets[1].Close())
	s.must(s.workers[0].Close())
	s.must(s.events[0].Close())
	s.must(s.stats["capd"].Close())
	s.must(s.stats["w00"].Close())
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) openWorker(w int, tag uint32) {
	var err error
	s.packets[w], err = pktring.OpenProducer(pktring.Config{
		Path: s.root.PacketRing(0, w), CursorPath: s.root.PacketCursor(0, w), Descriptors: 16, PayloadBytes: 16384,
		Wait: true, Tag: tag, Consumer: uint16(w), Mode: 0o640,
	})
	s.must(err)
	s.workers[w], err = pktring.OpenConsumer(s.root.PacketRing(0, w), s.root.PacketCursor(0, w),
		pktring.Options{Name: fmt.Sprintf("dpid@%02d", w), Mode: 0o640})
	s.must(err)
	s.events[w], err = evtring.OpenProducer(evtring.Config{
		Path: s.root.EventRing(w), Capacity: evtring.MinCapacity, Worker: w, CursorDir: s.root.EventCursors(), Wait: true, Tag: tag, Mode: 0o640,
	})
	s.must(err)
	p, c, e := s.packets[w], s.workers[w], s.events[w]
	s.t.Cleanup(func() { _, _, _ = p.Close(), c.Close(), e.Close() })
}

// put publishes packet n: even ones with an Ethernet header, odd ones of a PPP link
// whose header has 2 bytes; the last of four was cut by the capture.
func (s *scene) put(w int, n uint64) {
	s.t.Helper()
	frame, fields, prefix := makePacket(n)
	var d [pkt.DescSize]byte
	var p [pkt.PrefixSize]byte
	fields.Encode(d[:])
	prefix.Encode(p[:])
	if !s.packets[w].Put(d[:], p[:], frame) {
		s.t.Fatalf("packet %d does not fit", n)
	}
	s.packets[w].Publish()
}

func makePacket(n uint64) ([]byte, pkt.Fields, pkt.PrefixFields) {
	link, flags, in := etherHeader, pkt.FlagEthernet, uint16(1)
	if n%2 == 1 {
		link, flags, in = 2, 0, 2
	}
	b := make([]byte, link+28+dataBytes)
	if link == etherHeader {
		copy(b, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00")
	} else {
		copy(b, "\x00\x21")
	}
	ip := b[link:]
	copy(ip, "\x45\x00\x00\x00\x00\x01\x40\x00\x40\x11\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02")
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[20:], uint16(1000+n))
	binary.BigEndian.PutUint16(ip[22:], 9)
	binary.BigEndian.PutUint16(ip[24:], 8+dataBytes)
	f := pkt.Fields{
		TS: 1700000000000000000 + n, HashLo: n, HashHi: 7, WireLen: uint32(len(b)), CapLen: uint32(len(b)),
		Ordinal: n, L4Len: dataBytes, Flags: uint16(flags), Kind: pkt.KindPacket, IPProto: 17,
	}
	if n%4 == 3 {
		b = b[:len(b)-5]
		f.Flags |= pkt.FlagTruncated
		f.CapLen = uint32(len(b))
	}
	return b, f, pkt.PrefixFields{In: in, Out: in, L3: uint16(link), L4: uint16(link + 20), Data: uint16(link + 28)}
}

// mark publishes a tick.
func (s *scene) mark(w int) {
	var d [pkt.DescSize]byte
	f := pkt.Fields{TS: 1700000000000000005, Kind: pkt.KindTick}
	f.Encode(d[:])
	if !s.packets[w].Put(d[:], nil, nil) {
		s.t.Fatal("a mark does not fit")
	}
	s.packets[w].Publish()
}

func (s *scene) read(w, n int) {
	c := s.workers[w]
	for range n {
		if len(c.Peek(1)) == 0 {
			s.t.Fatal("nothing to read")
		}
		c.Release(1)
	}
	c.Commit()
}

// tell publishes an event about flow n.
func (s *scene) tell(w int, typ event.Type, n uint64) {
	b := flowPayload(w, n)
	copy(s.events[w].Reserve(uint16(typ), event.Version, 0, 1700000000000000000+n, len(b)), b)
	s.events[w].Publish()
}

func flowPayload(w int, n uint64) []byte {
	c := event.Counters{
		ID: uint64(w)<<56 | 1<<40 | n, Rev: 1, Worker: uint16(w), First: 1700000000000000000, Last: 1700000000000000000 + n,
		Client: netip.MustParseAddr("10.0.0.1").As16(), Server: netip.MustParseAddr("10.0.0.2").As16(),
		ClientPort: uint16(1000 + n), ServerPort: 443, IPProto: 6, IPVersion: 4, In: 1, Out: 1,
		ClientPackets: 3, ServerPackets: 2, ClientBytes: 300, ServerBytes: 200,
	}
	d := event.Description{Protocol: "tls", Application: "example", Host: []byte("www.example.org"), Confidence: 100, Source: event.SourceName}
	b := make([]byte, event.DescriptionAt, event.MaxFlow)
	c.Encode(b)
	return d.Append(b)
}

// attach reads n events as a reader called name.
func (s *scene) attach(name string, w, n int) *evtring.Reader {
	s.t.Helper()
	r, err := evtring.Attach(s.root.EventRing(w), s.root.EventCursor(name, w), name)
	s.must(err)
	s.t.Cleanup(func() { _ = r.Close() })
	for range n {
		_, err := r.Next()
		s.must(err)
	}
	r.Commit()
	return r
}

// counters makes the counter file of a process; list is "name=value ...".
func (s *scene) counters(name, list string) {
	var names []string
	var values []uint64
	for pair := range strings.FieldsSeq(list) {
		key, text, _ := strings.Cut(pair, "=")
		v, err := strconv.ParseUint(text, 10, 64)
		s.must(err)
		names, values = append(names, key), append(values, v)
	}
	f, err := stat.Create(s.root.Stat(name), names, 0o644)
	s.must(err)
	for i, v := range values {
		f.Set(i, v)
	}
	s.stats[name] = f
	s.t.Cleanup(func() { _ = f.Close() })
}

// frozen copies the scene as "cp -r" would, and puts fixed values where the
// originals have random ones or those of the day.
func frozen(t testing.TB) string {
	t.Helper()
	s := newScene(t)
	dir := filepath.Join(t.TempDir(), "copy")
	s.must(os.CopyFS(dir, os.DirFS(string(s.root))))
	ids := map[uint64]uint64{}
	s.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Dir(path) == dir {
			return err
		}
		return edit(path, func(b []byte) { freeze(path, b, ids) })
	}))
	return dir
}

// freeze fixes ring id, time of creation and owner of a file.
func freeze(path string, b []byte, ids map[uint64]uint64) {
	ne := binary.NativeEndian
	id := ne.Uint64(b[16:])
	if ids[id] == 0 {
		ids[id] = uint64(0xa0 + len(ids))
	}
	ne.PutUint64(b[16:], ids[id])
	ne.PutUint64(b[56:], 1700000000000000000)
	seal(b)
	owner := layout.OffOwner
	if strings.HasSuffix(path, ".cur") {
		owner = layout.OffCursorOwner
	}
	if ne.Uint32(b[owner+12:]) != 0 {
		ne.PutUint32(b[owner+12:], 4711)
		ne.PutUint64(b[owner+16:], 1)
	}
}

// seal puts the checksum on a static header.
func seal(b []byte) { binary.NativeEndian.PutUint32(b[124:], layout.CRC(0, b[8:124])) }

// edit changes a file in place.
func edit(path string, f func([]byte)) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f(b)
	return os.WriteFile(path, b, 0o600)
}

// position is where a cursor's one word lies.
const position = cursor.OffPosition
