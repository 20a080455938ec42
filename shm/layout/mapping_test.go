package layout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCreateRefusesAnExistingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	if _, err := Create(path, testSpec()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create() = %v, want fs.ErrExist", err)
	}
	noLeftovers(t, path)
}

func TestCreateSetsMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	s := testSpec()
	s.Mode = 0o644
	m, err := Create(path, s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o644 || fi.Size() != s.Size {
		t.Errorf("file has mode %v, size %d, want 0644, %d", fi.Mode(), fi.Size(), s.Size)
	}
}

func TestSecondOwnerRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, _, err := CreateOrOpen(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	m.Owner().Claim()
	_, _, err = CreateOrOpen(path, testSpec())
	var ae *AttachError
	if !errors.Is(err, ErrOwned) || !errors.As(err, &ae) || ae.Got != uint64(os.Getpid()) {
		t.Fatalf("second CreateOrOpen() = %v, want ErrOwned with pid %d", err, os.Getpid())
	}
	other := testSpec()
	other.Tag++
	if _, _, err := CreateOrOpen(path, other); !errors.Is(err, ErrOwned) {
		t.Errorf("CreateOrOpen() of another geometry = %v, want ErrOwned: never replace a living owner's file", err)
	}
	if !Locked(path) {
		t.Error("Locked() = false, want true while owned")
	}
	ro, err := OpenRO(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ro.Close() }()
	if !ro.Locked() {
		t.Error("reader's Locked() = false, want true while owned")
	}
	_ = m.Close()
	if Locked(path) || ro.Locked() {
		t.Error("Locked() = true after Close, want false")
	}
}

func TestOtherGeometryReplacesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, _, err := CreateOrOpen(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	m.Owner().Claim()
	m.Bytes()[2*HeaderSize] = 42
	_ = m.Close()
	ro, err := OpenRO(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ro.Close() }()

	s := testSpec()
	s.Size, s.RingID = 4*HeaderSize, 0
	n, fresh, err := CreateOrOpen(path, s)
	if err != nil || !fresh {
		t.Fatalf("CreateOrOpen() of another size = fresh %v, %v, want true, nil", fresh, err)
	}
	defer func() { _ = n.Close() }()
	if got := ro.Owner().State(); got != StateRetired {
		t.Errorf("old file's state = %v, want retired", got)
	}
	if !ro.Replaced() {
		t.Error("old file's Replaced() = false, want true")
	}
	if ro.Bytes()[2*HeaderSize] != 42 {
		t.Error("old content is gone for a reader that has it mapped")
	}
	if n.Header().RingID == ro.Header().RingID {
		t.Error("new file has the old file's id")
	}
	noLeftovers(t, path)
}

// TestReplace: an owner finds its own file unusable.
func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	s := testSpec()
	s.RingID = 0
	m, _, err := CreateOrOpen(path, s)
	if err != nil {
		t.Fatal(err)
	}
	ro, err := OpenRO(path, s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ro.Close() }()
	n, err := m.Replace(s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = n.Close() }()
	if ro.Owner().State() != StateRetired || !ro.Replaced() || n.Replaced() || n.Path() != path {
		t.Errorf("old state %v, replaced %v, new replaced %v", ro.Owner().State(), ro.Replaced(), n.Replaced())
	}
	if p := ro.Peer(); p.Alive || p.State != StateRetired {
		t.Errorf("Peer() = %+v, want retired and not alive", p)
	}
	if _, _, err := CreateOrOpen(path, s); !errors.Is(err, ErrOwned) {
		t.Errorf("CreateOrOpen() = %v, want ErrOwned", err)
	}
}

func TestStates(t *testing.T) {
	for s, want := range map[State]string{0: "new", StateLive: "live", StateClosed: "closed", StateRetired: "retired", 9: "new"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d) = %q, want %q", uint32(s), got, want)
		}
	}
}

