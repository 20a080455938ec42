package main

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/shm/cursor"
	"weir/shm/layout"
)

// broken are the checks of a directory that came out broken, as "object: law".
func broken(t *testing.T, dir string) (list []string, status int) {
	t.Helper()
	out, errs, status := ringctl(t, "-root", dir, "check", "-json")
	if errs != "" {
		t.Fatal(errs)
	}
	for line := range strings.Lines(out) {
		var c checkJSON
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if c.Result == "broken" {
			list = append(list, c.Object+": "+c.Law)
		}
	}
	return list, status
}

// TestCheckFindsDamage changes one thing at a time: check must name it, and only it.
func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	ne := binary.NativeEndian
	u64 := func(off int, v uint64) func([]byte) { return func(b []byte) { ne.PutUint64(b[off:], v) } }
	const (
		words   = 2 * layout.HeaderSize // of a counter file
		events  = layout.HeaderSize     // first record of an event ring
		record  = 208                   // bytes of an event of the scene
		descs   = layout.HeaderSize     // of a packet ring
		payPos  = 24
		offStat = layout.OffStats
	)
	for _, tt := range []struct {
		name, file string
		edit       func([]byte)
		want       string
	}{
		{"header", "pkt/c00-w00.ring", func(b []byte) { b[70] ^= 1 }, "c00-w00: header"},
		{"magic", "evt/w01.ring", func(b []byte) { b[3] ^= 1 }, "w01: header"},
		{"cursor header", "evtcur/policyd.w00.cur", func(b []byte) { b[70] ^= 1 }, "policyd.w00: header"},
		{"counter header", "stat/capd.stat", func(b []byte) { b[70] ^= 1 }, "capd counters: header"},
		{"owner state", "evt/w01.ring", func(b []byte) { ne.PutUint32(b[layout.OffOwner+8:], 9) }, "w01: owner"},
		{"head beyond tail", "pktcur/c00-w00.cur", u64(position, 7), "c00-w00 cursor: positions"},
		{"head before freed", "pktcur/c00-w00.cur", u64(position, 1<<63+5), "c00-w00 cursor: positions"},
		{"freed beyond tail", "pkt/c00-w00.ring", u64(136, 99), "c00-w00: positions"},
		{"records not counted", "pkt/c00-w00.ring", u64(offStat, 5), "c00-w00: records"},
		{"reads not counted", "pktcur/c00-w00.cur", u64(cursor.OffStats, 5), "c00-w00 cursor: records"},
		{"more poison than records", "pktcur/c00-w00.cur", u64(cursor.OffStats+3*8, 99), "c00-w00: conservation"},
		{"left with a packet in work", "pktcur/c00-w01.cur", func(b []byte) { ne.PutUint32(b[layout.OffCursorOwner+8:], 2) }, "c00-w01 cursor: in work"},
		{"descriptor's length", "pkt/c00-w01.ring", func(b []byte) { b[descs+3*64+38] = 0xff }, "c00-w01: unread"},
		{"payloads overlap", "pkt/c00-w01.ring", func(b []byte) { b[descs+3*64+payPos] = 0 }, "c00-w01: unread"},
		{"kind of record", "pkt/c00-w01.ring", func(b []byte) { b[descs+3*64+61] = 77 }, "c00-w01: unread"},
		{"event payload", "evt/w00.ring", func(b []byte) { b[events+record+40] ^= 1 }, "w00: events"},
		{"event length", "evt/w00.ring", func(b []byte) { b[events+record] = 1 }, "w00: events"},
		{"event of an unknown epoch", "evt/w00.ring", func(b []byte) { resequence(b[events+3*record:], 9<<40|4) }, "w00: events"},
		{"epoch goes back", "evt/w00.ring", func(b []byte) { resequence(b[events+3*record:], 4) }, "w00: events"},
		{"events missing", "evt/w00.ring", func(b []byte) { resequence(b[events+3*record:], 1<<40|9) }, "w00: events"},
		{"flow that is none", "evt/w00.ring", func(b []byte) { b[events+record+32+142] = 99; resequence(b[events+record:], 1<<40|2) }, "w00: events"},
		{"no event at all", "evt/w01.ring", func(b []byte) { ne.PutUint64(b[128:], 64); ne.PutUint64(b[136:], 64) }, "w01: events"},
		{"slab header", "flow/w00.slab", func(b []byte) { b[70] ^= 1 }, "flow/w00.slab: header"},
		{"slab never finished", "flow/w00.slab", u64(0, 0), "flow/w00.slab: header"},
		{"tail between events", "evt/w00.ring", u64(128, 840), "w00: positions"},
		{"intent behind tail", "evt/w00.ring", u64(136, 16), "w00: positions"},
		{"events not counted", "evt/w00.ring", u64(offStat, 3), "w00: records"},
		{"event cursor", "evtcur/policyd.w00.cur", u64(position, 1<<20), "policyd.w00 cursor: positions"},
		{"frames", "stat/capd.stat", u64(words, 9), "capd counters: conservation"},
		{"outcomes", "stat/w00.stat", u64(words+8, 4), "w00 counters: conservation"},
		{"seed", "seed", func(b []byte) { b[0] ^= 1 }, "instance"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := frozen(t)
			if err := edit(filepath.Join(dir, tt.file), tt.edit); err != nil {
				t.Fatal(err)
			}
			got, status := broken(t, dir)
			if status != exitBroken || len(got) == 0 || !strings.HasSuffix(got[0], tt.want) {
				t.Errorf("check: status %d, broken %q, want %q", status, got, tt.want)
			}
			if len(got) > 1 && tt.want != "instance" {
				t.Errorf("check also says %q", got[1:])
			}
		})
	}
}

