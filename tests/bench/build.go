package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs builds what the pipeline needs, unless a folder with it was named.
func (b *bench) programs() error {
	if b.bin != "" {
		return nil
	}
	b.bin = filepath.Join(b.cache, "bin")
	for _, p := range []struct{ name, path string }{
		{"capd", "./capd"}, {"dpid", "./dpid"}, {"policyd", "./policyd"}, {"weir", "./scripts/launch"},
	} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(b.bin, p.name), p.path)
		cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p.path, err, out)
		}
	}
	cmd := exec.Command(filepath.Join(b.bin, "dpid"), "catalog", "compile", "-o", b.catalog())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the catalogue: %w\n%s", err, out)
	}
	return nil
}

// catalog is the compiled catalogue.
func (b *bench) catalog() string { return filepath.Join(b.bin, "catalog.weir") }

// missing is why a row is not measured: a Debian package, or captures.
type missing string

func (m missing) Error() string { return string(m) }

// compileC builds a reference of ours in C, tests/bench/c/NAME.c, and returns the
// program.
func (b *bench) compileC(name, header, pkg string, flags ...string) (string, error) {
	if _, err := exec.LookPath("gcc"); err != nil {
		return "", missing("gcc: install the package gcc")
	}
	if header != "" {
		if _, err := os.Stat(header); err != nil {
			return "", missing(fmt.Sprintf("%s: install the package %s", header, pkg))
		}
	}
	out := filepath.Join(b.cache, name)
	src := filepath.Join(b.root, "tests", "bench", "c", name+".c")
	args := append([]string{"-O2", "-Wall", "-o", out, src}, flags...)
	if text, err := exec.Command("gcc", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("gcc %s: %w\n%s", src, err, text)
	}
	return out, nil
}

// mix returns the file of a mix; it is made when it is not in the cache.
func (b *bench) mix(m mix) (string, error) {
	if b.corpus == "" && b.quick {
		return b.synthetic()
	}
	if b.corpus == "" {
		return "", missing("no captures for the mixes: see -corpus")
	}
	if b.quick {
		m.captures, m.copies = m.captures[:min(len(m.captures), 12)], 1
	}
	return m.file(b.cache, b.captures())
}

// skipped adds a row that says what is missing, or passes the error on.
func (b *bench) skipped(r row, err error) error {
	var m missing
	if !errors.As(err, &m) {
		return err
	}
	r.note = "missing " + string(m)
	b.rows = append(b.rows, r)
	return nil
}

// tellSkips appends the rows without numbers to the file of skips, in the form of
// scripts/gotest.
func (b *bench) tellSkips() error {
	if b.skips == "" {
		return nil
	}
	f, err := os.OpenFile(b.skips, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	for _, r := range b.rows {
		if !r.measured() {
			fmt.Fprintf(f, "weir/tests/bench %s: %s\n", r.what, r.note)
		}
	}
	return f.Close()
}
