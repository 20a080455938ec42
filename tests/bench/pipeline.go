package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// benchPipeline holds all our processes, from the file to the decisions of a policy,
// against ndpiReader on the same file. CPU time in user and system mode of every
// process, theirs on one thread.
func benchPipeline(b *bench) error {
	for i, m := range mixes {
		r := row{what: "pipeline, mix " + m.name, mix: true, unit: "ns/packet", reference: "ndpiReader", want: []float64{5, 4}[i]}
		if err := b.pipeline(r, m); err != nil {
			if err := b.skipped(r, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) pipeline(r row, m mix) error {
	file, err := b.mix(m)
	if err != nil {
		return err
	}
	theirs, err := exec.LookPath("ndpiReader")
	if err != nil {
		return missing("ndpiReader: install the package libndpi-bin")
	}
	packets, err := countPackets(file)
	if err != nil {
		return err
	}
	policy := filepath.Join(b.root, "tests", "bench", "policy.toml")
	cost := func(program string, args ...string) func() (float64, error) {
		return func() (float64, error) {
			_, u, err := b.run(program, args...)
			return float64(u.cpu()) / float64(packets), err
		}
	}
	r.note = fmt.Sprintf("%d packets, CPU of all processes", packets)
	return b.compare(r, cost(filepath.Join(b.bin, "weir"), "replay", "-quiet", "-policy", policy, file), cost(theirs, "-q", "-i", file))
}
