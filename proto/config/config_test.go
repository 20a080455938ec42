package config

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, text string) (*Config, error) {
	t.Helper()
	return Parse(File{"weir.toml", []byte(text)})
}

// roundTrip checks that Print writes what Parse reads back.
func roundTrip(t *testing.T, c *Config) {
	t.Helper()
	var first, second bytes.Buffer
	if err := c.Print(&first); err != nil {
		t.Fatalf("Print: %v", err)
	}
	back, err := Parse(File{"printed.toml", first.Bytes()})
	if err != nil {
		t.Fatalf("Parse(Print()) = %v\n%s", err, &first)
	}
	if err := back.Print(&second); err != nil {
		t.Fatalf("Print: %v", err)
	}
	if diff := cmp.Diff(first.String(), second.String()); diff != "" {
		t.Errorf("Print(Parse(Print())) differs (-first +second):\n%s", diff)
	}
}

func TestDefault(t *testing.T) {
	c, err := parse(t, "")
	if err != nil {
		t.Fatalf("Parse of nothing = %v", err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("Parse of nothing differs from Default (-want +got):\n%s", diff)
	}
	if c.Policy.Mode != ModeObserve {
		t.Errorf("Default: policy.mode = %q, want %q", c.Policy.Mode, ModeObserve)
	}
	roundTrip(t, c)
}

const full = `
[instance]
name = "gw1"
dir = "/run/weir"
log_level = "debug"
[capture]
files = ["a.pcap", "/tmp/b.pcap"]
pace = 2
[workers]
count = 2
cpus = [1, 3]
idle = "spin"
user = "nobody"
[rings]
packet_descriptors = 4096
packet_payload = "4MiB"
event_size = 1048576
[flow]
probation = 0.25
metadata = "1GiB"
stats_interval = "1h30m"
[flow.timeouts]
udp = "2m"
dns = "1s"
active = "7d"
[catalog]
file = "catalog.weir"
lists = [{ category = "ads", file = "lists/ads" }]
[policy]
mode = "enforce"
target = "dry-run"
table = "mine"
[group]
lan = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"]
[[schedule]]
name = "office"
days = ["mon", "fri"]
from = "08:30"
to = "17:00"
zone = "UTC"
[[set]]
name = "blocked4"
address = "ipv4"
key = ["client_ip", "server_port"]
timeout = "1h"
size = 1000
[[set]]
name = "theirs"
table = "fw"
family = "ip6"
key = ["server_ip"]
create = false
remove = "flow_end"
timeout = "0s"
[[rule]]
name = "p2p"
match = 'protocol == "bittorrent" && "quote" != "\\"'
exempt = "client in lan"
schedule = "office"
stop = true
log = true
tag = ["p2p"]
[[rule.nftset]]
set = "blocked4"
key = ["server_ip", "client_port"]
timeout = "5m"
family = "ipv4"
[[rule.nftset]]
set = "theirs"
[[rule]]
name = "off"
enabled = false
match = "true"
log = true
`

func TestFull(t *testing.T) {
	c, err := parse(t, full)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
	if diff := cmp.Diff([]string{"a.pcap", "/tmp/b.pcap"}, c.Capture.Files); diff != "" {
		t.Errorf("capture.files (-want +got):\n%s", diff)
	}
	want := Flow{
		Probation: 0.25, Metadata: GiB, StatsInterval: 90 * time.Minute,
		Timeouts: Default().Flow.Timeouts,
	}
	want.Timeouts.UDP, want.Timeouts.DNS, want.Timeouts.Active = 2*time.Minute, time.Second, 7*24*time.Hour
	if diff := cmp.Diff(want, c.Flow); diff != "" {
		t.Errorf("flow (-want +got):\n%s", diff)
	}
	wantRules := []Rule{
		{Name: "p2p", Match: `protocol == "bittorrent" && "quote" != "\\"`, Exempt: "client in lan", Schedule: "office",
			Enabled: true, Stop: true, Log: true, Tag: []string{"p2p"}, NFTSet: []NFTSetAction{
				{Set: "blocked4", Key: []string{KeyServerIP, KeyClientPort}, Timeout: 5 * time.Minute, Family: FamilyIPv4},
				{Set: "theirs"},
			}},
		{Name: "off", Match: "true", Log: true},
	}
	anyPos := cmp.Comparer(func(a, b Pos) bool { return true })
	if diff := cmp.Diff(wantRules, c.Rules, anyPos); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	wantSets := []Set{
		{Name: "blocked4", Family: "inet", Address: FamilyIPv4, Key: []string{KeyClientIP, KeyServerPort}, Timeout: time.Hour,
			Size: 1000, Create: true, Remove: RemoveTimeout},
		{Name: "theirs", Table: "fw", Family: "ip6", Address: FamilyIPv6, Key: []string{KeyServerIP}, Remove: RemoveFlowEnd},
	}
	if diff := cmp.Diff(wantSets, c.Sets, anyPos); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
	wantSchedule := []Schedule{{Name: "office", Days: []time.Weekday{time.Monday, time.Friday},
		From: 8*time.Hour + 30*time.Minute, To: 17 * time.Hour, Zone: "UTC"}}
	if diff := cmp.Diff(wantSchedule, c.Schedules, anyPos); diff != "" {
		t.Errorf("schedules (-want +got):\n%s", diff)
	}
	if got := c.Rules[0].Pos.String(); got != "weir.toml:55" {
		t.Errorf("position of the first rule = %s, want weir.toml:55", got)
	}
	if got := c.Groups[0]; got.Name != "lan" || len(got.Networks) != 3 || got.Networks[2].String() != "192.0.2.1/32" {
		t.Errorf("group = %v, want lan with three networks", got)
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // one line of the error each, all of them
	}{
		{"unknown section", "[flows]\na=1", []string{`weir.toml:1: flows is not a known key: did you mean "flow"?`}},
		{"unknown keys", "[flow]\nmax_flow = 1\n\nxyzzy = 2", []string{
			`weir.toml:2: flow.max_flow is not a known key: did you mean "max_flows"?`,
			`weir.toml:4: flow.xyzzy is not a known key: known here are max_flows, probation, metadata, stats_interval, timeouts`}},
		{"types", "[flow]\nmax_flows = \"many\"\nprobation = true\nstats_interval = 60\nmetadata = 1.5\n[instance]\nname = 1\n[[rule]]\nname='a'\nmatch='true'\nlog=1\nstop=true", []string{
			`weir.toml:2: flow.max_flows = "many": is a string, want an integer`,
			`weir.toml:3: flow.probation = true: is a boolean, want a number`,
			`weir.toml:4: flow.stats_interval = 60: is an integer, want a duration such as "60s"`,
			`weir.toml:5: flow.metadata = 1.5: is a float, want a size such as "16MiB"`,
			`weir.toml:7: instance.name = 1: is an integer, want a string`,
			`weir.toml:11: rule.log = 1: is an integer, want true or false`}},
		{"table for value", "workers = 3\n[[flow]]\n[set]\n[group.lan]", []string{
			`weir.toml:1: workers is an integer, want a table [workers]`,
			`weir.toml:2: flow is an array, want a table [flow]`,
			`weir.toml:3: set is a table, want an array of tables [[set]]`,
			`weir.toml:4: group.lan = a table: is a table, want an array`}},
		{"ring size", "[rings]\npacket_payload = \"10MB\"\nevent_size = \"10MiB\"\npacket_descriptors = 5000", []string{
			`weir.toml:2: rings.packet_payload = "10MB": not a size; write it like "16MiB" (units B, KiB, MiB, GiB)`,
			`weir.toml:3: rings.event_size = "10MiB": must be a power of two: 8MiB or 16MiB`,
			`weir.toml:4: rings.packet_descriptors = 5000: must be a power of two, 1024 to 16777216, or 0`}},
		{"limits", "[workers]\ncount = 65\ncpus = [0, -1,\n 5000]\n[flow]\nprobation = nan\n[inspect]\nmax_bytes = 0\n[instance]\ndir = \"shm/weir\"", []string{
			`weir.toml:2: workers.count = 65: must be 0 to 64`,
			`weir.toml:3: workers.cpus[1] = -1: must be 0 to 4095`,
			`weir.toml:4: workers.cpus[2] = 5000: must be 0 to 4095`,
			`weir.toml:6: flow.probation = NaN: must be 0.01 to 1`,
			`weir.toml:8: inspect.max_bytes = 0: must be at least 2KiB`,
			`weir.toml:10: instance.dir = "shm/weir": must be an absolute path without "..", such as "/dev/shm/weir"`}},
		{"durations", "[flow.timeouts]\nudp = \"60\"\ndns = \"0s\"\nother = \"-1s\"", []string{
			`weir.toml:2: flow.timeouts.udp = "60": not a duration; write it like "90s", "5m", "1h30m" or "7d"`,
			`weir.toml:3: flow.timeouts.dns = "0s": must be 1s to 8760h`,
			`weir.toml:4: flow.timeouts.other = "-1s": must be 1s to 8760h`}},
		{"networks", "[group]\nlan = [\n \"10.0.0.1/8\",\n \"lan\", 7]\n\"a b\" = []", []string{
			`weir.toml:3: group.lan[0] = "10.0.0.1/8": has bits set beyond /8: write 10.0.0.0/8`,
			`weir.toml:4: group.lan[1] = "lan": not a network; write it like "192.168.0.0/16" or "2001:db8::/32"`,
			`weir.toml:4: group.lan[2] = 7: is an integer, want a string`,
			`weir.toml:5: group.a b must be 1 to 64 letters, digits, '_', '-' or '.', not beginning with '-' or '.'`}},
		{"names and references", "[[rule]]\nname='a'\nmatch='true'\nschedule='night'\nnftset=[{set='none'}]\n[[rule]]\nname='a'\nlog=true\n[[rule]]\nmatch='true'", []string{
			`weir.toml:1: rule a: schedule = "night": there is no such [[schedule]]`,
			`weir.toml:5: rule a: nftset.set = "none": there is no such [[set]]`,
			`weir.toml:6: rule a is defined already at weir.toml:1: choose another name`,
			`weir.toml:6: rule a: match is missing`,
			`weir.toml:9: rule.name is missing`,
			`weir.toml:9: rule : action is missing: give verdict, tag, nftset, log or stop`}},
		{"verdicts", "[policy]\nmark_mask=0x3\n[[rule]]\nname='a'\nmatch='true'\nverdict='reject'\n[[rule]]\nname='b'\nmatch='true'\nverdict='deny'", []string{
			`weir.toml:3: rule a: verdict = "reject": mark mask 0x00000003 has no bit for reject: use drop, or a mask of at least 3 bits`,
			`weir.toml:10: rule.verdict = "deny": must be accept, drop or reject`}},
		{"sets", "[[set]]\nname='s'\n[[set]]\nname='t'\nkey=['client_ip','smell']\n[[set]]\nname='u'\nkey=['mark']\naddress='ipv4'\ncreate=false\n[[set]]\nname='v'\nfamily='ip'\naddress='ipv6'\nkey=['server_ip']\ntimeout='0s'", []string{
			`weir.toml:1: set s: key is missing: say what an element holds, such as ["client_ip", "server_port"]`,
			`weir.toml:3: set t: address is missing: a set holds ipv4 or ipv6 addresses; make two sets for both`,
			`weir.toml:5: set.key[1] = "smell": must be one of client_ip, server_ip, client_port, server_port, ip_protocol, mac, mark, interface`,
			`weir.toml:6: set u: address = "ipv4": the key holds no address: remove it`,
			`weir.toml:6: set u: table is missing: a set that is not created by us has a table of its own`,
			`weir.toml:11: set v: address = "ipv6": a table of family ip cannot match it`,
			`weir.toml:11: set v: timeout = 0s: elements would stay for ever; give a timeout or remove = "flow_end"`}},
		{"actions", "[[set]]\nname='s'\naddress='ipv4'\nkey=['client_ip']\n[[rule]]\nname='a'\nmatch='true'\nnftset=[\n{set='s',family='ipv6'},\n{set='s',key=['mark']},\n{}]", []string{
			`weir.toml:9: rule a: nftset.family = "ipv6": set s holds ipv4 addresses`,
			`weir.toml:10: rule a: nftset.key = ["mark"]: must have the kinds of the set's key ["client_ip"]`,
			`weir.toml:11: rule a: nftset.set is missing`}},
		{"schedules", "[[schedule]]\nname='s'\ndays=['monday']\nfrom='8:00'\nto='24:01'\nzone='Mars/Base'\n[[schedule]]\nname='t'\nfrom='24:00'", []string{
			`weir.toml:3: schedule.days[0] = "monday": must be one of mon, tue, wed, thu, fri, sat, sun`,
			`weir.toml:4: schedule.from = "8:00": not a time of day; write it like "08:30" (00:00 to 24:00)`,
			`weir.toml:5: schedule.to = "24:01": not a time of day; write it like "08:30" (00:00 to 24:00)`,
			`weir.toml:6: schedule.zone = "Mars/Base": must be a time zone of this machine, such as "Europe/Berlin" (package tzdata)`,
			`weir.toml:7: schedule t begins and ends at the same time: give from and to, or neither for the whole day`}},
		{"lists", "[[catalog.lists]]\ncategory='ads'\n[[catalog.lists]]\nfile='x'", []string{
			`weir.toml:1: catalog.lists.file is missing`,
			`weir.toml:3: catalog.lists.category is missing`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.text)
			if err == nil {
				t.Fatalf("Parse = nil, want %q", tt.want)
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("Parse: problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSyntax(t *testing.T) {
	for name, text := range map[string]string{
		"not TOML":      "[flow\n",
		"doubled key":   "[flow]\nmax_flows = 1\nmax_flows = 2",
		"deep array":    "a = " + strings.Repeat("[", 1<<19),
		"deep table":    "a = " + strings.Repeat("{a=", 1<<18),
		"deep key":      strings.Repeat("a.", 1<<18) + "a = 1",
		"deep header":   "[" + strings.Repeat("a.", 1<<18) + "a]",
		"larger than 1": strings.Repeat("#", maxFile+1),
		"bytes":         "\xff\x00\x01",
	} {
		if _, err := parse(t, text); err == nil || !strings.HasPrefix(err.Error(), "weir.toml") {
			t.Errorf("%s: Parse = %v, want an error that names the file", name, err)
		}
	}
}

func TestLoadFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	main := filepath.Join(dir, "weir.toml")
	write("weir.toml", "[flow]\nmax_flows = 10\n[group]\nlan = [\"10.0.0.0/8\"]\n[capture]\nfiles=[\"x\"]")
	write("weir.d/20-b.toml", "[[rule]]\nname='b'\nmatch='true'\nlog=true")
	write("weir.d/10-a.toml", "[[rule]]\nname='a'\nmatch='true'\nlog=true\n[group]\nlan = ['192.0.2.0/24']\n[capture]\nfiles=['y']")
	write("weir.d/.hidden.toml", "nonsense")
	write("weir.d/README", "nonsense")

	c, err := Load(main)
	if err != nil {
		t.Fatalf("Load = %v", err)
	}
	if len(c.Rules) != 2 || c.Rules[0].Name != "a" || c.Rules[1].Name != "b" {
		t.Errorf("Load: rules = %v, want a and b", c.Rules)
	}
	if len(c.Groups) != 1 || len(c.Groups[0].Networks) != 2 {
		t.Errorf("Load: groups = %v, want one with two networks", c.Groups)
	}
	if want := []string{filepath.Join(dir, "x"), filepath.Join(dir, "weir.d/y")}; !cmp.Equal(want, c.Capture.Files) {
		t.Errorf("Load: files = %q, want %q", c.Capture.Files, want)
	}

	write("weir.d/30-c.toml", "[flow]\n\nmax_flows = 11\n[capture]\nsource = 'x'")
	write("weir.d/40-d.toml", "[")
	_, err = Load(main)
	if err == nil {
		t.Fatal("Load of a key set twice = nil, want an error")
	}
	for _, want := range []string{
		filepath.Join(dir, "weir.d/30-c.toml") + ":3: flow.max_flows is set already at " + main + ":2: remove one of them",
		filepath.Join(dir, "weir.d/30-c.toml") + `:5: capture.source = "x": must be one of pcap, tpacket, nfqueue`,
		filepath.Join(dir, "weir.d/40-d.toml") + ":1: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v\nwant a line with %s", err, want)
		}
	}
	if _, err := Load(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file = %v, want one that is os.ErrNotExist", err)
	}
}

func TestScanLines(t *testing.T) {
	text := "# c\na = 1\n\"q\" = '''x\ny = 2\n'''\n[t.u]\nb.c = [1,\n 2, # ]\n {d =\n 4}]\n[[l]]\n[l.m]\nn=\"\"\"a\\\"\"\"\"\"\n[[l]]\nk = 5\n[l.m]\no=1"
	got, err := scanLines(text)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int{
		"a": 2, "q": 3, "t.u": 6, "t.u.b.c": 7, "t.u.b.c.#1": 8, "t.u.b.c.#2": 9, "t.u.b.c.#2.d": 9,
		"l.#0": 11, "l.#0.m": 12, "l.#0.m.n": 13, "l.#1.k": 15, "l.#1.m.o": 17, "l.#1.none": 14, "none": 0,
	} {
		if line := got.at(strings.ReplaceAll(key, ".", pathSep)); line != want {
			t.Errorf("line of %s = %d, want %d", key, line, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("[flow\n"))
	f.Add([]byte("a.'b'.\"c\\\"\" = [[{x=1,}],'''\n''']\n[[rule]]\n[rule.nftset]"))
	f.Add([]byte("[group]\n\"\\u0061\" = ['::/0']"))
	var c bytes.Buffer
	if err := Default().Print(&c); err != nil {
		f.Fatal(err)
	}
	f.Add(c.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(File{"weir.toml", text})
		if err != nil {
			return
		}
		roundTrip(t, c)
		c.Derive(1<<30, 4)
		roundTrip(t, c)
	})
}

func TestValidate(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Errorf("Validate of Default = %v, want nil", err)
	}
	c.Workers.Count = -3
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "workers.count = -3: must be 0 to 64") {
		t.Errorf("Validate of workers.count -3 = %v, want the limit", err)
	}
}
