package worker

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/proto/event"
	"weir/proto/verdict"
)

// TestHeldHello: not one byte of a hello with a blocked name gets through, wherever it
// is cut in two; one with another name gets through whole.
func TestHeldHello(t *testing.T) {
	for _, name := range []string{blocked, "welcome.example.org"} {
		h := hello(name)
		for i := 1; i < len(h); i++ {
			g := newGate(t, options{flows: 64})
			c := g.talk(client1, web)
			c.open()
			c.c(tcpACK, h[:i])
			c.c(tcpACK, h[i:])
			want := h
			if name == blocked {
				want = ""
			}
			if g.passed() != want || len(g.expired) > 0 {
				t.Fatalf("%s cut at %d: %d bytes got through, %q expired", name, i, len(g.passed()), g.expired)
			}
			g.want(name, "withheld", "asked")
		}
	}
}

// TestHeldOrders: three segments in every order, one of them twice.
func TestHeldOrders(t *testing.T) {
	h := hello(blocked)
	parts := []string{h[:1], h[1:60], h[60:]}
	offsets := []uint32{0, 1, 60}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		for twice := range 3 {
			g := newGate(t, options{flows: 64})
			c := g.talk(client1, web)
			c.open()
			base := c.cseq
			for n, i := range order {
				c.cseq = base + offsets[i]
				c.c(tcpACK, parts[i])
				if n == twice && n < 2 {
					c.cseq = base + offsets[i]
					c.c(tcpACK, parts[i])
				}
				c.s(tcpACK, "") // what the server says while something is held waits as well
			}
			if g.passed() != "" || len(g.expired) > 0 {
				t.Errorf("order %v, %d twice: %q got through, %q expired", order, twice, g.passed(), g.expired)
			}
		}
	}
}

// TestHeldRequest: a request head byte by byte, however long that takes the budget of
// packets.
func TestHeldRequest(t *testing.T) {
	for _, tt := range []struct {
		name, head string
		dropped    bool
	}{
		{"blocked", "GET /index.html HTTP/1.1\r\nAccept: */*\r\nHost: " + blocked + "\r\n\r\n", true},
		{"unknown method", "FROB / HTTP/1.1\r\nHost: " + blocked + "\r\n\r\n", true},
		{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: " + blocked + "\r\n\r\n", true},
		{"other", "GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n", false},
	} {
		g := newGate(t, options{flows: 64})
		c := g.talk(client1, web)
		c.open()
		for i := range tt.head {
			c.c(tcpACK, tt.head[i:i+1])
		}
		want := tt.head
		if tt.dropped {
			want = ""
		}
		if g.passed() != want || len(g.expired) > 0 {
			t.Errorf("%s: %q got through, %q expired", tt.name, g.passed(), g.expired)
		}
	}
}

// longHello is a ClientHello with a post-quantum share's worth of padding behind the name,
// in records of at most size bytes.
func longHello(name string, size int) (records string) {
	u16 := func(n int) string { return string([]byte{byte(n >> 8), byte(n)}) }
	body := hello(name)[9:] // without the heads of record and message
	at := strings.Index(body, "\xc0\x30\x01\x00") + 4
	exts := body[at+2:] + "\x00\x15" + u16(1700) + strings.Repeat("\x00", 1700)
	body = body[:at] + u16(len(exts)) + exts
	for rest := "\x01\x00" + u16(len(body)) + body; len(rest) > 0; {
		n := min(size, len(rest))
		records += "\x16\x03\x01" + u16(n) + rest[:n]
		rest = rest[n:]
	}
	return records
}

// TestHeldLong: a hello of several segments, in several records.
func TestHeldLong(t *testing.T) {
	records := longHello(blocked, 700)
	for _, mss := range []int{1460, 536, 64} {
		g := newGate(t, options{flows: 64})
		c := g.talk(client1, web)
		c.open()
		for rest := records; len(rest) > 0; {
			n := min(mss, len(rest))
			c.c(tcpACK, rest[:n])
			rest = rest[n:]
		}
		if g.passed() != "" || len(g.expired) > 0 || g.r.count(cAsked) != 1 {
			t.Errorf("segments of %d: %d bytes got through, %d expired, asked %d times", mss, len(g.passed()), len(g.expired), g.r.count(cAsked))
		}
	}
}

// datagrams returns what a sample of a dissector has the client send before the server.
func datagrams(t *testing.T, file string) (all [][]byte) {
	t.Helper()
	f, err := os.Open("../dissect/testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		switch {
		case strings.HasPrefix(sc.Text(), "C "):
			var datagram []byte
			for _, word := range strings.Fields(sc.Text()[2:]) {
				word, times, _ := strings.Cut(word, "*")
				b, err := hex.DecodeString(word)
				if err != nil {
					t.Fatal(err)
				}
				n, _ := strconv.Atoi(times)
				datagram = append(datagram, bytes.Repeat(b, max(n, 1))...)
			}
			all = append(all, datagram)
		case strings.HasPrefix(sc.Text(), "S "):
			return all
		}
	}
	return all
}

