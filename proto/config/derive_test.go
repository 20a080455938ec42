package config

import "testing"

func TestDerive(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	tests := []struct {
		name     string
		ram      uint64
		ncpu     int
		workers  int
		minFlows int
		maxTotal Size
	}{
		{name: "small router", ram: 256 * mib, ncpu: 1, workers: 1, minFlows: 40_000, maxTotal: 64 * MiB},
		{name: "tiny", ram: 64 * mib, ncpu: 1, workers: 1, minFlows: 4096, maxTotal: 48 * MiB},
		{name: "router with 4 cores", ram: 1 * gib, ncpu: 4, workers: 3, minFlows: 80_000, maxTotal: 256 * MiB},
		{name: "server", ram: 16 * gib, ncpu: 8, workers: 7, minFlows: 1_000_000, maxTotal: 4 * GiB},
		{name: "big server", ram: 256 * gib, ncpu: 128, workers: 64, minFlows: 1_000_000, maxTotal: 64 * GiB},
		{name: "no CPU known", ram: 1 * gib, ncpu: 0, workers: 1, minFlows: 400_000, maxTotal: 256 * MiB},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			c.Derive(tt.ram, tt.ncpu)
			if c.Workers.Count != tt.workers {
				t.Errorf("Derive: workers = %d, want %d", c.Workers.Count, tt.workers)
			}
			if c.Flow.MaxFlows < tt.minFlows {
				t.Errorf("Derive: max_flows = %d, want at least %d", c.Flow.MaxFlows, tt.minFlows)
			}
			if got := c.Footprint(); got > tt.maxTotal {
				t.Errorf("Footprint = %.1f MiB, want at most %v", float64(got)/float64(MiB), tt.maxTotal)
			}
			roundTrip(t, c) // also: derived values lie within the limits
		})
	}
}

func TestDeriveKeepsGiven(t *testing.T) {
	c := Default()
	c.Workers.Count, c.Flow.MaxFlows, c.Flow.Metadata = 3, 5000, MiB
	c.Rings = Rings{PacketDescriptors: 2048, PacketPayload: MiB, EventSize: 2 * MiB}
	c.Derive(16<<30, 8)
	if c.Workers.Count != 3 || c.Flow.MaxFlows != 5000 || c.Flow.Metadata != MiB || c.Rings.PacketDescriptors != 2048 ||
		c.Rings.PacketPayload != MiB || c.Rings.EventSize != 2*MiB {
		t.Errorf("Derive changed what was given: %+v %+v %+v", c.Workers, c.Flow, c.Rings)
	}
}

func TestMachine(t *testing.T) {
	ram, ncpu, err := Machine()
	if err != nil || ram < 16<<20 || ncpu < 1 {
		t.Errorf("Machine() = %d, %d, %v, want at least 16 MiB and one CPU", ram, ncpu, err)
	}
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,8,10-11": 7, "": 0, "3-1": 0, "x": 0, "0,": 0} {
		if got := countCPUs(list); got != want {
			t.Errorf("countCPUs(%q) = %d, want %d", list, got, want)
		}
	}
}
