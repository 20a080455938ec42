package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/dpid/dissect"
	"weir/dpid/flow"
	"weir/proto/event"
)

// hello is a TLS ClientHello for a name, RFC 8446 section 4.1.2.
func hello(name string) string {
	u16 := func(n int) string { return string([]byte{byte(n >> 8), byte(n)}) }
	sni := "\x00" + u16(len(name)) + name
	sni = u16(len(sni)) + sni
	ext := "\x00\x00" + u16(len(sni)) + sni + "\x00\x0a\x00\x04\x00\x02\x00\x1d\x00\x0b\x00\x02\x01\x00"
	body := "\x03\x03" + strings.Repeat("R", 32) + "\x00\x00\x04\xc0\x2f\xc0\x30\x01\x00" + u16(len(ext)) + ext
	hs := "\x01\x00" + u16(len(body)) + body
	return "\x16\x03\x01" + u16(len(hs)) + hs
}

// attr returns the text of an attribute of a flow.
func attr(f event.Flow, key string) string {
	for a, rest, ok := event.NextAttr(f.Attrs()); ok; a, rest, ok = event.NextAttr(rest) {
		if string(a.Key) == key {
			return string(a.Value)
		}
	}
	return ""
}

// TestStartTLS: a mail connection goes on in TLS, and both are told.
func TestStartTLS(t *testing.T) {
	r := newRig(t, options{})
	c := r.talk(client1, "192.0.2.25:25")
	c.open()
	c.s(tcpACK, "220 mail.example.org ESMTP\r\n")
	c.c(tcpACK, "EHLO me.example.net\r\n")
	c.s(tcpACK, "250-mail.example.org\r\n250 STARTTLS\r\n")
	c.c(tcpACK, "STARTTLS\r\n")
	c.s(tcpACK, "220 go ahead\r\n")
	h := hello("mx.example.org")
	c.c(tcpACK, h[:30])
	c.c(tcpACK, h[30:])
	slot, ok := r.flow(c)
	if !ok {
		t.Fatal("no flow")
	}
	f := r.described(slot)
	if got := string(f.Protocol()); got != "smtp" {
		t.Errorf("protocol = %q, want smtp", got)
	}
	if got := attr(f, "tls.sni"); got != "mx.example.org" {
		t.Errorf("tls.sni = %q, want mx.example.org", got)
	}
	r.collect()
	revs := []uint32{}
	for _, e := range r.seen {
		if e.typ.HasFlow() {
			revs = append(revs, e.flow().Rev())
		}
	}
	for i, v := range revs {
		if v != uint32(i+1) {
			t.Fatalf("revisions %v, want 1, 2, 3, ...", revs)
		}
	}
	if len(revs) < 3 {
		t.Errorf("revisions %v, want a flow, its class and updates", revs)
	}
}

