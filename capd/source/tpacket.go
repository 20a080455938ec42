package source

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/net/bpf"
)

// TPacketConfig says where and how a TPacket captures.
type TPacketConfig struct {
	Interface string
	Index     uint16 // number that frames carry as interface

	// Fanout shares the frames of the interface among the sockets of one group:
	// "hash" (both directions of a flow go to one socket), "cpu", "lb",
	// "rollover", "random", "qm", or "" for a socket that gets all frames. The
	// hash of a frame whose VLAN tag is inside, as where a device without VLAN
	// offload sends, is not that of the other direction.
	Fanout      string
	FanoutGroup *FanoutGroup // the same for all sockets of one interface, another for each interface
	Defrag      bool         // datagrams are put together before they are shared out
	Rollover    bool         // a socket without room passes frames on to another of its group

	// BlockSize is in bytes, a multiple of the page size, 0 for 1 MiB. It bounds
	// a frame: less than 128 KiB cuts the largest frames of segmentation offload.
	BlockSize int
	Blocks    int           // 0 for 16
	Retire    time.Duration // after which a block with frames is handed over, 0 for 5 ms

	Promiscuous bool
	Filter      []bpf.RawInstruction // run by the kernel; empty for all frames
}

// Reasons why an interface cannot be captured from. They come wrapped in an
// *InterfaceError.
var (
	// ErrGone means that the interface is not there, or no longer.
	ErrGone = errors.New("no such interface")

	// ErrDown means that the interface must be up to be shared in a fanout group.
	ErrDown = errors.New("the interface is down")

	// ErrRights means that the kernel forbids it.
	ErrRights = errors.New("not allowed, it needs the capability CAP_NET_RAW")
)

// InterfaceError says what is wrong with the capture on an interface.
type InterfaceError struct {
	Interface string
	Err       error
}

func (e *InterfaceError) Error() string {
	return fmt.Sprintf("capture on interface %s: %v", e.Interface, e.Err)
}

// Unwrap returns the reason.
func (e *InterfaceError) Unwrap() error { return e.Err }
