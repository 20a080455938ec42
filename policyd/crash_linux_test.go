package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"weir/policyd/engine"
	"weir/policyd/target"
	"weir/proto/config"
	"weir/proto/event"
	"weir/shm/evtring"
	"weir/shm/layout"
)

// policyd is the program under test.
var policyd string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "policyd")
	if err != nil {
		panic(err)
	}
	policyd = filepath.Join(dir, "policyd")
	if out, err := exec.Command("go", "build", "-o", policyd, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build policyd: %v\n%s", err, out)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(status)
}

// netns moves the test, and the processes it starts, to a network namespace of its
// own. The thread is never given back: it dies with the test.
func netns(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("new network namespace: %v", err)
		}
		t.Skipf("needs root for a network namespace: %v", err)
	}
}

const crashPolicy = `
[instance]
dir = "%s"
log_level = "warn"
[capture]
source = "tpacket"
[workers]
count = 2
[policy]
mode = "enforce"
[[set]]
name = "living"
address = "ipv4"
key = ["client_ip", "client_port"]
timeout = "0s"
remove = "flow_end"
[[set]]
name = "seen"
address = "ipv4"
key = ["client_ip", "client_port"]
timeout = "1h"
[[rule]]
name = "all-tls"
match = 'protocol == "tls"'
[[rule.nftset]]
set = "living"
[[rule.nftset]]
set = "seen"
`

// writeConfig makes a ring directory and the configuration for it.
func writeConfig(t *testing.T, text string) (path string, root layout.Root) {
	t.Helper()
	dir := t.TempDir()
	root = layout.Root(filepath.Join(dir, "rings"))
	if err := root.Make(0o700); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "weir.toml")
	if strings.Contains(text, "%s") {
		text = fmt.Sprintf(text, root)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, root
}

// worker is a worker without packets: it knows which flows live, writes their
// events, and answers requests for snapshots.
type worker struct {
	n        int
	p        *evtring.Producer
	live     map[uint64]uint32 // revision of each living flow
	next     uint64
	mute     bool // answers no requests
	gen      uint32
	everTLS  map[uint64]bool
	requests int
}

