package dissect

import "bytes"

// The text protocols (HTTP, FTP, mail, SIP, ...) are lines of ASCII. What they
// share is here: cutting lines, words, and comparing without case. Nothing
// allocates and nothing looks further than the bytes given.

// maxLine is the longest line that a command or reply of a text protocol may be;
// RFC 5321 section 4.5.3.1 allows 512 and extensions a few times that. What is
// longer is no line.
const maxLine = 2048

// cutLine splits the first line off b, without its CRLF or LF. It reports false
// when no line end has been seen.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	n := bytes.IndexByte(b, '\n')
	if n < 0 {
		return nil, b, false
	}
	line, rest = b[:n:n], b[n+1:]
	if n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line, rest, true
}

// cutWord splits b at the first run of spaces or tabs.
func cutWord(b []byte) (word, rest []byte) {
	n := 0
	for n < len(b) && b[n] != ' ' && b[n] != '\t' {
		n++
	}
	return b[:n:n], trim(b[n:])
}

// trim returns b without white space at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// upper returns c as a capital letter.
func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// isFold reports whether b is word, which is in capitals, in any case.
func isFold(b []byte, word string) bool { return len(b) == len(word) && hasFold(b, word) }

// hasFold reports whether b begins with word, which is in capitals, in any case.
func hasFold(b []byte, word string) bool {
	if len(b) < len(word) {
		return false
	}
	for i := range len(word) {
		if upper(b[i]) != word[i] {
			return false
		}
	}
	return true
}

// mayFold reports whether b begins with word or is a beginning of it, in any case.
func mayFold(b []byte, word string) bool {
	return hasFold(b, word[:min(len(b), len(word))])
}

// mayPrefix reports whether b begins with word or is a beginning of it.
func mayPrefix(b []byte, word string) bool {
	n := min(len(b), len(word))
	return string(b[:n]) == word[:n]
}

// hasWordFold reports whether word, in capitals, stands in b in any case.
func hasWordFold(b []byte, word string) bool {
	for i := 0; i+len(word) <= len(b); i++ {
		if upper(b[i]) == word[0] && hasFold(b[i:], word) {
			return true
		}
	}
	return false
}

// isText reports whether b holds no control bytes but tab: the text of a line.
// Bytes above 127 are allowed, people write names in their own script.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// oneOf reports whether b is one of words, which are in capitals, in any case.
func oneOf(b []byte, words []string) bool {
	for _, w := range words {
		if isFold(b, w) {
			return true
		}
	}
	return false
}

// mayBeOneOf reports whether b is the beginning of one of words, in any case.
func mayBeOneOf(b []byte, words []string) bool {
	for _, w := range words {
		if len(b) <= len(w) && mayFold(b, w) {
			return true
		}
	}
	return false
}

// number reads decimal digits at the start of b, at most max of them, and returns
// how many there were.
func number(b []byte, maxDigits int) (v uint64, digits int) {
	for digits < len(b) && digits < maxDigits && b[digits] >= '0' && b[digits] <= '9' {
		v = v*10 + uint64(b[digits]-'0')
		digits++
	}
	return v, digits
}

// replyCode reads the three digits and the separator of a reply line of FTP or
// SMTP (RFC 959 section 4.2, RFC 5321 section 4.2). more tells that another line
// of the same reply follows. code is 0 for a line that is no reply.
func replyCode(line []byte) (code int, text []byte, more bool) {
	v, n := number(line, 3)
	if n != 3 || v < 100 || v > 599 {
		return 0, nil, false
	}
	if len(line) == 3 {
		return int(v), nil, false
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, nil, false
	}
	return int(v), line[4:], line[3] == '-'
}

// mayReply reports whether b, not yet a whole line, may become a reply line.
func mayReply(b []byte, code string) bool {
	return mayPrefix(b, code) && (len(b) < 4 || b[3] == ' ' || b[3] == '-' || b[3] == '\r') &&
		len(b) < maxLine && isText(bytes.TrimSuffix(b, []byte{'\r'}))
}

// isDomain reports whether b looks like a domain name: letters, digits, hyphens and
// at least one inner dot.
func isDomain(b []byte) bool {
	dot := false
	for i, c := range b {
		switch {
		case c == '.':
			if i == 0 || b[i-1] == '.' {
				return false
			}
			dot = dot || i < len(b)-1
		case c >= '0' && c <= '9', upper(c) >= 'A' && upper(c) <= 'Z', c == '-', c == '_':
		default:
			return false
		}
	}
	return dot && len(b) <= 255
}
