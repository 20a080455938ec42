package config

import "math/bits"

// What the parts cost, for Derive and Footprint.
const (
	descriptorBytes = 64      // a packet descriptor, format of proto/pkt
	flowBytes       = 160     // index, hot and cold record of an idle flow
	flowMetadata    = 192     // metadata of a classified flow, on average
	dnsBytes        = 128     // a DNS answer with its name
	contextBytes    = 1 * KiB // state of an inspection without the bytes it keeps
	processBytes    = 10 * MiB

	// A quarter of the machine: a gateway has conntrack, page cache and other
	// services to feed, and rings are committed when they are made.
	ramShare = 4
	minPool  = 12 * MiB
)

// Derive replaces every size and count that is 0 by one that suits a machine
// with ram bytes and ncpu CPUs. All daemons must call it with the same two
// numbers, see Machine. What the user gave is kept.
//
// Everything together, three processes included, stays within a quarter of the
// RAM; machines below 256 MiB get the smallest set that works.
func (c *Config) Derive(ram uint64, ncpu int) {
	ncpu = max(ncpu, 1)
	if c.Capture.Threads == 0 {
		c.Capture.Threads = c.Capture.threadsFor(ncpu)
	}
	if c.Workers.Count == 0 {
		c.Workers.Count = min(max(ncpu-c.Capture.Rings(), 1), MaxWorkers)
	}
	workers := Size(c.Workers.Count)
	fixed := processBytes*(2+workers) + c.Capture.kernelMemory()
	pool := minPool
	if total := Size(ram) / ramShare; total > fixed+minPool {
		pool = total - fixed
	}
	c.share(pool / workers)
}

// share divides the memory of one worker. Rings have a best size, the flow
// table takes what is left.
func (c *Config) share(mem Size) {
	threads := Size(c.Capture.Rings())
	if c.Rings.PacketPayload == 0 {
		// Rings beyond the last-level cache only cost: measured best is 4 to 16 MiB.
		c.Rings.PacketPayload = clamp(floorPower(mem/5/threads), MinPacketPayload, 16*MiB)
	}
	if c.Rings.PacketDescriptors == 0 {
		// One for each 256 bytes of payload: smaller packets fill descriptors
		// first, larger ones payload.
		c.Rings.PacketDescriptors = int(clamp(c.Rings.PacketPayload/256, 1<<10, 1<<20))
	}
	if c.Rings.EventSize == 0 {
		c.Rings.EventSize = clamp(floorPower(mem/7), MinEventSize, 64*MiB)
	}
	if c.Inspect.Contexts == 0 {
		c.Inspect.Contexts = int(clamp(mem/10/(contextBytes+c.Inspect.MaxBytes), 64, 1<<16))
	}
	if c.Hint.DNSEntries == 0 {
		c.Hint.DNSEntries = int(clamp(mem/20/dnsBytes, 1024, 1<<20))
	}
	left := Size(0)
	if used := c.rings() + c.caches(); used < mem {
		left = mem - used
	}
	if c.Flow.Metadata != 0 {
		left -= min(left, c.Flow.Metadata)
	}
	if c.Flow.MaxFlows == 0 {
		each := Size(flowBytes)
		if c.Flow.Metadata == 0 {
			each += flowMetadata
		}
		c.Flow.MaxFlows = int(clamp(left/each, 4096, 16<<20))
	}
	if c.Flow.Metadata == 0 {
		c.Flow.Metadata = max(Size(c.Flow.MaxFlows)*flowMetadata, 64*KiB)
	}
}

// Footprint is what the set needs at most with these sizes: shared memory and
// tables of all workers, the kernel's buffers, and the processes themselves.
func (c *Config) Footprint() Size {
	worker := c.rings() + c.caches() + Size(c.Flow.MaxFlows)*flowBytes + c.Flow.Metadata
	return Size(c.Workers.Count)*(worker+processBytes) + 2*processBytes + c.Capture.kernelMemory()
}

func (c *Config) rings() Size {
	packet := c.Rings.PacketPayload + Size(c.Rings.PacketDescriptors)*descriptorBytes
	return Size(c.Capture.Rings())*packet + c.Rings.EventSize
}

func (c *Config) caches() Size {
	return Size(c.Inspect.Contexts)*(contextBytes+c.Inspect.MaxBytes) + Size(c.Hint.DNSEntries)*dnsBytes
}

// floorPower is the largest power of two that is not above s.
func floorPower(s Size) Size {
	if s == 0 {
		return 0
	}
	return 1 << (bits.Len64(uint64(s)) - 1)
}

func clamp(s, lo, hi Size) Size { return min(max(s, lo), hi) }