func newWorker(t *testing.T, root layout.Root, n int, wait bool) *worker {
	t.Helper()
	p, err := evtring.OpenProducer(evtring.Config{
		Path: root.EventRing(n), Capacity: evtring.MinCapacity, Worker: n, CursorDir: root.EventCursors(), Wait: wait, Mode: 0o600,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return &worker{n: n, p: p, live: map[uint64]uint32{}, everTLS: map[uint64]bool{}}
}

// address and port of a flow follow from its id.
func ends(id uint64) (netip.Addr, uint16) {
	return netip.AddrFrom4([4]byte{10, byte(id >> 56), byte(id >> 16), byte(id >> 8)}), uint16(id&0xff) + 1000
}

func (w *worker) emit(typ event.Type, id uint64, tls bool) {
	w.live[id]++
	a, port := ends(id)
	c := event.Counters{
		ID: id, Rev: w.live[id], Worker: uint16(w.n), Client: a.As16(), Server: netip.MustParseAddr("203.0.113.7").As16(),
		ClientPort: port, ServerPort: 443, IPProto: 6, IPVersion: 4, First: 1e18, Last: 1e18, ClientBytes: 100, ServerBytes: 200,
	}
	d := event.Description{}
	if tls {
		d.Protocol, d.Application, d.Host = "tls", "example", []byte("www.example.com")
		w.everTLS[id] = true
	}
	b := make([]byte, event.DescriptionAt)
	c.Encode(b)
	b = d.Append(b)
	copy(w.p.Reserve(uint16(typ), event.Version, 0, 1e18, len(b)), b)
}

func (w *worker) begin() uint64 {
	w.next++
	id := uint64(w.n)<<56 | w.next
	w.emit(event.FlowNew, id, false)
	return id
}

func (w *worker) end(id uint64) {
	w.emit(event.FlowEnd, id, w.everTLS[id])
	delete(w.live, id)
}

// tend does what a worker does now and then.
func (w *worker) tend(t *testing.T) {
	t.Helper()
	if _, err := w.p.Housekeeping(); err != nil {
		t.Fatal(err)
	}
	if !w.mute {
		for _, r := range w.p.ResyncRequests() {
			w.requests++
			w.snapshot(r)
		}
	}
	w.p.Publish()
}

func (w *worker) snapshot(r evtring.ResyncRequest) {
	w.gen++
	mark := func(typ event.Type) {
		s := event.Snapshot{Generation: w.gen, Request: r.Req, Consumer: r.Consumer}
		s.Encode(w.p.Reserve(uint16(typ), event.Version, evtring.FlagSnapshot, 1e18, event.SnapshotSize))
	}
	mark(event.SnapBegin)
	for id := range w.live {
		w.emit(event.SnapFlow, id, w.everTLS[id])
	}
	mark(event.SnapEnd)
}

// process is a policyd that is killed and started again.
type process struct {
	cmd *exec.Cmd
	log *bytes.Buffer
}

func startPolicyd(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(policyd, args...), log: &bytes.Buffer{}}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // killed: the error is what was wanted
}

// kernelSets reads the sets of the namespace the test is in.
type kernelSets struct {
	t    *testing.T
	nft  *target.NFT
	sets []*target.Set
}

// openKernel waits until policyd has made its sets.
func openKernel(t *testing.T, path string) *kernelSets {
	t.Helper()
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	sets, err := engine.Sets(c)
	if err != nil {
		t.Fatal(err)
	}
	n, err := target.NewNFT(c.Policy.Table, c.Instance.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	waitFor(t, "policyd makes its table", func() bool {
		out, _ := exec.Command("nft", "list", "tables").Output()
		return strings.Contains(string(out), "inet "+c.Policy.Table)
	})
	if err := n.Open(sets); err != nil {
		t.Fatal(err)
	}
	return &kernelSets{t, n, sets}
}

func (k *kernelSets) content(set int) map[string]bool {
	k.t.Helper()
	found, err := k.nft.Dump(k.sets[set])
	if err != nil {
		k.t.Fatal(err)
	}
	out := make(map[string]bool, len(found))
	for _, f := range found {
		out[k.sets[set].Format(f.Key)] = true
	}
	return out
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatalf("waited 30 s in vain: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func elementOf(id uint64) string {
	a, port := ends(id)
	return a.String() + " . " + strconv.Itoa(int(port))
}

func elements[V any](flows map[uint64]V, keep func(uint64) bool) []string {
	out := []string{}
	for id := range flows {
		if keep(id) {
			out = append(out, elementOf(id))
		}
	}
	slices.Sort(out)
	return out
}

func sorted(m map[string]bool) []string {
	out := []string{}
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// TestKills kills policyd at random moments while flows come and go. What flows
// want that live all the time is never gone, and in the end the kernel holds what
// an undisturbed run would have left.
func TestKills(t *testing.T) {
	netns(t)
	kills := 8
	if os.Getenv("LONG") != "" {
		kills = 50
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path, root := writeConfig(t, crashPolicy)
	p := startPolicyd(t, "enforce", "-config", path)
	defer func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of the last policyd:\n%s", p.log)
		}
	}()
	k := openKernel(t, path)
	workers := []*worker{newWorker(t, root, 0, true), newWorker(t, root, 1, true)}
	waitAttached(t, workers)

	// Flows that live to the end of the test.
	forever := map[uint64]bool{}
	for _, w := range workers {
		for range 20 {
			id := w.begin()
			w.emit(event.FlowClass, id, true)
			forever[id] = true
		}
		w.tend(t)
	}
	present := func() bool {
		got := k.content(0)
		for id := range forever {
			if !got[elementOf(id)] {
				return false
			}
		}
		return true
	}
	waitFor(t, "the first elements", present)

	for n := range kills {
		muted := rng.IntN(2) == 0 // the snapshot comes late
		for _, w := range workers {
			w.mute = muted
		}
		if rng.IntN(4) > 0 { // else it is killed while it starts
			waitAttached(t, workers)
		}
		churn(t, rng, workers, forever, 200+rng.IntN(2000))
		p.kill()
		churn(t, rng, workers, forever, rng.IntN(200))
		p = startPolicyd(t, "enforce", "-config", path)
		churn(t, rng, workers, forever, 100)
		if !present() {
			t.Fatalf("kill %d: elements of living flows are gone", n)
		}
	}
	for _, w := range workers {
		w.mute = false
	}
	settle(t, k, workers)
}

// waitAttached waits until policyd reads all rings: from then on nothing is missed.
func waitAttached(t *testing.T, workers []*worker) {
	t.Helper()
	waitFor(t, "policyd attaches", func() bool {
		for _, w := range workers {
			w.tend(t)
			if r, ok := w.p.Reader(consumer); !ok || !r.Alive {
				return false
			}
		}
		return true
	})
}

// churn lets n things happen to flows.
func churn(t *testing.T, rng *rand.Rand, workers []*worker, forever map[uint64]bool, n int) {
	t.Helper()
	for range n {
		w := workers[rng.IntN(len(workers))]
		switch rng.IntN(4) {
		case 0, 1:
			id := w.begin()
			if rng.IntN(3) > 0 {
				w.emit(event.FlowClass, id, rng.IntN(4) > 0)
			}
		case 2:
			for id := range w.live {
				if !forever[id] {
					w.end(id)
					break
				}
			}
		case 3:
			for id := range w.live {
				w.emit(event.FlowStats, id, w.everTLS[id])
				break
			}
		}
		if rng.IntN(10) == 0 {
			w.tend(t)
			time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
		}
	}
}

// settle waits until the kernel holds exactly what the flows of all workers want.
func settle(t *testing.T, k *kernelSets, workers []*worker) {
	t.Helper()
	var want, ever []string
	for _, w := range workers {
		want = append(want, elements(w.live, func(id uint64) bool { return w.everTLS[id] })...)
		ever = append(ever, elements(w.everTLS, func(uint64) bool { return true })...)
	}
	slices.Sort(want)
	slices.Sort(ever)
	var living, seen []string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
		for _, w := range workers {
			w.tend(t)
		}
		living, seen = sorted(k.content(0)), sorted(k.content(1))
		if slices.Equal(living, want) && slices.Equal(seen, ever) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("set living has %d elements, want %d; set seen has %d, want %d", len(living), len(want), len(seen), len(ever))
}

// While policyd is gone, flows end and what they wanted must go when it is back,
// but not before it knows who else wants it.
func TestNothingDeletedBeforeSnapshot(t *testing.T) {
	netns(t)
	path, root := writeConfig(t, crashPolicy)
	p := startPolicyd(t, "-config", path)
	defer func() { p.kill() }()
	k := openKernel(t, path)
	workers := []*worker{newWorker(t, root, 0, true), newWorker(t, root, 1, true)}
	waitAttached(t, workers)
	var first uint64
	for i := range 50 {
		id := workers[0].begin()
		workers[0].emit(event.FlowClass, id, true)
		if i == 0 {
			first = id
		}
	}
	tend := func() {
		for _, w := range workers {
			w.tend(t)
		}
	}
	waitFor(t, "all elements", func() bool { tend(); return len(k.content(0)) == 50 })
	p.kill()
	workers[0].mute = true
	workers[0].end(first)
	tend()
	p = startPolicyd(t, "-config", path)
	waitFor(t, "policyd reads on", func() bool {
		tend()
		r, ok := workers[0].p.Reader(consumer)
		return ok && r.Lag == 0
	})
	if got := len(k.content(0)); got != 50 {
		t.Errorf("%d elements before the snapshot, want 50", got)
	}
	workers[0].mute = false
	waitFor(t, "the element of the ended flow to go", func() bool { tend(); return len(k.content(0)) == 49 })
	if k.content(0)[elementOf(first)] {
		t.Error("the wrong element went")
	}
}

// A drained policyd leaves the same sets behind, killed in the middle or not.
func TestDrainAfterKill(t *testing.T) {
	run := func(t *testing.T, kill bool) (living, seen []string) {
		netns(t)
		path, root := writeConfig(t, crashPolicy)
		workers := []*worker{newWorker(t, root, 0, true), newWorker(t, root, 1, true)}
		p := startPolicyd(t, "enforce", "-config", path, "-drain")
		k := openKernel(t, path)
		waitAttached(t, workers)
		rng := rand.New(rand.NewPCG(1, 1))
		for i := range 1500 {
			w := workers[i%2]
			id := w.begin()
			w.emit(event.FlowClass, id, rng.IntN(2) == 0)
			if i%3 == 0 {
				w.end(id)
			}
			w.p.Publish()
			if kill && i == 700 {
				p.kill()
				p = startPolicyd(t, "enforce", "-config", path, "-drain")
			}
		}
		for _, w := range workers {
			for id := range w.live {
				w.end(id)
			}
			if err := w.p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.cmd.Wait(); err != nil {
			t.Fatalf("policyd: %v\n%s", err, p.log)
		}
		return sorted(k.content(0)), sorted(k.content(1))
	}
	var want, got [2][]string
	t.Run("undisturbed", func(t *testing.T) { want[0], want[1] = run(t, false) })
	t.Run("killed", func(t *testing.T) { got[0], got[1] = run(t, true) })
	for i, set := range []string{"living", "seen"} {
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("set %s has %d elements after a kill, %d without", set, len(got[i]), len(want[i]))
		}
	}
	if len(want[0]) != 0 || len(want[1]) == 0 {
		t.Errorf("undisturbed: %d living, %d seen, want none and some", len(want[0]), len(want[1]))
	}
}
