package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	mmap "github.com/edsrzf/mmap-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Link types that a packet socket delivers.
const (
	linkEthernet = 1
	linkRaw      = 101 // an IP header comes first
)

const (
	vlanTag = 4 // bytes of a tag, kept free before each frame

	// frameSize is what the kernel asks for; blocks hold frames of any length.
	frameSize = 2048

	defaultBlockSize = 1 << 20
	defaultBlocks    = 16
	defaultRetire    = 5 * time.Millisecond
)

var fanouts = map[string]int{
	"hash":     unix.PACKET_FANOUT_HASH,
	"lb":       unix.PACKET_FANOUT_LB,
	"cpu":      unix.PACKET_FANOUT_CPU,
	"rollover": unix.PACKET_FANOUT_ROLLOVER,
	"random":   unix.PACKET_FANOUT_RND,
	"qm":       unix.PACKET_FANOUT_QM,
}

// nothing is a filter that no frame passes.
var nothing = []bpf.RawInstruction{{Op: unix.BPF_RET | unix.BPF_K}}

// OpenTPacket starts to capture. Its error is an *InterfaceError.
func OpenTPacket(cfg TPacketConfig) (*TPacket, error) {
	if cfg.BlockSize == 0 {
		cfg.BlockSize = defaultBlockSize
	}
	if cfg.Blocks == 0 {
		cfg.Blocks = defaultBlocks
	}
	if cfg.Retire == 0 {
		cfg.Retire = defaultRetire
	}
	t := &TPacket{cfg: cfg}
	if err := t.open(); err != nil {
		_ = t.Close()
		return nil, &InterfaceError{cfg.Interface, err}
	}
	return t, nil
}

// open makes the socket. Until it is bound it has no protocol and gets no frame,
// so that none slips in before the filter.
func (t *TPacket) open() error {
	if err := t.check(); err != nil {
		return err
	}
	// The interface's type decides what socket it takes.
	index, hardware, err := lookup(t.cfg.Interface)
	if err != nil {
		return err
	}
	if t.link, err = linkOf(hardware); err != nil {
		return err
	}
	t.loopback = hardware == unix.ARPHRD_LOOPBACK
	kind := unix.SOCK_RAW
	if t.link == linkRaw {
		// Such devices have a header in some directions, in some modes. Without
		// it (SOCK_DGRAM) the frame is an IP packet in all of them.
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_PACKET, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return refused("open a packet socket", err)
	}
	t.f = os.NewFile(uintptr(fd), "packet socket")
	if err := t.ring(fd); err != nil {
		return err
	}
	return t.start(fd, index)
}

// check finds what the kernel would refuse without a word.
func (t *TPacket) check() error {
	page := os.Getpagesize()
	if t.cfg.BlockSize < page || t.cfg.BlockSize%page != 0 || t.cfg.BlockSize > 1<<30 {
		return fmt.Errorf("block size %d: must be a multiple of the page size %d, at most 1 GiB", t.cfg.BlockSize, page)
	}
	if t.cfg.Blocks < 2 || t.cfg.Blocks > (1<<31-1)/t.cfg.BlockSize {
		return fmt.Errorf("%d blocks of %d bytes: must be 2 blocks and less than 2 GiB", t.cfg.Blocks, t.cfg.BlockSize)
	}
	if t.cfg.Retire < 0 || t.cfg.Retire > time.Second {
		return fmt.Errorf("retire time %v: must be at most 1s", t.cfg.Retire)
	}
	if _, ok := fanouts[t.cfg.Fanout]; !ok && t.cfg.Fanout != "" {
		return fmt.Errorf("fanout %q: must be hash, cpu, lb, rollover, random or qm", t.cfg.Fanout)
	}
	if t.cfg.Fanout != "" && t.cfg.FanoutGroup == nil {
		return fmt.Errorf("fanout %q without a group", t.cfg.Fanout)
	}
	if len(t.cfg.Filter) > unix.BPF_MAXINSNS {
		return fmt.Errorf("the filter has %d instructions, the kernel takes %d", len(t.cfg.Filter), unix.BPF_MAXINSNS)
	}
	return nil
}

