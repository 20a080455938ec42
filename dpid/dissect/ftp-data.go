package dissect

import (
	"bytes"

	"weir/proto/ids"
)

const idFTPData ids.Protocol = 24

func init() {
	register(Spec{
		Name: "ftp-data", ID: idFTPData, Category: "file-sharing", Over: TCP, Bytes: 512,
		Ports:  []uint16{20},
		Detect: detectFTPData,
	})
}

// detectFTPData recognises a directory listing, the only thing on an FTP data
// connection whose bytes tell: lines of the form that UNIX or Windows servers send
// for LIST, or of MLSD (RFC 3659 section 7), ended by CR LF as RFC 959 section
// 3.1.1.1 asks, and nobody on the other side speaks. A mode column alone is 10
// characters out of few: more than 32 bits. Every other data connection carries a
// file and is named by the control connection that announced it (Result.Expect).
func detectFTPData(in *Input, out *Result) Verdict {
	b := in.Server
	if len(b) == 0 {
		b = in.Client
	}
	if len(in.Client) > 0 && len(in.Server) > 0 {
		return No
	}
	line, rest, whole := cutLine(b)
	if whole && isTotal(line) {
		line, rest, whole = cutLine(rest)
		if !whole {
			line = rest
		}
	} else if !whole {
		line = b
	}
	switch {
	case len(b) == 0:
		return More
	case !whole && len(line) < 256 && isText(bytes.TrimSuffix(line, []byte{'\r'})) && mayList(line):
		return More
	case !whole || !bytes.HasSuffix(b[:len(b)-len(rest)], []byte("\r\n")):
		return No
	case isListing(line):
		out.Rule("directory listing", 90)
		return Yes
	}
	return No
}

// isTotal reports whether line is the first one of "ls -l": "total 12".
func isTotal(line []byte) bool {
	word, n := cutWord(line)
	_, digits := number(n, 12)
	return string(word) == "total" && digits > 0 && digits == len(n)
}

// isListing reports whether line is an entry of a directory.
func isListing(line []byte) bool {
	return isText(line) && (isUnixEntry(line) || isWindowsEntry(line) || isFacts(line))
}

// mayList reports whether line may become one: by its first byte.
func mayList(line []byte) bool {
	return len(line) == 0 || bytes.IndexByte([]byte("-dlbcpst0123456789mMuUTS"), line[0]) >= 0
}

// isUnixEntry: "drwxr-xr-x   2 user  group  4096 Jan 01 12:00 name".
func isUnixEntry(line []byte) bool {
	if len(line) < 30 || bytes.IndexByte([]byte("-dlbcps"), line[0]) < 0 {
		return false
	}
	for i, c := range line[1:10] {
		if c != '-' && c != "rwx"[i%3] && (i%3 != 2 || bytes.IndexByte([]byte("sStT"), c) < 0) {
			return false
		}
	}
	_, rest := cutWord(line) // the mode, perhaps with a mark for an ACL
	links, rest := cutWord(rest)
	_, digits := number(links, 8)
	fields := 0
	for len(rest) > 0 {
		_, rest = cutWord(rest)
		fields++
	}
	return digits > 0 && digits == len(links) && fields >= 5
}

// isWindowsEntry: "01-31-26  12:00AM       <DIR>          name", or with a year of
// four digits.
func isWindowsEntry(line []byte) bool {
	rest, ok := cutForm(line, "00-00-00  00:00AM  ")
	if !ok {
		rest, ok = cutForm(line, "00-00-0000  00:00AM  ")
	}
	kind, name := cutWord(trim(rest))
	_, digits := number(kind, 20)
	return ok && len(name) > 0 && (string(kind) == "<DIR>" || digits > 0 && digits == len(kind))
}

// cutForm splits from b what has the form: 0 is a digit, A is A or P, the rest is
// itself.
func cutForm(b []byte, form string) (rest []byte, ok bool) {
	if len(b) < len(form) {
		return b, false
	}
	for i := range len(form) {
		c := b[i]
		switch form[i] {
		case '0':
			ok = c >= '0' && c <= '9'
		case 'A':
			ok = c == 'A' || c == 'P'
		default:
			ok = c == form[i]
		}
		if !ok {
			return b, false
		}
	}
	return b[len(form):], true
}

// isFacts: "type=file;size=12;modify=20260131120000; name".
func isFacts(line []byte) bool {
	facts, name := cutWord(line)
	if len(name) == 0 || len(facts) < 12 || facts[len(facts)-1] != ';' {
		return false
	}
	known := false
	for _, f := range [...]string{"TYPE=FILE;", "TYPE=DIR;", "TYPE=CDIR;", "TYPE=PDIR;"} {
		known = known || hasWordFold(facts, f)
	}
	return known
}
