package hint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var anyone [16]byte

// addr is an address of a small world, so that sets are shared.
func addr(i int) (a [16]byte) {
	a[10], a[11], a[12], a[15] = 0xff, 0xff, 10, byte(i)
	return a
}

func newMem(entries int) []byte { return make([]byte, FileSize(entries)) }

// told is an answer in the model: a plain list by key.
type told struct {
	ts   uint64
	name string
}

type question struct {
	kind           Kind
	client, server [16]byte
	port           uint16
}

// newest is what the model says.
func newest(list []told, ts uint64) (string, bool) {
	name, at, ok := "", uint64(0), false
	for _, l := range list {
		if l.ts <= ts && (!ok || l.ts >= at) {
			name, at, ok = l.name, l.ts, true
		}
	}
	return name, ok
}

// TestModel holds one to three workers' tables against plain lists: a look-up gives
// the newest name not later than its time; with one writer for any time, with
// several for a time after all answers. As long as nothing was evicted, that is;
// after that a name that is found was still told for just that question.
func TestModel(t *testing.T) {
	for run := range uint64(60) {
		rnd := rand.New(rand.NewPCG(run, 5))
		workers := 1 + int(run%3)
		servers := []int{3, 40, 400}[run/3%3]
		var mems [][]byte
		var writers []*Writer
		for range workers {
			m := newMem(512)
			mems, writers = append(mems, m), append(writers, NewWriter(m))
		}
		r := NewReader(mems)
		model := map[question][]told{}
		now := uint64(1000)
		for range 400 {
			now += uint64(1 + rnd.IntN(5))
			q := question{DNS, addr(rnd.IntN(3)), addr(rnd.IntN(servers)), 0}
			name := fmt.Sprintf("host%d.example.org", rnd.IntN(3))
			w := writers[rnd.IntN(workers)]
			w.Add(q.kind, &q.client, &q.server, q.port, []byte(name), now, 60)
			model[q] = append(model[q], told{now, name})
			if rnd.IntN(10) == 0 {
				w.Pass(now)
			}
		}
		evicted := uint64(0)
		for _, w := range writers {
			evicted += w.Evicted
		}
		for q, list := range model {
			for _, ts := range []uint64{now, now + 1e12, uint64(1000 + rnd.IntN(int(now)-1000))} {
				name, own, ok := r.Name(q.kind, &q.client, &q.server, q.port, ts)
				want, wantOK := newest(list, ts)
				switch {
				case ok && own && !slices.ContainsFunc(list, func(l told) bool { return l.name == string(name) && l.ts <= ts }):
					t.Fatalf("run %d: Name at %d = %q, which nobody had told by then: %v", run, ts, name, list)
				case evicted == 0 && (workers == 1 || ts >= now) && (ok != wantOK || string(name) != want):
					t.Fatalf("run %d: Name at %d = %q, %v, want %q, %v of %v", run, ts, name, ok, want, wantOK, list)
				}
			}
		}
		if run/3%3 == 0 && evicted == 0 && workers == 1 {
			t.Errorf("run %d: nothing evicted from a set that is too small; the test is too weak", run)
		}
	}
}

// TestAnyone: a client's own answer beats what others were told, however old.
func TestAnyone(t *testing.T) {
	m := newMem(64)
	w, r := NewWriter(m), NewReader([][]byte{m})
	me, other, server := addr(1), addr(2), addr(9)
	add := func(client [16]byte, name string, ts uint64) {
		w.Add(DNS, &client, &server, 0, []byte(name), ts, 60)
		w.Add(DNS, &anyone, &server, 0, []byte(name), ts, 60)
	}
	add(me, "mine.example.org", 100)
	add(other, "theirs.example.org", 200)
	for _, tt := range []struct {
		client [16]byte
		ts     uint64
		name   string
		own    bool
	}{
		{me, 300, "mine.example.org", true},
		{other, 300, "theirs.example.org", true},
		{other, 150, "mine.example.org", false},
		{addr(3), 300, "theirs.example.org", false},
		{addr(3), 199, "mine.example.org", false},
		{addr(3), 99, "", false},
	} {
		name, own, ok := r.Name(DNS, &tt.client, &server, 0, tt.ts)
		if string(name) != tt.name || own != tt.own || ok != (tt.name != "") {
			t.Errorf("Name(%v, %d) = %q, %v, %v, want %q, %v", tt.client[15], tt.ts, name, own, ok, tt.name, tt.own)
		}
	}
}

