package rule

import (
	"fmt"

	"weir/proto/config"
)

// Problem is one mistake in a rule, or something that is surely not meant.
type Problem struct {
	Rule    string
	Key     string // "match", "exempt", or "" for the rule as a whole
	Pos     config.Pos
	At      Place // within the expression; zero for the rule as a whole
	Message string
	Hint    string // what to do instead; may be empty
	Warning bool   // the rules work all the same
}

// Place is a position within an expression: line and column in characters, both
// from 1. The zero Place is none.
type Place struct{ Line, Column int }

// Error returns FILE:LINE: rule NAME: KEY:LINE:COLUMN: MESSAGE: HINT, without the
// file's column, which needs the file's text (see Locate).
func (p *Problem) Error() string { return p.Format(p.Pos.String()) }

// Format is Error with another place in front.
func (p *Problem) Format(where string) string {
	s := where + ": "
	if p.Warning {
		s += "warning: "
	}
	if p.Rule != "" {
		s += "rule " + p.Rule + ": "
	}
	if p.Key != "" {
		s += p.Key + ": "
	}
	s += p.Message
	if p.Hint != "" {
		s += ": " + p.Hint
	}
	return s
}

// Locate finds the place of an expression's character in the text of its file: the
// value of key in the table whose header is at line. It reports false when the
// text does not have such a value, or is not what was compiled.
func Locate(text []byte, line int, key string, at Place) (Place, bool) {
	c := cursor{text: text, at: Place{1, 1}}
	for c.at.Line < line && c.next() {
	}
	if !c.findKey(key) {
		return Place{}, false
	}
	return c.seek(at)
}

// String returns LINE:COLUMN.
func (p Place) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }
