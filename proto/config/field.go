package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field ties a key to the variable that holds it. Reading, checking, printing
// and the suggestions for misspelt keys all come from the one table of fields,
// so that they cannot disagree.
type field struct {
	key string
	doc string              // one line, printed above the key
	set func(n *node) error // single values; the error says why one is refused
	get func() string       // TOML text of a value; nil where print is set

	// Tables and lists read and print themselves; key is their full name.
	read  func(b *binder, n *node, key string)
	print func(p *printer, key string)

	// What a table, or an element of an array of tables, holds before anything is
	// read; nil for all other fields.
	in    func() []field
	array bool // of tables
}

// binder fills variables from nodes and collects every mistake.
type binder struct {
	errs []error
	set  map[string]Pos // where each key was set that is in no list
}

// at returns where key was set, or else the closest table around it.
func (b *binder) at(key string) Pos {
	for {
		if p, ok := b.set[key]; ok {
			return p
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return Pos{File: "configuration"}
		}
		key = key[:i]
	}
}

func (b *binder) fail(at Pos, key string, err error) {
	b.errs = append(b.errs, &Problem{at, key, err})
}

// table sets fields from the table n; key is its name for messages.
func (b *binder) table(n *node, key string, fields []field) {
	if _, ok := n.value.(map[string]*node); !ok {
		b.fail(n.Pos, key, fmt.Errorf("is %s, want a table [%s]", n.kind(), key))
		return
	}
	for k, v := range n.sorted() {
		b.set[dotted(key, k)] = v.Pos
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == k })
		switch {
		case i < 0:
			b.fail(v.Pos, dotted(key, k), unknown(k, fields))
		case fields[i].read != nil:
			fields[i].read(b, v, dotted(key, k))
		default:
			if err := fields[i].set(v); err != nil {
				b.fail(v.Pos, dotted(key, k), fmt.Errorf("= %s: %w", v.quote(), err))
			}
		}
	}
}

// section is a table with a variable behind each key.
func section(key, doc string, fields ...field) field {
	return field{key: key, doc: doc,
		read:  func(b *binder, n *node, key string) { b.table(n, key, fields) },
		print: func(p *printer, key string) { p.table(key, doc, fields) },
		in:    func() []field { return fields }}
}

// list is an array of tables, one T each. open sets a new T up before its
// fields are read.
func list[T any](key, doc string, p *[]T, open func(*T, Pos), fields func(*T) []field) field {
	return field{key: key, doc: doc,
		read: func(b *binder, n *node, key string) {
			items, ok := n.value.([]*node)
			if !ok {
				b.fail(n.Pos, key, fmt.Errorf("is %s, want an array of tables [[%s]]", n.kind(), key))
			}
			for _, item := range items {
				var v T
				open(&v, item.Pos)
				b.table(item, key, fields(&v))
				*p = append(*p, v)
			}
		},
		print: func(pr *printer, key string) {
			for i := range *p {
				pr.element(key, fields(&(*p)[i]))
			}
		},
		array: true,
		in: func() []field {
			var v T
			open(&v, Pos{})
			return fields(&v)
		}}
}

func mistyped(n *node, want string) error {
	return fmt.Errorf("is %s, want %s", n.kind(), want)
}

func text(key string, p *string, doc string, check func(string) error) field {
	return field{key: key, doc: doc,
		get: func() string { return quote(*p) },
		set: func(n *node) error {
			s, ok := n.value.(string)
			if !ok {
				return mistyped(n, "a string")
			}
			*p = s
			if check == nil {
				return nil
			}
			return check(s)
		}}
}

// path is text that names a file; relative names start at the folder of the
// file that holds them.
func path(key string, p *string, doc string) field {
	f := text(key, p, doc, nil)
	set := f.set
	f.set = func(n *node) error {
		if err := set(n); err != nil {
			return err
		}
		*p = resolve(n, *p)
		return nil
	}
	return f
}

func resolve(n *node, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(n.File), name)
}

func choice(key string, p *string, doc string, words ...string) field {
	return text(key, p, doc, func(s string) error {
		if slices.Contains(words, s) {
			return nil
		}
		return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
	})
}

func boolean(key string, p *bool, doc string) field {
	return field{key: key, doc: doc,
		get: func() string { return strconv.FormatBool(*p) },
		set: func(n *node) error {
			v, ok := n.value.(bool)
			if !ok {
				return mistyped(n, "true or false")
			}
			*p = v
			return nil
		}}
}

