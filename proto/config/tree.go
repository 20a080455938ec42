package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/BurntSushi/toml"
)

// node is one TOML value that remembers where it was written.
type node struct {
	Pos
	// string, int64, float64, bool, one of the module's time types,
	// []*node or map[string]*node.
	value any
}

// Problem is one mistake in the configuration.
type Problem struct {
	Pos
	Key string // dotted, "" where the file as a whole is meant
	Err error  // value, limit and remedy
}

// Error returns FILE:LINE: KEY PROBLEM.
func (p *Problem) Error() string {
	s := p.Pos.String() + ": "
	if p.Key != "" {
		s += p.Key + " "
	}
	return s + p.Err.Error()
}

// Unwrap returns what is wrong with the value.
func (p *Problem) Unwrap() error { return p.Err }

// parseTree reads one file. A syntax error hides the rest of its file only.
func parseTree(name, text string) (*node, error) {
	found, err := scanLines(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	table := map[string]any{}
	if _, err := toml.Decode(text, &table); err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, &Problem{Pos: Pos{name, pe.Position.Line}, Err: errors.New(pe.Message)}
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return newNode(name, "", table, found), nil
}

func newNode(file, path string, v any, found lines) *node {
	n := &node{Pos: Pos{file, found.at(path)}, value: v}
	switch v := v.(type) {
	case map[string]any:
		table := make(map[string]*node, len(v))
		for k, sub := range v {
			table[k] = newNode(file, join(path, k), sub, found)
		}
		n.value = table
	case []map[string]any:
		n.value = newList(file, path, v, found)
	case []any:
		n.value = newList(file, path, v, found)
	}
	return n
}

func newList[T any](file, path string, v []T, found lines) []*node {
	list := make([]*node, len(v))
	for i, sub := range v {
		list[i] = newNode(file, join(path, index(i)), sub, found)
	}
	return list
}

// merge adds the content of src to dst. Tables are united, lists appended; a
// single value may be set once only, so that no file silently overrules another.
func merge(dst, src *node, key string) []error {
	var errs []error
	table := dst.value.(map[string]*node)
	for k, s := range src.sorted() {
		d := table[k]
		if d == nil {
			table[k] = s
			continue
		}
		sub := dotted(key, k)
		switch sv := s.value.(type) {
		case map[string]*node:
			if _, ok := d.value.(map[string]*node); ok {
				errs = append(errs, merge(d, s, sub)...)
				continue
			}
		case []*node:
			if dv, ok := d.value.([]*node); ok {
				d.value = append(dv, sv...)
				continue
			}
		}
		errs = append(errs, &Problem{s.Pos, sub, fmt.Errorf("is set already at %s: remove one of them", d.Pos)})
	}
	return errs
}

// sorted yields the keys of a table in the order they were written.
func (n *node) sorted() func(yield func(string, *node) bool) {
	table, _ := n.value.(map[string]*node)
	keys := slices.SortedFunc(maps.Keys(table), func(a, b string) int {
		if d := table[a].Line - table[b].Line; d != 0 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	return func(yield func(string, *node) bool) {
		for _, k := range keys {
			if !yield(k, table[k]) {
				return
			}
		}
	}
}

func dotted(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// kind names the type of a node in the words of the TOML specification.
func (n *node) kind() string {
	switch n.value.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case []*node:
		return "an array"
	case map[string]*node:
		return "a table"
	}
	return "a date or time"
}

// quote shows a value in an error, cut to a readable length.
func (n *node) quote() string {
	s := ""
	switch v := n.value.(type) {
	case string:
		s = fmt.Sprintf("%q", v)
	case []*node, map[string]*node:
		return n.kind()
	default:
		s = fmt.Sprint(v)
	}
	const limit = 60
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return s
}