// TestAgain: workers tell different names in turn. One that told the same name twice
// counts with the later time from then on.
func TestAgain(t *testing.T) {
	a, b := newMem(64), newMem(64)
	wa, wb, r := NewWriter(a), NewWriter(b), NewReader([][]byte{a, b})
	server := addr(9)
	wa.Add(DNS, &anyone, &server, 0, []byte("a"), 100, 60)
	wb.Add(DNS, &anyone, &server, 0, []byte("b"), 200, 60)
	wa.Add(DNS, &anyone, &server, 0, []byte("a"), 300, 60)
	if wa.Confirmed != 1 || wa.Stored != 1 {
		t.Errorf("stored %d, confirmed %d, want 1, 1", wa.Stored, wa.Confirmed)
	}
	for _, tt := range []struct {
		ts   uint64
		want string
	}{{150, "a"}, {250, "b"}, {350, "a"}} {
		if name, _, _ := r.Name(DNS, &anyone, &server, 0, tt.ts); string(name) != tt.want {
			t.Errorf("Name at %d = %q, want %q", tt.ts, name, tt.want)
		}
	}
}

// TestTTL: an announced connection is awaited for its time only; a name is kept.
func TestTTL(t *testing.T) {
	const s = 1_000_000_000
	m := newMem(64)
	w, r := NewWriter(m), NewReader([][]byte{m})
	server := addr(9)
	w.Add(Expected, &anyone, &server, 40000, []byte("ftp-data"), 100*s, 60)
	w.Add(DNS, &anyone, &server, 0, []byte("ftp.example.org"), 100*s, 60)
	for _, tt := range []struct {
		kind Kind
		port uint16
		ts   uint64
		want bool
	}{
		{Expected, 40000, 99 * s, false}, {Expected, 40000, 100 * s, true}, {Expected, 40000, 160 * s, true},
		{Expected, 40000, 160*s + 1, false}, {Expected, 40001, 120 * s, false},
		{DNS, 0, 100000 * s, true}, {DNS, 40000, 120 * s, false},
	} {
		if _, _, ok := r.Name(tt.kind, &anyone, &server, tt.port, tt.ts); ok != tt.want {
			t.Errorf("Name(kind %d, port %d, %d s) found = %v, want %v", tt.kind, tt.port, tt.ts/s, ok, tt.want)
		}
	}
}

// TestSameTime: of two names of the same time the choice does not depend on which
// worker told which.
func TestSameTime(t *testing.T) {
	for swap := range 2 {
		mems := [][]byte{newMem(64), newMem(64)}
		names := []string{"zz.example.org", "aa.example.org"}
		server := addr(9)
		for i, m := range mems {
			NewWriter(m).Add(DNS, &anyone, &server, 0, []byte(names[i^swap]), 100, 60)
		}
		if name, _, _ := NewReader(mems).Name(DNS, &anyone, &server, 0, 100); string(name) != "aa.example.org" {
			t.Errorf("Name = %q, want aa.example.org", name)
		}
	}
}

func TestLengths(t *testing.T) {
	m := newMem(64)
	w, r := NewWriter(m), NewReader([][]byte{m})
	server := addr(9)
	for _, n := range []int{0, 1, maxName, maxName + 1, 255} {
		name := bytes.Repeat([]byte{'a'}, n)
		client := addr(n%7 + 1)
		w.Add(DNS, &client, &server, 0, name, 5, 60)
		got, _, ok := r.Name(DNS, &client, &server, 0, 5)
		if want := n > 0 && n <= maxName; ok != want || ok && !bytes.Equal(got, name) {
			t.Errorf("a name of %d bytes: found %v with %d bytes, want found %v", n, ok, len(got), want)
		}
	}
	if w.TooLong != 2 || w.Stored != 2 {
		t.Errorf("too long %d, stored %d, want 2 and 2", w.TooLong, w.Stored)
	}
}

