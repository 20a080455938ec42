package filter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
)

var update = flag.Bool("update", false, "ask tcpdump for its programs again")

const (
	expressions = "testdata/expressions.txt"
	programs    = "testdata/tcpdump.txt"
)

// golden is what tcpdump -ddd says of an expression: a program, or that it is wrong.
type golden struct {
	link uint32
	expr string
	code []bpf.RawInstruction
}

func lines(t *testing.T, name string) []string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// record asks tcpdump about each expression, for both link types.
func record(t *testing.T) {
	t.Helper()
	var out bytes.Buffer
	for _, link := range []uint32{LinkEthernet, LinkRaw} {
		// An empty capture: for an interface tcpdump would look for tags beside the frame.
		name := filepath.Join(t.TempDir(), "empty.pcap")
		h := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0}
		if err := os.WriteFile(name, binary.LittleEndian.AppendUint32(h, link), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, expr := range lines(t, expressions) {
			var errs bytes.Buffer
			cmd := exec.Command("tcpdump", "-r", name, "-ddd", "--", expr)
			cmd.Stderr = &errs
			text, err := cmd.Output()
			if err != nil && strings.Contains(errs.String(), "rejects all packets") {
				text = []byte("1\n6 0 0 0\n") // it makes no program of return 0
			} else if err != nil {
				text = nil
				t.Logf("link %d, %s: %s", link, expr, errs.String())
			}
			fmt.Fprintf(&out, "= %d %s\n%s", link, expr, text)
		}
	}
	if err := os.WriteFile(programs, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func recorded(t *testing.T) []golden {
	t.Helper()
	f, err := os.Open(programs)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []golden
	for s := bufio.NewScanner(f); s.Scan(); {
		var g golden
		if n, _ := fmt.Sscanf(s.Text(), "= %d", &g.link); n == 1 {
			_, g.expr, _ = strings.Cut(s.Text()[2:], " ")
			all = append(all, g)
			continue
		}
		var in bpf.RawInstruction
		if n, _ := fmt.Sscanf(s.Text(), "%d %d %d %d", &in.Op, &in.Jt, &in.Jf, &in.K); n == 4 {
			last := &all[len(all)-1]
			last.code = append(last.code, in)
		}
	}
	return all
}

func machine(t *testing.T, code []bpf.RawInstruction) *bpf.VM {
	t.Helper()
	prog, ok := bpf.Disassemble(code)
	if !ok {
		t.Fatalf("not all of %v can be disassembled", code)
	}
	vm, err := bpf.NewVM(prog)
	if err != nil {
		t.Fatal(err)
	}
	return vm
}

func takes(t *testing.T, vm *bpf.VM, b []byte) bool {
	t.Helper()
	n, err := vm.Run(b)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

// TestAsTcpdump runs our program and tcpdump's over the same frames.
func TestAsTcpdump(t *testing.T) {
	t.Parallel()
	if *update {
		record(t)
	}
	all := recorded(t)
	if want := 2 * len(lines(t, expressions)); len(all) != want {
		t.Fatalf("%s has %d programs, want %d: run the test with -update where tcpdump is", programs, len(all), want)
	}
	samples := map[uint32][][]byte{LinkEthernet: frames()}
	for _, b := range packets() {
		if b[0] == 8 && b[1] == 0 || b[0] == 0x86 {
			samples[LinkRaw] = append(samples[LinkRaw], b[2:])
		}
	}
	for _, g := range all {
		code, err := compile(g.expr, g.link, 65535, false)
		if err != nil && g.link == LinkRaw && strings.Contains(g.expr, "ether") {
			continue // it takes a header for there that is not
		}
		if (err != nil) != (g.code == nil) && len(g.code) != 1 {
			t.Errorf("link %d, %q: %v; tcpdump has %d instructions", g.link, g.expr, err, len(g.code))
		}
		if err != nil || g.code == nil {
			continue
		}
		ours, theirs := machine(t, code), machine(t, g.code)
		for _, b := range samples[g.link] {
			if got, want := takes(t, ours, b), takes(t, theirs, b); got != want {
				t.Errorf("link %d, %q takes %x: %t, tcpdump: %t", g.link, g.expr, b, got, want)
				break
			}
		}
	}
}

// TestTells makes sure that the samples tell expressions from one another: each is
// true of some and false of others.
func TestTells(t *testing.T) {
	t.Parallel()
	samples := frames()
	for _, expr := range lines(t, expressions) {
		code, err := compile(expr, LinkEthernet, 65535, false)
		if err != nil || strings.HasPrefix(expr, "len >= 0") {
			continue
		}
		vm, n := machine(t, code), 0
		for _, b := range samples {
			if takes(t, vm, b) {
				n++
			}
		}
		if n == 0 || n == len(samples) {
			t.Errorf("%q takes %d of %d samples: it is not tried", expr, n, len(samples))
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		expr, want string
	}{
		{"tcp prt 80", `filter "tcp prt 80": column 5: expected and, or, or the end, not "prt"`},
		{"tcp and", `filter "tcp and": at the end: expected a condition`},
		{"port http", `column 6: "http" is no port from 0 to 65535; names are not looked up`},
		{"port 70000", `column 6: "70000" is no port`},
		{"port 80-90", `column 6: a range of ports is a portrange`},
		{"host example.com", `column 6: "example.com" is no address; names are not looked up`},
		{"host", "at the end: expected a value"},
		{"net 10.1.1.1/8", `column 5: "10.1.1.1/8" has bits set behind its prefix`},
		{"net 10.0.0.0/33", `wrong prefix length`},
		{"net 10.0.0.0 mask 255.0.255.0", "has ones behind zeros"},
		{"(tcp", `at the end: expected ")"`},
		{"tcp)", `column 4: expected and, or, or the end, not ")"`},
		{"gateway 192.0.2.1", `column 1: "gateway" is a word of tcpdump that Weir does not know`},
		{"mpls", "does not know"},
		{"vlan 5000", "column 6: VLAN 5000: must be 0 to 4095"},
		{"tcp[13] & 2", "at the end: expected a comparison"},
		{"tcp[13:3] = 1", "column 8: a size must be 1, 2 or 4 bytes"},
		{"tcp[len] = 1", "column 5: an offset must be a constant"},
		{"ip[0] / 0 = 1", "division by zero"},
		{"80", `column 1: "80" means nothing here`},
		{"192.0.2.1", `"192.0.2.1" means nothing here`},
		{"src 10.0.0.0/8", `column 5: "10.0.0.0/8" is a network: write net before it`},
		{"tcp or 80", `column 8: "80" means nothing here`},
		{"ip broadcast", "needs the mask"},
		{"icmp port 80", "icmp has no ports: write icmp and port 80"},
		{"tcp host 192.0.2.1", "tcp has no IPv4 addresses: write tcp and host 192.0.2.1"},
		{"ip6 host 192.0.2.1", "ip6 has no IPv4 addresses"},
		{"ip host 2001:db8::1", "is of IPv6"},
		{"tcp ; udp", `column 5: character ';' means nothing here`},
		{strings.Repeat("(", 200) + "tcp" + strings.Repeat(")", 200), "more than 100 parentheses"},
		{strings.Repeat("!", 200) + "tcp", "more than 100 parentheses and nots"},
		{strings.Repeat("a", 9000), "9000 bytes long, limit 8192"},
		{strings.Repeat("port 1 or ", 300) + "tcp", "instructions, the kernel takes 4096"},
	} {
		_, err := Compile(tt.expr, LinkEthernet, 65535)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Compile(%.40q) = %v, want %s", tt.expr, err, tt.want)
		}
	}
	for _, expr := range []string{"vlan", "ether host 02:00:00:00:00:01", "ether[0] = 1", "ether broadcast"} {
		if _, err := Compile(expr, LinkRaw, 65535); err == nil {
			t.Errorf("Compile(%q) for raw IP has no error", expr)
		}
	}
	if _, err := Compile("tcp", 113, 65535); err == nil {
		t.Error("Compile for link type 113 has no error")
	}
	if _, err := Compile("tcp", LinkEthernet, 0); err == nil {
		t.Error("Compile for no bytes has no error")
	}
}

// TestSame compares ways to write the same, where tcpdump's program has what the
// machine of x/net/bpf does not run, or is the same anyway.
func TestSame(t *testing.T) {
	t.Parallel()
	for _, tt := range [][2]string{
		{"-ip[8] = -64", "ip[8] = 64"},
		{"-(ip[0] - 70) = 1", "ip[0] = 69"},
		{"tcp[13]&2!=0", "tcp[tcpflags] & tcp-syn != 0"},
		{"tcp[1 + 12] & 2 != 0", "tcp[13] & 2 != 0"},
		{"len-14>100", "len > 114"},
		{"link src 02:00:00:00:00:02", "ether src host 02:00:00:00:00:02"},
		{"port (80 or not 22)", "port 80 or not port 22"},
	} {
		var vms []*bpf.VM
		for _, expr := range tt {
			code, err := compile(expr, LinkEthernet, 65535, false)
			if err != nil {
				t.Fatal(err)
			}
			vms = append(vms, machine(t, code))
		}
		for _, b := range frames() {
			if x, y := takes(t, vms[0], b), takes(t, vms[1], b); x != y {
				t.Errorf("%q takes %x: %t, %q: %t", tt[0], b, x, tt[1], y)
				break
			}
		}
	}
}

// TestFar needs jumps that are longer than a conditional one can be.
func TestFar(t *testing.T) {
	t.Parallel()
	expr := "not (" + strings.Repeat("port 1 or ", 40) + "port 80)"
	code, err := compile(expr, LinkEthernet, 65535, false)
	if err != nil || len(code) < 500 {
		t.Fatalf("%d instructions, %v", len(code), err)
	}
	short, err := compile("not (port 1 or port 80)", LinkEthernet, 65535, false)
	if err != nil {
		t.Fatal(err)
	}
	a, b := machine(t, code), machine(t, short)
	for _, f := range frames() {
		if takes(t, a, f) != takes(t, b, f) {
			t.Fatalf("the long and the short program differ about %x", f)
		}
	}
}

// FuzzCompile makes programs that the machine takes, or says where the mistake is.
func FuzzCompile(f *testing.F) {
	b, err := os.ReadFile(expressions)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range strings.Split(string(b), "\n") {
		f.Add(s)
	}
	sample := frames()[0]
	f.Fuzz(func(t *testing.T, expr string) {
		for _, link := range []uint32{LinkEthernet, LinkRaw} {
			code, err := compile(expr, link, 100, false)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(expr) {
					t.Fatalf("Compile(%q) = %v", expr, err)
				}
				continue
			}
			takes(t, machine(t, code), sample)
			if _, err := Compile(expr, link, 100); err != nil && !strings.Contains(err.Error(), "the kernel takes") {
				t.Fatalf("Compile(%q) = %v live, none for files", expr, err)
			}
		}
	})
}
