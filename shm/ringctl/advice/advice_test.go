package advice

import (
	"io/fs"
	"strings"
	"testing"
	"time"

	"weir/shm/cursor"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
	"weir/shm/ringctl/look"
)

const now = uint64(1000 * time.Second)

// alive is an owner that gave a sign of life just now.
func alive(pid int) layout.Peer {
	return layout.Peer{Epoch: 1, State: layout.StateLive, PID: pid, StartTicks: uint64(pid), Heartbeat: now, Alive: true}
}

func killed(p layout.Peer) layout.Peer { p.Alive = false; return p }

func left(p layout.Peer) layout.Peer { p.Alive, p.State = false, layout.StateClosed; return p }

// healthy is an instance of one worker where everything moves: was and now.
func healthy() (was, in *look.Instance) {
	build := func(at, done uint64) *look.Instance {
		return &look.Instance{Root: "/r", At: at, Rings: []*look.Ring{
			{
				Name: "c00-w00", Kind: look.Packet, Owner: alive(10), Process: look.Running, Size: 100, Tail: done, PayloadSize: 1000, Wait: true,
				Readers: []*look.Reader{{
					Name: "dpid worker 0", Cursor: "c00-w00", Process: look.Running,
					Info: cursor.Info{Kind: cursor.Packet, Position: done, Owner: alive(20)},
				}},
			},
			{
				Name: "w00", Kind: look.Event, Owner: alive(20), Process: look.Running, Size: 1 << 20, Tail: 16 * done, Intent: 16 * done, Wait: true,
				Readers: []*look.Reader{{
					Name: "policyd", Cursor: "policyd.w00", Process: look.Running,
					Info: cursor.Info{Kind: cursor.Event, Position: 16 * done, Owner: alive(30)},
				}},
			},
		}}
	}
	return build(now-uint64(time.Second), 500), build(now, 600)
}

// parts are what the cases below change.
type parts struct {
	in, was  *look.Instance
	pkt, evt *look.Ring
	worker   *look.Reader
	policyd  *look.Reader
}

func (p *parts) allGone() {
	p.pkt.Owner, p.evt.Owner = left(p.pkt.Owner), killed(p.evt.Owner)
	p.worker.Info.Owner, p.policyd.Info.Owner = killed(p.worker.Info.Owner), killed(p.policyd.Info.Owner)
}