// TestCheckExcuses has what is in order although it looks odd.
func TestCheckExcuses(t *testing.T) {
	t.Parallel()
	ne := binary.NativeEndian
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, dir string)
		note string // "" = nothing to know beyond what the scene has
	}{
		{"empty directory", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir), os.Mkdir(dir, 0o700)) }, ""},
		{"no topology", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/topology.json")) }, ""},
		{"no seed", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/seed")) }, "seed: header"},
		{"no cursor", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/pktcur/c00-w01.cur")) }, ""},
		{"no ring", func(t *testing.T, dir string) { must(t, os.Remove(dir+"/evt/w00.ring")) }, "policyd.w00 cursor: leftover"},
		{"half a file", func(t *testing.T, dir string) {
			must(t, os.WriteFile(dir+"/evt/w09.ring.tmp.1.2", nil, 0o600))
		}, "w09.ring.tmp.1.2: leftover"},
		{"cursor of an older ring", func(t *testing.T, dir string) {
			must(t, edit(dir+"/pktcur/c00-w01.cur", func(b []byte) { ne.PutUint64(b[16:], 1); seal(b) }))
		}, "c00-w01 cursor: positions"},
		{"lapped reader", func(t *testing.T, dir string) {
			must(t, edit(dir+"/evt/w00.ring", func(b []byte) {
				ne.PutUint64(b[128:], 1<<20) // the ring is of 1<<18; its first block is the oldest but one
				ne.PutUint64(b[136:], 1<<20)
				ne.PutUint32(b[layout.OffOwner+8:], 1) // not at rest
				for at := 0; at < 1<<18; at += 1 << 16 {
					copy(b[4096+at:], b[4096:4096+208])
					ne.PutUint32(b[4096+at+208:], 1<<31|(1<<16-208))
					resequence(b[4096+at:], 1<<40|13+uint64(at>>16))
				}
			}))
		}, "policyd.w00 cursor: positions"},
		{"damage met by a reader", func(t *testing.T, dir string) {
			must(t, edit(dir+"/evtcur/policyd.w00.cur", func(b []byte) { ne.PutUint64(b[cursor.OffStats+4*8:], 3) }))
		}, "policyd.w00 cursor: damage"},
		{"damage met by a worker", func(t *testing.T, dir string) {
			must(t, edit(dir+"/pktcur/c00-w00.cur", func(b []byte) { ne.PutUint64(b[cursor.OffStats+2*8:], 3) }))
		}, "c00-w00 cursor: damage"},
		{"flow table younger than the cursor", func(t *testing.T, dir string) {
			must(t, edit(dir+"/stat/w00.stat", func(b []byte) { ne.PutUint64(b[2*layout.HeaderSize+8:], 1) }),
				edit(dir+"/flow/w00.slab", func(b []byte) { ne.PutUint64(b[56:], 1800000000000000000); seal(b) }))
		}, "w00 counters: conservation"},
		{"records of losses", func(t *testing.T, dir string) {
			must(t, edit(dir+"/stat/w00.stat", func(b []byte) { // one of the five packets was a record of 70 lost ones
				ne.PutUint64(b[2*layout.HeaderSize+8:], 4)
				ne.PutUint64(b[2*layout.HeaderSize+5*8:], 70)
			}))
		}, ""},
		{"counter of a killed owner", func(t *testing.T, dir string) {
			must(t, edit(dir+"/pkt/c00-w00.ring", func(b []byte) { b[layout.OffStats] = 5; b[layout.OffOwner] = 2 }))
		}, "c00-w00: records"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := frozen(t)
			tt.do(t, dir)
			if got, status := broken(t, dir); status != exitOK {
				t.Errorf("check: status %d, broken %q, want none", status, got)
			}
			out, _, _ := ringctl(t, "check", "-root", dir)
			if !strings.Contains(out, tt.note+": ") && tt.note != "" {
				t.Errorf("check says nothing of %q:\n%s", tt.note, out)
			}
		})
	}
}

// TestCheckLive looks at an instance whose owners hold their files.
func TestCheckLive(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if got, status := broken(t, string(s.root)); status != exitOK {
		t.Errorf("check: status %d, broken %q, want none", status, got)
	}
}

// resequence gives an event of an event ring another sequence number.
func resequence(b []byte, seq uint64) {
	ne := binary.NativeEndian
	b = b[:ne.Uint32(b)]
	ne.PutUint64(b[8:], seq)
	ne.PutUint32(b[24:], layout.CRC(layout.CRC(0, b[:24]), b[32:]))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
