package dissect

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// quicSeal writes an Initial packet as a peer does, with the standard library alone.
// key is the connection id that the keys come from.
type quicSeal struct {
	version    uint32
	key        []byte
	dcid, scid []byte
	token      []byte
	pn, pnSize int
	server     bool
}

func (q quicSeal) secrets(t testing.TB) (key, iv, hp []byte) {
	t.Helper()
	prk, err := hkdf.Extract(sha256.New, q.key, saltOf(q.version, 0)[:])
	if err != nil {
		t.Fatal(err)
	}
	expand := func(secret []byte, label string, n int) []byte {
		info := binary.BigEndian.AppendUint16(nil, uint16(n))
		info = append(append(append(info, byte(6+len(label))), "tls13 "+label...), 0)
		b, err := hkdf.Expand(sha256.New, secret, string(info), n)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	side, prefix := "client in", "quic "
	if q.server {
		side = "server in"
	}
	if isQUICv2(q.version) {
		prefix = "quicv2 "
	}
	secret := expand(prk, side, 32)
	return expand(secret, prefix+"key", 16), expand(secret, prefix+"iv", 12), expand(secret, prefix+"hp", 16)
}

func (q quicSeal) seal(t testing.TB, payload []byte) []byte {
	t.Helper()
	key, iv, hp := q.secrets(t)
	first := byte(0xc0)
	if isQUICv2(q.version) {
		first = 0xd0
	}
	h := binary.BigEndian.AppendUint32([]byte{first | byte(q.pnSize-1)}, q.version)
	h = append(append(h, byte(len(q.dcid))), q.dcid...)
	h = append(append(h, byte(len(q.scid))), q.scid...)
	h = append(append(h, byte(len(q.token))), q.token...)
	h = binary.BigEndian.AppendUint16(h, uint16(0x4000|q.pnSize+len(payload)+16))
	at := len(h)
	for i := q.pnSize - 1; i >= 0; i-- {
		h = append(h, byte(q.pn>>(8*i)))
	}
	nonce := bytes.Clone(iv)
	for i := range 4 {
		nonce[11-i] ^= byte(q.pn >> (8 * i))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	b := aead.Seal(bytes.Clone(h), nonce, payload, h)
	if block, err = aes.NewCipher(hp); err != nil {
		t.Fatal(err)
	}
	var mask [16]byte
	block.Encrypt(mask[:], b[at+4:at+20])
	b[0] ^= mask[0] & 0x0f
	for i := range q.pnSize {
		b[at+i] ^= mask[1+i]
	}
	return b
}

// crypto writes a CRYPTO frame.
func quicCrypto(off int, data []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{frameCrypto}, uint16(0x4000|off))
	b = binary.BigEndian.AppendUint16(b, uint16(0x4000|len(data)))
	return append(b, data...)
}

// TestQUICVectors holds the keys against RFC 9001 appendix A.1 and RFC 9369 appendix
// A.1, and the packets of the tests against those of the RFCs.
func TestQUICVectors(t *testing.T) {
	dcid := []byte("\x83\x94\xc8\xf0\x3e\x51\x57\x08")
	tests := []struct {
		version     uint32
		info        string
		key, iv, hp string
	}{
		{quicV1, infoClient, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"},
		{quicV1, infoServer, "cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e", "c206b8d9b9f0f37644430b490eeaa314"},
		{quicV2, infoClient, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"},
		{quicV2, infoServer, "82db637861d55e1d011f19ea71d5d2a7", "dd13c276499c0249d3310652", "edf6d05c83121201b436e16877593c3a"},
	}
	for _, tt := range tests {
		var k quicKeys
		k.derive(saltOf(tt.version, 0), tt.version, dcid, tt.info)
		if got := hex.EncodeToString(k.key[:]); got != tt.key {
			t.Errorf("version %#x %q: key = %s, want %s", tt.version, tt.info, got, tt.key)
		}
		if got := hex.EncodeToString(k.iv[:]); got != tt.iv {
			t.Errorf("version %#x %q: iv = %s, want %s", tt.version, tt.info, got, tt.iv)
		}
		if got := hex.EncodeToString(k.hp[:]); got != tt.hp {
			t.Errorf("version %#x %q: hp = %s, want %s", tt.version, tt.info, got, tt.hp)
		}
	}
	for file, version := range map[string]uint32{"yes-rfc9001": quicV1, "yes-rfc9369": quicV2} {
		s, err := loadSample("testdata/quic/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		var k quicKeys
		k.derive(saltOf(version, 0), version, dcid, infoClient)
		p, _, ok := parseLong(s.packets[0].data)
		plain, opened := k.open(make([]byte, 2048), &p)
		if !ok || !opened || len(plain) != 1162 {
			t.Fatalf("%s: parsed %v, opened %v, %d bytes, want 1162", file, ok, opened, len(plain))
		}
		q := quicSeal{version: version, key: dcid, dcid: dcid, pn: 2, pnSize: 4}
		if got := q.seal(t, plain); !bytes.Equal(got, s.packets[0].data) {
			t.Errorf("%s: sealed again differs from the RFC", file)
		}
	}
}

// quicHello is a ClientHello of 1.7 KB, as long as post-quantum key shares make it.
func quicHello() []byte {
	h := testHello{name: "frames.example.com", share: 1400, alpn: []string{"h3"}}
	return h.message()
}

// TestQUICAnyOrder spreads a hello over frames and datagrams in every kind of order,
// with overlaps and repetitions: what is found is always the same.
func TestQUICAnyOrder(t *testing.T) {
	spec, _ := ByName("quic")
	hello := quicHello()
	r := rand.New(rand.NewPCG(1, 1))
	in, out, more := newInput(), new(Result), new(Result)
	for round := range 300 {
		type piece struct{ from, to int }
		var pieces []piece
		for from := 0; from < len(hello); {
			to := min(from+1+r.IntN(300), len(hello))
			pieces = append(pieces, piece{max(0, from-r.IntN(20)), to})
			from = to
		}
		r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
		var datagrams [][]byte
		var frames []byte
		for _, p := range pieces {
			if len(frames) > 700 {
				datagrams, frames = append(datagrams, frames), nil
			}
			frames = append(frames, quicCrypto(p.from, hello[p.from:p.to])...)
			switch r.IntN(4) {
			case 0:
				frames = append(frames, framePing)
			case 1:
				frames = append(frames, make([]byte, r.IntN(30))...)
			}
		}
		datagrams = append(datagrams, frames)
		s := sample{over: UDP, ipProto: 17, cport: 50000, sport: 443}
		for i, f := range datagrams {
			q := quicSeal{version: quicV1, key: []byte("abcdefgh"), dcid: []byte("abcdefgh"), pn: i, pnSize: 1 + r.IntN(4)}
			s.packets = append(s.packets, packet{data: q.seal(t, append(f, make([]byte, 40)...))})
		}
		trial := only(spec, UDP, 17)
		v, at := s.play(&trial, in, out, more, nil)
		if v < YesMore || at != 1 || string(out.Host()) != "frames.example.com" || len(out.JA4()) != ja4Size {
			t.Fatalf("round %d: %d frames in %d datagrams: verdict %v at %d, host %q, JA4 %q",
				round, len(pieces), len(datagrams), v, at, out.Host(), out.JA4())
		}
	}
}

// TestQUICTagged changes each part of a packet: it is still known by its header, but
// nothing is read from it.
func TestQUICTagged(t *testing.T) {
	spec, _ := ByName("quic")
	q := quicSeal{version: quicV1, key: []byte("abcdefgh"), dcid: []byte("abcdefgh"), pnSize: 2}
	good := q.seal(t, quicCrypto(0, quicHello()[:1100]))
	in, out, more := newInput(), new(Result), new(Result)
	for _, at := range []int{6, 20, 40, len(good) / 2, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 0x40
		s := sample{over: UDP, ipProto: 17, packets: []packet{{data: bad}}}
		trial := only(spec, UDP, 17)
		v, _ := s.play(&trial, in, out, more, nil)
		if len(out.Host()) != 0 {
			t.Errorf("byte %d changed: host %q, want none (verdict %v)", at, out.Host(), v)
		}
	}
}

// TestQUICUpgrade: a server may answer in a version that the client can also speak,
// under the keys of that version and the connection id of the first packet.
func TestQUICUpgrade(t *testing.T) {
	spec, _ := ByName("quic")
	in, out, more := newInput(), new(Result), new(Result)
	dcid := []byte("firstcid")
	hello := testHello{name: "a.example.com"}.message()
	answer := append([]byte{3, 3}, make([]byte, 32)...)
	answer = append(answer, 0, 0x13, 0x02, 0)
	answer = append(answer, vector(2, extension(extVersions, []byte{3, 4}))...)
	answer = append([]byte{msgServerHello}, vector(3, answer)...)
	client := quicSeal{version: quicV1, key: dcid, dcid: dcid, pnSize: 1}
	server := quicSeal{version: quicV2, key: dcid, scid: []byte("other"), pnSize: 1, server: true}
	s := sample{over: UDP, ipProto: 17, packets: []packet{
		{data: client.seal(t, append(quicCrypto(0, hello), make([]byte, 900)...))},
		{server: true, data: server.seal(t, append(quicCrypto(0, answer), make([]byte, 40)...))},
	}}
	trial := only(spec, UDP, 17)
	v, _ := s.play(&trial, in, out, more, nil)
	checkFindings(t, findings(out), []string{"host a.example.com", "quic.version v2", "tls.cipher 0x1302", "tls.version TLSv1.3"})
	if v != Yes {
		t.Errorf("verdict %v, want %v", v, Yes)
	}
}

// TestGather compares with a plain model.
func TestGather(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 500 {
		const size = 256
		g := newGather(make([]byte, gatherSize(size)), size)
		var data [size]byte
		var have [size]bool
		for range r.IntN(40) {
			off, b := r.IntN(size+20), make([]byte, r.IntN(60))
			for i := range b {
				b[i] = byte(r.Uint32())
				if at := off + i; at < size && !have[at] {
					have[at], data[at] = true, b[i]
				}
			}
			g.put(uint64(off), b)
			n := 0
			for n < size && have[n] {
				n++
			}
			if got := g.prefix(); !bytes.Equal(got, data[:n]) {
				t.Fatalf("prefix is %d bytes, want %d", len(got), n)
			}
		}
		g.put(1<<62, []byte{1})
	}
}

// BenchmarkQUICInitial is a new flow up to its name: keys, header, tag, frames and
// fingerprints; the design allows 40 times BenchmarkSHA256.
func BenchmarkQUICInitial(b *testing.B) {
	s, err := loadSample("testdata/quic/yes-rfc9001.txt")
	if err != nil {
		b.Fatal(err)
	}
	spec, _ := ByName("quic")
	in, out := newInput(), new(Result)
	in.Scratch = in.Scratch[:quicStateSize]
	in.Packet, in.ClientCount, in.IPProto = s.packets[0].data, 1, 17
	for b.Loop() {
		clear(in.Scratch[:qsHello])
		quicState(in.Scratch).hello().reset()
		out.Reset()
		if v := spec.Detect(in, out); v != YesMore || len(out.Host()) == 0 {
			b.Fatalf("verdict %v, host %q", v, out.Host())
		}
	}
}

func BenchmarkSHA256(b *testing.B) {
	block := make([]byte, 64)
	for b.Loop() {
		sha256.Sum256(block)
	}
}

// TestQUICGoogleAnswer: the other side of Google's QUIC has no version; it neither
// ends the waiting for a second packet of the client nor what is known.
func TestQUICGoogleAnswer(t *testing.T) {
	spec, _ := ByName("quic")
	in, out, more := newInput(), new(Result), new(Result)
	client := append([]byte("\x19\x01\x02\x03\x04\x05\x06\x07\x08Q039\x00\x05"), bytes.Repeat([]byte{0xe1}, 60)...)
	answer := append([]byte("\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01"), bytes.Repeat([]byte{0x3c}, 60)...)
	s := sample{over: UDP, ipProto: 17, packets: []packet{{data: client}, {server: true, data: answer}, {data: client}, {server: true}}}
	trial := only(spec, UDP, 17)
	if v, at := s.play(&trial, in, out, more, nil); v != YesMore || at != 3 {
		t.Errorf("verdict %v at packet %d, want %v at 3", v, at, YesMore)
	}
	checkFindings(t, findings(out), []string{"rule gQUIC version", "quic.version Q039"})
}

// TestQUICEmpty: a datagram without payload changes nothing.
func TestQUICEmpty(t *testing.T) {
	spec, _ := ByName("quic")
	in, out, more := newInput(), new(Result), new(Result)
	q := quicSeal{version: quicV1, key: []byte("abcdefgh"), dcid: []byte("abcdefgh"), pnSize: 1}
	first := q.seal(t, quicCrypto(0, quicHello()[:1000]))
	s := sample{over: UDP, ipProto: 17, packets: []packet{{data: first}, {server: true}}}
	trial := only(spec, UDP, 17)
	if v, _ := s.play(&trial, in, out, more, nil); v < YesMore {
		t.Errorf("verdict %v after an empty datagram", v)
	}
}

// TestQUICVersions: name and salt of each version, and that an Initial of each opens.
func TestQUICVersions(t *testing.T) {
	spec, _ := ByName("quic")
	in, out, more := newInput(), new(Result), new(Result)
	hello := testHello{name: "v.example.com"}.message()
	for version, name := range map[uint32]string{
		quicV1: "v1", quicV2: "v2", quicV2Draft: "v2-draft", quicV2First: "v2-draft", 0xff000016: "draft-22",
		0xff000017: "draft-23", 0xff00001c: "draft-28", 0xff00001d: "draft-29", 0xff000020: "draft-32",
		0xff000022: "draft-34", 0xfaceb001: "mvfst-0001", quicT050: "T050",
	} {
		q := quicSeal{version: version, key: []byte("abcdefgh"), dcid: []byte("abcdefgh"), pnSize: 1}
		s := sample{over: UDP, ipProto: 17, packets: []packet{{data: q.seal(t, append(quicCrypto(0, hello), make([]byte, 1000)...))}}}
		trial := only(spec, UDP, 17)
		s.play(&trial, in, out, more, nil)
		checkFindings(t, findings(out), []string{"quic.version " + name, "host v.example.com"})
	}
	for _, version := range []uint32{0, 2, 0xff000015, 0xff000023, 0x51303433} {
		if saltOf(version, 0) != nil {
			t.Errorf("version %#x has a salt", version)
		}
	}
	// What Facebook's versions derive from is tried out.
	if saltOf(0xfaceb002, 1) != &saltDraft29 || saltOf(0xfaceb002, 4) != nil {
		t.Error("the salts of a private version are not those of v1 and drafts 29, 23, 22")
	}
}