// LinkType returns the LINKTYPE_* of the frames that a TPacket on an interface gives:
// a filter is made for one.
func LinkType(name string) (uint32, error) {
	_, hardware, err := lookup(name)
	if err == nil {
		var link uint32
		if link, err = linkOf(hardware); err == nil {
			return link, nil
		}
	}
	return 0, &InterfaceError{Interface: name, Err: err}
}

func linkOf(hardware uint16) (uint32, error) {
	switch hardware {
	case unix.ARPHRD_ETHER, unix.ARPHRD_LOOPBACK:
		return linkEthernet, nil
	case unix.ARPHRD_PPP, unix.ARPHRD_NONE, unix.ARPHRD_RAWIP, unix.ARPHRD_TUNNEL, unix.ARPHRD_TUNNEL6,
		unix.ARPHRD_SIT, unix.ARPHRD_IPGRE, unix.ARPHRD_IP6GRE:
		return linkRaw, nil
	}
	return 0, fmt.Errorf("its hardware type is %d (ARPHRD_* of linux/if_arp.h), Weir reads Ethernet, loopback, PPP and raw IP", hardware)
}

// lookup returns an interface's index and its ARPHRD_* type.
func lookup(name string) (index int, hardware uint16, err error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil || name == "" {
		return 0, 0, fmt.Errorf("%w: a name has 1 to %d bytes", ErrGone, unix.IFNAMSIZ-1)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("look it up: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, 0, refused("look it up", err)
	}
	index = int(ifr.Uint32())
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFHWADDR, ifr); err != nil {
		return 0, 0, refused("ask for its type", err)
	}
	return index, ifr.Uint16(), nil // sa_family comes first
}

// ring asks the kernel for the blocks and maps them.
func (t *TPacket) ring(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("the kernel has no TPACKETv3: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_RESERVE, vlanTag); err != nil {
		return fmt.Errorf("reserve room for a VLAN tag: %w", err)
	}
	size, n := t.cfg.BlockSize, t.cfg.Blocks
	req := &unix.TpacketReq3{
		Block_size: uint32(size), Block_nr: uint32(n), Frame_size: frameSize, Frame_nr: uint32(size / frameSize * n),
		Retire_blk_tov: uint32(max(t.cfg.Retire.Milliseconds(), 1)),
	}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, req); err != nil {
		return fmt.Errorf("ask for a ring of %d blocks of %d bytes: %w", n, size, err)
	}
	mem, err := mmap.MapRegion(t.f, size*n, mmap.RDWR, 0, 0)
	if err != nil {
		return fmt.Errorf("map the ring of %d bytes: %w", size*n, err)
	}
	t.mem = mem
	t.blocks = make([][]byte, n)
	for i := range t.blocks {
		t.blocks[i] = mem[i*size : (i+1)*size : (i+1)*size]
	}
	return nil
}

// start lets the frames in.
func (t *TPacket) start(fd, index int) error {
	if t.cfg.Promiscuous {
		m := &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, m); err != nil {
			return refused("make it promiscuous", err)
		}
	}
	first := t.cfg.Filter
	if t.cfg.Fanout != "" {
		first = nothing // between bind and joining the group frames would come to two sockets
	}
	if err := attach(fd, first); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index}); err != nil {
		return refused("bind", err)
	}
	if err := t.trouble(); err != nil {
		return err
	}
	if t.cfg.Fanout == "" {
		return nil
	}
	if err := t.join(fd, index); err != nil {
		return err
	}
	if len(t.cfg.Filter) > 0 {
		return attach(fd, t.cfg.Filter)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		return fmt.Errorf("open the filter: %w", err)
	}
	return nil
}

// attach makes the kernel show only frames that pass the filter.
func attach(fd int, filter []bpf.RawInstruction) error {
	if len(filter) == 0 {
		return nil
	}
	prog := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		prog[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	p := &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, p); err != nil {
		return fmt.Errorf("attach a filter of %d instructions: %w", len(filter), err)
	}
	return nil
}

// refused gives the errors that callers branch on their own names.
func refused(what string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return ErrRights
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return ErrGone
	}
	return fmt.Errorf("%s: %w", what, err)
}

// htons is v in network byte order.
func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
