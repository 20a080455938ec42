package source

import (
	"bytes"
	"os"
)

// countersPath lists the queues of the thread's network namespace, one a line: queue,
// netlink port, waiting, copy mode, copy range, dropped by the queue, dropped by the
// socket, last packet number, 1.
const countersPath = "/proc/thread-self/net/netfilter/nfnetlink_queue"

// Stats returns what became of the packets since the queue was opened.
func (q *NFQueue) Stats() Stats {
	s := q.QueueStats()
	return Stats{Received: s.Received, Dropped: s.dropped(&q.Capabilities), Freezes: s.Overruns}
}

// QueueStats is Stats in detail. It asks the kernel, so it is for once a second.
func (q *NFQueue) QueueStats() NFQueueStats {
	if l, ok := q.kernel(); ok {
		q.stats.QueueFull = grow(q.stats.QueueFull, l.queueFull)
		q.stats.SocketFull = grow(q.stats.SocketFull, l.socketFull)
		q.stats.Waiting = l.waiting
	}
	return q.stats
}

// grow takes a counter of 32 bits into one of 64.
func grow(total, now uint64) uint64 { return total + uint64(uint32(now)-uint32(total)) }

func (q *NFQueue) kernel() (counterLine, bool) {
	if q.counters == nil || q.fd < 0 {
		return counterLine{}, false
	}
	return findQueue(q.counters, q.line[:], q.cfg.Queue)
}

// counterLine is what the list says about one queue.
type counterLine struct{ port, waiting, queueFull, socketFull uint64 }

// findQueue looks a queue up in the list. buf is for the list's text; a list that is
// longer is read as far as buf goes: some sixty queues.
func findQueue(f *os.File, buf []byte, queue uint16) (counterLine, bool) {
	n, _ := f.ReadAt(buf, 0) // its end is an error too; no line is no answer
	text := buf[:n]
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		text = rest
		var v [8]uint64
		if numbers(line, &v) == len(v) && v[0] == uint64(queue) {
			return counterLine{port: v[1], waiting: v[2], queueFull: v[5], socketFull: v[6]}, true
		}
	}
	return counterLine{}, false
}

// numbers reads the decimal numbers at the start of a line and returns how many.
func numbers(line []byte, v *[8]uint64) int {
	n, in := 0, false
	for _, c := range line {
		digit := c >= '0' && c <= '9'
		switch {
		case digit && !in:
			if n == len(v) {
				return n
			}
			v[n], n, in = uint64(c-'0'), n+1, true
		case digit:
			v[n-1] = v[n-1]*10 + uint64(c-'0')
		default:
			in = false
		}
	}
	return n
}
