package source

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// join makes the socket fd, which is bound to interface index, one of the group.
func (g *FanoutGroup) join(fd, index, mode int) (*fanout, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	first := g.now == nil || g.now.members == 0 || g.now.index != index
	f := g.now
	if first {
		f = &fanout{index: index}
		mode |= unix.PACKET_FANOUT_FLAG_UNIQUEID
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, int(int32(uint32(f.id)|uint32(mode)<<16))); err != nil {
		return nil, err
	}
	if first {
		v, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
		if err != nil {
			return nil, fmt.Errorf("ask for its number: %w", err)
		}
		f.id = v & 0xffff
		g.now = f
	}
	f.members++
	return f, nil
}

// leave closes a member: the kernel's group ends with its last.
func (g *FanoutGroup) leave(f *fanout, closing func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.members--
	return closing()
}

func (t *TPacket) join(fd, index int) (err error) {
	mode := fanouts[t.cfg.Fanout]
	if t.cfg.Defrag {
		mode |= unix.PACKET_FANOUT_FLAG_DEFRAG
	}
	if t.cfg.Rollover {
		mode |= unix.PACKET_FANOUT_FLAG_ROLLOVER
	}
	t.fanout, err = t.cfg.FanoutGroup.join(fd, index, mode)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL) && t.down:
		return ErrDown // older kernels share only what is up
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("join its fanout group: others of it have another mode than %q: %w", t.cfg.Fanout, err)
	}
	return fmt.Errorf("join its fanout group, mode %q: %w", t.cfg.Fanout, err)
}
