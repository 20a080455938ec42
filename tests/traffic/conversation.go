package traffic

import (
	"net/netip"
	"time"
)

// Kind is what a conversation is about.
type Kind int

// Kinds of conversations.
const (
	TLS    Kind = iota // a ClientHello for Name
	HTTP               // a request to Name
	DNS                // a question for Name, answered by Answer
	Opaque             // TCP with bytes that mean nothing
	Scan               // a SYN that nobody answers
)

// End is how a TCP conversation ends.
type End int

// Ends of conversations.
const (
	Close End = iota // FIN both ways
	Reset            // RST by the server
	Never            // not before the capture does
	Any              // one of them, by chance
)

// Conversation is one flow, said exactly.
type Conversation struct {
	Client, Server netip.AddrPort
	Kind           Kind
	Name           string
	Answer         netip.Addr    // DNS only
	At             time.Duration // after the beginning of the capture
	Packets        int           // data packets after the first exchange
	End            End
}

// WriteConversations makes a classic pcap file at path of exactly these and returns
// how many packets it has.
func WriteConversations(path string, list []Conversation) (int, error) {
	g := newGenerator(1)
	for _, c := range list {
		g.at = start.Add(c.At)
		switch c.Kind {
		case TLS:
			g.tcp(c.Client, c.Server, ClientHello(c.Name), c.Packets, c.End)
		case HTTP:
			g.tcp(c.Client, c.Server, httpRequest(c.Name), c.Packets, c.End)
		case DNS:
			g.dns(c.Client, c.Server, c.Name, c.Answer)
		case Opaque:
			g.tcp(c.Client, c.Server, []byte{0xfe, 0xed, 0xfa, 0xce, 1, 2, 3, 4, 5, 6, 7, 8}, c.Packets, c.End)
		case Scan:
			g.syn(c.Client, c.Server)
		}
	}
	return g.write(path)
}