func integer(key string, p *int, doc string, lo, hi int) field {
	return field{key: key, doc: doc,
		get: func() string { return strconv.Itoa(*p) },
		set: func(n *node) error {
			v, ok := n.value.(int64)
			if !ok {
				return mistyped(n, "an integer")
			}
			if v < int64(lo) || v > int64(hi) {
				return fmt.Errorf("must be %d to %d", lo, hi)
			}
			*p = int(v)
			return nil
		}}
}

func number(key string, p *float64, doc string, lo, hi float64) field {
	return field{key: key, doc: doc,
		get: func() string {
			s := strconv.FormatFloat(*p, 'f', -1, 64)
			if !strings.Contains(s, ".") {
				s += ".0"
			}
			return s
		},
		set: func(n *node) error {
			v, ok := n.value.(float64)
			if i, isInt := n.value.(int64); isInt {
				v, ok = float64(i), true
			}
			if !ok {
				return mistyped(n, "a number")
			}
			if !(v >= lo && v <= hi) { // also refuses NaN
				return fmt.Errorf("must be %v to %v", lo, hi)
			}
			*p = v
			return nil
		}}
}

// size accepts a string with a unit or a number of bytes. Where lo is not 0,
// 0 still means "derived" or "none".
func size(key string, p *Size, doc string, lo, hi Size, check func(Size) error) field {
	return field{key: key, doc: doc,
		get: func() string { return quote(p.String()) },
		set: func(n *node) error {
			var v Size
			var err error
			switch x := n.value.(type) {
			case string:
				v, err = parseSize(x)
			case int64:
				v, err = parseSize(strconv.FormatInt(x, 10))
			default:
				err = mistyped(n, "a size such as \"16MiB\"")
			}
			if err != nil {
				return err
			}
			if v != 0 && (v < lo || v > hi) {
				return fmt.Errorf("must be %v to %v, or 0", lo, hi)
			}
			if check != nil {
				if err := check(v); err != nil {
					return err
				}
			}
			*p = v
			return nil
		}}
}

func duration(key string, p *time.Duration, doc string, lo, hi time.Duration) field {
	return parsed(key, p, doc, "a duration such as \"60s\"", formatDuration, func(s string) (time.Duration, error) {
		d, err := parseDuration(s)
		if err == nil && (d < lo || d > hi) {
			err = fmt.Errorf("must be %s to %s", formatDuration(lo), formatDuration(hi))
		}
		return d, err
	})
}

// parsed is a string that stands for a value of another type.
func parsed[T any](key string, p *T, doc, want string, format func(T) string, parse func(string) (T, error)) field {
	return field{key: key, doc: doc,
		get: func() string { return quote(format(*p)) },
		set: func(n *node) error {
			s, ok := n.value.(string)
			if !ok {
				return mistyped(n, want)
			}
			v, err := parse(s)
			if err == nil {
				*p = v
			}
			return err
		}}
}

// texts is a list of strings. Its elements are checked one by one, each with
// its own message.
func texts[T any](key string, p *[]T, doc string, format func(T) string, parse func(n *node, s string) (T, error)) field {
	return elements(key, p, doc, func(v T) string { return quote(format(v)) },
		func(n *node) (T, error) {
			s, ok := n.value.(string)
			if !ok {
				var zero T
				return zero, mistyped(n, "a string")
			}
			return parse(n, s)
		})
}

func integers(key string, p *[]int, doc string, lo, hi int) field {
	return elements(key, p, doc, strconv.Itoa, func(n *node) (v int, err error) {
		err = integer(key, &v, doc, lo, hi).set(n)
		return v, err
	})
}

func elements[T any](key string, p *[]T, doc string, format func(T) string, parse func(*node) (T, error)) field {
	return field{key: key, doc: doc,
		get: func() string {
			s := make([]string, len(*p))
			for i, v := range *p {
				s[i] = format(v)
			}
			return "[" + strings.Join(s, ", ") + "]"
		},
		read: func(b *binder, n *node, key string) {
			items, ok := n.value.([]*node)
			if !ok {
				b.fail(n.Pos, key, fmt.Errorf("= %s: %w", n.quote(), mistyped(n, "an array")))
			}
			for i, item := range items {
				v, err := parse(item)
				if err != nil {
					b.fail(item.Pos, fmt.Sprintf("%s[%d]", key, i), fmt.Errorf("= %s: %w", item.quote(), err))
					continue
				}
				*p = append(*p, v)
			}
		}}
}
