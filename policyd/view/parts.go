package view

import (
	"bytes"

	"weir/proto/event"
)

// Parts are parts of a flow's payload that change at different times.
type Parts uint8

// Parts. Revision and the flags about the inspection belong to none.
const (
	Counters  Parts = 1 << iota // packets, bytes, times
	EndReason                   // why it ended
	Rest                        // everything else: the tuple, the description
)

// Offsets of the parts; package event describes the layout.
const (
	offFirst     = 16
	offTuple     = 32
	offPackets   = 80
	offEndReason = 133
)

// differ returns the parts in which two payloads differ; all of them when there is
// no old one.
func differ(old, f event.Flow) (p Parts) {
	if len(old) == 0 {
		return Counters | EndReason | Rest
	}
	if !bytes.Equal(old[offFirst:offTuple], f[offFirst:offTuple]) ||
		!bytes.Equal(old[offPackets:event.DescriptionAt], f[offPackets:event.DescriptionAt]) {
		p |= Counters
	}
	if old[offEndReason] != f[offEndReason] {
		p |= EndReason
	}
	if (old.Flags()^f.Flags())&event.FlagMidstream != 0 ||
		!bytes.Equal(old[offTuple:offPackets], f[offTuple:offPackets]) ||
		!bytes.Equal(old[event.DescriptionAt:offEndReason], f[event.DescriptionAt:offEndReason]) ||
		!bytes.Equal(old[offEndReason+1:], f[offEndReason+1:]) {
		p |= Rest
	}
	return p
}