func TestHeadline(t *testing.T) {
	t.Parallel()
	const halted = uint64(now - uint64(10*time.Second))
	for _, tt := range []struct {
		name string
		do   func(p *parts)
		want string // the headline
		also string // in the findings
		fix  string // in the first finding
	}{
		{"all is well", func(*parts) {}, "Nothing is stuck: 100 packets and 0 events a second.", "", ""},
		{"no rings", func(p *parts) { p.in.Rings = nil }, "There are no rings here: capd and dpid have not been started on this directory.", "", ""},
		{"nothing readable", func(p *parts) {
			p.in.Rings, p.in.Problems = nil, []look.Problem{{Name: "w00", Err: layout.ErrCorrupt}}
		}, "Nothing can be said: no ring can be read.", "", "ringctl check"},
		{"unreadable ring", func(p *parts) { p.in.Problems = []look.Problem{{Name: "w01", Err: layout.ErrCorrupt}} },
			"Nothing is stuck, but w01 cannot be read: damaged header.", "", "ringctl check"},
		{"capd has left", func(p *parts) { p.pkt.Owner = left(p.pkt.Owner) }, "Nothing is stuck: capd has left, 0 records still unread.", "", ""},
		{"all have left", func(p *parts) {
			p.pkt.Owner, p.evt.Owner = left(p.pkt.Owner), left(p.evt.Owner)
			p.worker.Info.Owner, p.policyd.Info.Owner = left(p.worker.Info.Owner), left(p.policyd.Info.Owner)
		}, "Nothing runs here, and nothing is stuck: what was published was read.", "", ""},

		{"capd killed", func(p *parts) { p.pkt.Owner = killed(p.pkt.Owner) },
			"Nothing is stuck, but capd was killed (pid 10) and is not running.", "", "start it"},
		{"capd stopped", func(p *parts) { p.pkt.Process = look.Stopped },
			"Packets are stuck: capd (pid 10) is stopped by a signal or a debugger.", "", "kill -CONT 10"},
		{"capd hangs", func(p *parts) { p.pkt.Owner.Heartbeat = halted },
			"Packets are stuck: capd (pid 10) hangs: no sign of life for 10s.", "", "kill -9 10"},
		{"capd drops now", func(p *parts) { p.pkt.Packets = pktring.ProducerStats{Dropped: 70} },
			"Packets flow, but not all: capd drops 70 packets a second: c00-w00 is full.", "", ""},
		{"capd dropped once", func(p *parts) {
			p.pkt.Packets = pktring.ProducerStats{Dropped: 70, DroppedConsumerDown: 1000}
			p.was.Rings[0].Packets = p.pkt.Packets
		}, "Nothing is stuck: 100 packets and 0 events a second.", "dropped 1,070 packets since c00-w00 was made: it was full (1,000 of them", ""},

		{"worker never came", func(p *parts) {
			p.worker.Err, p.worker.Lag, p.worker.Info = fs.ErrNotExist, 80, cursor.Info{}
			p.in.Rings = p.in.Rings[:1]
		}, "Packets are stuck: dpid worker 0 has never read c00-w00: 80 records wait in c00-w00.", "", "dpid -worker 0"},
		{"worker stopped before it read", func(p *parts) {
			p.worker.Err, p.worker.Lag, p.worker.Info, p.evt.Process = fs.ErrNotExist, 1, cursor.Info{}, look.Stopped
		}, "Packets are stuck: dpid worker 0 (pid 20) is stopped by a signal or a debugger: 1 record waits in c00-w00.", "", "kill -CONT 20"},
		{"worker killed", func(p *parts) {
			p.worker.Info.Owner, p.evt.Owner, p.worker.Lag = killed(p.worker.Info.Owner), killed(p.evt.Owner), 100
			p.pkt.Want = 50
		}, "Packets are stuck: dpid worker 0 was killed (pid 20) and is not running: 100 records wait in c00-w00.",
			"capd (pid 10) waits until dpid worker 0 makes room in c00-w00, which is 100% full", "start it"},
		{"worker killed twice by a packet", func(p *parts) {
			p.worker.Info.Owner, p.worker.Lag = killed(p.worker.Info.Owner), 100
			p.worker.Info.Inflight, p.worker.Info.InflightTries = 601, 1
		}, "Packets are stuck: dpid worker 0 was killed (pid 20) and is not running: 100 records wait in c00-w00.", "",
			"if packet 600 kills it again, ringctl -write skip-poison c00-w00"},
		{"worker stopped", func(p *parts) { p.worker.Process, p.evt.Process, p.worker.Lag = look.Stopped, look.Stopped, 33 },
			"Packets are stuck: dpid worker 0 (pid 20) is stopped by a signal or a debugger: 33 records wait in c00-w00.", "", "kill -CONT 20"},
		{"worker hangs in a packet", func(p *parts) {
			p.worker.Info.Owner.Heartbeat, p.evt.Owner.Heartbeat, p.worker.Lag, p.worker.Info.Inflight = halted, halted, 9, 601
		}, "Packets are stuck: dpid worker 0 (pid 20) hangs: no sign of life for 10s: 9 records wait in c00-w00; it works on packet 600 (ringctl dump c00-w00).",
			"", "kill -9 20"},
		{"worker lives in another ring", func(p *parts) { p.worker.Info.Owner.Heartbeat, p.worker.Lag = halted, 9 },
			"Nothing is stuck: 100 packets and 0 events a second.", "", ""},
		{"worker does nothing", func(p *parts) { p.worker.Lag, p.worker.Info.Position = 90, 500 },
			"Packets are stuck: dpid worker 0 (pid 20) is alive but has read nothing for 1s: 90 records wait in c00-w00.", "", ""},
		{"worker slow", func(p *parts) { p.worker.Lag, p.worker.Info.Position = 90, 510 },
			"Packets flow, slowly: dpid worker 0 (pid 20) is slower than capd: 90 records wait in c00-w00, 90% full; it reads 10 a second, 100 a second come.",
			"", "more workers"},
		{"payload area full", func(p *parts) { p.pkt.PayloadUsed, p.worker.Lag, p.worker.Info.Position = 990, 5, 500 },
			"Packets are stuck: dpid worker 0 (pid 20) is alive but has read nothing for 1s: 5 records wait in c00-w00.", "", ""},
		{"cursor damaged", func(p *parts) { p.worker.Beyond = true },
			"Packets are stuck: dpid worker 0 (pid 20) has a position that is not in c00-w00.", "", "ringctl check"},

		{"policyd stopped, all wait", func(p *parts) {
			p.policyd.Process, p.policyd.Lag, p.evt.Want = look.Stopped, 900<<10, 1
			p.worker.Lag, p.pkt.Want = 100, 1
		}, "Packets are stuck: policyd (pid 30) is stopped by a signal or a debugger: it lags 900 KiB of 1 MiB behind w00.",
			"dpid worker 0 (pid 20) waits until policyd makes room in w00, which is 87% full", "kill -CONT 30"},
		{"policyd killed", func(p *parts) { p.policyd.Info.Owner = killed(p.policyd.Info.Owner) },
			"Nothing is stuck, but policyd was killed (pid 30) and is not running.", "", "start it"},
		{"policyd killed and behind", func(p *parts) { p.policyd.Info.Owner, p.policyd.Lag = killed(p.policyd.Info.Owner), 1600 },
			"Packets are stuck: policyd was killed (pid 30) and is not running: it lags 1.6 KiB of 1 MiB behind w00.", "", "start it"},
		{"policyd lapped", func(p *parts) { p.policyd.Lapped, p.policyd.Lag = true, 1<<20 },
			"Packets flow, but not all: policyd (pid 30) is too slow for w00: it lost events that were overwritten, and will ask for a snapshot.", "", ""},
		{"policyd does nothing", func(p *parts) { p.policyd.Lag, p.policyd.Info.Position = 600<<10, 8000 },
			"Packets are stuck: policyd (pid 30) is alive but has read nothing for 1s: it lags 600 KiB of 1 MiB behind w00.", "", ""},
		{"policyd slow", func(p *parts) { p.policyd.Lag, p.policyd.Info.Position = 600<<10, 8016 },
			"Packets flow, slowly: policyd (pid 30) is slower than dpid worker 0: it lags 600 KiB of 1 MiB behind w00; it reads 16 B a second, 1.6 KiB a second come.", "", ""},
		{"policyd never started", func(p *parts) { p.evt.Readers = nil },
			"Nothing is stuck: 100 packets and 0 events a second.", "note: nobody reads w00: policyd has not been started", "start it"},
		{"policyd waits for a snapshot", func(p *parts) { p.policyd.Info.ResyncAsked = 1 },
			"Nothing is stuck: 100 packets and 0 events a second.", "waits for a snapshot from dpid worker 0", ""},
		{"updates are left out", func(p *parts) { p.evt.Events = evtring.ProducerStats{Shed: 5} },
			"Packets flow, but not all: dpid worker 0 leaves out updates of flows, 5 a second: a reader is more than half of w00 behind.", "", ""},

		{"a copy of a stuck instance", func(p *parts) { p.allGone(); p.worker.Lag = 100 },
			"Packets are stuck: dpid worker 0 is not running (it was, as pid 20): 100 records wait in c00-w00.", "", "start it"},
		{"a worker waits for another's time", func(p *parts) {
			p.in.Counters = []*look.Counters{
				{Name: "w00", Alive: true, Names: []string{"clock_ns", "pending"}, Values: []uint64{5e9, 1400}},
				{Name: "w01", Alive: true, Names: []string{"clock_ns", "pending"}, Values: []uint64{3e9, 0}},
			}
		}, "Nothing is stuck: 100 packets and 0 events a second.", "holds 1,400 flows back until worker 1, 2.0 s of packet time behind, has passed their time", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			was, in := healthy()
			p := &parts{in: in, was: was, pkt: in.Rings[0], evt: in.Rings[1]}
			p.worker, p.policyd = p.pkt.Readers[0], p.evt.Readers[0]
			tt.do(p)
			got := Of(was, in)
			if got.Headline != tt.want {
				t.Errorf("headline %q\n    want %q", got.Headline, tt.want)
			}
			var all strings.Builder
			for _, f := range got.Findings {
				all.WriteString(f.Level.String() + ": " + f.Who + " " + f.What + "\n")
			}
			if !strings.Contains(all.String(), tt.also) {
				t.Errorf("findings\n%swant %q among them", &all, tt.also)
			}
			if tt.fix != "" && (len(got.Findings) == 0 || !strings.Contains(got.Findings[0].Do, tt.fix)) {
				t.Errorf("findings %+v, want first to do: %q", got.Findings, tt.fix)
			}
			if tt.also == "" && tt.fix == "" && strings.HasPrefix(tt.want, "Nothing is stuck:") && len(got.Findings) > 0 {
				t.Errorf("findings\n%swant none", &all)
			}
			if got.Stuck() != strings.HasPrefix(tt.want, "Packets are stuck") {
				t.Errorf("Stuck() = %t with headline %q", got.Stuck(), got.Headline)
			}
		})
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(1<<64 - 1), "18,446,744,073,709,551,615"},
		{Bytes(0), "0 B"}, {Bytes(1023), "1023 B"}, {Bytes(1024), "1 KiB"}, {Bytes(1536), "1.5 KiB"}, {Bytes(3 << 20), "3 MiB"},
		{Bytes(1<<64 - 1), "16777216 TiB"},
		{Percent(0), "0%"}, {Percent(0.999), "99%"}, {Percent(1), "100%"},
		{number("w00"), "0"}, {number("w07"), "7"}, {number("w120"), "120"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
