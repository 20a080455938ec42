package main

import (
	"fmt"
	"io"
	"net"

	"weir/capd/rules"
	"weir/capd/source"
	"weir/proto/config"
	"weir/proto/pkt"
)

// queue is a netfilter queue that is only looked at: every packet is accepted as soon
// as it is in the ring. What the kernel thinks of its flow stays as it is.
type queue struct {
	*source.NFQueue
	last   uint32 // packet that was handed out last
	unsaid int    // packets handed out, and not yet accepted
}

// acceptEvery is after how many packets those before are accepted: few, because each
// of them is held back until then, and enough to make little of the call.
const acceptEvery = 16

// openQueue opens queue n of the configuration, which is thread n's.
func (l *live) openQueue(n int) (source.Live, error) {
	c := &l.cfg.Capture.NFQueue
	cfg := source.NFQueueConfig{
		Queue: uint16(c.First + n), FailOpen: c.FailOpen, GSO: c.GSO, Conntrack: c.Conntrack,
		QueueLength: c.QueueLength, SocketBuffer: int(c.SocketBuffer), CopyRange: int(c.CopyRange), Interface: l.interfaceNumbers(),
	}
	q, err := source.OpenNFQueue(cfg)
	if err != nil {
		return nil, err
	}
	if names := q.Capabilities.Missing(&cfg); len(names) > 0 && n == 0 {
		l.log.Info("this kernel does without parts of netfilter queues", "missing", names)
	}
	if !isInline(&l.cfg.Capture) {
		return &queue{NFQueue: q}, nil
	}
	i, err := l.openInline(q, n, l.threads[n].generation)
	if err != nil {
		_ = q.Close() // the first error says more
		return nil, err
	}
	return i, nil
}

// Next implements source.Source.
func (q *queue) Next(f *source.Frame) error {
	err := q.NFQueue.Next(f)
	if err != nil {
		q.accept()
		return err
	}
	f.Flags &^= pkt.FlagNFQ // it waits for nobody
	q.last = f.ID
	if q.unsaid++; q.unsaid >= acceptEvery {
		q.accept()
	}
	return nil
}

// accept lets everything go that was handed out so far.
func (q *queue) accept() {
	if q.unsaid > 0 {
		q.unsaid = 0
		q.VerdictUpTo(q.last, source.Verdict{Action: source.Accept})
	}
}

// Close implements source.Live: what waits goes on its way.
func (q *queue) Close() error {
	if err := q.Release(source.Verdict{Action: source.Accept}); err != nil {
		_ = q.NFQueue.Close() // the first error says more
		return err
	}
	return q.NFQueue.Close()
}

// interfaceNumbers returns the way of one thread from the kernel's numbers of
// interfaces to those of the interface table. It asks for names once each.
func (l *live) interfaceNumbers() func(uint32) uint16 {
	known, seen := map[uint32]uint16{}, l.changes.Load()
	return func(index uint32) uint16 {
		if now := l.changes.Load(); now != seen {
			clear(known) // a number may be another interface's by now
			seen = now
		}
		n, ok := known[index]
		if !ok {
			n = l.interfaceNumber(index)
			known[index] = n
		}
		return n
	}
}

// interfaceNumber enters an interface into the table. One that is gone already gets
// the name of its number.
func (l *live) interfaceNumber(index uint32) uint16 {
	name := fmt.Sprintf("if%d", index)
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		name = i.Name
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.topo.Interfaces)
	n, err := l.number(name)
	if err != nil {
		l.log.Warn("interface is not told from others", "error", err)
		return maxInterface
	}
	if len(l.topo.Interfaces) != before {
		l.saveTopology()
	}
	return n
}

// ruleConfig is what our own rules follow from.
func ruleConfig(c *config.Config) rules.Config {
	q := &c.Capture.NFQueue
	return rules.Config{
		Instance: c.Instance.Name, Mode: rules.Mode(q.Rules), First: uint16(q.First), Count: max(c.Capture.Threads, 1),
		MarkMask: c.Policy.MarkMask, Exempt: q.Exempt, Packets: uint64(q.Packets),
	}
}

// printRules shows the rules that capd would install, and touches nothing.
func printRules(w io.Writer, c *config.Config) error {
	if c.Capture.Source != config.SourceNFQueue {
		_, err := fmt.Fprintf(w, "# capture.source is %q: capd installs no rules\n", c.Capture.Source)
		return err
	}
	return rules.Print(w, ruleConfig(c))
}

// installRules brings packets to the queues, once they are open. The function that it
// returns takes the rules out again.
func (l *live) installRules() (remove func(), err error) {
	if l.cfg.Capture.Source != config.SourceNFQueue {
		return func() {}, nil
	}
	set, err := rules.Plan(ruleConfig(l.cfg))
	if err != nil {
		return nil, err
	}
	if _, err := set.Install(l.log); err != nil {
		return nil, err
	}
	return func() {
		if err := set.Remove(); err != nil {
			l.log.Error("the capture rules stay; nobody listening, they let everything pass", "error", err)
		}
	}, nil
}

var _ source.Live = (*queue)(nil)