// TestHeldDatagrams: hellos of QUIC and DTLS in several datagrams, in both orders.
func TestHeldDatagrams(t *testing.T) {
	for _, file := range []string{"quic/yes-frames.txt", "quic/yes-zero-rtt-first.txt", "dtls/yes-dtls13.txt"} {
		for _, swap := range []bool{false, true} {
			all := datagrams(t, file)
			if len(all) < 2 {
				t.Fatalf("%s: %d datagrams before the answer", file, len(all))
			}
			if swap {
				all[0], all[1] = all[1], all[0]
			}
			g := newGate(t, options{flows: 64})
			g.mute = true
			said := []string{}
			for i, b := range all {
				g.send(packet{at: time.Duration(i) * time.Millisecond, src: endpoint(client1), dst: endpoint(web), proto: protoUDP, data: b})
				said = append(said, g.said[len(g.said)-1])
			}
			t.Logf("%s swapped %v: %q", file, swap, said)
			if said[0] != "withheld" && !(swap && strings.Contains(file, "zero")) {
				t.Errorf("%s, swapped %v: the first datagram was %s", file, swap, said[0])
			}
			if g.r.count(cAsked) == 0 || g.r.count(cGoneOn) != 0 {
				t.Errorf("%s, swapped %v: %q", file, swap, said)
			}
		}
	}
}

// TestHeldOthers: a protocol whose flows name nothing waits for nothing.
func TestHeldOthers(t *testing.T) {
	t.Run("ssh", func(t *testing.T) {
		g := newGate(t, options{flows: 64})
		c := g.talk(client1, "192.0.2.1:22")
		c.open()
		c.s(tcpACK, "SSH-2")
		g.want("part of a banner", "gone on")
		c.s(tcpACK, ".0-OpenSSH_9.6\r\n")
		g.want("the banner", "asked")
		c.c(tcpACK, "SSH-2.0-OpenSSH_9.6\r\n")
		if len(g.held) != 0 || len(g.expired) != 0 {
			t.Errorf("%d packets wait, %d expired", len(g.held), len(g.expired))
		}
	})
	t.Run("smtp", func(t *testing.T) {
		g := newGate(t, options{flows: 64})
		c := g.talk(client1, "192.0.2.25:25")
		c.open()
		c.s(tcpACK, "220 mail.exam")
		c.s(tcpACK, "ple.org ESMTP\r\n")
		c.c(tcpACK, "EHLO me.example.net\r\n")
		g.want("greeting", "gone on", "asked", "asked")
		if len(g.held) != 0 {
			t.Errorf("%d packets wait", len(g.held))
		}
		c.s(tcpACK, "250-mail.example.org\r\n250 STARTTLS\r\n")
		c.c(tcpACK, "STARTTLS\r\n")
		c.s(tcpACK, "220 go ahead\r\n")
		g.said = nil
		h := hello(blocked)
		c.c(tcpACK, h[:1])
		c.c(tcpACK, h[1:])
		g.want("hello after STARTTLS", "withheld", "asked")
	})
	t.Run("unknown", func(t *testing.T) {
		g := newGate(t, options{flows: 64})
		c := g.talk(client1, "192.0.2.1:9999")
		c.open()
		for range 40 {
			c.c(tcpACK, "\x01\x02\x03nobody knows this")
			c.s(tcpACK, "\x01\x02\x03nor that")
		}
		asked, on := g.r.count(cAsked), g.r.count(cGoneOn)
		if asked != 1 || on == 0 || on > 32 || g.r.count(cWithheld) != 0 {
			t.Errorf("asked %d, gone on %d, withheld %d, want one question within the budget", asked, on, g.r.count(cWithheld))
		}
	})
}

