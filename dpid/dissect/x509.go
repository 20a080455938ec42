package dissect

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // a fingerprint to look up, not a proof
	"net/netip"
)

// Certificates as they pass in clear in TLS up to 1.2 and DTLS: names, issuer and
// validity are read by walking the DER of RFC 5280 section 4.1 in place. Nothing is
// verified; crypto/x509 would, and allocates on every packet.

// DER tags, class and form included.
const (
	derInteger    = 0x02
	derOctets     = 0x04
	derOID        = 0x06
	derUTF8       = 0x0c
	derPrintable  = 0x13
	derT61        = 0x14
	derIA5        = 0x16
	derUTCTime    = 0x17
	derTime       = 0x18
	derBMP        = 0x1e
	derSequence   = 0x30
	derSet        = 0x31
	derVersion    = 0xa0
	derExtensions = 0xa3
	sanDNS        = 0x82
	sanIP         = 0x87
)

const (
	oidCommonName   = "\x55\x04\x03"
	oidOrganisation = "\x55\x04\x0a"
	oidUnit         = "\x55\x04\x0b"
	oidAltName      = "\x55\x1d\x11"
)

// maxAltNames bounds the names kept of one certificate.
const maxAltNames = 32

// reportCertificate tells of the certificate der. When host is true its name is
// that of the server as long as no other is known.
func reportCertificate(der []byte, host bool, out *Result) {
	cert, _, ok := cutDER(der, derSequence)
	if !ok {
		return
	}
	tbs, _, ok := cutDER(cert, derSequence)
	if !ok {
		return
	}
	if len(tbs) > 0 && tbs[0] == derVersion {
		_, tbs, _ = cutAnyDER(tbs)
	}
	_, tbs, _ = cutDER(tbs, derInteger) // serial number
	_, tbs, _ = cutDER(tbs, derSequence)
	issuer, tbs, _ := cutDER(tbs, derSequence)
	validity, tbs, _ := cutDER(tbs, derSequence)
	subject, tbs, ok := cutDER(tbs, derSequence)
	if !ok {
		return
	}
	sum := sha1.Sum(der)
	var buf [192]byte
	cn := nameText(buf[:0], subject, oidCommonName)
	if host && isServerName(cn) {
		out.SetHost(cn)
	}
	out.Str("tls.subject_cn", cn)
	reportName("tls.issuer", issuer, out)
	reportTimes(validity, out)
	out.Hex("tls.fingerprint_sha1", sum[:])
	if bytes.Equal(issuer, subject) {
		out.Bool("tls.self_signed", true)
	}
	reportAltNames(tbs, host, out)
}

// reportName writes a name as "CN=..., O=...", its unit when it has neither.
func reportName(key string, name []byte, out *Result) {
	var buf [400]byte
	b := buf[:0]
	add := func(label, oid string) {
		var value [128]byte
		v := nameText(value[:0], name, oid)
		if len(v) == 0 {
			return
		}
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, label...), v...)
	}
	add("CN=", oidCommonName)
	add("O=", oidOrganisation)
	if len(b) == 0 {
		add("OU=", oidUnit)
	}
	out.Str(key, b)
}

// nameText appends the last value of the attribute oid in a Name to dst, within its
// capacity: the most specific one stands last.
func nameText(dst, name []byte, oid string) []byte {
	var found []byte
	var kind byte
	for len(name) > 0 {
		set, rest, ok := cutDER(name, derSet)
		if !ok {
			break
		}
		name = rest
		for len(set) > 0 {
			pair, rest, ok := cutDER(set, derSequence)
			if !ok {
				break
			}
			set = rest
			typ, value, _ := cutDER(pair, derOID)
			if string(typ) != oid || len(value) == 0 {
				continue
			}
			if v, _, ok := cutAnyDER(value); ok {
				found, kind = v, value[0]
			}
		}
	}
	return appendText(dst, kind, found)
}

// appendText appends a DER string as UTF-8, within the capacity of dst.
func appendText(dst []byte, kind byte, v []byte) []byte {
	switch kind {
	case derUTF8, derPrintable, derIA5, derT61:
		return append(dst, v[:min(len(v), cap(dst)-len(dst))]...)
	case derBMP: // UTF-16: what is not Latin is kept in two or three bytes
		for ; len(v) >= 2 && cap(dst)-len(dst) >= 3; v = v[2:] {
			switch c := uint16(v[0])<<8 | uint16(v[1]); {
			case c < 0x80:
				dst = append(dst, byte(c))
			case c < 0x800:
				dst = append(dst, 0xc0|byte(c>>6), 0x80|byte(c&0x3f))
			default:
				dst = append(dst, 0xe0|byte(c>>12), 0x80|byte(c>>6&0x3f), 0x80|byte(c&0x3f))
			}
		}
	}
	return dst
}

