package worker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/dpid/hint"
	"weir/proto/event"
	"weir/proto/flowkey"
	"weir/proto/pkt"
	"weir/shm/evtring"
	"weir/shm/pktring"
)

func TestMain(m *testing.M) {
	dissect.Prepare()
	os.Exit(m.Run())
}

// epoch is the packet time that the tests count from, ns.
const epoch = 1_700_000_000_000_000_000

// rigTimeouts are all different, so that a test sees which one was taken.
var rigTimeouts = Timeouts{
	TCPEstablished: 300 * time.Second, TCPClosing: 10 * time.Second, TCPUnanswered: 30 * time.Second,
	UDP: 60 * time.Second, DNS: 12 * time.Second, ICMP: 25 * time.Second, Other: 45 * time.Second,
}

// options are what a test asks of its rig; the zero value is one ring, live.
type options struct {
	set       Settings
	rings     int
	flows     int
	chunks    int
	probation int
	events    int  // bytes of the event ring
	wait      bool // the event ring waits for its readers
	others    int  // other workers, whose hint tables the test writes
}

// rig is a worker between rings of its own, driven by hand.
type rig struct {
	t      testing.TB
	opt    options
	seed   flowkey.Seed
	slab   []byte
	hints  [][]byte
	prod   []*pktring.Producer
	cons   []*pktring.Consumer
	answer []*pktring.Producer // rings of answers and their readers, with Settings.Hold
	capd   []*pktring.Consumer
	dir    string
	life   int
	events *evtring.Producer
	reader *evtring.Reader
	seen   []happened
	w      *Worker
	log    bytes.Buffer
}

// happened is one event, copied.
type happened struct {
	typ     event.Type
	flags   uint8
	payload []byte
}

func (h happened) flow() event.Flow {
	f, err := event.ParseFlow(h.payload)
	if err != nil {
		panic(err)
	}
	return f
}

func newRig(t testing.TB, opt options) *rig {
	t.Helper()
	opt.rings = max(opt.rings, 1)
	if opt.flows == 0 {
		opt.flows = 1024
	}
	if opt.chunks == 0 {
		opt.chunks = 8 * opt.flows
	}
	if opt.events == 0 {
		opt.events = 4 << 20
	}
	if opt.set.Timeouts == (Timeouts{}) {
		opt.set.Timeouts = rigTimeouts
	}
	if opt.set.MaxPackets == 0 {
		opt.set.MaxPackets = 32
	}
	if opt.set.Contexts == 0 {
		opt.set.Contexts = 256
	}
	r := &rig{t: t, opt: opt, dir: t.TempDir()}
	var raw [flowkey.SeedSize]byte
	for i := range raw {
		raw[i] = byte(i*7 + 3)
	}
	r.seed = flowkey.ParseSeed(&raw)
	r.slab = make([]byte, r.geometry().Size())
	for range 1 + opt.others {
		r.hints = append(r.hints, make([]byte, hint.FileSize(256)))
	}
	for range opt.rings {
		p, c, err := pktring.NewHeap(pktring.Config{Descriptors: 4096, PayloadBytes: 4 << 20})
		if err != nil {
			t.Fatal(err)
		}
		r.prod, r.cons = append(r.prod, p), append(r.cons, c)
		if opt.set.Hold == 0 {
			continue
		}
		if p, c, err = pktring.NewHeap(pktring.Config{Descriptors: 256, PayloadBytes: pktring.MinPayload}); err != nil {
			t.Fatal(err)
		}
		r.answer, r.capd = append(r.answer, p), append(r.capd, c)
	}
	if err := os.Mkdir(r.cursorDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	r.openEvents()
	r.start(true)
	return r
}

func (r *rig) geometry() flow.Geometry {
	return flow.Geometry{Flows: r.opt.flows, Chunks: r.opt.chunks}
}

func (r *rig) eventPath() string { return filepath.Join(r.dir, fmt.Sprintf("events.%d", r.life)) }

func (r *rig) cursorDir() string { return filepath.Join(r.dir, "cursors") }

func (r *rig) openEvents() {
	r.t.Helper()
	var err error
	r.events, err = evtring.OpenProducer(evtring.Config{
		Path: r.eventPath(), Capacity: r.opt.events, CursorDir: r.cursorDir(), Wait: r.opt.wait, Mode: 0o600,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.events.Close() })
	if r.reader, err = evtring.Tail(r.eventPath(), evtring.Oldest); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.reader.Close() })
}

