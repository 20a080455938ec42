package worker

import (
	"strings"
	"testing"
	"time"

	"weir/proto/event"
	"weir/proto/flowkey"
	"weir/proto/pkt"
)

// accounted brings what conntrack knows about the flow of p into its ring. Totals are
// those of p's sender, then of the other side.
func (r *rig) accounted(p packet, at time.Duration, a pkt.Account) {
	r.t.Helper()
	p.at = at
	if p.proto == 0 {
		p.proto = protoTCP
	}
	f := r.fields(&p, nil)
	if f.Flags&pkt.FlagReverse != 0 {
		a.PacketsA, a.PacketsB, a.BytesA, a.BytesB = a.PacketsB, a.PacketsA, a.BytesB, a.BytesA
		a.A, a.B, a.PortA, a.PortB = a.B, a.A, a.PortB, a.PortA
	}
	f.Flags, f.Kind = 0, pkt.KindAccount
	var prefix [pkt.PrefixSize]byte
	var body [pkt.AccountSize]byte
	a.Encode(body[:])
	r.record(0, f, prefix[:], body[:])
}

var (
	theirs  = packet{src: endpoint(client1), dst: endpoint("198.51.100.9:443"), flags: tcpACK, data: []byte(noise)}
	counted = pkt.Account{Flags: pkt.AccountCounted, ID: 7, PacketsA: 1000, PacketsB: 2000, BytesA: 1 << 33, BytesB: 3 << 33}
)

// last returns the flow of the last event of a type.
func (r *rig) last(typ event.Type) event.Flow {
	r.t.Helper()
	r.run()
	for i := len(r.seen) - 1; i >= 0; i-- {
		if r.seen[i].typ == typ {
			return r.seen[i].flow()
		}
	}
	r.t.Fatalf("no %v was told", typ)
	return nil
}

// TestTotalsReplace: what conntrack counted stands for all that was counted here, also
// when records come twice, late or out of order, and packets count no more by themselves.
func TestTotalsReplace(t *testing.T) {
	r := newRig(t, options{})
	r.put(theirs)
	r.accounted(theirs, time.Second, counted)
	older := counted
	older.PacketsA, older.BytesA = 10, 1000
	r.accounted(theirs, 2*time.Second, older)
	r.accounted(theirs, 2*time.Second, counted)
	again := theirs
	again.at = 3 * time.Second
	r.put(again)
	over := counted
	over.Flags |= pkt.AccountOver | pkt.AccountFIN
	over.PacketsA, over.BytesA = 1001, 1<<33+100
	r.accounted(theirs, 4*time.Second, over)
	f := r.last(event.FlowEnd)
	if f.ClientPackets() != 1001 || f.ServerPackets() != 2000 || f.ClientBytes() != 1<<33+100 || f.ServerBytes() != 3<<33 {
		t.Errorf("totals = %d packets %d bytes, %d packets %d bytes, want those of the last record", f.ClientPackets(), f.ClientBytes(), f.ServerPackets(), f.ServerBytes())
	}
	if f.Flags()&event.FlagAccounted == 0 || f.EndReason() != event.EndFIN {
		t.Errorf("flags = %#x, reason = %v, want accounted, fin", f.Flags(), f.EndReason())
	}
	r.wantCount(cAccounts, 4)
	r.wantLaws()
}

// TestAccountedLives: a flow whose packets pass in the kernel ends when its totals stop
// to grow, not when its packets stop to come.
func TestAccountedLives(t *testing.T) {
	r := newRig(t, options{})
	r.put(theirs)
	a := counted
	step := rigTimeouts.TCPEstablished / 2
	for i := 1; i <= 6; i++ {
		a.PacketsB++
		r.accounted(theirs, time.Duration(i)*step, a)
		r.tick(time.Duration(i) * step)
	}
	r.run()
	r.wantCount(cEnded, 0)
	for i := 7; i <= 9; i++ {
		r.accounted(theirs, time.Duration(i)*step, a)
		r.tick(time.Duration(i) * step)
	}
	if f := r.last(event.FlowEnd); f.EndReason() != event.EndIdle || f.Last() != epoch+uint64(6*step) {
		t.Errorf("ended as %v, last packet %v after the first; want idle, %v", f.EndReason(), time.Duration(f.Last()-epoch), 6*step)
	}
}

