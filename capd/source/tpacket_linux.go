package source

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	mmap "github.com/edsrzf/mmap-go"
	"golang.org/x/sys/unix"

	"weir/proto/pkt"
)

// TPacket captures what an interface receives and sends, through a ring of blocks
// that it shares with the kernel (TPACKETv3 of packet(7)). It knows the interface
// by its number: another name changes nothing. While the interface is down no
// frame comes; when it is up again they do.
//
// One goroutine at a time may use it.
type TPacket struct {
	cfg      TPacketConfig
	link     uint32
	loopback bool
	f        *os.File // the socket
	fanout   *fanout  // nil: it shares with nobody
	mem      mmap.MMap
	blocks   [][]byte // in mem

	cur   int    // block that is read, or comes next
	block []byte // blocks[cur] up to where the kernel wrote, nil when the kernel has it
	off   int    // of the next frame in block
	left  uint32 // frames from off on

	down  bool
	gone  bool
	stats Stats
}

// Offsets of struct tpacket_block_desc with tpacket_hdr_v1, of struct tpacket3_hdr
// and of the struct sockaddr_ll behind it, linux/if_packet.h. Native byte order.
const (
	blockStatus = 8
	blockFrames = 12
	blockFirst  = 16
	blockLen    = 20
	blockHeader = 48

	frameNext    = 0
	frameSec     = 4
	frameNsec    = 8
	frameSnaplen = 12
	frameLen     = 16
	frameStatus  = 20
	frameMac     = 24
	frameTCI     = 32
	frameTPID    = 36
	framePacket  = 48 + 10 // sll_pkttype
	frameHeader  = 48 + 20
)

// Next fills f with the next frame, in place: f.Data lies in the ring, and its
// block goes back to the kernel with the call after its last frame.
func (t *TPacket) Next(f *Frame) error {
	for {
		if t.left == 0 && !t.turn() {
			return ErrIdle
		}
		if t.left > 0 && t.frame(f) {
			t.stats.Received++
			return nil
		}
	}
}

// turn gives the block that was read back and takes the next one. It returns
// false when the kernel still has it.
func (t *TPacket) turn() bool {
	t.release()
	if !t.ready() {
		return false
	}
	b := t.blocks[t.cur]
	n := binary.NativeEndian.Uint32(b[blockLen:])
	t.block = b[:min(uint64(n), uint64(len(b)))]
	t.left = binary.NativeEndian.Uint32(b[blockFrames:])
	t.off = int(min(binary.NativeEndian.Uint32(b[blockFirst:]), uint32(len(b))))
	return true
}

func (t *TPacket) release() {
	if t.block == nil {
		return
	}
	word(t.blocks[t.cur], blockStatus).Store(unix.TP_STATUS_KERNEL)
	t.block = nil
	if t.cur++; t.cur == len(t.blocks) {
		t.cur = 0
	}
}

// ready reports whether the kernel has handed over the next block.
func (t *TPacket) ready() bool {
	return t.mem != nil && word(t.blocks[t.cur], blockStatus).Load()&unix.TP_STATUS_USER != 0
}

// frame reads the frame at t.off. It returns false when the caller is not to get
// it. The kernel wrote the ring; a length that cannot be right ends the block.
func (t *TPacket) frame(f *Frame) bool {
	if len(t.block)-t.off < frameHeader {
		return t.broken()
	}
	h := t.block[t.off : t.off+frameHeader : t.off+frameHeader]
	start := t.off + int(binary.NativeEndian.Uint16(h[frameMac:]))
	size := binary.NativeEndian.Uint32(h[frameSnaplen:])
	if start < t.off+frameHeader+vlanTag || start > len(t.block) || uint64(size) > uint64(len(t.block)-start) {
		return t.broken()
	}
	end := start + int(size)
	t.left--
	if next := binary.NativeEndian.Uint32(h[frameNext:]); t.left > 0 {
		if next < frameHeader || uint64(next) > uint64(len(t.block)-t.off) {
			t.stats.Skipped += uint64(t.left)
			t.left = 0
		} else {
			t.off += int(next)
		}
	}
	f.Flags = 0
	if h[framePacket] == unix.PACKET_OUTGOING {
		if t.loopback { // it is seen again when it is received
			t.stats.Skipped++
			return false
		}
		f.Flags = pkt.FlagOutgoing
	}
	f.TS = uint64(binary.NativeEndian.Uint32(h[frameSec:]))*1e9 + uint64(binary.NativeEndian.Uint32(h[frameNsec:]))
	f.WireLen = max(binary.NativeEndian.Uint32(h[frameLen:]), size)
	status := binary.NativeEndian.Uint32(h[frameStatus:])
	if status&unix.TP_STATUS_GSO_TCP != 0 {
		f.Flags |= pkt.FlagGSO
	}
	if status&unix.TP_STATUS_VLAN_VALID != 0 && t.link == linkEthernet && size >= 12 {
		start -= vlanTag
		f.WireLen = max(f.WireLen+vlanTag, size+vlanTag)
		retag(t.block[start:end], h, status)
	}
	f.Data = t.block[start:min(end, start+MaxFrame):end]
	f.Link, f.If, f.Out = t.link, t.cfg.Index, t.cfg.Index
	f.Queue, f.Mark, f.ID = 0, 0, 0
	return true
}