func TestPowerOfTwo(t *testing.T) {
	for v, want := range map[uint64]bool{0: false, 1: true, 2: true, 3: false, 1 << 63: true, 1<<63 + 1: false} {
		if got := PowerOfTwo(v); got != want {
			t.Errorf("PowerOfTwo(%d) = %v, want %v", v, got, want)
		}
	}
}

func TestDamagedHeaderReplacesTheFile(t *testing.T) {
	for name, spoil := range map[string]func(string) error{
		"garbage":  func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("x", 3*HeaderSize)), 0o600) },
		"empty":    func(p string) error { return os.Truncate(p, 0) },
		"no magic": func(p string) error { return os.WriteFile(p, make([]byte, 3*HeaderSize), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.ring")
			m, _, err := CreateOrOpen(path, testSpec())
			if err != nil {
				t.Fatal(err)
			}
			_ = m.Close()
			if err := spoil(path); err != nil {
				t.Fatal(err)
			}
			m, fresh, err := CreateOrOpen(path, testSpec())
			if err != nil || !fresh {
				t.Fatalf("CreateOrOpen() = fresh %v, %v, want true, nil", fresh, err)
			}
			_ = m.Close()
		})
	}
}

// TestOneOwnerOfMany lets many owners race for a name that does not exist, then
// for one of another geometry: exactly one may win each time.
func TestOneOwnerOfMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	for round := range 20 {
		s := testSpec()
		s.RingID, s.Tag = 0, uint32(round/2)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []*Mapping
		for range 8 {
			wg.Go(func() {
				m, _, err := CreateOrOpen(path, s)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won = append(won, m)
				case !errors.Is(err, ErrOwned):
					t.Errorf("round %d: CreateOrOpen() = %v, want ErrOwned", round, err)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d owners, want 1", round, len(won))
		}
		if won[0].Replaced() {
			t.Fatalf("round %d: the one owner's file is not the one with the name", round)
		}
		_ = won[0].Close()
	}
	noLeftovers(t, path)
}

// TestLockOfAFormerFile: between open and lock the file was replaced and let go.
func TestLockOfAFormerFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
	f, err := open(path, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	n, err := create(path, testSpec(), true)
	if err != nil {
		t.Fatal(err)
	}
	_ = n.Close()
	if _, err := openOwned(f, path, testSpec()); !errors.Is(err, ErrAwait) {
		t.Errorf("openOwned() of a file without a name = %v, want ErrAwait", err)
	}
}

func TestStaleTemporaryFilesAreRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a[1].ring")
	stale := path + ".tmp.999999.abc"
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	noLeftovers(t, path)
}

func noLeftovers(t *testing.T, path string) {
	t.Helper()
	names, err := filepath.Glob(globQuote(path) + ".*")
	if err != nil || len(names) != 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
}

func TestOwnerLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	o := m.Owner()
	if o.State().String() != "new" || o.Epoch() != 0 {
		t.Errorf("new file: state %v, epoch %d, want new, 0", o.State(), o.Epoch())
	}
	if e := o.Claim(); e != 1 || o.Epoch() != 1 || o.State() != StateLive || o.PID() != os.Getpid() {
		t.Errorf("claimed: epoch %d, state %v, pid %d", o.Epoch(), o.State(), o.PID())
	}
	if o.StartTicks() == 0 || o.StartTicks() != StartTicks(os.Getpid()) {
		t.Errorf("start ticks = %d, want %d", o.StartTicks(), StartTicks(os.Getpid()))
	}
	if hb := o.Heartbeat(); hb == 0 || hb > Monotonic() {
		t.Errorf("heartbeat = %d, want between 1 and now", hb)
	}
	b := m.Bytes()[OffOwner:]
	if host.Uint64(b) != 1 || host.Uint32(b[8:]) != 1 || host.Uint32(b[12:]) != uint32(os.Getpid()) ||
		host.Uint64(b[16:]) != o.StartTicks() || host.Uint64(b[24:]) != o.Heartbeat() {
		t.Errorf("owner line = % x", b[:32])
	}
}

func TestGuardTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	s := testSpec()
	s.Populate = true
	m, err := Create(path, s)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Abandon()
	ro, err := OpenRO(path, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if m.Whole() {
		t.Error("Whole() = true after truncation, want false")
	}
	var buf [64]byte
	for name, f := range map[string]func(){
		"copy from":    func() { copy(buf[:], ro.Bytes()[HeaderSize:]) },
		"copy into":    func() { copy(m.Bytes()[HeaderSize:], buf[:]) },
		"atomic load":  func() { ro.U64(OffHot).Load() },
		"atomic store": func() { m.U64(OffHot).Store(1) },
		"index":        func() { buf[0] = ro.Bytes()[HeaderSize+5] },
	} {
		g := Guard{Maps: []*Mapping{ro, m}}
		if err := g.Run(func() error { f(); return nil }); !errors.Is(err, ErrRingLost) {
			t.Errorf("%s: Guard = %v, want ErrRingLost", name, err)
		}
	}
	if _, err := OpenRO(path, s); !errors.Is(err, ErrGeometry) {
		t.Errorf("OpenRO() of the truncated file = %v, want ErrGeometry", err)
	}
	_ = ro.Close()
}

func TestGuardLetsBugsThrough(t *testing.T) {
	m := NewHeap(testSpec())
	var p *int
	if !panics(func() { _ = m.Guard(func() error { *p = 1; return nil }) }) {
		t.Error("Guard hid a nil pointer")
	}
	if !panics(func() { _ = m.Guard(func() error { panic("BUG: x") }) }) {
		t.Error("Guard hid a panic")
	}
	want := errors.New("x")
	if err := m.Guard(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("Guard = %v, want the function's error", err)
	}
}

func TestCloseTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.ring")
	m, err := Create(path, testSpec())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("second Close() = %v", err)
	}
}

func TestRootNames(t *testing.T) {
	r := Root("/r")
	for got, want := range map[string]string{
		r.PacketRing(0, 3):          "/r/pkt/c00-w03.ring",
		r.PacketCursor(12, 3):       "/r/pktcur/c12-w03.cur",
		r.EventRing(3):              "/r/evt/w03.ring",
		r.EventCursor("policyd", 3): "/r/evtcur/policyd.w03.cur",
		r.EventCursors():            "/r/evtcur",
		r.VerdictRing(3, 0):         "/r/vrd/w03-c00.ring",
		r.VerdictCursor(3, 0):       "/r/vrdcur/w03-c00.cur",
		r.PolicyVerdictRing(1):      "/r/vrd/policyd-c01.ring",
		r.PolicyVerdictCursor(1):    "/r/vrdcur/policyd-c01.cur",
		r.Slab(3):                   "/r/flow/w03.slab",
		r.Final(3):                  "/r/final/w03.tab",
		r.Hint(3):                   "/r/hint/w03.dns",
		r.Session(3):                "/r/hint/w03.session",
		r.Stat("capd"):              "/r/stat/capd.stat",
		r.Bell("policyd"):           "/r/bell/policyd.bell",
		r.Seed():                    "/r/seed",
		r.Topology():                "/r/topology.json",
		r.Quarantine():              "/r/quarantine",
	} {
		if got != want {
			t.Errorf("name = %s, want %s", got, want)
		}
	}
}

func TestRootMake(t *testing.T) {
	r := Root(filepath.Join(t.TempDir(), "weir"))
	for range 2 {
		if err := r.Make(0o750); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{r.PacketRing(0, 0), r.EventCursor("x", 0), r.Slab(0), r.Hint(0), r.Final(0), r.VerdictRing(0, 0)} {
		if fi, err := os.Stat(filepath.Dir(p)); err != nil || !fi.IsDir() || fi.Mode().Perm() != 0o750 {
			t.Errorf("folder of %s: %v, want 0750", p, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Root(file).Make(0o750); err == nil {
		t.Error("Make() in a file = nil, want an error")
	}
}
