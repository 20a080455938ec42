package view

import (
	"testing"

	"weir/proto/event"
)

// TestNoGarbage: once there is room, flows come, change and end without an allocation.
func TestNoGarbage(t *testing.T) {
	v := New[struct{}](1, 100)
	f := make(event.Flow, event.FixedSize)
	rev, id := byte(1), byte(0)
	report := func(typ event.Type) {
		f[0], f[8] = id, rev
		rev++
		if _, _, err := v.Merge(0, typ, 0, f); err != nil {
			t.Fatal(err)
		}
	}
	life := func() {
		id, rev = id+1, 1
		report(event.FlowNew)
		report(event.FlowClass)
		report(event.FlowEnd)
	}
	if n := testing.AllocsPerRun(1000, life); n != 0 {
		t.Errorf("a flow's life allocates %v times, want 0", n)
	}
	if got := v.workers[0].bytes; got != 0 {
		t.Errorf("an empty view counts %d bytes", got)
	}
}

func TestDiffer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		at   int
		want Parts
	}{
		{"revision", 8, 0}, {"final", 14, 0}, {"first packet", 16, Counters}, {"last packet", 24, Counters},
		{"address", 32, Rest}, {"mark", 79, Rest}, {"packets", 80, Counters}, {"bytes", 111, Counters},
		{"MAC", 112, Rest}, {"confidence", 132, Rest}, {"end reason", 133, EndReason}, {"source", 134, Rest},
	}
	for _, tt := range tests {
		old, f := make(event.Flow, event.FixedSize), make(event.Flow, event.FixedSize)
		f[tt.at] = 1
		if got := differ(old, f); got != tt.want {
			t.Errorf("differ(%s) = %b, want %b", tt.name, got, tt.want)
		}
	}
	if got := differ(nil, make(event.Flow, event.FixedSize)); got != Counters|EndReason|Rest {
		t.Errorf("differ(nothing, a flow) = %b, want all parts", got)
	}
}