// TestHeldInterleaved: flows do not answer for each other, in one batch.
func TestHeldInterleaved(t *testing.T) {
	g := newGate(t, options{flows: 64})
	names := []string{"one.example.org", blocked, "three.example.org"}
	var talks []*talk
	for i := range names {
		c := g.talk("10.0.0.1:"+port(40000+i), web)
		c.open()
		talks = append(talks, c)
	}
	var batch []packet
	for part := range 2 {
		for i, c := range talks {
			h := hello(names[i])
			c.via = func(p packet) { batch = append(batch, p) }
			c.c(tcpACK, []string{h[:50], h[50:]}[part])
		}
	}
	for _, p := range batch {
		g.id++
		p.waits, p.proto = g.id, protoTCP
		f := g.r.fields(&p, nil)
		g.held = append(g.held, waiting{g.id, p.at, [2]uint64{f.HashLo, f.HashHi}, p.src.Port(), string(p.data)})
		g.r.put(p)
	}
	g.settle()
	if want := hello(names[0])[:50]; len(g.through) == 0 || !strings.Contains(g.passed(), want) {
		t.Errorf("%q got through, want the other two hellos", g.passed())
	}
	if want := len(hello(names[0])) + len(hello(names[2])); len(g.passed()) != want || len(g.held) != 0 {
		t.Errorf("%d bytes got through, %d packets wait; want %d and none", len(g.passed()), len(g.held), want)
	}
}

// TestHeldRandom: hellos and requests of many flows, cut anywhere, reordered, sent twice,
// with acknowledgements between them, in batches of any size: of those with a blocked
// name not a byte gets through, and all others do, though nobody waits too long.
func TestHeldRandom(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		g := newGate(t, options{flows: 128})
		g.lazy, g.swift = true, seed%2 == 1
		var all []packet
		drop := map[uint16]bool{}
		for i := range 20 {
			flow := randomFlight(rnd, i)
			drop[flow[0].src.Port()] = i%2 == 0
			all = interleave(rnd, all, flow)
		}
		for _, p := range all {
			p.at = 0 // so fast that nothing expires
			g.send(p)
			if rnd.IntN(4) == 0 {
				g.settle()
			}
		}
		g.settle()
		for i, data := range g.through {
			if from := g.from[i]; drop[from] && len(data) > 0 {
				t.Errorf("seed %d: port %d: %q of a blocked flight got through", seed, from, data)
			}
		}
		if len(g.held) > 0 {
			t.Errorf("seed %d: %d packets wait", seed, len(g.held))
		}
		if n := g.totals(); n[0]+n[1]+n[2] != uint64(g.id) || n[3] != 0 {
			t.Errorf("seed %d: %d asked, gone on, withheld of %d", seed, n, g.id)
		}
	}
}

