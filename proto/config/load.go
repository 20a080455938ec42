package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds one file; long lists of domains belong into files of their own.
const maxFile = 1 << 20

// File is one configuration file in memory.
type File struct {
	Name string // for messages, and the start of relative paths in it
	Text []byte
}

// Load reads path and, in lexical order, the *.toml files of the folder beside
// it: for weir.toml these are weir.d/*.toml. The error joins every mistake.
func Load(path string) (*Config, error) {
	main, err := read(path)
	if err != nil {
		return nil, err
	}
	files, errs := []File{main}, []error(nil)
	dir := strings.TrimSuffix(path, ".toml") + ".d"
	entries, err := os.ReadDir(dir) // in lexical order
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration folder: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".toml" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := filepath.Join(dir, e.Name())
		if e.Type()&fs.ModeSymlink != 0 { // told by the name its author knows it by
			if target, err := filepath.EvalSymlinks(name); err == nil {
				name = target
			}
		}
		f, err := read(name)
		if err != nil {
			errs = append(errs, err)
		}
		files = append(files, f)
	}
	c, err := Parse(files...)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return c, nil
}

func read(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("read configuration: %w", err)
	}
	return File{path, text}, nil
}

// Parse merges files, in this order, into one configuration. Later files
// extend earlier ones and may not set a single value again.
func Parse(files ...File) (*Config, error) {
	b := &binder{set: map[string]Pos{}}
	root := &node{value: map[string]*node{}}
	for _, f := range files {
		if len(f.Text) > maxFile {
			b.errs = append(b.errs, fmt.Errorf("%s: is larger than %v: keep long lists in files of their own", f.Name, Size(maxFile)))
			continue
		}
		tree, err := parseTree(f.Name, string(f.Text))
		if err != nil {
			b.errs = append(b.errs, err)
			continue
		}
		b.errs = append(b.errs, merge(root, tree, "")...)
	}
	c := Default()
	b.table(root, "", c.fields())
	c.check(b)
	order(b.errs, files)
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// order sorts mistakes as one would read the files.
func order(errs []error, files []File) {
	rank := make(map[string]int, len(files))
	for i, f := range files {
		rank[f.Name] = i
	}
	at := func(err error) (file, line int) {
		var p *Problem
		if errors.As(err, &p) {
			return rank[p.File], p.Line
		}
		return -1, 0 // a file that cannot be read at all
	}
	slices.SortStableFunc(errs, func(a, b error) int {
		fileA, lineA := at(a)
		fileB, lineB := at(b)
		return cmp.Or(cmp.Compare(fileA, fileB), cmp.Compare(lineA, lineB))
	})
}

// Validate checks values that were set after Parse, by flags. It holds them
// against the same limits, by way of what Print writes.
func (c *Config) Validate() error {
	var text bytes.Buffer
	if err := c.Print(&text); err != nil {
		return err
	}
	_, err := Parse(File{"effective configuration", text.Bytes()})
	return err
}
