package dissect

import "bytes"

const mailBytes = 8192 // the dialogue up to the message, or the certificates after STARTTLS

func init() {
	register(Spec{
		Name: "smtp", ID: 12, Category: "email", Over: TCP, Bytes: mailBytes,
		Ports:  []uint16{25, 587, 2525},
		Detect: detectSMTP,
	})
}

// smtpTalk is what both sides have said before the message or TLS.
type smtpTalk struct {
	banner              []byte // text of the greeting
	greeted, named, bad bool   // greeting 220, 421 or 554; it says SMTP; no SMTP peer sends this
	hello, envelope     bool   // EHLO, HELO or LHLO; MAIL FROM or RCPT TO
	starttls, over      bool   // STARTTLS was asked for; DATA, BDAT or QUIT
	helo, from, auth    []byte
}

// detectSMTP recognises SMTP and LMTP (RFC 5321, 2033). The greeting 220 is FTP's,
// too, so a match needs the word SMTP in it, or EHLO, HELO or LHLO with a name
// (40 bits), or MAIL FROM: or RCPT TO: (more).
func detectSMTP(in *Input, out *Result) Verdict {
	var t smtpTalk
	t.server(in)
	t.client(in, out)
	switch {
	case t.named:
		out.Rule("greeting", 95)
	case t.envelope:
		out.Rule("envelope", 95)
	case t.hello:
		out.Rule("hello", 90)
	case t.bad:
		return No
	default:
		return More
	}
	name, _ := cutWord(t.banner)
	if isDomain(name) {
		out.Str("smtp.server", name)
		out.SetHost(name)
	}
	out.Str("smtp.banner", t.banner)
	out.Str("smtp.helo", t.helo)
	out.Str("smtp.mail_from", t.from)
	out.Str("smtp.auth", t.auth)
	if t.starttls {
		out.Bool("smtp.starttls", true)
		return upgraded(tlsPart(in.Client), tlsPart(in.Server), out)
	}
	if t.over || in.ClientEnd || in.ServerEnd || len(in.Client) >= mailBytes || len(in.Server) >= mailBytes {
		return Yes
	}
	return YesMore
}

// server reads the greeting, all its lines.
func (t *smtpTalk) server(in *Input) {
	b := in.Server
	for n := 0; len(b) > 0; n++ {
		line, rest, whole := cutLine(b)
		if !whole {
			may := mayReply(b, "220 ") || mayReply(b, "220-") || mayReply(b, "554 ") || mayReply(b, "421 ") ||
				in.Midstream && isText(bytes.TrimSuffix(b, []byte{'\r'}))
			t.bad = t.bad || n == 0 && !may || len(b) > maxLine
			return
		}
		code, text, more := replyCode(line)
		if !isText(line) || code != 220 && code != 554 && code != 421 {
			t.bad = t.bad || n == 0 && !in.Midstream
			return
		}
		if n == 0 {
			t.greeted, t.banner = true, text
		}
		t.named = t.named || hasWordFold(text, "SMTP") || hasWordFold(text, "LMTP")
		if !more {
			return
		}
		b = rest
	}
}

// client reads the commands up to the message.
func (t *smtpTalk) client(in *Input, out *Result) {
	for n, b := 0, in.Client; len(b) > 0; n++ {
		line, rest, whole := cutLine(b)
		if !whole {
			t.bad = t.bad || n == 0 && !in.Midstream && !smtpBegins(b)
			return
		}
		if !isText(line) || n == 0 && !in.Midstream && !smtpBegins(line) {
			t.bad = t.bad || n == 0
			return
		}
		t.command(line, n, out)
		if t.starttls || t.over {
			return
		}
		b = rest
	}
}

// smtpFirst are the commands that a client may begin with.
var smtpFirst = []string{"EHLO", "HELO", "LHLO", "NOOP", "RSET", "QUIT", "STARTTLS", "HELP", "AUTH", "MAIL", "VRFY", "EXPN"}

func smtpBegins(b []byte) bool {
	verb, _ := cutWord(bytes.TrimSuffix(b, []byte{'\r'}))
	if len(verb) < len(b) {
		return oneOf(bytes.TrimSuffix(verb, []byte{'\r'}), smtpFirst)
	}
	return mayBeOneOf(verb, smtpFirst)
}

func (t *smtpTalk) command(line []byte, n int, out *Result) {
	verb, arg := cutWord(line)
	switch {
	case isFold(verb, "EHLO"), isFold(verb, "HELO"), isFold(verb, "LHLO"):
		if name, more := cutWord(arg); len(name) > 0 && len(more) == 0 {
			t.hello = t.hello || n == 0 || t.greeted
			t.helo = name
		}
	case isFold(verb, "MAIL") && hasFold(arg, "FROM:"):
		t.envelope = true
		t.from = address(arg[5:])
	case isFold(verb, "RCPT") && hasFold(arg, "TO:"):
		t.envelope = true
		if len(out.Attrs()) < 512 { // room for the rest
			out.StrList("smtp.rcpt_to", address(arg[3:]))
		}
	case isFold(verb, "AUTH"):
		t.auth, _ = cutWord(arg) // never the credentials
	case isFold(verb, "STARTTLS"):
		t.starttls = true
	case isFold(verb, "DATA"), isFold(verb, "BDAT"), isFold(verb, "QUIT"):
		t.over = true
	}
}

// address returns the mail address of a path: what stands between < and >, or the
// first word.
func address(b []byte) []byte {
	b = trim(b)
	if len(b) > 0 && b[0] == '<' {
		if end := bytes.IndexByte(b, '>'); end > 0 {
			return b[1:end]
		}
	}
	b, _ = cutWord(b)
	return b
}