// start makes the worker over the slab as it is.
func (r *rig) start(fresh bool) {
	r.t.Helper()
	table, adopted, err := flow.Open(r.slab, fresh, r.events.Tail(), flow.Options{
		Geometry: r.geometry(), Worker: 1, Seed: &r.seed, SlabID: 0x77, Probation: r.opt.probation,
		Deadline: r.opt.set.Timeouts.Deadline(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.w = New(r.opt.set, Parts{
		Rings: r.cons, Events: r.events, Table: table, Adopted: adopted, Hints: hint.NewWriter(r.hints[0]),
		Names: hint.NewReader(r.hints), Verdicts: r.answer, Log: slog.New(slog.NewTextHandler(io.MultiWriter(&r.log), nil)),
	})
}

// kill drops everything that a killed process loses, that is all but the bytes of
// the slab, the hints, the packet rings and the published part of the event ring,
// and starts a new worker over them. All events of the ring are seen again.
func (r *rig) kill() {
	r.t.Helper()
	b, err := os.ReadFile(r.eventPath())
	if err != nil {
		r.t.Fatal(err)
	}
	r.life++
	if err := os.WriteFile(r.eventPath(), b, 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.seen = nil
	// The old ring is nobody's any more; 32-bit machines have no room for many.
	_, _ = r.events.Close(), r.reader.Close()
	r.openEvents()
	r.start(false)
}

// packet says what a descriptor and its frame are made of.
type packet struct {
	at       time.Duration // since epoch
	src, dst netip.AddrPort
	proto    uint8 // 0 = TCP
	flags    uint8
	seq, ack uint32
	data     []byte
	vlan     uint16
	in, out  uint16
	mark     uint32
	bare     bool // without payload
	ring     int
	waits    uint32 // id of a packet that capd holds, 0 = none
}

func endpoint(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// frame builds the bytes of p: Ethernet, IP, transport, data. Checksums stay zero:
// capd has looked at them, dpid does not.
func (p *packet) frame() (b []byte, prefix pkt.PrefixFields) {
	b = append(b, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)
	if p.vlan != 0 {
		b = append(b, 0x81, 0, byte(p.vlan>>8), byte(p.vlan))
	}
	var l4 []byte
	switch p.proto {
	case protoTCP:
		l4 = binary.BigEndian.AppendUint16(l4, p.src.Port())
		l4 = binary.BigEndian.AppendUint16(l4, p.dst.Port())
		l4 = binary.BigEndian.AppendUint32(l4, p.seq)
		l4 = binary.BigEndian.AppendUint32(l4, p.ack)
		l4 = append(l4, 5<<4, p.flags, 1, 0, 0, 0, 0, 0)
	case protoUDP:
		l4 = binary.BigEndian.AppendUint16(l4, p.src.Port())
		l4 = binary.BigEndian.AppendUint16(l4, p.dst.Port())
		l4 = binary.BigEndian.AppendUint16(l4, uint16(8+len(p.data)))
		l4 = append(l4, 0, 0)
	}
	head := len(l4)
	l4 = append(l4, p.data...)
	if p.src.Addr().Is4() {
		b = append(b, 8, 0)
		prefix.L3 = uint16(len(b))
		b = append(b, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(20+len(l4)))
		b = append(b, 0, 0, 0, 0, 64, p.proto, 0, 0)
	} else {
		b = append(b, 0x86, 0xdd)
		prefix.L3 = uint16(len(b))
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(len(l4)))
		b = append(b, p.proto, 64)
	}
	b = append(append(b, p.src.Addr().AsSlice()...), p.dst.Addr().AsSlice()...)
	prefix.L4 = uint16(len(b))
	prefix.Data = prefix.L4 + uint16(head)
	prefix.In, prefix.Out, prefix.Mark, prefix.VLAN = p.in, p.out, p.mark, p.vlan
	return append(b, l4...), prefix
}

// fields makes the descriptor of p.
func (r *rig) fields(p *packet, frame []byte) pkt.Fields {
	k := flowkey.Key{Proto: p.proto, VLAN: p.vlan, Version: 4}
	f := pkt.Fields{
		TS: epoch + uint64(p.at), WireLen: uint32(len(frame)), CapLen: uint32(len(frame)), Seq: p.seq, Ack: p.ack,
		L4Len: uint16(len(p.data)), TCPFlags: p.flags, Kind: pkt.KindPacket, IPProto: p.proto, Flags: pkt.FlagEthernet,
	}
	if !p.src.Addr().Is4() {
		k.Version = 6
		f.Flags |= pkt.FlagIPv6
	}
	if p.vlan != 0 {
		f.Flags |= pkt.FlagVLAN
	}
	if p.waits != 0 {
		f.Flags |= pkt.FlagNFQ
		f.Ordinal = uint64(p.waits) | heldQueue<<32 | heldGeneration<<48
	}
	k.SetInterfaces(p.in, p.out)
	src, dst := p.src.Addr().As16(), p.dst.Addr().As16()
	sport, dport := p.src.Port(), p.dst.Port()
	if !hasPorts(p.proto) {
		sport, dport = 0, 0
	}
	if k.Set(&src, &dst, sport, dport) {
		f.Flags |= pkt.FlagReverse
	}
	f.HashLo, f.HashHi = k.Hash(&r.seed)
	return f
}

// put brings a packet into its ring.
func (r *rig) put(p packet) {
	r.t.Helper()
	if p.proto == 0 {
		p.proto = protoTCP
	}
	frame, prefix := p.frame()
	fields := r.fields(&p, frame)
	if p.bare {
		r.record(p.ring, fields, nil, nil)
		return
	}
	var b [pkt.PrefixSize]byte
	prefix.Encode(b[:])
	r.record(p.ring, fields, b[:], frame)
}

// record puts a descriptor, with or without payload.
func (r *rig) record(ring int, f pkt.Fields, prefix, frame []byte) {
	r.t.Helper()
	var d [pkt.DescSize]byte
	f.Encode(d[:])
	if !r.prod[ring].Put(d[:], prefix, frame) {
		r.run()
		if !r.prod[ring].Put(d[:], prefix, frame) {
			r.t.Fatal("the packet ring is full")
		}
	}
}

func (r *rig) tick(at time.Duration) {
	r.t.Helper()
	for i := range r.prod {
		r.record(i, pkt.Fields{TS: epoch + uint64(at), Kind: pkt.KindTick}, nil, nil)
	}
}

func (r *rig) eof(at time.Duration) {
	r.t.Helper()
	for i := range r.prod {
		r.record(i, pkt.Fields{TS: epoch + uint64(at), Kind: pkt.KindEOF}, nil, nil)
	}
}

// run lets the worker do all there is in the rings.
func (r *rig) run() {
	r.t.Helper()
	for i, p := range r.prod {
		p.Publish()
		for {
			n, err := r.w.serve(i)
			if err != nil {
				r.t.Fatal(err)
			}
			r.collect()
			if n == 0 {
				break
			}
		}
	}
}

// collect copies the published events.
func (r *rig) collect() {
	r.t.Helper()
	for {
		rec, err := r.reader.Next()
		if errors.Is(err, evtring.ErrIdle) {
			return
		}
		if err != nil {
			r.t.Fatalf("read events: %v", err)
		}
		r.seen = append(r.seen, happened{event.Type(rec.Type), rec.Flags, bytes.Clone(rec.Payload)})
	}
}

// told runs the worker and returns the events since the last call, a line each.
func (r *rig) told() []string {
	r.t.Helper()
	r.run()
	r.collect()
	var out []string
	for _, h := range r.seen {
		out = append(out, h.String())
	}
	r.seen = nil
	return out
}

// String is the event in a line: type, revision, client > server, protocol, host,
// source, packets of both sides, flags, end.
func (h happened) String() string {
	if !h.typ.HasFlow() {
		switch h.typ {
		case event.SnapBegin, event.SnapEnd, event.SnapAbort:
			s, _ := event.ParseSnapshot(h.payload)
			return fmt.Sprintf("%v %s req=%d flows=%d", h.typ, s.Consumer, s.Request, s.Count)
		}
		return h.typ.String()
	}
	f := h.flow()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %v:%d>%v:%d", strings.TrimPrefix(h.typ.String(), "FLOW_"), f.Rev(),
		f.ClientAddr(), f.ClientPort(), f.ServerAddr(), f.ServerPort())
	for _, s := range [][]byte{f.Protocol(), f.Host()} {
		if len(s) > 0 {
			fmt.Fprintf(&b, " %s", s)
		}
	}
	if f.Source() != event.SourceNone {
		fmt.Fprintf(&b, " (%v)", f.Source())
	}
	fmt.Fprintf(&b, " %d/%d", f.ClientPackets(), f.ServerPackets())
	for _, s := range []struct {
		flag uint16
		name string
	}{{event.FlagFinal, "final"}, {event.FlagMore, "more"}, {event.FlagMidstream, "midstream"}, {event.FlagReinspected, "reinspected"}} {
		if f.Flags()&s.flag != 0 {
			b.WriteString(" " + s.name)
		}
	}
	if f.EndReason() != event.EndNone {
		fmt.Fprintf(&b, " end=%v", f.EndReason())
	}
	return b.String()
}

// want compares the events since the last call with lines.
func (r *rig) want(when string, lines ...string) {
	r.t.Helper()
	got := r.told()
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		r.t.Errorf("%s: events\n\t%s\nwant\n\t%s", when, strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// count returns a counter of the worker.
func (r *rig) count(i int) uint64 {
	return binary.LittleEndian.Uint64(r.w.table.Stats()[8*i:])
}

func (r *rig) wantCount(i int, want uint64) {
	r.t.Helper()
	if got := r.count(i); got != want {
		r.t.Errorf("counter %s = %d, want %d", CounterNames[i], got, want)
	}
}

// talk is a TCP connection with correct sequence numbers.
type talk struct {
	r              *rig
	client, server netip.AddrPort
	cseq, sseq     uint32
	at             time.Duration
	step           time.Duration
	ring           int
	via            func(packet) // instead of the ring
}

func (r *rig) talk(client, server string) *talk {
	return &talk{r: r, client: endpoint(client), server: endpoint(server), cseq: 1000, sseq: 0xfffffff0, step: time.Millisecond}
}

// c and s send a segment from the client and from the server.
func (c *talk) c(flags uint8, data string) { c.send(false, flags, data) }
func (c *talk) s(flags uint8, data string) { c.send(true, flags, data) }

func (c *talk) send(fromServer bool, flags uint8, data string) {
	c.r.t.Helper()
	p := packet{at: c.at, src: c.client, dst: c.server, flags: flags, seq: c.cseq, ack: c.sseq, data: []byte(data), ring: c.ring}
	next := &c.cseq
	if fromServer {
		p.src, p.dst, p.seq, p.ack, next = c.server, c.client, c.sseq, c.cseq, &c.sseq
	}
	if flags&tcpACK == 0 {
		p.ack = 0
	}
	*next += uint32(len(data))
	if flags&(tcpSYN|tcpFIN) != 0 {
		*next++
	}
	if c.via != nil {
		c.via(p)
	} else {
		c.r.put(p)
	}
	c.at += c.step
}

// open shakes hands.
func (c *talk) open() {
	c.c(tcpSYN, "")
	c.s(tcpSYN|tcpACK, "")
	c.c(tcpACK, "")
}

const httpGet = "GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n"

// flow returns the record of a connection.
func (r *rig) flow(c *talk) (slot uint32, ok bool) {
	r.t.Helper()
	r.run()
	p := packet{src: c.client, dst: c.server, proto: protoTCP}
	f := r.fields(&p, nil)
	return r.w.table.Find(f.HashLo, f.HashHi)
}

// finish ends the inspection of a flow as its end would.
func (r *rig) finish(slot uint32) {
	r.w.begin(0)
	if x := r.w.inspect.get(slot); x != nil {
		r.w.finish(slot, r.w.table.Touch(slot), x)
	}
	r.w.commit(0, 0)
}

// described returns the flow of a record as an event would tell it.
func (r *rig) described(slot uint32) event.Flow {
	r.t.Helper()
	b := append([]byte(nil), zeroCounters[:]...)
	f, err := event.ParseFlow(r.w.table.Description(b, r.w.table.Record(slot)))
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func port(n int) string { return strconv.Itoa(n) }

// passAll lets the other workers end.
func passAll(r *rig) {
	for _, m := range r.hints[1:] {
		hint.NewWriter(m).Pass(math.MaxUint64)
	}
}
