package dissect

import (
	"bytes"
	"encoding/binary"
)

const smbBytes = 4096 // negotiation, session set-up and the first tree connect

func init() {
	register(Spec{
		Name: "smb", ID: 21, Category: "file-sharing", Over: TCP, Bytes: smbBytes,
		Ports:  []uint16{445, 139},
		Detect: detectSMB,
	})
}

// detectSMB recognises SMB 1 to 3 (MS-CIFS, MS-SMB2) by the frame of RFC 1002
// section 4.3, type 0 and a 24 bit length, that holds one of four magics: 32 bits of
// magic, and a header that agrees. On port 139 a NetBIOS session is requested first.
func detectSMB(in *Input, out *Result) Verdict {
	client, isClient := smbStart(in.Client)
	server, isServer := smbStart(in.Server)
	if isClient != Yes && isServer != Yes {
		if in.Midstream {
			return midstreamSMB(in, out)
		}
		if isClient == No || isServer == No {
			return No
		}
		return More
	}
	s := smbSession{}
	s.read(server, true, out) // first: its full name is better than a share's
	s.read(client, false, out)
	s.describe(out)
	if s.done || in.ClientEnd || in.ServerEnd || len(in.Client) >= smbBytes || len(in.Server) >= smbBytes {
		return Yes
	}
	return YesMore
}

// midstreamSMB looks for a message at the start of the newest packet.
func midstreamSMB(in *Input, out *Result) Verdict {
	if b, is := smbStart(in.Packet); is == Yes {
		s := smbSession{}
		s.read(b, in.FromServer, out)
		s.describe(out)
		return Yes
	}
	if int(in.ClientCount)+int(in.ServerCount) >= midstreamTries {
		return No
	}
	return More
}

// Magics of a message: SMB 1, SMB 2 and 3, encrypted, compressed.
const (
	smb1          = 0xff
	smb2          = 0xfe
	smbEncrypted  = 0xfd
	smbCompressed = 0xfc
)

// smbStart passes over the NetBIOS session set-up and says whether a message
// begins there.
func smbStart(b []byte) (msg []byte, v Verdict) {
	for {
		if len(b) < 4 {
			if len(b) > 0 && b[0] != 0 && (b[0] < 0x81 || b[0] > 0x85) {
				return nil, No
			}
			return nil, More
		}
		size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		switch {
		case b[0] == 0x81 && size == 68, (b[0] == 0x82 || b[0] == 0x85) && size == 0:
			if len(b) < 4+size {
				return nil, More
			}
			b = b[4+size:]
			continue
		case b[0] != 0 || size < 32:
			return nil, No
		}
		return b, smbMagic(b[4:])
	}
}

func smbMagic(b []byte) Verdict {
	if len(b) > 0 && b[0] < smbCompressed {
		return No
	}
	if len(b) > 1 && !mayPrefix(b[1:], "SMB") {
		return No
	}
	switch {
	case len(b) < 6:
		return More
	case b[0] == smb2 && (b[4] != 64 || b[5] != 0): // size of the header
		return No
	}
	return Yes
}

// smbSession is what the messages tell.
type smbSession struct {
	seen1, seen2, encrypted bool
	dialect                 uint16 // of SMB 2 and 3, 0 while unknown
	dialects                []byte // the names that a client of SMB 1 offers
	chosen                  int    // 1 + the index that the server of SMB 1 chose
	done                    bool
}

// read goes through the messages of one direction; the last may be cut.
func (s *smbSession) read(b []byte, server bool, out *Result) {
	for len(b) > 8 && (b[0] == 0 || b[0] == 0x85) {
		size := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		msg := b[4:min(len(b), 4+size)]
		switch {
		case len(msg) < 4 || string(msg[1:4]) != "SMB":
		case msg[0] == smb1:
			s.message1(msg, server, out)
		case msg[0] == smb2:
			s.message2(msg, server, out)
		case msg[0] == smbEncrypted:
			s.seen2, s.encrypted, s.done = true, true, true
		case msg[0] == smbCompressed:
			s.seen2, s.done = true, true
		}
		b = b[min(len(b), 4+size):]
	}
}

// message1 reads a message of SMB 1, MS-CIFS section 2.2.3:
//
//	0 magic, 4 u8 command, 5 u32 status, 9 u8 flags, 10 u16 flags, ..., 32 u8 words,
//	the words, u16 bytes, the bytes
func (s *smbSession) message1(b []byte, server bool, out *Result) {
	if len(b) < 36 {
		return
	}
	s.seen1 = true
	words := int(b[32]) * 2
	switch command := b[4]; {
	case command == 0x72 && !server && words == 0: // negotiate: 0x02 name 0x00, ...
		s.dialects = b[35:]
	case command == 0x72 && server && words > 0 && len(b) >= 35:
		s.chosen = 1 + int(binary.LittleEndian.Uint16(b[33:]))
	case command == 0x73: // session set-up
		describeNTLM(b, out)
	case command != 0x72 && !server:
		s.done = true // set up and at work
	}
}

// message2 reads a message of SMB 2 or 3, MS-SMB2 section 2.2.1:
//
//	0 magic, 4 u16 64, 8 u32 status, 12 u16 command, 16 u32 flags, ..., 64 body
func (s *smbSession) message2(b []byte, server bool, out *Result) {
	s.seen2 = true
	if len(b) < 72 {
		return
	}
	body := b[64:]
	switch command := binary.LittleEndian.Uint16(b[12:]); {
	case command == 0 && server: // negotiate: u16 65, u16 security, u16 dialect
		s.dialect = binary.LittleEndian.Uint16(body[4:])
	case command == 1: // session set-up
		describeNTLM(b, out)
	case command == 3 && !server: // tree connect: u16 9, u16 flags, u16 offset, u16 length
		off, size := int(binary.LittleEndian.Uint16(body[4:])), int(binary.LittleEndian.Uint16(body[6:]))
		if off >= 72 && off+size <= len(b) {
			var text [256]byte
			share := fromUTF16(text[:], b[off:off+size])
			out.Str("smb.share", share)
			if host, found := bytes.CutPrefix(share, []byte(`\\`)); found {
				if end := bytes.IndexByte(host, '\\'); end > 0 {
					out.SetHost(withoutPort(host[:end]))
				}
			}
			s.done = true
		}
	case command > 3 && !server:
		s.done = true
	}
}

func (s *smbSession) describe(out *Result) {
	out.Rule("SMB header", 100)
	version, dialect := "1", ""
	switch {
	case s.dialect >= 0x0300 && s.dialect < 0x0400:
		version = "3"
	case s.seen2:
		version = "2"
	}
	switch s.dialect {
	case 0x0202:
		dialect = "2.0.2"
	case 0x0210:
		dialect = "2.1"
	case 0x0300:
		dialect = "3.0"
	case 0x0302:
		dialect = "3.0.2"
	case 0x0311:
		dialect = "3.1.1"
	}
	if s.encrypted && version == "2" {
		version = "3" // only version 3 encrypts
	}
	out.Str("smb.version", []byte(version))
	out.Str("smb.dialect", []byte(dialect))
	if s.chosen > 0 && !s.seen2 {
		out.Str("smb.dialect", dialectName(s.dialects, s.chosen))
	}
	if s.encrypted {
		out.Bool("smb.encrypted", true)
	}
}

// dialectName returns the n-th name, from 1, of a list of 0x02 name 0x00.
func dialectName(b []byte, n int) []byte {
	for ; n > 0 && len(b) > 1 && b[0] == 2; n-- {
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			return nil
		}
		if n == 1 {
			return b[1:end]
		}
		b = b[end+1:]
	}
	return nil
}
