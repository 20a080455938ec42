package dissect

import "bytes"

func init() {
	register(Spec{
		Name: "imap", ID: 13, Category: "email", Over: TCP, Bytes: mailBytes,
		Ports:  []uint16{143},
		Detect: detectIMAP,
	})
}

// imapCommands are those of RFC 9051, RFC 3501 and the extensions that clients use
// at the start.
var imapCommands = []string{
	"CAPABILITY", "LOGIN", "AUTHENTICATE", "STARTTLS", "ID", "NOOP", "LOGOUT", "ENABLE", "SELECT", "EXAMINE",
	"NAMESPACE", "LIST", "LSUB", "XLIST", "STATUS", "IDLE", "UID", "FETCH", "SEARCH", "STORE", "COPY", "MOVE",
	"APPEND", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "CHECK", "CLOSE", "UNSELECT", "EXPUNGE",
	"GETQUOTAROOT", "GETQUOTA", "COMPRESS", "NOTIFY", "SORT", "THREAD", "GETACL", "GETMETADATA",
}

// imapTalk is what both sides have said before TLS.
type imapTalk struct {
	banner                []byte
	greeted, named, bad   bool // "* OK"; a line says IMAP4; no IMAP peer sends this
	starttls, over        bool
	commands              int    // with tags of their own
	tag, user, auth, name []byte // of the first command; the name a client gives with ID
	answered              bool   // a reply carries the tag of the first command
}

// detectIMAP recognises IMAP4 (RFC 9051). "* OK" may be others' greeting, so a
// match needs the word IMAP in it, a tagged command after it, a reply with the
// command's tag, or, when the server is not seen, two tagged commands.
func detectIMAP(in *Input, out *Result) Verdict {
	var t imapTalk
	t.client(in)
	t.server(in)
	switch {
	case t.named:
		out.Rule("server names IMAP4", 95)
	case t.greeted && t.commands > 0:
		out.Rule("greeting and command", 95)
	case t.answered:
		out.Rule("tagged reply", 90)
	case t.commands > 1:
		out.Rule("commands", 90)
	case t.bad:
		return No
	default:
		return More
	}
	out.Str("imap.banner", t.banner)
	out.Str("imap.user", t.user)
	out.Str("imap.auth", t.auth)
	out.Str("imap.client", t.name)
	if t.starttls {
		out.Bool("imap.starttls", true)
		return upgraded(tlsPart(in.Client), tlsPart(in.Server), out)
	}
	if t.over || in.ClientEnd || in.ServerEnd || len(in.Client) >= mailBytes || len(in.Server) >= mailBytes {
		return Yes
	}
	return YesMore
}

// server reads the greeting and looks for the reply to the first command.
func (t *imapTalk) server(in *Input) {
	for n, b := 0, in.Server; len(b) > 0; n++ {
		line, rest, whole := cutLine(b)
		if !whole {
			if n == 0 {
				t.bad = t.bad || !mayPrefix(b, "* ") && len(t.tag) == 0 || len(b) > maxLine ||
					!isText(bytes.TrimSuffix(b, []byte{'\r'}))
			}
			return
		}
		first, text := cutWord(line)
		state, text := cutWord(text)
		switch {
		case !isText(line):
			t.bad = t.bad || n == 0
			return
		case string(first) == "*":
			t.untagged(state, text, n)
		case len(t.tag) > 0 && bytes.Equal(first, t.tag) && oneOf(state, imapStates):
			t.answered = true
		default:
			t.bad = t.bad || n == 0
		}
		if n > 32 {
			return
		}
		b = rest
	}
}

var imapStates = []string{"OK", "NO", "BAD"}

func (t *imapTalk) untagged(state, text []byte, n int) {
	switch {
	case isFold(state, "OK"), isFold(state, "PREAUTH"), isFold(state, "BYE"):
		if n == 0 {
			t.greeted, t.banner = true, text
		}
		t.named = t.named || hasWordFold(text, "IMAP")
	case isFold(state, "CAPABILITY"):
		t.named = t.named || hasWordFold(text, "IMAP4")
	}
}

// client reads the tagged commands up to STARTTLS or IDLE.
func (t *imapTalk) client(in *Input) {
	for n, b := 0, in.Client; len(b) > 0 && n < 32; n++ {
		line, rest, whole := cutLine(b)
		if !whole {
			t.bad = t.bad || n == 0 && !mayCommandIMAP(bytes.TrimSuffix(b, []byte{'\r'}))
			return
		}
		tag, more := cutWord(line)
		verb, arg := cutWord(more)
		switch {
		case isTag(tag) && oneOf(verb, imapCommands) && isText(line):
			t.command(tag, verb, arg)
		case n == 0:
			t.bad = true
			return
		}
		if t.starttls {
			return
		}
		b = rest
	}
}

func (t *imapTalk) command(tag, verb, arg []byte) {
	if t.commands == 0 || !bytes.Equal(tag, t.tag) {
		t.commands++
	}
	if t.tag == nil {
		t.tag = tag
	}
	switch {
	case isFold(verb, "LOGIN"):
		t.user = imapString(arg)
	case isFold(verb, "AUTHENTICATE"):
		t.auth, _ = cutWord(arg)
	case isFold(verb, "ID"):
		if at := bytes.Index(arg, []byte(`"name" `)); at >= 0 {
			t.name = imapString(arg[at+7:])
		}
	case isFold(verb, "STARTTLS"):
		t.starttls = true
	case isFold(verb, "SELECT"), isFold(verb, "EXAMINE"), isFold(verb, "LOGOUT"), isFold(verb, "IDLE"):
		t.over = true
	}
}

// imapString returns the first word or quoted string of b, empty for a literal.
func imapString(b []byte) []byte {
	if len(b) > 0 && b[0] == '"' {
		if end := bytes.IndexByte(b[1:], '"'); end >= 0 {
			return b[1 : 1+end]
		}
		return nil
	}
	word, _ := cutWord(b)
	if len(word) > 0 && word[0] == '{' {
		return nil
	}
	return word
}

// isTag reports whether b is the tag of a command: letters, digits and a few more,
// at least one digit or letter, no longer than clients make them.
func isTag(b []byte) bool {
	for _, c := range b {
		if c != '.' && c != '-' && c != '_' && (c < '0' || c > '9') && (upper(c) < 'A' || upper(c) > 'Z') {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 32
}

// mayCommandIMAP reports whether b may become a first command.
func mayCommandIMAP(b []byte) bool {
	tag, rest := cutWord(b)
	if !isTag(tag) || !isText(b) || len(b) > maxLine {
		return false
	}
	verb, arg := cutWord(rest)
	return len(arg) > 0 && oneOf(verb, imapCommands) || mayBeOneOf(verb, imapCommands)
}
