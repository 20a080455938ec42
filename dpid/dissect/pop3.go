package dissect

import "bytes"

func init() {
	register(Spec{
		Name: "pop3", ID: 14, Category: "email", Over: TCP, Bytes: mailBytes,
		Ports:  []uint16{110},
		Detect: detectPOP3,
	})
}

// popCommands are those of RFC 1939, 2449, 2595 and 5034 that a session begins with.
var popCommands = []string{"USER", "PASS", "APOP", "AUTH", "CAPA", "STLS", "STAT", "LIST", "UIDL", "RETR", "TOP", "NOOP", "QUIT", "UTF8", "XTND"}

// popOwn are those that neither FTP nor another protocol has.
var popOwn = []string{"APOP", "CAPA", "STLS", "UIDL"}

// popTalk is what both sides have said before TLS.
type popTalk struct {
	banner, user, auth  []byte
	greeted, named, bad bool // "+OK"; it says POP3 or has a timestamp; no POP3 peer sends this
	begun, starttls     bool // a command that begins a session; STLS
	commands, own       int
	over                bool
}

// detectPOP3 recognises POP3 (RFC 1939). "+OK" is others' reply, too, so a match
// needs the word POP or the timestamp of APOP in the greeting, a command after it,
// or, when the server is not seen, two commands of which one is POP3's alone.
func detectPOP3(in *Input, out *Result) Verdict {
	var t popTalk
	t.server(in)
	t.client(in)
	switch {
	case t.named:
		out.Rule("greeting", 95)
	case t.greeted && t.begun:
		out.Rule("greeting and command", 95)
	case t.commands > 1 && t.own > 0:
		out.Rule("commands", 90)
	case t.bad:
		return No
	default:
		return More
	}
	out.Str("pop3.banner", t.banner)
	out.Str("pop3.user", t.user)
	out.Str("pop3.auth", t.auth)
	if t.starttls {
		out.Bool("pop3.starttls", true)
		return upgraded(tlsPart(in.Client), tlsPart(in.Server), out)
	}
	if t.over || in.ClientEnd || in.ServerEnd || len(in.Client) >= mailBytes || len(in.Server) >= mailBytes {
		return Yes
	}
	return YesMore
}

// server reads the greeting.
func (t *popTalk) server(in *Input) {
	b := in.Server
	line, _, whole := cutLine(b)
	switch {
	case len(b) == 0:
	case !whole:
		t.bad = !mayPrefix(b, "+OK") || len(b) > maxLine || !isText(bytes.TrimSuffix(b, []byte{'\r'})) || len(b) > 3 && b[3] != ' ' && b[3] != '\r'
	case !isText(line) || !bytes.HasPrefix(line, []byte("+OK")) || len(line) > 3 && line[3] != ' ':
		t.bad = true
	default:
		text := trim(line[3:])
		t.greeted, t.banner = true, text
		t.named = hasWordFold(text, "POP") || hasTimestamp(text)
	}
}

// hasTimestamp reports whether a greeting ends with "<process.clock@host>", which
// APOP needs (RFC 1939 section 7).
func hasTimestamp(text []byte) bool {
	at := bytes.LastIndexByte(text, '<')
	return at >= 0 && text[len(text)-1] == '>' && bytes.IndexByte(text[at:], '@') > 1 && bytes.IndexByte(text[at:], ' ') < 0
}

// client reads the commands up to STLS.
func (t *popTalk) client(in *Input) {
	for n, b := 0, in.Client; len(b) > 0 && n < 32; n++ {
		line, rest, whole := cutLine(b)
		if !whole {
			verb, arg := cutWord(bytes.TrimSuffix(b, []byte{'\r'}))
			may := mayBeOneOf(verb, popCommands) || len(arg) > 0 && oneOf(verb, popCommands)
			t.bad = t.bad || n == 0 && (!may || len(b) > maxLine || !isText(arg))
			return
		}
		verb, arg := cutWord(line)
		if !oneOf(verb, popCommands) || !isText(line) {
			t.bad = t.bad || n == 0
			if n == 0 {
				return
			}
		} else {
			t.command(verb, arg)
		}
		if t.starttls || t.over {
			return
		}
		b = rest
	}
}

func (t *popTalk) command(verb, arg []byte) {
	t.commands++
	if oneOf(verb, popOwn) {
		t.own++
	}
	switch {
	case isFold(verb, "USER"), isFold(verb, "APOP"):
		t.user, _ = cutWord(arg) // APOP: a digest follows
		t.begun = t.begun || len(t.user) > 0
	case isFold(verb, "AUTH"):
		t.auth, _ = cutWord(arg)
		t.begun = true
	case isFold(verb, "CAPA"), isFold(verb, "UIDL"):
		t.begun = true
	case isFold(verb, "STLS"):
		t.begun, t.starttls = true, true
	case isFold(verb, "STAT"), isFold(verb, "LIST"), isFold(verb, "RETR"), isFold(verb, "QUIT"):
		t.over = true
	}
}
