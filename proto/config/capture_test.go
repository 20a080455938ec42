package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCapture(t *testing.T) {
	c, err := parse(t, `
[capture]
source = "nfqueue"
threads = 4
cpus = [2, 3]
filter = 'not port 22 and host "a"'
interface = [{ name = "br-lan", role = "lan" }, { name = "eth0.2", role = "wan" }, { name = "wg0" }]
[capture.tpacket]
fanout = "qm"
defrag = false
rollover = true
block_size = "128KiB"
blocks = 64
retire = "1ms"
promiscuous = false
[capture.nfqueue]
first = 65532
fail_open = false
gso = false
conntrack = false
queue_length = 1024
socket_buffer = 1048576
copy_range = "2KiB"
rules = "forward"
packets = 0
exempt = ["10.0.0.0/8", "2001:db8::1"]
hold = "20ms"
expired = "drop"
[capture.conntrack]
listen = false
accounting = false
interval = "2m"
socket_buffer = "64KiB"
[policy]
mark_mask = 0x3f00
`)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
	want := Capture{
		Source: SourceNFQueue, Threads: 4, CPUs: []int{2, 3}, Filter: `not port 22 and host "a"`, HeaderOnly: true,
		Interfaces: []Interface{{Name: "br-lan", Role: RoleLAN}, {Name: "eth0.2", Role: RoleWAN}, {Name: "wg0"}},
		TPacket:    TPacket{Fanout: FanoutQM, Rollover: true, BlockSize: 128 * KiB, Blocks: 64, Retire: time.Millisecond},
		NFQueue: NFQueue{
			First: 65532, QueueLength: 1024, SocketBuffer: MiB, CopyRange: 2 * KiB, Rules: RulesForward,
			Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")},
			Hold:   20 * time.Millisecond, Expired: ExpiredDrop,
		},
		Conntrack: Conntrack{Interval: 2 * time.Minute, SocketBuffer: 64 * KiB},
	}
	anyPos := cmp.Comparer(func(a, b Pos) bool { return true })
	samePrefix := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(want, c.Capture, anyPos, samePrefix); diff != "" {
		t.Errorf("capture (-want +got):\n%s", diff)
	}
	if c.Policy.MarkMask != 0x3f00 {
		t.Errorf("policy.mark_mask = %#x, want 0x3f00", c.Policy.MarkMask)
	}
}

