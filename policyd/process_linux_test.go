package main

import (
	"bytes"
	"fmt"
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

	"weir/policyd/control"
	"weir/policyd/engine"
	"weir/policyd/target"
	"weir/proto/config"
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
[[capture.interface]]
name = "eth0"
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
	waitFor(t, "policyd answers: its table is made", func() bool {
		_, err := control.Ask(filepath.Join(c.Instance.Dir, "policyd.sock"), control.Request{Cmd: "status"})
		return err == nil
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
