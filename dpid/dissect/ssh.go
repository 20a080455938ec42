package dissect

import (
	"bytes"
	"crypto/md5" // HASSH is defined as an MD5 sum; nothing is protected by it
	"encoding/binary"
)

const sshBytes = 4096 // banner and KEXINIT, 1.5 KB with today's lists

func init() {
	register(Spec{
		Name: "ssh", ID: 22, Category: "remote-access", Over: TCP, Bytes: sshBytes,
		Ports:  []uint16{22, 2222},
		Detect: detectSSH,
	})
}

// detectSSH looks for the identification string, RFC 4253 section 4.2:
//
//	SSH-protoversion-softwareversion [SP comments] CR LF
//
// Either side may speak first; "SSH-2.0-" of one is enough: 64 bits. The server
// may send other lines before it. What follows in version 2 is the KEXINIT of each
// side, whose lists give the fingerprints.
func detectSSH(in *Input, out *Result) Verdict {
	client, isClient := sshGreeting(in.Client)
	server, isServer := sshGreeting(skipNotices(in.Server))
	if isClient != Yes && isServer != Yes {
		if isClient == No || isServer == No {
			return No
		}
		return More
	}
	out.Rule("identification string", 100)
	out.Str("ssh.client", client.banner)
	out.Str("ssh.server", server.banner)
	cdone := isClient == No || client.fingerprint(false, out) || in.ClientEnd || len(in.Client) >= sshBytes
	sdone := isServer == No || server.fingerprint(true, out) || in.ServerEnd || len(in.Server) >= sshBytes
	if cdone && sdone {
		return Yes
	}
	return YesMore
}

// sshSide is what one side has sent.
type sshSide struct {
	banner []byte // the identification string, nil until whole
	rest   []byte // binary packets
}

// sshGreeting reads the identification string: at most 255 bytes, but the claim
// needs only the version.
func sshGreeting(b []byte) (s sshSide, v Verdict) {
	if !mayPrefix(b, "SSH-") {
		return s, No
	}
	if len(b) < len("SSH-2.0-") {
		return s, More
	}
	_, digits := number(b[6:], 2)
	minor := 6 + digits
	switch {
	case b[4] != '1' && b[4] != '2', b[5] != '.', digits == 0:
		return s, No
	case minor == len(b):
		return s, More
	case b[minor] != '-':
		return s, No
	}
	if line, rest, whole := cutLine(b[:min(len(b), 256)]); whole {
		s.banner, s.rest = line, b[min(len(b), 256)-len(rest):]
	}
	return s, Yes
}

// skipNotices passes over the lines that a server may send before its
// identification string.
func skipNotices(b []byte) []byte {
	for rest := b; ; {
		if mayPrefix(rest, "SSH-") {
			return rest
		}
		line, after, whole := cutLine(rest)
		if !whole {
			line = bytes.TrimSuffix(rest, []byte{'\r'})
		}
		switch {
		case !isText(line) || len(b) >= 1024:
			return b
		case !whole:
			return nil // the identification may still come
		}
		rest = after
	}
}

// fingerprint reads the KEXINIT (RFC 4253 sections 6 and 7.1) and adds the HASSH
// of its side. It reports whether nothing more can be learned.
//
//	u32 packet length, u8 padding length, u8 20, 16 bytes cookie, then name lists,
//	each u32 length and text: key exchange, host key, encryption (both ways), MAC
//	(both ways), compression (both ways), ...
func (s *sshSide) fingerprint(server bool, out *Result) (done bool) {
	if s.banner == nil {
		return false
	}
	if bytes.HasPrefix(s.banner, []byte("SSH-1.")) && !bytes.HasPrefix(s.banner, []byte("SSH-1.99")) {
		return true // version 1 has other packets
	}
	b := s.rest
	if len(b) < 6 {
		return false
	}
	size := binary.BigEndian.Uint32(b)
	if size < 22 || size > sshBytes || b[5] != 20 {
		return true
	}
	if len(b) < 22 {
		return false
	}
	b = b[22:]
	// HASSH: key exchange; encryption; MAC; compression of the sender's direction.
	wanted, key := [4]int{0, 2, 4, 6}, "ssh.hassh"
	if server {
		wanted, key = [4]int{0, 3, 5, 7}, "ssh.hassh_server"
	}
	var text [sshBytes]byte
	n, next := 0, 0
	for list := 0; next < len(wanted); list++ {
		if len(b) < 4 {
			return false
		}
		l := binary.BigEndian.Uint32(b)
		if l > size {
			return true
		}
		if int(l) > len(b)-4 {
			return false
		}
		if list == wanted[next] {
			if next++; next > 1 {
				text[n] = ';'
				n++
			}
			n += copy(text[n:], b[4:4+l])
		}
		b = b[4+l:]
	}
	sum := md5.Sum(text[:n])
	out.Hex(key, sum[:])
	return true
}