// reportTimes writes the validity as RFC 3339.
func reportTimes(b []byte, out *Result) {
	for _, key := range [...]string{"tls.not_before", "tls.not_after"} {
		v, rest, ok := cutAnyDER(b)
		if !ok {
			return
		}
		var buf [20]byte
		out.Str(key, appendTime(buf[:0], b[0], v))
		b = rest
	}
}

// appendTime appends YYMMDDhhmmssZ or YYYYMMDDhhmmssZ (RFC 5280 section 4.1.2.5)
// as RFC 3339, nothing when it is neither. UTCTime means 1950 to 2049.
func appendTime(dst []byte, kind byte, v []byte) []byte {
	century := "20"
	switch {
	case kind == derUTCTime && len(v) == 13:
		if v[0] >= '5' {
			century = "19"
		}
	case kind == derTime && len(v) == 15:
		century, v = "", v[:15]
	default:
		return dst
	}
	for _, c := range v[:len(v)-1] {
		if c < '0' || c > '9' {
			return dst
		}
	}
	if v[len(v)-1] != 'Z' {
		return dst
	}
	dst = append(dst, century...)
	year := 4 - len(century)
	dst = append(dst, v[:year]...)
	v = v[year:]
	for i := range 5 {
		dst = append(dst, "--T::"[i])
		dst = append(dst, v[2*i:2*i+2]...)
	}
	return append(dst, 'Z')
}

// reportAltNames walks from the public key on to the extension subjectAltName.
func reportAltNames(tbs []byte, host bool, out *Result) {
	var list []byte
	for len(tbs) > 0 {
		v, rest, ok := cutAnyDER(tbs)
		if !ok {
			return
		}
		if tbs[0] == derExtensions {
			list, _, _ = cutDER(v, derSequence)
		}
		tbs = rest
	}
	for len(list) > 0 {
		ext, rest, ok := cutDER(list, derSequence)
		if !ok {
			return
		}
		list = rest
		oid, ext, _ := cutDER(ext, derOID)
		if string(oid) != oidAltName {
			continue
		}
		if len(ext) > 0 && ext[0] != derOctets { // critical: a BOOLEAN stands before
			_, ext, _ = cutAnyDER(ext)
		}
		value, _, _ := cutDER(ext, derOctets)
		names, _, _ := cutDER(value, derSequence)
		reportNames(names, host, out)
		return
	}
}

func reportNames(names []byte, host bool, out *Result) {
	for n := 0; len(names) > 0 && n < maxAltNames; n++ {
		v, rest, ok := cutAnyDER(names)
		if !ok {
			return
		}
		switch names[0] {
		case sanDNS:
			if host && isServerName(v) {
				out.SetHost(v)
			}
			out.StrList("tls.san", v[:min(len(v), 255)])
		case sanIP:
			if a, ok := netip.AddrFromSlice(v); ok {
				var buf [48]byte
				out.StrList("tls.san", a.AppendTo(buf[:0]))
			}
		}
		names = rest
	}
}

// isServerName reports whether a name of a certificate can be that of a server: a
// domain, no address, no wildcard.
func isServerName(b []byte) bool {
	label := b[bytes.LastIndexByte(b, '.')+1:]
	for _, c := range label {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return isDomain(b)
		}
	}
	return false
}

// cutDER splits the contents of a value of this tag off b.
func cutDER(b []byte, tag byte) (v, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != tag {
		return nil, nil, false
	}
	return cutAnyDER(b)
}

// cutAnyDER splits the contents of one value off b. Tags of more than one byte and
// lengths of more than three do not occur in certificates.
func cutAnyDER(b []byte) (v, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return nil, nil, false
	}
	size := int(b[1])
	b = b[2:]
	if size >= 0x80 {
		n := size & 0x7f
		if n == 0 || n > 3 {
			return nil, nil, false
		}
		return cutVector(b, n)
	}
	if size > len(b) {
		return nil, nil, false
	}
	return b[:size:size], b[size:], true
}
