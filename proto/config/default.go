package config

import "time"

// DefaultPath is where the daemons look when no -config is given.
const DefaultPath = "/etc/weir/weir.toml"

// Default returns the configuration of an empty file. It only observes.
func Default() *Config {
	return &Config{
		Instance: Instance{Name: "weir", Dir: "/dev/shm/weir", LogLevel: "info"},
		Capture:  defaultCapture(),
		Workers:  Workers{Idle: IdleAdaptive},
		Flow: Flow{
			// An eighth holds a burst of a SYN flood long enough for honest
			// answers to arrive and leaves the rest to flows that were answered.
			Probation:     0.125,
			StatsInterval: time.Minute,
			Timeouts: Timeouts{
				TCPEstablished: 300 * time.Second,
				TCPClosing:     10 * time.Second,
				TCPUnanswered:  30 * time.Second,
				UDP:            60 * time.Second,
				DNS:            10 * time.Second,
				ICMP:           30 * time.Second,
				Other:          60 * time.Second,
			},
		},
		// 16 KiB hold the longest certificate chains seen in practice twice over.
		Inspect: Inspect{MaxPackets: 32, MaxBytes: 16 * KiB},
		Policy:  Policy{Mode: ModeObserve, Target: TargetNFTables, Table: "weir", MarkMask: DefaultMarkMask},
	}
}
