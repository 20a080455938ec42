package source

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// DomainKind says how a domain entry applies.
type DomainKind uint8

// Kinds of domains in the text format.
const (
	Suffix DomainKind = iota // example.com: it and all below
	Exact                    // =example.com: it alone
	Wild                     // pre*post.example.com: one label with a star
)

// Domain is one domain entry.
type Domain struct {
	Text string // without the mark of its kind
	Kind DomainKind
	At   Place
}

// parseDomain reads a domain in the text format of this package.
func parseDomain(word string) (Domain, error) {
	d := Domain{Text: word}
	if rest, ok := strings.CutPrefix(word, "="); ok {
		d.Kind, d.Text = Exact, rest
	}
	if strings.Contains(word, "*") {
		label, parent, _ := strings.Cut(d.Text, ".")
		switch {
		case d.Kind == Exact:
			return d, errors.New("a wildcard cannot be exact")
		case strings.Count(d.Text, "*") > 1 || strings.Contains(parent, "*"):
			return d, errors.New("one wildcard, in the left-most label only")
		case len(label) < 3:
			return d, errors.New("a wildcard needs at least two characters beside it; write the parent instead")
		}
		d.Kind = Wild
		if err := checkLabel(strings.Replace(label, "*", "x", 1)); err != nil {
			return d, err
		}
		return d, CheckName(parent)
	}
	return d, CheckName(d.Text)
}

// CheckName tells what is wrong with a domain name: it must be in lower case,
// without a final dot, international names as punycode (RFC 5890).
func CheckName(s string) error {
	if len(s) > 253 {
		return fmt.Errorf("name of %d bytes, longest is 253", len(s))
	}
	if s == "" {
		return errors.New("empty name")
	}
	for rest := s; ; {
		label, next, more := strings.Cut(rest, ".")
		if err := checkLabel(label); err != nil {
			return err
		}
		if !more {
			break
		}
		rest = next
	}
	return nil
}

// checkLabel follows RFC 1123 section 2.1, with the underscore that service
// names have (RFC 8552).
func checkLabel(l string) error {
	if l == "" {
		return errors.New("empty label")
	}
	if len(l) > 63 {
		return fmt.Errorf("label of %d bytes, longest is 63", len(l))
	}
	for i := range len(l) {
		switch c := l[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '_':
		case c >= 'A' && c <= 'Z':
			return errors.New("not in lower case")
		case c == '-' && i > 0 && i < len(l)-1:
		case c == '-':
			return fmt.Errorf("label %q begins or ends with a hyphen", l)
		case c >= 0x80:
			return fmt.Errorf("label %q is not ASCII; write it as punycode (xn--...)", l)
		default:
			return fmt.Errorf("character %q in label %q", c, l)
		}
	}
	return nil
}

// registries are second-level labels under which country registries register.
var registries = map[string]bool{
	"ac": true, "co": true, "com": true, "edu": true, "go": true, "gov": true, "gob": true,
	"ltd": true, "mil": true, "ne": true, "net": true, "nom": true, "or": true, "org": true, "plc": true,
}

// isPublicSuffix reports names below which everybody registers, so that no
// application can own them: single labels and the likes of co.uk.
func isPublicSuffix(s string) bool {
	label, rest, more := strings.Cut(s, ".")
	return !more || len(rest) == 2 && registries[label]
}

// parsePrefix reads an address or a CIDR range without host bits.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("address %q has a zone", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("bad network %q; want an address or a CIDR range", s)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("network %q is IPv4 in IPv6; write it as IPv4", s)
	case p.Bits() == 0:
		return p, fmt.Errorf("network %q is the whole address space", s)
	case p.Masked() != p:
		return p, fmt.Errorf("network %q has host bits; want %s", s, p.Masked())
	}
	return p, nil
}

// checkJA4 follows the FoxIO specification: a_b_c with ten, twelve and twelve
// characters.
func checkJA4(s string) error {
	bad := fmt.Errorf("bad JA4 fingerprint %q", s)
	if len(s) != 36 || s[10] != '_' || s[23] != '_' || !strings.ContainsRune("tqd", rune(s[0])) {
		return bad
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 10 || i == 23, c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case i < 10 && c >= 'g' && c <= 'z', i < 10 && c >= 'A' && c <= 'Z':
		default:
			return bad
		}
	}
	return nil
}

// checkWord follows the rule for names of applications and categories: lower
// case letters and digits with single hyphens between.
func checkWord(s string) error {
	if s == "" || len(s) > 48 || s[0] == '-' || s[len(s)-1] == '-' || strings.Contains(s, "--") {
		return fmt.Errorf("bad name %q; want up to 48 lower-case letters and digits with hyphens between", s)
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Errorf("bad name %q; want up to 48 lower-case letters and digits with hyphens between", s)
		}
	}
	return nil
}
