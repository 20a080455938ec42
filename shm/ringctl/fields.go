package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"weir/shm/ringctl/advice"
	"weir/shm/ringctl/look"
)

// orderedObject is a JSON object whose keys keep their order.
type orderedObject []field

// MarshalJSON implements json.Marshaler.
func (o orderedObject) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(f.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func ringFields(in *look.Instance, r *look.Ring) []field {
	g := r.Header.Ring()
	f := headerFields(r.Path, &r.Header)
	f = append(f,
		field{"inode", r.Inode, ""},
		field{"file_bytes", r.FileSize, advice.Bytes(uint64(r.FileSize))},
		field{"carries", string(r.Kind), ""},
		field{"producer", r.Producer(), ""},
		field{"when_full", yes(r.Wait, "wait", yes(r.Kind == look.Event, "overwrite", "drop")), ""},
	)
	f = append(f, ownerFields(in, r.Owner, r.Process)...)
	f = append(f, field{"tail", r.Tail, ""}, field{"producer_waits", r.Waits(), ""})
	if r.Kind == look.Event {
		s := &r.Events
		return append(f,
			field{"intent", r.Intent, ""}, field{"capacity", r.Size, advice.Bytes(r.Size)}, field{"block_bytes", g.BlockSize, ""},
			field{"max_record", g.MaxRecord, ""},
			field{"events", s.Events, ""}, field{"bytes", s.Bytes, ""}, field{"batches", s.Batches, ""}, field{"wakes", s.Wakes, ""},
			field{"snapshots_begun", s.SnapshotsBegun, ""}, field{"snapshots_done", s.SnapshotsDone, ""}, field{"shed", s.Shed, ""},
			field{"max_lag", s.MaxLag, ""}, field{"readers_given_up", s.GivenUp, ""}, field{"waited_ns", s.WaitedNS, ""})
	}
	s := &r.Packets
	return append(f,
		field{"freed", r.Freed, ""}, field{"descriptors", r.Size, ""}, field{"payload_bytes", r.PayloadSize, advice.Bytes(r.PayloadSize)},
		field{"payload_used", r.PayloadUsed, advice.Bytes(r.PayloadUsed)}, field{"max_frame", r.MaxFrame, ""},
		field{"records", s.Records, ""}, field{"bytes", s.Bytes, ""}, field{"batches", s.Batches, ""}, field{"wakes", s.Wakes, ""},
		field{"dropped", s.Dropped, ""}, field{"dropped_bytes", s.DroppedBytes, ""},
		field{"dropped_consumer_down", s.DroppedConsumerDown, ""}, field{"too_long", s.TooLong, ""})
}

func cursorFields(in *look.Instance, r *look.Ring, rd *look.Reader) []field {
	if rd.Err != nil {
		return []field{{"path", rd.Path, ""}, {"reader", rd.Name, ""}, {"error", rd.Err.Error(), yes(rd.Missing(), "no cursor: nobody ever read this ring", "")}}
	}
	i := &rd.Info
	f := []field{
		{"path", rd.Path, ""}, {"reader", rd.Name, ""}, {"label", i.Name, ""},
		{"ring_id", fmt.Sprintf("%016x", i.RingID), yes(rd.Foreign, fmt.Sprintf("%016x, not that of the ring", i.RingID), "")},
	}
	f = append(f, ownerFields(in, i.Owner, rd.Process)...)
	f = append(f,
		field{"position", i.Position, ""}, field{"in_bounds", !rd.Beyond, yes(rd.Beyond, "no: the position is not in the ring", "yes")},
		field{"lag", rd.Lag, amount(rd.Lag, r.Unit()) + " of " + amount(r.Size, r.Unit())}, field{"sleeps_now", i.Waiting, ""})
	if r.Kind == look.Event {
		s := &rd.Events
		return append(f,
			field{"lapped", rd.Lapped, ""}, field{"last_seq", i.LastSeq, ""},
			field{"snapshots_asked", i.ResyncAsked, ""}, field{"snapshots_received", i.ResyncDone, ""}, field{"last_reason", i.ResyncFor, ""},
			field{"events", s.Events, ""}, field{"bytes", s.Bytes, ""}, field{"overruns", s.Overruns, ""}, field{"lost", s.Lost, ""},
			field{"corrupt", s.Corrupt, ""}, field{"resyncs", s.Resyncs, ""}, field{"reread", s.Reread, ""})
	}
	s := &rd.Packets
	work := field{"in_work", nil, "nothing"}
	if i.Inflight != 0 {
		work = field{"in_work", i.Inflight - 1, fmt.Sprintf("packet %d", i.Inflight-1)}
	}
	return append(f,
		work, field{"deaths_on_it", i.InflightTries, ""},
		field{"records", s.Records, ""}, field{"bytes", s.Bytes, ""}, field{"corrupt", s.Corrupt, ""},
		field{"poison_skipped", s.PoisonSkipped, ""}, field{"sleeps", s.Sleeps, ""}, field{"resyncs", s.Resyncs, ""})
}

func counterFields(c *look.Counters) []field {
	f := []field{{"path", c.Path, ""}, {"locked", c.Alive, yes(c.Alive, "yes: its owner lives", "no: nobody owns it")}}
	for i, n := range c.Names {
		f = append(f, field{n, c.Values[i], advice.Count(c.Values[i])})
	}
	return f
}