// TestEviction: a full set gives up the entry that was confirmed longest ago.
func TestEviction(t *testing.T) {
	m := newMem(64)
	w, r := NewWriter(m), NewReader([][]byte{m})
	server := addr(9)
	for i := range setSize {
		c := addr(10 + i)
		w.Add(DNS, &c, &server, 0, []byte("x"), uint64(100+i), 60)
	}
	first, ninth := addr(10), addr(50)
	w.Add(DNS, &first, &server, 0, []byte("x"), 500, 60) // so the second is the oldest
	w.Add(DNS, &ninth, &server, 0, []byte("x"), 600, 60)
	if w.Evicted != 1 {
		t.Errorf("evicted %d, want 1", w.Evicted)
	}
	for i := range setSize {
		c := addr(10 + i)
		if _, _, ok := r.Name(DNS, &c, &server, 0, 1000); ok != (i != 1) {
			t.Errorf("client %d found = %v, want %v", i, ok, i != 1)
		}
	}
}

// TestPassed: tables are complete when all of them are, and what comes late is told
// at the time the table has passed: not before it.
func TestPassed(t *testing.T) {
	a, b := newMem(64), newMem(64)
	wa, wb, r := NewWriter(a), NewWriter(b), NewReader([][]byte{a, b})
	check := func(ts uint64, want bool) {
		t.Helper()
		if got := r.Passed(ts); got != want {
			t.Errorf("Passed(%d) = %v, want %v", ts, got, want)
		}
	}
	check(0, false)
	wa.Pass(100)
	check(50, false)
	wb.Pass(80)
	check(79, true)
	check(80, false)
	wb.Pass(60) // never back
	if wb.Passed() != 80 {
		t.Errorf("Passed() = %d after an earlier time, want 80", wb.Passed())
	}
	server := addr(1)
	wa.Add(DNS, &anyone, &server, 0, []byte("late"), 20, 60)
	if _, _, ok := r.Name(DNS, &anyone, &server, 0, 99); ok {
		t.Error("a late answer is found for a time that the table had passed")
	}
	if _, _, ok := r.Name(DNS, &anyone, &server, 0, 100); !ok {
		t.Error("a late answer is not found for later times")
	}
}

// TestRestart: a table outlives its writer. One that was killed between the two
// stores of a sequence leaves an entry that nobody reads, and that is written anew.
func TestRestart(t *testing.T) {
	m := newMem(64)
	w, r := NewWriter(m), NewReader([][]byte{m})
	server, client := addr(9), addr(1)
	w.Add(DNS, &client, &server, 0, []byte("name"), 100, 60)
	w.Pass(200)
	w = NewWriter(m)
	if w.Passed() != 200 {
		t.Errorf("Passed() after a restart = %d, want 200", w.Passed())
	}
	if name, own, _ := r.Name(DNS, &client, &server, 0, 300); string(name) != "name" || !own {
		t.Fatalf("after a restart Name = %q, want name", name)
	}
	e := entryOf(t, m)
	odd := binary.LittleEndian.Uint32(e) | 1
	binary.LittleEndian.PutUint32(e, odd)
	if _, _, ok := r.Name(DNS, &client, &server, 0, 300); ok {
		t.Error("an entry that is being written was read")
	}
	w = NewWriter(m)
	w.Add(DNS, &client, &server, 0, []byte("name"), 300, 60)
	if name, _, ok := r.Name(DNS, &client, &server, 0, 300); !ok || string(name) != "name" {
		t.Errorf("after it was written anew Name = %q, %v, want name", name, ok)
	}
	if s := binary.LittleEndian.Uint32(e); s&1 != 0 || s == odd-1 {
		t.Errorf("sequence is %d after %d, want a new even one", s, odd)
	}
	w.Pass(math.MaxUint64)
	if w = NewWriter(m); w.Passed() != 0 {
		t.Errorf("Passed() after a run that was told to its end = %d, want 0", w.Passed())
	}
}

