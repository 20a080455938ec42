package dissect

import "bytes"

const ftpBytes = 8192 // the dialogue, and the certificates after AUTH TLS

func init() {
	register(Spec{
		Name: "ftp", ID: 11, Category: "file-sharing", Over: TCP, Bytes: ftpBytes,
		Ports:  []uint16{21, 2121},
		Detect: detectFTP,
		Follow: followFTP,
	})
}

// ftpCommands are those of RFC 959, 2228, 2389, 2428, 3659 and 7151.
var ftpCommands = []string{
	"USER", "PASS", "AUTH", "FEAT", "SYST", "PASV", "EPSV", "PORT", "EPRT", "TYPE", "CWD", "XCWD",
	"PWD", "XPWD", "RETR", "STOR", "STOU", "APPE", "LIST", "NLST", "MLSD", "MLST", "SIZE", "MDTM",
	"REST", "RNFR", "RNTO", "DELE", "MKD", "XMKD", "RMD", "XRMD", "CDUP", "XCUP", "OPTS", "PBSZ",
	"PROT", "CCC", "ADAT", "HOST", "CLNT", "LANG", "MODE", "STRU", "ALLO", "ABOR", "ACCT", "SITE",
	"STAT", "HELP", "NOOP", "QUIT", "REIN", "SMNT", "MFMT",
}

// ftpShared are those that SMTP, POP3 or IRC have, too: alone they prove nothing.
var ftpShared = []string{
	"USER", "PASS", "AUTH", "LIST", "RETR", "DELE", "STAT", "HELP", "NOOP", "QUIT", "SIZE", "MODE", "PORT", "HOST", "LANG",
}

// ftpTalk is what both sides have said on a control connection.
type ftpTalk struct {
	banner, user, system, host []byte
	auth                       []byte // the mechanism asked for with AUTH
	afterAuth, afterAccept     []byte // what follows AUTH, and the reply that accepts it
	commands, own              int    // commands of FTP, and those that only FTP has
	accepted                   bool   // a reply 234 was seen
	loggedIn                   bool   // a reply 230 or 530 was seen
	password                   bool   // a reply 331 was seen
	named                      bool   // the greeting or a reply names FTP
	bad                        bool   // a line that no FTP peer sends
}

// detectFTP recognises the control connection, RFC 959. A greeting 220 is SMTP's,
// too, so a match needs the word FTP in it, or a command of FTP after it (32 bits
// each), or, when one side is missing, two commands of which one is FTP's alone, or
// a reply that only FTP has.
func detectFTP(in *Input, out *Result) Verdict {
	var t ftpTalk
	t.server(in)
	t.client(in)
	switch {
	case t.known():
		out.Rule("reply", 95)
	case t.commands > 1 && t.own > 0:
		out.Rule("commands", 90)
	case t.banner != nil && (t.own > 0 || t.user != nil || isFold(t.auth, "TLS") || isFold(t.auth, "SSL")):
		out.Rule("greeting and command", 95)
	case t.bad:
		return No
	default:
		return More
	}
	out.Str("ftp.banner", t.banner)
	out.Str("ftp.user", t.user)
	out.Str("ftp.system", t.system)
	out.SetHost(t.host)
	if t.accepted {
		out.Str("ftp.auth", t.auth)
		return upgraded(t.afterAuth, t.afterAccept, out)
	}
	expectData(in.Client, in.Server, in, out)
	if t.loggedIn || in.ClientEnd || in.ServerEnd || len(in.Client) >= ftpBytes || len(in.Server) >= ftpBytes {
		return Yes
	}
	return YesMore
}

// server reads the replies. The first must be a greeting (120, 220, 421) unless
// the start was missed.
func (t *ftpTalk) server(in *Input) {
	inReply := false
	for n, b := 0, in.Server; len(b) > 0; n++ {
		line, rest, whole := cutLine(b)
		if !whole {
			t.bad = t.bad || n == 0 && !in.Midstream && !mayReply(b, "220 ") && !mayReply(b, "220-") &&
				!mayReply(b, "120 ") && !mayReply(b, "421 ") || len(b) > maxLine
			return
		}
		b = rest
		code, text, more := replyCode(line)
		if n == 0 && (!isText(line) || !in.Midstream && code != 220 && code != 120 && code != 421) {
			t.bad = true
			return
		}
		if code == 0 && !inReply {
			t.bad = t.bad || !t.known()
			return
		}
		t.reply(code, text, n)
		inReply = more || inReply && code == 0
		if code == 234 {
			t.accepted, t.afterAccept = true, rest
			return
		}
	}
}

// known reports whether enough was seen that a strange line no longer matters.
func (t *ftpTalk) known() bool { return t.named || t.password }