// randomFlight is a connection up to the end of its first flight, whose segments hold the
// client's port, so that they can be told from others'.
func randomFlight(rnd *rand.Rand, i int) (all []packet) {
	src, dst := endpoint("10.0.0.1:"+port(40000+i)), endpoint(web)
	name := "n" + port(40000+i) + ".example.org"
	if i%2 == 0 {
		name = blocked
	}
	data := hello(name)
	if i%3 == 0 {
		data = "GET /" + port(40000+i) + " HTTP/1.1\r\nHost: " + name + "\r\n\r\n"
	}
	all = append(all, packet{src: src, dst: dst, flags: tcpSYN, seq: 99},
		packet{src: dst, dst: src, flags: tcpSYN | tcpACK, seq: 999, ack: 100},
		packet{src: src, dst: dst, flags: tcpACK, seq: 100, ack: 1000})
	var cut []packet
	for at := 0; at < len(data); {
		n := min(1+rnd.IntN(len(data)), len(data)-at)
		cut = append(cut, packet{src: src, dst: dst, flags: tcpACK | 8, seq: uint32(100 + at), ack: 1000, data: []byte(data[at : at+n])})
		at += n
	}
	for n := len(cut); n > 0; n-- { // twice, or an acknowledgement
		if rnd.IntN(3) == 0 {
			cut = append(cut, cut[rnd.IntN(len(cut))])
		} else if rnd.IntN(3) == 0 {
			cut = append(cut, packet{src: dst, dst: src, flags: tcpACK, seq: 1000, ack: 100})
		}
	}
	rnd.Shuffle(len(cut), func(i, j int) { cut[i], cut[j] = cut[j], cut[i] })
	return append(all, cut...)
}