// entryOf returns the only entry of a table that is in use.
func entryOf(t *testing.T, m []byte) []byte {
	t.Helper()
	for off := entriesAt; off < len(m); off += entrySize {
		if m[off+56] != 0 {
			return m[off : off+entrySize]
		}
	}
	t.Fatal("no entry in use")
	return nil
}

// TestDamaged: one flipped bit anywhere in an entry and it is not believed; or, in
// the words that say who it is for, it is for somebody else.
func TestDamaged(t *testing.T) {
	m := newMem(64)
	server, client := addr(9), addr(1)
	NewWriter(m).Add(DNS, &client, &server, 0, []byte("name"), 100, 60)
	e := entryOf(t, m)
	r := NewReader([][]byte{m})
	for bit := 32; bit < 8*entrySize; bit++ {
		e[bit/8] ^= 1 << (bit % 8)
		if name, _, ok := r.Name(DNS, &client, &server, 0, 100); ok {
			t.Errorf("bit %d flipped: Name = %q, want none", bit, name)
		}
		e[bit/8] ^= 1 << (bit % 8)
	}
	if got := binary.LittleEndian.Uint32(e[4:]); got != crc32.Checksum(e[8:], castagnoli) {
		t.Error("the entry did not survive the test")
	}
}

func TestTooSmall(t *testing.T) {
	server := addr(9)
	m := make([]byte, entriesAt+entrySize*(setSize-1))
	w := NewWriter(m)
	w.Add(DNS, &anyone, &server, 0, []byte("name"), 1, 1)
	if _, _, ok := NewReader([][]byte{m}).Name(DNS, &anyone, &server, 0, 1); ok || w.Stored != 0 {
		t.Error("a table without room for a set holds a name")
	}
	for n, want := range map[int]int64{0: 64, 64: 64, 65: 128, 1000: 1024} {
		if got := FileSize(n); got != entriesAt+want*(entrySize+1) {
			t.Errorf("FileSize(%d) = %d, want %d entries", n, got, want)
		}
	}
}

func TestNoAllocs(t *testing.T) {
	m := newMem(1024)
	w, r := NewWriter(m), NewReader([][]byte{m})
	name := []byte("www.example.org")
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		server, client := addr(i), addr(i/3)
		w.Add(DNS, &client, &server, 0, name, uint64(i), 60)
		r.Name(DNS, &client, &server, 0, uint64(i))
		r.Passed(uint64(i))
		w.Pass(uint64(i))
	}); n != 0 {
		t.Errorf("%v allocations per answer and look-up, want 0", n)
	}
}

// FuzzHostile lets the table be any bytes: look-ups and writes survive, and a name
// has no more than maxName bytes.
func FuzzHostile(f *testing.F) {
	f.Add([]byte{}, uint64(1), uint16(0))
	m := newMem(64)
	server, client := addr(9), addr(1)
	NewWriter(m).Add(DNS, &client, &server, 0, []byte("name"), 100, 60)
	f.Add(m[entriesAt:], uint64(100), uint16(0))
	f.Add(bytes.Repeat([]byte{0xff}, 2000), uint64(math.MaxUint64), uint16(7))
	f.Fuzz(func(t *testing.T, b []byte, ts uint64, port uint16) {
		m := newMem(64)
		copy(m[entriesAt:], b)
		copy(m[progressAt:], b)
		r, w := NewReader([][]byte{m}), NewWriter(m)
		for i := range 20 {
			server, client := addr(i), addr(i%3)
			if name, _, _ := r.Name(DNS, &client, &server, port, ts); len(name) > maxName {
				t.Fatalf("a name of %d bytes", len(name))
			}
			w.Add(DNS, &client, &server, port, []byte("name"), ts, 60)
			// The time the table has passed moves an answer, so ask for ever after.
			if name, own, ok := r.Name(DNS, &client, &server, port, math.MaxUint64); !ok || !own {
				t.Fatalf("Name = %q, %v, %v after Add", name, own, ok)
			}
		}
		r.Passed(ts)
		w.Pass(ts)
	})
}