// TestAnnounced: an FTP control connection announces a data connection, passive and
// active, before and after the login; the announcement is for a minute.
func TestAnnounced(t *testing.T) {
	for _, tt := range []struct {
		name           string
		late           bool // announced after the login
		script         func(c *talk)
		client, server string
		after          time.Duration
		want           string
	}{
		{"passive", true, func(c *talk) {
			c.c(tcpACK, "PASV\r\n")
			c.s(tcpACK, "227 Entering Passive Mode (192,0,2,21,156,64)\r\n")
		},
			"10.0.0.1:41000", "192.0.2.21:40000", time.Second, "ftp-data (session)"},
		{"passive before login", false, func(c *talk) {
			c.c(tcpACK, "PASV\r\n")
			c.s(tcpACK, "227 Entering Passive Mode (192,0,2,21,156,64)\r\n")
		},
			"10.0.0.1:41000", "192.0.2.21:40000", time.Second, "ftp-data (session)"},
		{"active", true, func(c *talk) { c.c(tcpACK, "PORT 10,0,0,1,156,65\r\n") },
			"192.0.2.21:50020", "10.0.0.1:40001", time.Second, "ftp-data (session)"},
		{"the address in the message is not believed", true, func(c *talk) { c.s(tcpACK, "227 Entering Passive Mode (198,51,100,7,156,64)\r\n") },
			"10.0.0.1:41000", "198.51.100.7:40000", time.Second, ""},
		{"another port", true, func(c *talk) { c.c(tcpACK, "PORT 10,0,0,1,156,65\r\n") },
			"192.0.2.21:50020", "10.0.0.1:40002", time.Second, ""},
		{"too late", true, func(c *talk) { c.c(tcpACK, "PORT 10,0,0,1,156,65\r\n") },
			"192.0.2.21:50020", "10.0.0.1:40001", 2 * time.Minute, ""},
		{"before it was announced", true, func(c *talk) { c.at = time.Minute; c.c(tcpACK, "PORT 10,0,0,1,156,65\r\n") },
			"192.0.2.21:50020", "10.0.0.1:40001", 2 * time.Second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			c := r.talk(client1, "192.0.2.21:21")
			c.open()
			c.s(tcpACK, "220 FTP server ready\r\n")
			c.c(tcpACK, "USER anonymous\r\n")
			c.s(tcpACK, "331 send your name\r\n")
			if tt.late {
				c.c(tcpACK, "PASS me@example.net\r\n")
				c.s(tcpACK, "230 welcome\r\n")
			}
			tt.script(c)
			r.told()
			d := r.talk(tt.client, tt.server)
			d.at = tt.after
			d.open()
			d.s(tcpACK, noise)
			d.c(tcpRST, "")
			r.tick(d.at + 20*time.Second)
			got := r.told()
			last := ""
			for _, l := range got {
				if strings.Contains(l, "END") && strings.Contains(l, tt.server) {
					last = l
				}
			}
			if last == "" || strings.Contains(last, "ftp-data") != (tt.want != "") || !strings.Contains(last, tt.want) {
				t.Errorf("end of the data connection: %q, want it to tell %q", last, tt.want)
			}
		})
	}
}

// TestBudget: an inspection takes no more packets than it may, whatever comes: data
// that nobody knows, data behind a hole, the same data again and again.
func TestBudget(t *testing.T) {
	for _, tt := range []struct {
		name string
		put  func(c *talk, i int)
	}{
		{"a slow head", func(c *talk, i int) { c.c(tcpACK, "GET /abcdefghijklmnopqrstuvwxyz0123456789"[i:i+1]) }},
		{"behind a hole", func(c *talk, i int) {
			if i == 0 {
				c.cseq += 10
			}
			c.c(tcpACK, "G")
		}},
		{"far behind a hole", func(c *talk, i int) {
			if i == 0 {
				c.cseq += 1 << 20
			}
			c.c(tcpACK, "GET /")
		}},
		{"the same again", func(c *talk, i int) { c.c(tcpACK, "G"); c.cseq-- }},
		{"both sides", func(c *talk, i int) { c.send(i%2 == 1, tcpACK, "G") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{set: Settings{MaxPackets: 20}})
			c := r.talk(client1, odd)
			c.open()
			for i := range 30 {
				tt.put(c, i)
			}
			slot, ok := r.flow(c)
			if !ok {
				t.Fatal("no flow")
			}
			if !r.w.table.Record(slot).Has(flow.Final) || r.w.inspect.get(slot) != nil {
				t.Error("the inspection goes on after 30 packets, want at most 20")
			}
			if n := r.count(cInspected); n > 20 {
				t.Errorf("%d packets inspected, want at most 20", n)
			}
			if len(r.w.inspect.free) != len(r.w.inspect.all) {
				t.Errorf("%d sessions free, want all %d", len(r.w.inspect.free), len(r.w.inspect.all))
			}
		})
	}
}

