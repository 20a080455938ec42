package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"weir/capd/internal/netlab"
	"weir/proto/pkt"
)

// netns moves the test to a network namespace of its own, with a pair of interfaces
// near and far.
func netns(t *testing.T) {
	t.Helper()
	netlab.Alone(t)
	// The kernel's own frames would come between the test's.
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	netlab.IP(t, "link add near mtu 9500 type veth peer name far mtu 9500")
	netlab.IP(t, "link set near up")
	netlab.IP(t, "link set far up")
}

func open(t *testing.T, cfg TPacketConfig) *TPacket {
	t.Helper()
	if cfg.Interface == "" {
		cfg.Interface = "near"
	}
	s, err := OpenTPacket(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// sender returns what sends frames out of an interface.
func sender(t *testing.T, name string) func(frame []byte) {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	to := &unix.SockaddrLinklayer{Ifindex: i.Index}
	return func(frame []byte) {
		t.Helper()
		if err := unix.Sendto(fd, frame, 0, to); err != nil {
			t.Fatalf("send %d bytes: %v", len(frame), err)
		}
	}
}

// next returns the next frame, with a copy of its data, or false when none comes.
func next(t *testing.T, s *TPacket) (Frame, bool) {
	t.Helper()
	return within(t, s, 5*time.Second)
}

func within(t *testing.T, s *TPacket, d time.Duration) (Frame, bool) {
	t.Helper()
	for end := time.Now().Add(d); ; {
		var f Frame
		err := s.Next(&f)
		if err == nil {
			f.Data = bytes.Clone(f.Data)
			return f, true
		}
		if !errors.Is(err, ErrIdle) {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			return f, false
		}
		if err := s.Wait(20 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// more returns the next of frames that were all sent: a few times the retire time
// without one means that there is none.
func more(t *testing.T, s *TPacket) (Frame, bool) {
	t.Helper()
	return within(t, s, 200*time.Millisecond)
}

// drain returns how many frames there are.
func drain(t *testing.T, s *TPacket) (n uint64) {
	t.Helper()
	for {
		if _, ok := more(t, s); !ok {
			return n
		}
		n++
	}
}

// udp builds a frame of n bytes or more with IPv4 and UDP; tags come behind the addresses.
func udp(src, dst byte, sport, dport uint16, n int, tags ...byte) []byte {
	b := append([]byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src}, tags...)
	b = append(b, 0x08, 0x00)
	l3 := len(b)
	n = max(n, l3+28)
	b = append(b, make([]byte, n-l3)...)
	h := b[l3:]
	h[0], h[8], h[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(h[2:], uint16(n-l3))
	copy(h[12:], []byte{192, 0, 2, src, 192, 0, 2, dst})
	binary.BigEndian.PutUint16(h[20:], sport)
	binary.BigEndian.PutUint16(h[22:], dport)
	binary.BigEndian.PutUint16(h[24:], uint16(n-l3-20))
	for i := 28; i < len(h); i++ {
		h[i] = byte(i * 7)
	}
	return b
}

func TestTPacketBytes(t *testing.T) {
	netns(t)
	in := open(t, TPacketConfig{Index: 3, Promiscuous: true})
	out := open(t, TPacketConfig{Interface: "far", Index: 4})
	frames := map[string][]byte{
		"small":         udp(1, 2, 1000, 53, 60),
		"full":          udp(1, 2, 1000, 53, 1514),
		"jumbo":         udp(1, 2, 1000, 53, 9014),
		"VLAN":          udp(1, 2, 1000, 53, 100, 0x81, 0, 0, 42),
		"VLAN priority": udp(1, 2, 1000, 53, 100, 0x81, 0, 0xe0, 0),
		"VLAN zero":     udp(1, 2, 1000, 53, 100, 0x81, 0, 0, 0),
		"QinQ":          udp(1, 2, 1000, 53, 100, 0x88, 0xa8, 0, 7, 0x81, 0, 0, 42),
		"VLAN jumbo":    udp(1, 2, 1000, 53, 9018, 0x81, 0, 0xf, 0xff),
		"no IP":         append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, make([]byte, 46)...),
	}
	send := sender(t, "far")
	for name, b := range frames {
		before := uint64(time.Now().UnixNano())
		send(b)
		for _, tt := range []struct {
			s     *TPacket
			index uint16
			flags uint16
		}{{in, 3, 0}, {out, 4, pkt.FlagOutgoing}} {
			f, ok := next(t, tt.s)
			if !ok || !bytes.Equal(f.Data, b) {
				t.Fatalf("%s, %s: got %x, want %x", name, tt.s.cfg.Interface, f.Data, b)
			}
			if f.WireLen != uint32(len(b)) || f.If != tt.index || f.Out != tt.index || f.Link != 1 || f.Flags != tt.flags {
				t.Errorf("%s: frame is {WireLen %d If %d Out %d Link %d Flags %#x}, want {%d %d %d 1 %#x}",
					name, f.WireLen, f.If, f.Out, f.Link, f.Flags, len(b), tt.index, tt.index, tt.flags)
			}
			if now := uint64(time.Now().UnixNano()); f.TS < before || f.TS > now {
				t.Errorf("%s: time %d is not between %d and %d", name, f.TS, before, now)
			}
		}
	}
}

// TestTPacketStalled leaves frames unread until the kernel drops: each is counted once.
func TestTPacketStalled(t *testing.T) {
	netns(t)
	s := open(t, TPacketConfig{BlockSize: 64 << 10, Blocks: 4})
	send := sender(t, "far")
	const sent = 20000
	b := udp(1, 2, 1000, 53, 60)
	for i := range sent {
		send(b)
		if i == sent/2 {
			s.Stats() // counts add up over readings
		}
	}
	n := drain(t, s)
	got := s.Stats()
	if got.Received != n || got.Received+got.Dropped != sent || got.Dropped == 0 || got.Freezes == 0 || got.Skipped != 0 {
		t.Errorf("Stats() = %+v after %d frames were sent and %d read", got, sent, n)
	}
	send(b)
	if _, ok := next(t, s); !ok {
		t.Error("no frame comes after the ring was full")
	}
	want := s.Stats()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats(); got != want {
		t.Errorf("Stats() = %+v after Close, want %+v", got, want)
	}
	if err := s.Next(new(Frame)); !errors.Is(err, ErrIdle) {
		t.Errorf("Next() = %v after Close, want %v", err, ErrIdle)
	}
	if err := s.Wait(0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Wait() = %v after Close, want %v", err, os.ErrClosed)
	}
}

// udp6 builds the same flow over IPv6.
func udp6(src, dst byte, sport, dport uint16, n int) []byte {
	b := make([]byte, max(n, 62))
	copy(b, []byte{2, 0, 0, 0, 0, dst, 2, 0, 0, 0, 0, src, 0x86, 0xdd, 0x60})
	binary.BigEndian.PutUint16(b[18:], uint16(len(b)-54))
	b[20], b[21] = 17, 64
	copy(b[22:], []byte{0x20, 0x01, 0x0d, 0xb8})
	copy(b[38:], []byte{0x20, 0x01, 0x0d, 0xb8})
	b[37], b[53] = src, dst
	binary.BigEndian.PutUint16(b[54:], sport)
	binary.BigEndian.PutUint16(b[56:], dport)
	binary.BigEndian.PutUint16(b[58:], uint16(len(b)-54))
	return b
}

// TestTPacketFanout sends flows in both directions: each comes to one of two sockets.
func TestTPacketFanout(t *testing.T) {
	netns(t)
	cfg := TPacketConfig{Fanout: "hash", FanoutGroup: new(FanoutGroup), Defrag: true}
	socks := []*TPacket{open(t, cfg), open(t, cfg)}
	there, back := sender(t, "far"), sender(t, "near")
	for _, tt := range []struct {
		name  string
		ports int // where they are in a frame
		build func(src, dst byte, sport, dport uint16) []byte
	}{
		{"IPv4", 34, func(s, d byte, sp, dp uint16) []byte { return udp(s, d, sp, dp, 80) }},
		{"VLAN", 38, func(s, d byte, sp, dp uint16) []byte { return udp(s, d, sp, dp, 80, 0x81, 0, 0, 5) }},
		{"IPv6", 54, func(s, d byte, sp, dp uint16) []byte { return udp6(s, d, sp, dp, 80) }},
	} {
		const flows = 500
		for i := range uint16(flows) {
			there(tt.build(1, 2, 1000+i, 53))
			if tt.name == "VLAN" { // a frame sent by this host may have its tag inside: the kernel's hash is another
				there(tt.build(2, 1, 53, 1000+i))
				continue
			}
			back(tt.build(2, 1, 53, 1000+i))
		}
		in := map[uint16][2]int{} // frames of the flow in each socket, by the client's port
		var total [2]int
		for k, s := range socks {
			for f, ok := more(t, s); ok; f, ok = more(t, s) {
				p := binary.BigEndian.Uint16(f.Data[tt.ports:])
				if p == 53 {
					p = binary.BigEndian.Uint16(f.Data[tt.ports+2:])
				}
				c := in[p]
				c[k]++
				in[p] = c
				total[k]++
			}
		}
		if len(in) != flows || total[0] == 0 || total[1] == 0 {
			t.Errorf("%s: %d flows arrived in %v frames, want %d in both sockets", tt.name, len(in), total, flows)
		}
		for p, c := range in {
			if c != [2]int{2, 0} && c != [2]int{0, 2} {
				t.Errorf("%s: flow of port %d has %d frames in one socket, %d in the other", tt.name, p, c[0], c[1])
			}
		}
	}
	cfg.Interface, cfg.Fanout = "near", "cpu"
	if s, err := OpenTPacket(cfg); err == nil || !strings.Contains(err.Error(), "another mode") {
		t.Errorf("OpenTPacket with another mode = %v, %v", s, err)
	}
}

// TestTPacketDefrag gets a datagram that came in two fragments as one.
func TestTPacketDefrag(t *testing.T) {
	netns(t)
	s := open(t, TPacketConfig{Fanout: "hash", FanoutGroup: new(FanoutGroup), Defrag: true})
	whole := udp(1, 2, 1000, 53, 14+20+8+800)
	const cut = 400 // bytes of the first fragment behind the IP header
	first := bytes.Clone(whole[:34+cut])
	second := append(bytes.Clone(whole[:34]), whole[34+cut:]...)
	first[20] = 0x20 // more fragments
	second[21] = cut / 8
	for _, b := range [][]byte{first, second} {
		binary.BigEndian.PutUint16(b[16:], uint16(len(b)-14))
		binary.BigEndian.PutUint16(b[24:], ^sum(b[14:34]))
		sender(t, "far")(b)
	}
	f, ok := next(t, s)
	if !ok || len(f.Data) != len(whole) || !bytes.Equal(f.Data[34:], whole[34:]) {
		t.Errorf("got %d bytes %x, want %x", len(f.Data), f.Data, whole)
	}
	if n := drain(t, s); n != 0 {
		t.Errorf("%d more frames", n)
	}
}

// sum is the one's complement sum of b.
func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

func TestTPacketFanoutModes(t *testing.T) {
	netns(t)
	send := sender(t, "far")
	for mode := range fanouts {
		cfg := TPacketConfig{Fanout: mode, FanoutGroup: new(FanoutGroup), Rollover: mode != "rollover"}
		a, b := open(t, cfg), open(t, cfg)
		for i := range uint16(20) {
			send(udp(1, 2, i, 53, 60))
		}
		if n := drain(t, a) + drain(t, b); n != 20 {
			t.Errorf("%s: two sockets got %d frames, want 20", mode, n)
		}
		_, _ = a.Close(), b.Close()
	}
}

func TestTPacketFilter(t *testing.T) {
	netns(t)
	prog, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 36, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 53, SkipFalse: 1},
		bpf.RetConstant{Val: 50}, // cuts, too
		bpf.RetConstant{},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fanout := range []string{"", "hash"} {
		s := open(t, TPacketConfig{Filter: prog, Fanout: fanout, FanoutGroup: new(FanoutGroup)})
		send := sender(t, "far")
		send(udp(1, 2, 1000, 80, 60))
		send(udp(1, 2, 1000, 53, 70))
		send(udp(1, 2, 1000, 80, 60))
		f, _ := next(t, s)
		if f.WireLen != 70 || len(f.Data) != 50 || s.Stats().Dropped != 0 {
			t.Errorf("fanout %q: got %d of %d bytes, want 50 of 70", fanout, len(f.Data), f.WireLen)
		}
		if n := drain(t, s); n != 0 {
			t.Errorf("fanout %q: %d more frames pass the filter", fanout, n)
		}
	}
}

// TestTPacketLoopback sees frames once, and those of segmentation offload whole.
func TestTPacketLoopback(t *testing.T) {
	netns(t)
	netlab.IP(t, "link set lo mtu 1500 up")
	s := open(t, TPacketConfig{Interface: "lo"})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const sent = 1 << 20
	go func() {
		_, _ = c.Write(make([]byte, sent))
		_ = c.Close()
	}()
	if n, err := io.Copy(io.Discard, p); n != sent || err != nil {
		t.Fatalf("received %d bytes, %v", n, err)
	}
	var payload, large int
	for f, ok := more(t, s); ok; f, ok = more(t, s) {
		if len(f.Data) != int(f.WireLen) || f.Link != 1 || f.Flags&pkt.FlagOutgoing != 0 {
			t.Fatalf("frame is %+v", f)
		}
		if f.WireLen > 1514 {
			if large++; f.Flags&pkt.FlagGSO == 0 {
				t.Fatalf("a frame of %d bytes has flags %#x", f.WireLen, f.Flags)
			}
		}
		payload += int(binary.BigEndian.Uint16(f.Data[16:])) - 20 - int(f.Data[46]>>4)*4
	}
	if payload < sent || large == 0 { // on a busy machine some are sent twice
		t.Errorf("captured %d bytes of payload and %d large frames, want %d or more and some", payload, large, sent)
	}
	if st := s.Stats(); st.Dropped != 0 || st.Skipped != st.Received {
		t.Errorf("Stats() = %+v, want as many skipped as received", st)
	}
}

func TestTPacketDownAndGone(t *testing.T) {
	netns(t)
	s := open(t, TPacketConfig{})
	if s.WasDown() {
		t.Error("WasDown() = true at first")
	}
	send := sender(t, "far")
	b := udp(1, 2, 1000, 53, 60)
	send(b)
	netlab.IP(t, "link set near down")
	netlab.IP(t, "link set near name other")
	netlab.IP(t, "link set other up")
	for running := false; !running; {
		i, err := net.InterfaceByName("far")
		if err != nil {
			t.Fatal(err)
		}
		running = i.Flags&net.FlagRunning != 0
	}
	send(b)
	if n := drain(t, s); n != 2 || !s.WasDown() {
		t.Errorf("%d frames around down and up, was down %t; want 2, true", n, s.WasDown())
	}
	send(b)
	netlab.IP(t, "link del other")
	n := 0
	for {
		err := s.Next(new(Frame))
		if err == nil {
			n++
			continue
		}
		if err = s.Wait(time.Second); err == nil {
			continue
		}
		if want := "capture on interface near: no such interface"; !errors.Is(err, ErrGone) || err.Error() != want {
			t.Errorf("Wait() = %v, want %s", err, want)
		}
		break
	}
	if n != 1 {
		t.Errorf("%d frames before the interface was gone, want 1", n)
	}
}

func TestTPacketOpenDown(t *testing.T) {
	netns(t)
	netlab.IP(t, "link set near down")
	s := open(t, TPacketConfig{})
	if !s.WasDown() {
		t.Error("WasDown() = false")
	}
	netlab.IP(t, "link set near up")
	sender(t, "far")(udp(1, 2, 1000, 53, 60))
	if _, ok := next(t, s); !ok {
		t.Error("no frame comes when the interface is up")
	}
}

// TestTPacketRawIP reads an interface without link header.
func TestTPacketRawIP(t *testing.T) {
	netns(t)
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skip("the kernel has no tunnel devices")
	}
	defer tun.Close()
	ifr, err := unix.NewIfreq("tun0")
	if err != nil {
		t.Fatal(err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(int(tun.Fd()), unix.TUNSETIFF, ifr); err != nil {
		t.Fatal(err)
	}
	netlab.IP(t, "link set tun0 up")
	s := open(t, TPacketConfig{Interface: "tun0"})
	b := udp(1, 2, 1000, 53, 60)[14:]
	if _, err := tun.Write(b); err != nil {
		t.Fatal(err)
	}
	f, ok := next(t, s)
	if !ok || f.Link != 101 || !bytes.Equal(f.Data, b) {
		t.Errorf("frame is %+v, want link 101 and %x", f, b)
	}
}

func TestTPacketRefusals(t *testing.T) {
	netns(t)
	for _, tt := range []struct {
		cfg  TPacketConfig
		err  error
		text string
	}{
		{TPacketConfig{Interface: "nosuch0"}, ErrGone, "capture on interface nosuch0: no such interface"},
		{TPacketConfig{Interface: "a-name-too-long-for-any"}, ErrGone, "1 to 15 bytes"},
		{TPacketConfig{Interface: "near", Fanout: "round"}, nil, `fanout "round": must be hash`},
		{TPacketConfig{Interface: "near", BlockSize: 1000}, nil, "block size 1000: must be a multiple of the page size"},
		{TPacketConfig{Interface: "near", BlockSize: 1 << 30, Blocks: 4}, nil, "less than 2 GiB"},
		{TPacketConfig{Interface: "near", Blocks: 1}, nil, "1 blocks of"},
		{TPacketConfig{Interface: "near", Retire: time.Minute}, nil, "retire time 1m0s"},
		{TPacketConfig{Interface: "near", Filter: []bpf.RawInstruction{{Op: 0xffff}}}, nil, "attach a filter of 1 instructions"},
	} {
		s, err := OpenTPacket(tt.cfg)
		var e *InterfaceError
		if s != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), tt.text) || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("OpenTPacket(%+v) = %v, want %s", tt.cfg, err, tt.text)
		}
	}
	// The thread dies with the test, so nobody else loses the right.
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenTPacket(TPacketConfig{Interface: "near"}); !errors.Is(err, ErrRights) {
		t.Errorf("OpenTPacket without rights = %v, want %v", err, ErrRights)
	}
}
