package filter

import (
	"fmt"
	"strings"
)

// token is a word (keyword, number or address) or a sign.
type token struct {
	text string
	pos  int
	word bool
}

const wordSigns = "._\\"

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// lex cuts s into tokens; the last one is empty.
func lex(s string) ([]token, error) {
	var toks []token
	slice := 0 // depth of brackets: in them a colon is a sign
	for i := 0; ; {
		for i < len(s) && strings.IndexByte(" \t\r\n", s[i]) >= 0 {
			i++
		}
		if i == len(s) {
			return append(toks, token{pos: i}), nil
		}
		if n := word(s[i:], slice > 0, toks); n > 0 {
			toks = append(toks, token{s[i : i+n], i, true})
			i += n
			continue
		}
		n := sign(s[i:])
		switch s[i : i+n] {
		case "":
			return nil, &Error{s, i, fmt.Sprintf("character %q means nothing here", s[i])}
		case "[":
			slice++
		case "]":
			slice--
		}
		toks = append(toks, token{s[i : i+n], i, false})
		i += n
	}
}

// word returns the length of the word that s begins with.
func word(s string, slice bool, before []token) int {
	if !slice {
		if n := colons(s); n > 0 {
			return n
		}
	}
	n := 0
	for n < len(s) && (isAlnum(s[n]) || strings.IndexByte(wordSigns, s[n]) >= 0 || hyphen(s, n, before) || slash(s, n, before)) {
		n++
	}
	return n
}

// colons returns the length of an IPv6 or MAC address, with its prefix length.
func colons(s string) int {
	n, count := 0, 0
	for n < len(s) && (isHex(s[n]) || s[n] == ':' || s[n] == '.' && count > 1) {
		if s[n] == ':' {
			count++
		}
		n++
	}
	if count < 2 || n < len(s) && isAlnum(s[n]) {
		return 0
	}
	if n+1 < len(s) && s[n] == '/' && isDigit(s[n+1]) {
		for n++; n < len(s) && isDigit(s[n]); n++ {
		}
	}
	return n
}

// hyphen reports whether the one at n belongs to a name such as tcp-syn, or a range
// of ports; elsewhere it is a minus.
func hyphen(s string, n int, before []token) bool {
	if s[n] != '-' || n == 0 || n+1 == len(s) || !isAlnum(s[n+1]) {
		return false
	}
	if l := last(before); l == "portrange" || l == "port" {
		return true
	}
	head, _, _ := strings.Cut(s[:n], "-")
	return head == "tcp" || head == "icmp" || head == "icmp6"
}

// slash reports whether the one at n comes before a prefix length.
func slash(s string, n int, before []token) bool {
	return s[n] == '/' && n > 0 && n+1 < len(s) && isDigit(s[n+1]) && (last(before) == "net" || strings.Contains(s[:n], "."))
}

func last(toks []token) string {
	if len(toks) == 0 {
		return ""
	}
	return toks[len(toks)-1].text
}

// sign returns the length of the sign that s begins with.
func sign(s string) int {
	for _, t := range []string{"&&", "||", "==", "!=", ">=", "<=", ">>", "<<"} {
		if strings.HasPrefix(s, t) {
			return 2
		}
	}
	if strings.IndexByte("()[]:!=<>+-*/%&|", s[0]) >= 0 {
		return 1
	}
	return 0
}