// broken gives the rest of the block up.
func (t *TPacket) broken() bool {
	t.stats.Skipped += uint64(t.left)
	t.left = 0
	return false
}

// retag puts the VLAN tag back that the kernel took out behind the addresses. b is
// the frame with as many bytes free before it as a tag has.
func retag(b, h []byte, status uint32) {
	copy(b, b[vlanTag:vlanTag+12])
	tpid := uint16(unix.ETH_P_8021Q)
	if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
		tpid = binary.NativeEndian.Uint16(h[frameTPID:])
	}
	binary.BigEndian.PutUint16(b[12:], tpid)
	binary.BigEndian.PutUint16(b[14:], uint16(binary.NativeEndian.Uint32(h[frameTCI:])))
}

// Wait returns when a frame is there, d has passed, or a signal came. After the
// interface has gone it returns ErrGone, when all its frames were read.
func (t *TPacket) Wait(d time.Duration) error {
	if t.left > 0 {
		return nil
	}
	t.release()
	if t.ready() {
		return nil
	}
	if t.f == nil {
		return &InterfaceError{t.cfg.Interface, os.ErrClosed}
	}
	last := t.gone
	if last {
		d = 2*t.cfg.Retire + 10*time.Millisecond // for the block that the kernel fills
	}
	ts := unix.NsecToTimespec(max(d.Nanoseconds(), 0))
	fds := [...]unix.PollFd{{Fd: int32(t.f.Fd()), Events: unix.POLLIN}}
	n, err := unix.Ppoll(fds[:], &ts, nil)
	switch {
	case errors.Is(err, unix.EINTR):
		return nil
	case err != nil:
		return &InterfaceError{t.cfg.Interface, fmt.Errorf("wait for frames: %w", err)}
	case n > 0 && fds[0].Revents&^unix.POLLIN != 0:
		err = t.trouble()
	case last && !t.ready():
		err = ErrGone
	case n == 0 && t.down:
		// An interface that is removed goes down first. Who asks in between hears
		// nothing more of it from the socket.
		err = t.bound()
	}
	if err != nil {
		return &InterfaceError{t.cfg.Interface, err}
	}
	return nil
}

// trouble takes the socket's error. That the interface went down is none: the
// kernel takes the socket up again with it.
func (t *TPacket) trouble() error {
	fd := int(t.f.Fd())
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return fmt.Errorf("ask for its error: %w", err)
	case n == 0:
		return nil
	case unix.Errno(n) != unix.ENETDOWN:
		return fmt.Errorf("the kernel reports: %w", unix.Errno(n))
	}
	t.down = true
	return t.bound()
}

// bound looks whether the socket still has an interface.
func (t *TPacket) bound() error {
	sa, err := unix.Getsockname(int(t.f.Fd()))
	if err != nil {
		return fmt.Errorf("ask for its interface: %w", err)
	}
	if ll, ok := sa.(*unix.SockaddrLinklayer); ok && ll.Ifindex <= 0 {
		t.gone = true // the kernel takes the number from the socket
	}
	return nil
}

// WasDown reports whether the interface was down when it was opened, or has been
// since. It tells nobody when it came up: that is netlink's part.
func (t *TPacket) WasDown() bool { return t.down }

// Stats returns the counts since the source was opened, also after Close. The
// kernel counts in 32 bits: call it more often than they wrap.
func (t *TPacket) Stats() Stats {
	if t.f == nil {
		return t.stats
	}
	// Reading resets. Its count of packets includes those it dropped; what was
	// delivered is counted where it is delivered.
	if s, err := unix.GetsockoptTpacketStatsV3(int(t.f.Fd()), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		t.stats.Dropped += uint64(s.Drops)
		t.stats.Freezes += uint64(s.Freeze_q_cnt)
	}
	return t.stats
}

// Close leaves the interface. Data of the last frame is gone with it.
func (t *TPacket) Close() error {
	if t.f == nil {
		return nil
	}
	t.Stats()
	t.block, t.left, t.blocks = nil, 0, nil
	var err error
	if t.mem != nil {
		err = t.mem.Unmap()
		t.mem = nil
	}
	if t.fanout != nil {
		err = errors.Join(err, t.cfg.FanoutGroup.leave(t.fanout, t.f.Close))
		t.fanout = nil
	} else {
		err = errors.Join(err, t.f.Close())
	}
	t.f = nil
	return err
}