func (t *ftpTalk) reply(code int, text []byte, n int) {
	switch {
	case n == 0 && (code == 220 || code == 421):
		if hasWordFold(text, "SMTP") {
			t.bad = true
			return
		}
		t.banner = text
	case code == 331:
		t.password = true // "need password": in none of the mail protocols
	case code == 230 || code == 530:
		t.loggedIn = true
	case code == 215 && t.system == nil:
		t.system = text
	case code == 227 && hasFold(text, "ENTERING PASSIVE"), code == 229 && hasWordFold(text, "(|||"):
		t.named = true
	}
	if (code == 220 || n == 0) && (hasWordFold(text, "FTP") || hasWordFold(text, "FILEZILLA")) {
		t.named = true
	}
}

// client reads the commands up to AUTH.
func (t *ftpTalk) client(in *Input) {
	for b := in.Client; len(b) > 0; {
		line, rest, whole := cutLine(b)
		verb, arg := cutWord(line)
		if !whole {
			verb, _ = cutWord(b)
			if t.commands == 0 && !mayBeOneOf(bytes.TrimSuffix(verb, []byte{'\r'}), ftpCommands) || len(b) > maxLine {
				t.bad = t.bad || !t.known()
			}
			return
		}
		if !oneOf(verb, ftpCommands) || !isText(line) {
			t.bad = t.bad || t.commands == 0 && !t.known() && !in.Midstream
			return
		}
		t.commands++
		if !oneOf(verb, ftpShared) {
			t.own++
		}
		switch {
		case isFold(verb, "USER"):
			t.user = arg
		case isFold(verb, "HOST"):
			t.host = arg
		case isFold(verb, "AUTH"):
			t.auth, t.afterAuth = arg, rest
			if t.accepted {
				return
			}
		}
		b = rest
	}
}

// followFTP reads on after the login: it announces the data connections.
func followFTP(in *Input, out *Result) Verdict {
	if len(in.Packet) > 0 && (in.Packet[0] < ' ' && in.Packet[0] != '\r' && in.Packet[0] != '\n' || in.Packet[0] >= 0x80) {
		return Yes // TLS since AUTH: nothing more to read
	}
	if in.FromServer {
		expectData(nil, in.Packet, in, out)
	} else {
		expectData(in.Packet, nil, in, out)
	}
	return More
}

// expectData announces the data connections named in commands and replies: PORT
// and EPRT are accepted by the client, 227 and 229 by the server (RFC 959 section
// 4.1.2, RFC 2428). The addresses in them are not believed, only the port: behind
// NAT they are wrong, and they can name a third party (RFC 2577 section 3).
func expectData(client, server []byte, in *Input, out *Result) {
	for b := client; ; {
		line, rest, whole := cutLine(b)
		if !whole {
			break
		}
		b = rest
		verb, arg := cutWord(line)
		if isFold(verb, "PORT") {
			out.Expect(in.ClientAddr, hostPort(arg), idFTPData)
		} else if isFold(verb, "EPRT") {
			out.Expect(in.ClientAddr, extendedPort(arg), idFTPData)
		}
	}
	for b := server; ; {
		line, rest, whole := cutLine(b)
		if !whole {
			return
		}
		b = rest
		switch code, text, _ := replyCode(line); code {
		case 227:
			out.Expect(in.ServerAddr, hostPort(text), idFTPData)
		case 229:
			if at := bytes.IndexByte(text, '('); at >= 0 {
				out.Expect(in.ServerAddr, extendedPort(text[at+1:]), idFTPData)
			}
		}
	}
}

// hostPort reads the port of the first "h1,h2,h3,h4,p1,p2" in b, 0 without one.
// Parentheses around it are customary, not required (RFC 1123 section 4.1.2.6).
func hostPort(b []byte) uint16 {
	for len(b) > 0 && (b[0] < '0' || b[0] > '9') {
		b = b[1:]
	}
	var port uint64
	for i := range 6 {
		v, digits := number(b, 3)
		if digits == 0 || v > 255 || i < 5 && (digits == len(b) || b[digits] != ',') {
			return 0
		}
		port = port<<8 | v
		b = b[min(digits+1, len(b)):]
	}
	return uint16(port)
}

// extendedPort reads the port of "|net-prt|net-addr|tcp-port|", whose delimiter may
// be any character, 0 without one.
func extendedPort(b []byte) uint16 {
	if len(b) == 0 {
		return 0
	}
	for range 3 {
		at := bytes.IndexByte(b[1:], b[0])
		if at < 0 {
			return 0
		}
		if v, digits := number(b[1:], 5); digits > 0 && digits == at && v <= 65535 && bytes.IndexByte(b[at+2:], b[0]) < 0 {
			return uint16(v)
		}
		b = b[at+1:]
	}
	return 0
}
