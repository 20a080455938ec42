// Package network is the file in which capd tells the workers which networks and
// addresses are ours: workers have no network of their own to ask.
//
// It is text, one fact a line, between a first line with the version and a last one
// that says that it is whole:
//
//	weir-network 1
//	host 192.168.1.1 02:00:00:00:00:01     an address of this machine; the MAC may be absent
//	mac 02:00:00:00:00:01                  an Ethernet address of this machine
//	local 192.168.1.0/24                   a network of ours
//	other 198.51.100.0/24                  a network that is not, though it may look so
//	neighbour 192.168.1.10 02:00:00:00:00:0a
//	end
//
// The file is replaced as a whole, never changed. It is for workers of the same
// version: what a line begins with is known, or the file is refused.
package network

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
)

// Limits of a file. MaxSize is what MaxEntries of the longest lines take.
const (
	MaxEntries = 16384   // lines
	MaxSize    = 2 << 20 // bytes
)

// MAC is an Ethernet address; zero is none.
type MAC [6]byte

// Station is an address and who has it.
type Station struct {
	Addr netip.Addr
	MAC  MAC
}

// View is the contents of the file.
type View struct {
	Hosts      []Station      // addresses of this machine
	MACs       []MAC          // Ethernet addresses of this machine
	Local      []netip.Prefix // networks of ours
	Other      []netip.Prefix // networks that are not
	Neighbours []Station
}

const header = "weir-network 1"

// Append appends the file's text to dst.
func (v *View) Append(dst []byte) []byte {
	dst = append(dst, header+"\n"...)
	for _, s := range v.Hosts {
		dst = s.append(dst, "host")
	}
	for _, m := range v.MACs {
		dst = append(m.append(append(dst, "mac"...)), '\n')
	}
	for _, p := range v.Local {
		dst = append(p.AppendTo(append(dst, "local "...)), '\n')
	}
	for _, p := range v.Other {
		dst = append(p.AppendTo(append(dst, "other "...)), '\n')
	}
	for _, s := range v.Neighbours {
		dst = s.append(dst, "neighbour")
	}
	return append(dst, "end\n"...)
}

func (s *Station) append(dst []byte, what string) []byte {
	dst = append(append(dst, what...), ' ')
	dst = s.Addr.AppendTo(dst)
	if s.MAC != (MAC{}) {
		dst = s.MAC.append(dst)
	}
	return append(dst, '\n')
}

func (m MAC) append(dst []byte) []byte {
	for i, c := range m {
		sep := byte(':')
		if i == 0 {
			sep = ' '
		}
		dst = append(dst, sep, hexDigits[c>>4], hexDigits[c&15])
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// Parse reads the file's text.
func Parse(b []byte) (*View, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("%d bytes: at most %d are possible", len(b), MaxSize)
	}
	text, ok := strings.CutPrefix(string(b), header+"\n")
	if !ok {
		return nil, fmt.Errorf("does not begin with %q", header)
	}
	if text, ok = strings.CutSuffix(text, "end\n"); !ok || text != "" && text[len(text)-1] != '\n' {
		return nil, errors.New("is cut off: its last line is not \"end\"")
	}
	v, n := new(View), 1
	for line := range strings.Lines(text) {
		if n++; n > MaxEntries+1 {
			return nil, fmt.Errorf("has more than %d lines", MaxEntries)
		}
		if err := v.line(strings.TrimSuffix(line, "\n")); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return v, nil
}

func (v *View) line(s string) (err error) {
	what, rest, _ := strings.Cut(s, " ")
	switch what {
	case "host":
		v.Hosts, err = appendStation(v.Hosts, rest)
	case "neighbour":
		v.Neighbours, err = appendStation(v.Neighbours, rest)
	case "local":
		v.Local, err = appendPrefix(v.Local, rest)
	case "other":
		v.Other, err = appendPrefix(v.Other, rest)
	case "mac":
		var m MAC
		m, err = parseMAC(rest)
		v.MACs = append(v.MACs, m)
	default:
		err = fmt.Errorf("%.20q is not known", what)
	}
	return err
}

func appendStation(list []Station, s string) ([]Station, error) {
	addr, mac, has := strings.Cut(s, " ")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return list, fmt.Errorf("%.50q is not an address", addr)
	}
	st := Station{Addr: a}
	if has {
		if st.MAC, err = parseMAC(mac); err != nil {
			return list, err
		}
	}
	return append(list, st), nil
}

func appendPrefix(list []netip.Prefix, s string) ([]netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() || p != p.Masked() {
		return list, fmt.Errorf("%.50q is not a network", s)
	}
	return append(list, p), nil
}

func parseMAC(s string) (m MAC, err error) {
	if len(s) != 17 {
		return m, fmt.Errorf("%.20q is not an Ethernet address", s)
	}
	for i := range m {
		hi, lo := bytes.IndexByte([]byte(hexDigits), s[3*i]), bytes.IndexByte([]byte(hexDigits), s[3*i+1])
		if hi < 0 || lo < 0 || i < 5 && s[3*i+2] != ':' {
			return MAC{}, fmt.Errorf("%.20q is not an Ethernet address", s)
		}
		m[i] = byte(hi<<4 | lo)
	}
	return m, nil
}

// Load reads the file at path, of which nothing is trusted.
func Load(path string) (*View, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("network view: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("network view: %w", err)
	}
	v, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("network view %s: %w", path, err)
	}
	return v, nil
}

// Save makes text, which Append made, the file at path. Readers see the old one or
// the new one, whole.
func Save(path string, text []byte) error {
	tmp := fmt.Sprintf("%s.tmp.%d", path, os.Getpid())
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return fmt.Errorf("network view: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("network view: %w", err)
	}
	return nil
}
