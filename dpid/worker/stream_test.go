package worker

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// dnsQuery and dnsAnswer are messages of RFC 1035; the answers are A records.
func dnsQuery(name string) string { return dnsMessage(name, 0x0100) }

func dnsAnswer(name string, addrs ...string) string { return dnsMessage(name, 0x8180, addrs...) }

func dnsMessage(name string, flags uint16, addrs ...string) string {
	b := []byte{0x12, 0x34, byte(flags >> 8), byte(flags), 0, 1, 0, byte(len(addrs)), 0, 0, 0, 0}
	for _, label := range strings.Split(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0, 0, 1, 0, 1)
	for _, a := range addrs {
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		ip := endpoint(a + ":0").Addr().As4()
		b = append(b, ip[:]...)
	}
	return string(b)
}

// overTCP puts the length before a DNS message, RFC 1035 section 4.2.2.
func overTCP(m string) string { return string(binary.BigEndian.AppendUint16(nil, uint16(len(m)))) + m }

// TestFollowStream: what comes after the first message of a followed connection is
// read on, in both directions.
func TestFollowStream(t *testing.T) {
	for _, handshake := range []bool{true, false} {
		r := newRig(t, options{})
		c := r.talk(client1, "192.0.2.53:53")
		if handshake {
			c.open()
		}
		c.c(tcpACK, overTCP(dnsQuery("one.example.org")))
		c.s(tcpACK, overTCP(dnsAnswer("one.example.org", "198.51.100.1")))
		c.c(tcpACK, overTCP(dnsQuery("two.example.org")))
		c.s(tcpACK, overTCP(dnsAnswer("two.example.org", "198.51.100.2")))
		for i, want := range []string{"one.example.org", "two.example.org"} {
			d := r.talk("10.0.0.1:41000", "198.51.100."+string(rune('1'+i))+":4242")
			d.at = time.Second
			d.c(tcpACK, noise)
			r.run()
			slot, ok := r.flow(d)
			if !ok {
				t.Fatalf("handshake %v: no flow", handshake)
			}
			r.finish(slot)
			if got := string(r.described(slot).Host()); got != want {
				t.Errorf("handshake %v: flow to answer %d is named %q, want %q", handshake, i+1, got, want)
			}
		}
	}
}
