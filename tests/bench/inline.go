package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// benchInline measures what it costs traffic through a gateway that every flow is held
// until it is judged, against the same gateway without a queue.
func benchInline(b *bench) error {
	g, err := b.newGateway("iperf3", "ss")
	if err != nil {
		return b.skipped(row{what: "traffic of judged flows", reference: "no queue"}, err)
	}
	defer func() { _ = g.close() }() // what it leaves behind is said by the next run
	return errors.Join(g.throughput(), g.connections())
}

// throughput sends as much as goes, over one connection.
func (g *gateway) throughput() error {
	stop, err := g.serving(g.in(g.server, "iperf3", "-s"), "5201")
	if err != nil {
		return err
	}
	defer func() { _ = stop() }()
	seconds := "3"
	if g.b.quick {
		seconds = "1"
	}
	transfer := func() (cost float64, err error) {
		out, err := g.in(g.client, "iperf3", "-c", gatewayServer, "-t", seconds, "-J").Output()
		if err != nil {
			return 0, fmt.Errorf("iperf3: %w: %s", err, out)
		}
		var r struct {
			End struct {
				Sum struct {
					Rate float64 `json:"bits_per_second"`
				} `json:"sum_received"`
			}
		}
		if err := json.Unmarshal(out, &r); err != nil || r.End.Sum.Rate == 0 {
			return 0, fmt.Errorf("iperf3 said %q: %w", out, err)
		}
		return 8e9 / r.End.Sum.Rate, nil
	}
	r := row{what: "TCP through a gateway, the flow judged", unit: "s/GB", reference: "no queue", want: 0.9}
	return g.b.compare(r, func() (cost float64, err error) {
		err = g.judging(func() (err error) { cost, err = transfer(); return err })
		return cost, err
	}, transfer)
}

// connections opens many connections, one request over each: first as many as go, then
// one after the other, each of which finds an idle gateway.
func (g *gateway) connections() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	stop, err := g.serving(g.in(g.server, self, "answer", ":80"), "80")
	if err != nil {
		return err
	}
	defer func() { _ = stop() }()
	crowd, single := 3000, 500
	if g.b.quick {
		crowd, single = 50, 20
	}
	var us, them [2][]float64 // medians and 99th percentiles of all rounds, in us
	measure := func(n, abreast int, into *[2][]float64) (cost float64, err error) {
		out, err := g.in(g.client, self, "connect", gatewayServer+":80", strconv.Itoa(n), strconv.Itoa(abreast)).CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("connect: %w: %s", err, out)
		}
		var p50, p99 float64
		if _, err := fmt.Sscan(string(out), &cost, &p50, &p99); err != nil {
			return 0, fmt.Errorf("connect said %q: %w", out, err)
		}
		if into != nil {
			into[0], into[1] = append(into[0], p50), append(into[1], p99)
			return p50, nil
		}
		return cost, nil
	}
	judged := func(n, abreast int, into *[2][]float64) func() (float64, error) {
		return func() (cost float64, err error) {
			err = g.judging(func() (err error) { cost, err = measure(n, abreast, into); return err })
			return cost, err
		}
	}
	plain := func(n, abreast int, into *[2][]float64) func() (float64, error) {
		return func() (float64, error) { return measure(n, abreast, into) }
	}
	r := row{what: "new TCP connections, each judged", unit: "us", reference: "no queue", want: 0.5}
	if err := g.b.compare(r, judged(crowd, 16, nil), plain(crowd, 16, nil)); err != nil {
		return err
	}
	r = row{what: "request and answer, both held until judged", unit: "us", reference: "no queue"}
	if err := g.b.compare(r, judged(single, 1, &us), plain(single, 1, &them)); err != nil {
		return err
	}
	g.b.last().note = fmt.Sprintf("added to each held packet: p50 %.0f us (at most 300), p99 %.0f us (at most 2000, on an idle machine)",
		(median(us[0])-median(them[0]))/held, (median(us[1])-median(them[1]))/held)
	return nil
}

// held is how many packets of a connection are held: a flow of HTTP is never judged for
// good, because a later request may name another host.
const held = 2

// answer answers every connection's request, and is the end that closes.
func answer(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			buf := make([]byte, 1024)
			for read := 0; !strings.HasSuffix(string(buf[:read]), "\r\n\r\n") && read < len(buf); {
				n, err := c.Read(buf[read:])
				if err != nil {
					break
				}
				read += n
			}
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n") // the client sees what is missing
			_ = c.Close()
		}()
	}
}

// connect opens args[1] connections to args[0], args[2] at a time, and prints the wall
// time of each in the mean, and the median and 99th percentile of the time from a
// request to its answer, all in us.
func connect(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	abreast, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var all sync.WaitGroup
	start := time.Now()
	for i := range abreast {
		all.Go(func() {
			for k := i; k < n; k += abreast {
				d, err := request(args[0])
				if abreast == 1 {
					time.Sleep(time.Millisecond) // the gateway comes to rest
				}
				mu.Lock()
				took, failed = append(took, d), errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	if failed != nil {
		return failed
	}
	wall := time.Since(start)
	slices.Sort(took)
	fmt.Println(us(wall)/float64(n), us(took[len(took)/2]), us(took[len(took)*99/100]))
	return nil
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func request(addr string) (time.Duration, error) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return 0, err
	}
	start := time.Now()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n"); err != nil {
		return 0, err
	}
	_, err = io.ReadAll(c)
	return time.Since(start), err
}
