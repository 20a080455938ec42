package catalog

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// CompileFile compiles to a file. The new file takes the place of an old one
// by renaming, so that whoever has the old one mapped keeps it whole.
func CompileFile(in Input, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return fmt.Errorf("write catalogue: %w", err)
	}
	err = compileTo(in, f)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// compileTo compiles into f and closes it.
func compileTo(in Input, f *os.File) error {
	w := bufio.NewWriterSize(f, 1<<20)
	err := Compile(in, w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Chmod(0o644) // the workers are another user
	}
	if err == nil {
		err = f.Sync() // a renamed file must not be empty after a power cut
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// compileInMemory compiles and opens without a file.
func compileInMemory(in Input) (*Catalog, error) {
	var b bytes.Buffer
	if err := Compile(in, &b); err != nil {
		return nil, err
	}
	return Parse(b.Bytes())
}