func TestCaptureMistakes(t *testing.T) {
	const loop = "[[capture.interface]]\nname = \"lo\"\n"
	tests := []struct {
		name, text string
		want       []string // one line of the error each, all of them
	}{
		{"no interface", "[capture]\nsource = \"tpacket\"", []string{
			`weir.toml:2: capture.interface is missing: say where to capture, such as [[capture.interface]] with name = "eth0"`}},
		{"interfaces", "[[capture.interface]]\nname = \"a/b\"\nrole = \"dmz\"\n[[capture.interface]]\nname = \"sixteen-letters.\"\n[[capture.interface]]\nname = \"eth 0\"\n[[capture.interface]]\nname = \"\"\n" + loop + loop + "[[capture.interface]]\nrole = \"lan\"", []string{
			`weir.toml:2: capture.interface.name = "a/b": must be the name of an interface: 1 to 15 characters without '/', ':' or space, see "ip link"`,
			`weir.toml:3: capture.interface.role = "dmz": must be lan or wan`,
			`weir.toml:5: capture.interface.name = "sixteen-letters.": must be the name of an interface: 1 to 15 characters without '/', ':' or space, see "ip link"`,
			`weir.toml:7: capture.interface.name = "eth 0": must be the name of an interface: 1 to 15 characters without '/', ':' or space, see "ip link"`,
			`weir.toml:8: capture.interface.name is missing`,
			`weir.toml:9: capture.interface.name = "": must be the name of an interface: 1 to 15 characters without '/', ':' or space, see "ip link"`,
			`weir.toml:12: capture.interface lo is there already at weir.toml:10: remove one of them`,
			`weir.toml:14: capture.interface.name is missing`}},
		{"files with a live source", "[capture]\nsource = \"nfqueue\"\nfiles = [\"a\"]\npace = 1", []string{
			`weir.toml:3: capture.files is set, but capture.source = "nfqueue" reads no files: remove one of them, or set source = "pcap"`,
			`weir.toml:4: capture.pace = 1: capture.source = "nfqueue" has the pace of its packets: remove it`}},
		{"tpacket", "[capture.tpacket]\nfanout = \"ebpf\"\nblock_size = 1000000\nblocks = 1\nretire = \"1s\"\n[capture]\ncpus = [4096]", []string{
			`weir.toml:2: capture.tpacket.fanout = "ebpf": must be one of hash, cpu, lb, rollover, random, qm`,
			`weir.toml:3: capture.tpacket.block_size = 1000000: must be a power of two: 512KiB or 1MiB`,
			`weir.toml:4: capture.tpacket.blocks = 1: must be 2 to 4096`,
			`weir.toml:5: capture.tpacket.retire = "1s": must be 1ms to 100ms`,
			`weir.toml:7: capture.cpus[0] = 4096: must be 0 to 4095`}},
		{"block size", "[capture.tpacket]\nblock_size = 0", []string{`weir.toml:2: capture.tpacket.block_size = 0: must be 64KiB to 64MiB`}},
		{"large block size", "[capture.tpacket]\nblock_size = \"1GiB\"", []string{`weir.toml:2: capture.tpacket.block_size = "1GiB": must be 64KiB to 64MiB`}},
		{"ring", loop + "[capture]\nsource = \"tpacket\"\n[capture.tpacket]\nblock_size = \"64MiB\"\nblocks = 4096", []string{
			`weir.toml:7: capture.tpacket.blocks = 4096: with block_size = "64MiB" each thread takes 256GiB: must be at most 1GiB`}},
		{"threads", loop + "[[capture.interface]]\nname = \"eth0\"\n[capture]\nsource = \"tpacket\"\nthreads = 33", []string{
			`weir.toml:7: capture.threads = 33: for 2 interfaces that makes 66 threads: 64 are possible in all`}},
		{"nfqueue", "[capture.nfqueue]\nfirst = 65536\nqueue_length = 0\nsocket_buffer = 0\ncopy_range = \"65KiB\"\nrules = \"all\"\npackets = -1\nexempt = [\"10.0.0.1/8\"]\nhold = \"2s\"\nexpired = \"reject\"\ngso = 1", []string{
			`weir.toml:2: capture.nfqueue.first = 65536: must be 0 to 65535`,
			`weir.toml:3: capture.nfqueue.queue_length = 0: must be 1 to 1048576`,
			`weir.toml:4: capture.nfqueue.socket_buffer = 0: must be 64KiB to 1GiB`,
			`weir.toml:5: capture.nfqueue.copy_range = "65KiB": must be 256B to 64KiB`,
			`weir.toml:6: capture.nfqueue.rules = "all": must be one of manual, forward, input, output, bridge`,
			`weir.toml:7: capture.nfqueue.packets = -1: must be 0 to 1048576`,
			`weir.toml:8: capture.nfqueue.exempt[0] = "10.0.0.1/8": has bits set beyond /8: write 10.0.0.0/8`,
			`weir.toml:9: capture.nfqueue.hold = "2s": must be 0s to 1s`,
			`weir.toml:10: capture.nfqueue.expired = "reject": must be one of accept, drop`,
			`weir.toml:11: capture.nfqueue.gso = 1: is an integer, want true or false`}},
		{"conntrack", "[capture.conntrack]\ninterval = \"100ms\"\nsocket_buffer = 0\nlisten = 1", []string{
			`weir.toml:2: capture.conntrack.interval = "100ms": must be 1s to 1h`,
			`weir.toml:3: capture.conntrack.socket_buffer = 0: must be 64KiB to 1GiB`,
			`weir.toml:4: capture.conntrack.listen = 1: is an integer, want true or false`}},
		{"last queue", "[capture]\nsource = \"nfqueue\"\nthreads = 3\n[capture.nfqueue]\nfirst = 65534", []string{
			`weir.toml:5: capture.nfqueue.first = 65534: the last of 3 queues would be 65536: at most 65533 is possible here`}},
		{"hold", "[capture]\nsource = \"nfqueue\"\n[capture.nfqueue]\nhold = \"20ms\"", []string{
			`weir.toml:3: capture.nfqueue.packets = 16: with hold = "20ms" a flow could pass before inspect.max_packets = 32 are seen: set 0 (no limit) or at least 64`}},
		{"no mask", "[policy]\nmark_mask = true", []string{`weir.toml:2: policy.mark_mask = true: is a boolean, want a mask such as "0xff000000"`}},
	}
	for text, want := range map[string]string{
		"0":             `0: must be one run of at least 2 bits, such as "0xff000000"`,
		`"0x80000000"`:  `"0x80000000": must be one run of at least 2 bits, such as "0xff000000"`,
		`"0x5"`:         `"0x5": must be one run of at least 2 bits, such as "0xff000000"`,
		`"0x1ff000000"`: `"0x1ff000000": not a mask of 32 bits; write it like "0xff000000"`,
		"-1":            `-1: not a mask of 32 bits; write it like "0xff000000"`,
		`"ff"`:          `"ff": not a mask of 32 bits; write it like "0xff000000"`,
	} {
		tests = append(tests, struct {
			name, text string
			want       []string
		}{"mask " + text, "[policy]\nmark_mask = " + text, []string{"weir.toml:2: policy.mark_mask = " + want}})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.text)
			if diff := cmp.Diff(tt.want, strings.Split(fmt.Sprint(err), "\n")); diff != "" {
				t.Errorf("Parse: problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRings(t *testing.T) {
	two := []Interface{{Name: "a"}, {Name: "b"}}
	for _, tt := range []struct {
		capture             Capture
		ncpu                int
		derived, ringsAfter int
	}{
		{Capture{Source: SourcePCAP, Threads: 8}, 64, 8, 1},
		{Capture{Source: SourceTPacket, Interfaces: two}, 1, 1, 2},
		{Capture{Source: SourceTPacket, Interfaces: two}, 16, 2, 4},
		{Capture{Source: SourceTPacket, Interfaces: two, Threads: 3}, 16, 3, 6},
		{Capture{Source: SourceTPacket, Interfaces: two}, 1024, 32, 64},
		{Capture{Source: SourceNFQueue, Interfaces: two}, 16, 4, 4},
		{Capture{Source: SourceNFQueue, NFQueue: NFQueue{First: 65535}}, 16, 1, 1},
	} {
		c := Default()
		c.Capture = tt.capture
		if got := c.Capture.Rings(); got < 1 {
			t.Errorf("Rings() of %+v before Derive = %d, want at least 1", tt.capture, got)
		}
		c.Derive(4<<30, tt.ncpu)
		if got := c.Capture.Rings(); c.Capture.Threads != tt.derived || got != tt.ringsAfter {
			t.Errorf("Derive with %d CPUs of %+v: threads %d, rings %d, want %d, %d", tt.ncpu, tt.capture, c.Capture.Threads, got, tt.derived, tt.ringsAfter)
		}
	}
}

// TestDeriveLive: what the kernel holds for capd is part of the budget.
func TestDeriveLive(t *testing.T) {
	for _, source := range []string{SourceTPacket, SourceNFQueue} {
		c := Default()
		c.Capture.Source = source
		c.Capture.Interfaces = []Interface{{Name: "lan"}, {Name: "wan"}}
		c.Derive(1<<30, 4)
		if got := c.Footprint(); got > 256*MiB {
			t.Errorf("%s: Footprint = %v, want at most a quarter of 1GiB", source, got)
		}
		roundTrip(t, c)
	}
}
