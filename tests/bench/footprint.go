package main

import (
	"context"
	"errors"
	"fmt"

	"weir/dpid/flow"
	"weir/proto/flowkey"
	"weir/shm/layout"
)

// benchFootprint measures what a flow takes in the table: an idle one, and on average
// one that was classified, in the middle of mix A, with what is known of it.
func benchFootprint(b *bench) error {
	const flows = 1 << 20
	index, err := flow.IndexBytes(flows)
	if err != nil {
		return err
	}
	idle := float64(index)/flows + flow.RecordSize
	limit := func(what string, value, most float64, note string) {
		b.rows = append(b.rows, row{what: what, unit: "B", value: value, reference: "limit", referenceValue: most,
			ratio: value / most, want: 1, atMost: true, note: note})
	}
	limit("memory of an idle flow", idle, 160, "record, index and timer, at a million flows")
	file, err := b.mix(mixes[0])
	if err != nil {
		return b.skipped(row{what: "memory of a classified flow", reference: "limit", want: 1, atMost: true}, err)
	}
	chunks, described, err := described(capture(file), b.catalog())
	if err != nil {
		return err
	}
	if described == 0 {
		return errors.New("no flow of mix A is described")
	}
	limit("memory of a classified flow", idle+float64(chunks*flow.ChunkSize)/float64(described), 400,
		fmt.Sprintf("average of the %d flows alive at the end of mix A that a protocol was found for", described))
	return nil
}

// described runs a worker over a capture that does not end, and counts the chunks of
// the living flows that have a protocol.
func described(from packets, catalogFile string) (chunks, flows int, err error) {
	err = inPlace(func(root layout.Root, seed *flowkey.Seed) error {
		ring, err := fill(from, seed, false)
		if err != nil {
			return err
		}
		w, done, err := newWorker(root, ring, catalogFile, seed, maxPackets)
		if err != nil {
			return errors.Join(err, done())
		}
		if err := w.worker.Run(untilEmpty{context.Background(), ring}); err != nil {
			return errors.Join(err, done())
		}
		w.table.Each(0, w.table.Cap(), func(_ uint32, r *flow.Record) {
			if w.table.ProtocolID(r) != 0 {
				flows++
				chunks += flow.Chunks(w.table.DescriptionLen(r))
			}
		})
		return done()
	})
	return chunks, flows, err
}