// interleave mixes two sequences.
func interleave(rnd *rand.Rand, a, b []packet) (all []packet) {
	for len(a)+len(b) > 0 {
		if from := &a; len(b) == 0 || len(a) > 0 && rnd.IntN(len(a)+len(b)) < len(a) {
			all, *from = append(all, (*from)[0]), (*from)[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return all
}

// TestHeldPending: what comes before policyd's answer has the answer to come; what
// comes after the time it is waited for is asked about anew.
func TestHeldPending(t *testing.T) {
	g := newGate(t, options{flows: 64})
	g.mute = true
	c := g.talk(client1, odd)
	c.open()
	for c.c(tcpACK, noise); g.said[len(g.said)-1] != "asked" && len(g.said) < 40; {
		c.c(tcpACK, noise)
	}
	g.want("the final classification", append(slices.Repeat([]string{"gone on"}, len(g.said)-1), "asked")...)
	c.s(tcpACK, "something")
	g.want("a packet of the same time", "withheld")
	c.at += heldTime
	c.s(tcpACK, "else")
	g.want("later", "asked")
	g.mute = false
	c.at += heldTime
	c.s(tcpACK, "at last")
	g.want("when policyd is back", "asked")
	if len(g.held) != 0 {
		t.Errorf("%d packets wait", len(g.held))
	}
}

// TestHeldAgain: each request of a connection is judged, and each question of a resolver.
func TestHeldAgain(t *testing.T) {
	get := func(name, more string) string { return "GET / HTTP/1.1\r\nHost: " + name + "\r\n" + more + "\r\n" }
	bad, good := get(blocked, ""), get("www.example.org", "")
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for _, tt := range []struct {
		name     string
		segments []string // of the client; "" is an answer
		through  string   // of the client's
	}{
		{"after the answer", []string{good, "", bad}, good},
		{"before the answer", []string{good, bad, ""}, good},
		{"in pieces", []string{good, "", bad[:1], bad[1:20], bad[20:]}, good},
		{"third", []string{good, "", good, "", bad}, good + good},
		{"behind another", []string{good, "", good + bad}, good},
		{"behind a body", []string{get("www.example.org", "Content-Length: 5\r\n"), "hello", "", bad}, get("www.example.org", "Content-Length: 5\r\n") + "hello"},
		{"behind chunks", []string{get("www.example.org", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n", "", bad},
			get("www.example.org", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n"},
		{"none", []string{good, "", good, "", get("other.example.org", "")}, good + good + get("other.example.org", "")},
	} {
		g := newGate(t, options{flows: 64})
		c := g.talk(client1, web)
		c.open()
		for _, s := range tt.segments {
			if s == "" {
				c.s(tcpACK, answer)
			} else {
				c.c(tcpACK, s)
			}
			c.at += time.Millisecond
		}
		var got string
		for i, data := range g.through {
			if g.from[i] == c.client.Port() {
				got += data
			}
		}
		if got != tt.through || len(g.expired) > 0 {
			t.Errorf("%s: %q got through, want %q; %q expired", tt.name, got, tt.through, g.expired)
		}
	}
	g := newGate(t, options{flows: 64})
	for i, name := range []string{"one.example.org", "two.example.org", blocked} {
		g.send(packet{at: time.Duration(i) * time.Second, src: endpoint(client1), dst: endpoint(resolver), proto: protoUDP, data: []byte(dnsQuery(name))})
		if n := len(g.through); n != min(i+1, 2) {
			t.Errorf("%s: %d questions got through", name, n)
		}
	}
}

// TestHeldGrowing: while a flow may still change, policyd is asked about each packet
// as long as it may not have answered, then now and then.
func TestHeldGrowing(t *testing.T) {
	g := newGate(t, options{flows: 64})
	c := g.talk(client1, "192.0.2.21:21")
	c.open()
	c.s(tcpACK, "220 ftp.example.org FTP server ready\r\n")
	c.c(tcpACK, "USER anonymous\r\n")
	c.s(tcpACK, "331 Password required\r\n")
	g.said = nil
	c.c(tcpACK, "NOOP\r\n")
	g.want("at once", "asked")
	c.at += heldTime
	c.c(tcpACK, "NOOP\r\n")
	g.want("after the answer", "gone on")
	c.at += time.Second
	c.c(tcpACK, "NOOP\r\n")
	c.c(tcpACK, "NOOP\r\n")
	g.want("much later", "asked", "asked")
	if len(g.held) != 0 || len(g.expired) != 0 {
		t.Errorf("%d packets wait, %q expired", len(g.held), g.expired)
	}
}

// TestHeldRestart: a worker that is killed while packets wait knows nothing of them;
// nothing waits for ever, and the flow is asked about.
func TestHeldRestart(t *testing.T) {
	g := newGate(t, options{flows: 64})
	c := g.talk(client1, web)
	c.open()
	h := hello(blocked)
	c.c(tcpACK, h[:50])
	g.want("first half", "withheld")
	g.r.kill()
	c.c(tcpACK, h[50:])
	for range 64 {
		c.at += heldTime
		c.c(tcpACK, "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32))
	}
	if g.r.count(cAsked) == 0 {
		t.Error("nobody was asked")
	}
	c.at += heldTime
	if g.expire(c.at); len(g.held) != 0 {
		t.Errorf("%d packets wait for ever", len(g.held))
	}
}

// TestHeldKilled kills the worker again and again, in the middle of its transactions, while
// packets wait: each of them is counted once, what was answered twice does no harm, and
// nobody waits for ever.
func TestHeldKilled(t *testing.T) {
	for moment, when := range moments {
		for seed := range uint64(5) {
			rnd := rand.New(rand.NewPCG(seed, 9))
			g := newGate(t, options{flows: 256})
			g.lazy, g.swift = true, true
			var all []packet
			for i := range 30 {
				all = interleave(rnd, all, randomFlight(rnd, i))
			}
			last := time.Duration(0)
			for _, p := range all {
				last += 50 * time.Microsecond
				p.at = last
				g.send(p)
				switch rnd.IntN(12) {
				case 0:
					g.r.prod[0].Publish()
					g.r.dieAt(moment, 1+rnd.IntN(8))
				case 1, 2:
					g.settle()
				}
			}
			g.settle()
			if n := g.totals(); n[0]+n[1]+n[2] != uint64(g.id) || n[3] != 0 {
				t.Errorf("killed %s, seed %d: %d asked, gone on, withheld of %d", when, seed, n, g.id)
			}
			if g.expire(last + heldTime); len(g.held) > 0 {
				t.Errorf("killed %s, seed %d: %d packets wait", when, seed, len(g.held))
			}
			g.r.wantLaws()
		}
	}
}

// TestHeldFinalRestart: a flow that is final is asked about anew after a restart.
func TestHeldFinalRestart(t *testing.T) {
	g := newGate(t, options{flows: 64})
	c := g.talk(client1, odd)
	c.open()
	for range 40 {
		c.c(tcpACK, noise)
	}
	if n := g.r.count(cAsked); n != 1 {
		t.Fatalf("asked %d times, want once", n)
	}
	g.said, g.dropped = nil, map[[2]uint64]bool{}
	g.r.kill()
	c.c(tcpACK, noise)
	g.want("after a restart", "asked")
}

// TestHeldCutShort: a flow whose inspection gives way to another's is asked about.
func TestHeldCutShort(t *testing.T) {
	g := newGate(t, options{flows: 64, set: Settings{Contexts: 16}})
	for i := range 17 {
		c := g.talk("10.0.0.1:"+port(40000+i), web)
		c.open()
		c.c(tcpACK, hello("www.example.org")[:50])
	}
	if g.r.count(cNoContext) == 0 {
		t.Fatal("all flows have a context: the test shows nothing")
	}
	if n := 17 - int(g.r.count(cNoContext)); len(g.held) != n || len(g.expired) != 0 {
		t.Errorf("%d packets wait, want those of %d flows", len(g.held), n)
	}
}

// TestHeldPortsAgain: the end of a connection that policyd judged stays in the kernel. The
// next one of the same ports is not taken for it.
func TestHeldPortsAgain(t *testing.T) {
	g := newGate(t, options{flows: 64})
	c := g.talk(client1, web)
	c.open()
	c.c(tcpACK, httpGet)
	c.s(tcpACK, "HTTP/1.1 200 OK\r\n\r\n")
	g.dropped = map[[2]uint64]bool{} // as capd does at a SYN
	g.through = nil
	c = g.talk(client1, web)
	c.at = time.Second
	c.cseq, c.sseq = 5_000_000, 6_000_000
	c.open()
	c.c(tcpACK, hello(blocked))
	if g.passed() != "" {
		t.Errorf("%q got through", g.passed())
	}
	g.r.wantCount(cEnded, 1)
}

// TestHeldNoFlow: packets that are no flow's, or make no sense, go on.
func TestHeldNoFlow(t *testing.T) {
	g := newGate(t, options{flows: 64})
	p := packet{src: endpoint(client1), dst: endpoint(web), flags: tcpACK, data: []byte("x"), bare: true}
	g.send(p)
	g.want("an orphan", "gone on")
	g.r.wantCount(cOrphans, 1)
}

// TestHeldFull: capd that does not read its answers loses them, and it is counted.
func TestHeldFull(t *testing.T) {
	r := newRig(t, options{set: Settings{Hold: heldTime}})
	for i := range 300 {
		r.put(packet{src: endpoint("10.0.0.1:" + port(1024+i)), dst: endpoint("192.0.2.1:9999"), flags: tcpACK,
			data: []byte("\x01\x02"), waits: uint32(i + 1)})
	}
	r.run()
	if on, lost := r.count(cGoneOn), r.count(cUnanswered); on == 0 || lost == 0 || on+lost != 300 {
		t.Errorf("%d gone on, %d unanswered, want 300 together and some of both", on, lost)
	}
}

// TestHeldQuestion: the question is no part of the flow.
func TestHeldQuestion(t *testing.T) {
	r := newRig(t, options{set: Settings{Hold: heldTime}, rings: 2})
	r.put(packet{src: endpoint(client1), dst: endpoint(web), flags: tcpACK, data: []byte(httpGet), waits: 99, ring: 1})
	r.put(packet{src: endpoint(client1), dst: endpoint("192.0.2.1:9999"), flags: tcpACK, data: []byte("\x01\x02"), waits: 100, ring: 1})
	r.run()
	if n := len(r.capd[0].Peek(9)); n != 0 {
		t.Errorf("%d bytes of answers to a thread that asked nothing", n)
	}
	if d := r.capd[1].Peek(9); len(d) != verdict.Size || verdict.Record(d).ID() != 100 {
		t.Errorf("answers to the thread that asked: %x, want one to packet 100", d)
	}
	for _, h := range r.seen {
		if h.typ != event.FlowClass {
			continue
		}
		f := h.flow()
		if q, ok := event.ParseQuestion(h.payload, f); !ok || q.ID != 99 || q.Thread != 1 || len(h.payload) != len(f)+event.QuestionSize {
			t.Errorf("question %+v, %v behind %d of %d bytes", q, ok, len(f), len(h.payload))
		}
		if string(f.Host()) != "www.example.org" {
			t.Errorf("host %q", f.Host())
		}
		return
	}
	t.Error("no FLOW_CLASS")
}