// TestContexts: more flows at once than there are contexts. The oldest inspections
// are cut short and counted; no flow is lost.
func TestContexts(t *testing.T) {
	r := newRig(t, options{set: Settings{Contexts: 16}})
	for i := range 100 {
		c := r.talk(fmt.Sprintf("10.0.1.%d:40000", i), odd)
		c.open()
		c.c(tcpACK, "GET /")
	}
	r.run()
	r.wantCount(cCreated, 100)
	// A handshake takes a context only when one is free, so 84 are cut short.
	r.wantCount(cNoContext, 84)
	r.wantCount(cGuessed, 84)
	r.eof(time.Second)
	ends := 0
	for _, l := range r.told() {
		if strings.HasPrefix(l, "END") {
			ends++
		}
	}
	if ends != 100 {
		t.Errorf("%d flows ended, want 100", ends)
	}
	if len(r.w.inspect.free) != 16 {
		t.Errorf("%d contexts free at the end, want 16", len(r.w.inspect.free))
	}
}

// TestReassembly: a request in pieces, in any order, repeated and overlapping, is
// the same request. Of what was sent twice the first copy counts.
func TestReassembly(t *testing.T) {
	const request = "GET /a/path/of/some/length HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: x\r\n\r\n"
	type piece struct{ from, to int }
	n := len(request)
	many := []piece{}
	for i := 0; i < n; i += 8 {
		many = append(many, piece{i, min(i+8, n)})
	}
	backwards := slices.Clone(many)
	slices.Reverse(backwards)
	late := append(slices.Clone(many[1:]), many[0])
	for _, tt := range []struct {
		name   string
		pieces []piece
		spoil  int // this piece carries other bytes; -1 none
	}{
		{"in order", many, -1},
		{"backwards", backwards, -1},
		{"the first one late", late, -1},
		{"twice", append(slices.Clone(many[:4]), many...), -1},
		{"overlapping", []piece{{20, 60}, {0, 30}, {50, n}}, -1},
		{"the second copy differs", []piece{{20, 60}, {30, 50}, {0, 20}, {60, n}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, options{})
			c := r.talk(client1, web)
			c.open()
			base := c.cseq
			for i, p := range tt.pieces {
				data := request[p.from:p.to]
				if i == tt.spoil {
					data = strings.Repeat("!", len(data))
				}
				c.cseq = base + uint32(p.from)
				c.c(tcpACK, data)
			}
			slot, ok := r.flow(c)
			if !ok {
				t.Fatal("no flow")
			}
			if f := r.described(slot); string(f.Host()) != "www.example.org" {
				t.Errorf("host = %q, want www.example.org (protocol %q)", f.Host(), f.Protocol())
			}
		})
	}
}

// TestPanic: a dissector that panics costs one flow its name, and nothing else.
func TestPanic(t *testing.T) {
	spec, ok := dissect.ByName("http")
	if !ok {
		t.Fatal("no http")
	}
	detect := spec.Detect
	t.Cleanup(func() { spec.Detect = detect })
	spec.Detect = func(in *dissect.Input, out *dissect.Result) dissect.Verdict {
		if strings.Contains(string(in.Client), "evil") {
			_ = in.Client[len(in.Client)]
		}
		return detect(in, out)
	}
	r := newRig(t, options{})
	for i, host := range []string{"evil.example.org", "good.example.org", "evil.example.org", "good.example.org"} {
		c := r.talk(fmt.Sprintf("10.0.0.%d:40000", i+1), web)
		c.open()
		c.c(tcpACK, strings.Replace(httpGet, "www.example.org", host, 1))
		c.c(tcpACK, httpGet)
	}
	r.eof(time.Second)
	var got []string
	for _, l := range r.told() {
		if strings.HasPrefix(l, "END") {
			got = append(got, l[strings.Index(l, ">"):])
		}
	}
	want := []string{
		">192.0.2.1:80 http (port) 4/1 final end=shutdown", ">192.0.2.1:80 http good.example.org (dpi) 4/1 final end=shutdown",
		">192.0.2.1:80 http (port) 4/1 final end=shutdown", ">192.0.2.1:80 http good.example.org (dpi) 4/1 final end=shutdown",
	}
	if !slices.Equal(got, want) {
		t.Errorf("ends %q, want %q", got, want)
	}
	r.wantCount(cPanics, 2)
	if !strings.Contains(r.log.String(), "dissector panicked") {
		t.Errorf("log says nothing of a panic:\n%s", r.log.String())
	}
}
