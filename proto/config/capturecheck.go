package config

import (
	"errors"
	"fmt"
)

// checkCapture finds what does not go together in the source of packets.
func (c *Config) checkCapture(b *binder) {
	checkInterfaces(b, c.Capture.Interfaces)
	live := c.Capture.Source != SourcePCAP
	if live && len(c.Capture.Files) > 0 {
		b.fail(b.at("capture.files"), "capture.files", fmt.Errorf("is set, but capture.source = %q reads no files: remove one of them, or set source = %q", c.Capture.Source, SourcePCAP))
	}
	if live && c.Capture.Pace != 0 {
		b.fail(b.at("capture.pace"), "capture.pace", fmt.Errorf("= %v: capture.source = %q has the pace of its packets: remove it", c.Capture.Pace, c.Capture.Source))
	}
	switch c.Capture.Source {
	case SourceTPacket:
		c.Capture.checkTPacket(b)
	case SourceNFQueue:
		c.checkNFQueue(b)
	}
}

func checkInterfaces(b *binder, all []Interface) {
	first := make(map[string]Pos, len(all))
	for _, i := range all {
		if !require(b, i.Pos, "capture.interface.name", i.Name) {
			continue
		}
		if at, there := first[i.Name]; there {
			b.fail(i.Pos, "capture.interface "+i.Name, fmt.Errorf("is there already at %s: remove one of them", at))
			continue
		}
		first[i.Name] = i.Pos
	}
}

func (c *Capture) checkTPacket(b *binder) {
	if len(c.Interfaces) == 0 {
		b.fail(b.at("capture.source"), "capture.interface", errors.New("is missing: say where to capture, such as [[capture.interface]] with name = \"eth0\""))
	}
	if n := c.Rings(); n > MaxThreads {
		b.fail(b.at("capture.threads"), "capture.threads", fmt.Errorf("= %d: for %d interfaces that makes %d threads: %d are possible in all",
			c.Threads, len(c.Interfaces), n, MaxThreads))
	}
	if t := &c.TPacket; t.BlockSize*Size(t.Blocks) > MaxTPacketRing {
		b.fail(b.at("capture.tpacket.blocks"), "capture.tpacket.blocks", fmt.Errorf("= %d: with block_size = %q each thread takes %v: must be at most %v",
			t.Blocks, t.BlockSize, t.BlockSize*Size(t.Blocks), MaxTPacketRing))
	}
}

func (c *Config) checkNFQueue(b *binder) {
	q := &c.Capture.NFQueue
	if n := c.Capture.Threads; q.First+n > maxQueue+1 {
		b.fail(b.at("capture.nfqueue.first"), "capture.nfqueue.first", fmt.Errorf("= %d: the last of %d queues would be %d: at most %d is possible here",
			q.First, n, q.First+n-1, maxQueue+1-n))
	}
	// A packet that is not queued overtakes those of its flow that are held, so the
	// limit must lie beyond the end of the inspection. Each of its packets may have
	// an answer, and both are counted.
	if least := 2 * c.Inspect.MaxPackets; q.Hold > 0 && q.Packets > 0 && q.Packets < least {
		b.fail(b.at("capture.nfqueue.packets"), "capture.nfqueue.packets", fmt.Errorf("= %d: with hold = %q a flow could pass before inspect.max_packets = %d are seen: set 0 (no limit) or at least %d",
			q.Packets, formatDuration(q.Hold), c.Inspect.MaxPackets, least))
	}
}
