package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"

	"weir/proto/event"
)

// benchEvent holds the fixed layout of a flow's event against two ways to say the
// same that need no module: encoding/json, and fields numbered and packed as
// protobuf packs them, written by hand.
func benchEvent(b *bench) error {
	n := 200_000
	if b.quick {
		n = 1000
	}
	c, d := sampleEvent()
	buf := make([]byte, 0, event.MaxFlow)
	fixed := perCall(n, func() {
		buf = buf[:event.DescriptionAt]
		c.Encode(buf)
		buf = d.Append(buf)
		sink += uint64(len(buf))
	})
	packed := make([]byte, 0, event.MaxFlow)
	err := b.compare(row{what: "event, encode", unit: "ns", reference: "varints by hand"}, fixed,
		perCall(n, func() { packed = packFlow(packed[:0], &c, &d); sink += uint64(len(packed)) }))
	if err != nil {
		return err
	}
	strings := len(d.Protocol) + len(d.Application) + len(d.Category) + len(d.Host) + len(d.Evidence) + len(d.Attrs)
	b.last().note = fmt.Sprintf("%d bytes, %d of them strings and attributes (target: 192 and the strings)", len(buf), strings)
	j := jsonOf(&c, &d)
	err = b.compare(row{what: "event, encode", unit: "ns", reference: "encoding/json", want: 20}, fixed, perCall(n/10, func() {
		text, _ := json.Marshal(j) // a struct of numbers and strings: it cannot fail
		sink += uint64(len(text))
	}))
	b.last().note = "the target of 20 is against protobuf, which is none of our modules"
	return err
}

// perCall returns the CPU time of one of n calls.
func perCall(n int, f func()) func() (float64, error) {
	return func() (float64, error) {
		start := threadTime()
		for range n {
			f()
		}
		return float64(threadTime()-start) / float64(n), nil
	}
}

func sampleEvent() (event.Counters, event.Description) {
	var attrs = make([]byte, 0, event.MaxAttrs)
	for _, a := range [][2]string{{"tls.sni", "www.example.com"}, {"tls.version", "TLSv1.3"}, {"tls.ja4", "t13d1516h2_8daaf6152771_b186095e22b6"}} {
		attrs = event.AppendAttr(attrs, event.AttrString, a[0], []byte(a[1]))
	}
	c := event.Counters{
		ID: 1<<56 | 77, Rev: 3, First: 1_700_000_000_000_000_000, Last: 1_700_000_001_000_000_000,
		Client: netip.MustParseAddr("::ffff:192.0.2.10").As16(), Server: netip.MustParseAddr("::ffff:198.51.100.7").As16(),
		ClientPort: 51234, ServerPort: 443, IPProto: 6, IPVersion: 4,
		ClientPackets: 40, ServerPackets: 70, ClientBytes: 6000, ServerBytes: 90_000,
	}
	return c, event.Description{
		ProtocolID: 2, CategoryID: 3, ApplicationID: 99, Confidence: 100, Source: event.SourceName, Protocol: "tls",
		Application: "example", Category: "web", Host: []byte("www.example.com"), Evidence: []byte("tls: ClientHello; catalog: example.com"),
		Attrs: attrs,
	}
}

// packFlow writes field numbers, varints and lengths, as protobuf would.
func packFlow(b []byte, c *event.Counters, d *event.Description) []byte {
	for i, v := range [...]uint64{
		c.ID, uint64(c.Rev), uint64(c.Worker), uint64(c.Flags), c.First, c.Last, uint64(c.ClientPort), uint64(c.ServerPort),
		uint64(c.IPProto), uint64(c.IPVersion), uint64(c.VLAN), uint64(c.In), uint64(c.Out), uint64(c.Mark), c.ClientPackets,
		c.ServerPackets, c.ClientBytes, c.ServerBytes, uint64(d.ProtocolID), uint64(d.CategoryID), uint64(d.ApplicationID),
		uint64(d.Confidence), uint64(d.End), uint64(d.Source), uint64(d.Link),
	} {
		if v != 0 {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(i+1)<<3), v)
		}
	}
	bytes := func(number int, v []byte) {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(number)<<3|2), uint64(len(v)))
		b = append(b, v...)
	}
	bytes(30, c.Client[:])
	bytes(31, c.Server[:])
	bytes(32, d.ClientMAC[:])
	bytes(33, d.ServerMAC[:])
	for i, s := range [...]string{d.Protocol, d.Application, d.Category} {
		bytes(34+i, []byte(s))
	}
	bytes(37, d.Host)
	bytes(38, d.Evidence)
	for a, rest, ok := event.NextAttr(d.Attrs); ok; a, rest, ok = event.NextAttr(rest) {
		bytes(39, a.Key)
		bytes(40, a.Value)
	}
	return b
}

// flowText is the same for encoding/json.
type flowText struct {
	ID, Rev, First, Last                                   uint64
	Client, Server                                         string
	ClientPort, ServerPort                                 uint16
	IPProto                                                uint8
	ClientPackets, ServerPackets, ClientBytes, ServerBytes uint64
	Protocol, Application, Category, Host, Evidence        string
	Confidence                                             uint8
	Attrs                                                  map[string]string
}

func jsonOf(c *event.Counters, d *event.Description) *flowText {
	j := &flowText{
		ID: c.ID, Rev: uint64(c.Rev), First: c.First, Last: c.Last, ClientPort: c.ClientPort, ServerPort: c.ServerPort,
		Client: netip.AddrFrom16(c.Client).Unmap().String(), Server: netip.AddrFrom16(c.Server).Unmap().String(),
		IPProto: c.IPProto, ClientPackets: c.ClientPackets, ServerPackets: c.ServerPackets, ClientBytes: c.ClientBytes,
		ServerBytes: c.ServerBytes, Protocol: d.Protocol, Application: d.Application, Category: d.Category, Host: string(d.Host),
		Evidence: string(d.Evidence), Confidence: d.Confidence, Attrs: map[string]string{},
	}
	for a, rest, ok := event.NextAttr(d.Attrs); ok; a, rest, ok = event.NextAttr(rest) {
		j.Attrs[string(a.Key)] = string(a.Value)
	}
	return j
}
