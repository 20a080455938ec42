package corpus

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// label is one flow as nDPI sees it; see the README of the corpus.
type label struct {
	Key   string `json:"key"`
	Proto string `json:"proto"`
	Stock struct {
		Proto string `json:"proto"`
	} `json:"stock"` // what nDPI says without the custom rules of its tests
	App      string `json:"app"`
	Method   string `json:"method"`
	Hostname string `json:"hostname"`
	JA3      string `json:"ja3"`
	JA4      string `json:"ja4"`
}

// byDPI reports whether the label rests on the flow's bytes.
func (l *label) byDPI() bool { return strings.HasPrefix(l.Method, "dpi") }

// accepted returns our names for what the label says: of its whole name when that
// is listed, otherwise of the protocol before the dot.
func (l *label) accepted() []string {
	p := l.Proto
	if l.Stock.Proto != "" {
		p = l.Stock.Proto
	}
	if n, ok := names[p]; ok {
		return n
	}
	m, _, _ := strings.Cut(p, ".")
	return names[m]
}

// flowJSON are the keys of a replayed flow that are compared.
type flowJSON struct {
	ClientIP   netip.Addr `json:"client_ip"`
	ServerIP   netip.Addr `json:"server_ip"`
	ClientPort uint16     `json:"client_port"`
	ServerPort uint16     `json:"server_port"`
	Proto      uint8      `json:"ip_protocol"`
	VLAN       uint16     `json:"vlan"`
	Protocol   string     `json:"protocol"`
	App        string     `json:"application"`
	Hostname   string     `json:"hostname"`
	Evidence   string     `json:"evidence"`
	TLS        struct {
		JA3 string `json:"ja3"`
		JA4 string `json:"ja4"`
	} `json:"tls"`
}

// claimed returns the protocol that the flow's bytes gave. A guess from a port counts
// as unknown; an address never gives a protocol.
func (f *flowJSON) claimed() string {
	if strings.HasPrefix(f.Evidence, "port:") {
		return ""
	}
	return f.Protocol
}

// key joins a flow with its label: "l4|vlan|endpoint|endpoint", endpoints sorted.
func (f *flowJSON) key() string {
	a, b := netip.AddrPortFrom(f.ClientIP, f.ClientPort), netip.AddrPortFrom(f.ServerIP, f.ServerPort)
	if b.Compare(a) < 0 {
		a, b = b, a
	}
	return fmt.Sprintf("%d|%d|%s|%s", f.Proto, f.VLAN, a, b)
}

// readLines decodes a file or output of one JSON object per line.
func readLines[T any](b []byte) ([]T, error) {
	var all []T
	sc := bufio.NewScanner(bytes.NewReader(b))
	sc.Buffer(nil, 1<<22)
	for n := 1; sc.Scan(); n++ {
		var v T
		if err := json.Unmarshal(sc.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, v)
	}
	return all, sc.Err()
}

// disputes reads the labels that are wrong by the RFC: capture, key, why.
func disputes(path string) (map[string]bool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := map[string]bool{}
	for n, l := range strings.Split(string(b), "\n") {
		if l == "" || l[0] == '#' {
			continue
		}
		f := strings.Split(l, "\t")
		if len(f) != 3 || f[2] == "" {
			return nil, fmt.Errorf("%s:%d: want capture, key and evidence, separated by tabs", path, n+1)
		}
		m[f[0]+" "+f[1]] = true
	}
	return m, nil
}