// TestConnectionClosed: the end of a connection that was not seen here is one.
func TestConnectionClosed(t *testing.T) {
	r := newRig(t, options{})
	r.put(theirs)
	a := counted
	a.Flags |= pkt.AccountRST
	r.accounted(theirs, time.Second, a)
	r.tick(time.Second)
	r.run()
	r.wantCount(cEnded, 0) // stragglers may come
	r.tick(time.Second + rigTimeouts.TCPClosing + 2*time.Second)
	if f := r.last(event.FlowEnd); f.EndReason() != event.EndRST {
		t.Errorf("ended as %v, want rst", f.EndReason())
	}
}

// TestAccountUnknown: nothing comes of a record about no flow, or without its body.
func TestAccountUnknown(t *testing.T) {
	r := newRig(t, options{})
	r.accounted(theirs, 0, counted)
	r.record(0, pkt.Fields{Kind: pkt.KindAccount}, nil, nil)
	r.record(0, pkt.Fields{Kind: pkt.KindAccount}, make([]byte, pkt.PrefixSize), make([]byte, pkt.AccountSize-1))
	r.run()
	r.wantCount(cUnaccounted, 1)
	r.wantCount(cUnparsed, 2)
	r.wantLaws()
	if len(r.seen) != 0 {
		t.Errorf("events %v, want none", r.seen)
	}
}

// TestOtherView: the translated addresses stay with the flow, through its classification
// and a kill, and are told at once where it was classified before.
func TestOtherView(t *testing.T) {
	a := counted
	a.Flags, a.Mark = pkt.AccountNAT, 5
	a.A, a.PortA = flowkey.V4([4]byte{203, 0, 113, 1}), 4444
	a.B, a.PortB = flowkey.V4([4]byte{198, 51, 100, 9}), 443
	want := `"ct":{"id":7,"mark":5},"nat":{"client_ip":"203.0.113.1","client_port":4444,"server_ip":"198.51.100.9","server_port":443}`
	data := hello("www.example.org")
	hi := theirs
	hi.flags, hi.data = tcpACK, []byte(data)
	first := theirs
	first.flags, first.data = tcpSYN, nil
	answer := packet{src: theirs.dst, dst: theirs.src, flags: tcpSYN | tcpACK}
	for _, before := range []bool{true, false} {
		r := newRig(t, options{})
		r.put(first)
		r.put(answer)
		typ := event.FlowClass
		if before {
			r.accounted(theirs, time.Second, a)
			r.run()
			r.kill()
			r.put(hi)
		} else {
			typ = event.FlowUpdate
			r.put(hi)
			r.accounted(theirs, time.Second, a)
		}
		f := r.last(typ)
		json := string(event.AppendJSON(nil, f, &event.Names{}))
		if !strings.Contains(json, want) || string(f.Host()) != "www.example.org" {
			t.Errorf("record before the classification %v: %s\nwant in it %s", before, json, want)
		}
	}
}

// TestAccountAgain: a worker that is killed at any point reads a record again and gets
// to the same totals.
func TestAccountAgain(t *testing.T) {
	r := newRig(t, options{})
	r.put(theirs)
	r.run()
	r.accounted(theirs, time.Second, counted)
	r.prod[0].Publish()
	r.w.begin(0)
	d := pkt.Descriptor(r.cons[0].Peek(1))
	r.w.hunch = noGuess
	r.w.descriptor(r.cons[0], r.cons[0].Position(), d) // and no commit
	r.kill()
	r.wantCount(cAccounts, 0)
	r.accounted(theirs, 2*time.Second, pkt.Account{Flags: pkt.AccountOver})
	if f := r.last(event.FlowEnd); f.ClientPackets() != 1000 || f.ServerBytes() != 3<<33 {
		t.Errorf("totals = %d packets, %d bytes, want 1000, %d", f.ClientPackets(), f.ServerBytes(), uint64(3)<<33)
	}
	r.wantCount(cAccounts, 2)
}

// TestAccountNoAllocs: records of accounts allocate nothing.
func TestAccountNoAllocs(t *testing.T) {
	r := newRig(t, options{})
	r.put(theirs)
	r.run()
	a := counted
	a.Flags |= pkt.AccountNAT
	if n := testing.AllocsPerRun(100, func() {
		a.PacketsA++
		a.Mark++
		r.accounted(theirs, time.Second, a)
		r.prod[0].Publish()
		if _, err := r.w.serve(0); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a record, want 0", n)
	}
}
