// Package binaries gives tests the real programs: those that "make build" made,
// when WEIR_BIN names their folder, otherwise ones that it builds once per test
// process from this checkout.
package binaries

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// programs are built as "make build" does; the catalogue is compiled by dpid.
var programs = []string{"capd", "dpid", "policyd", "shm/ringctl", "scripts/launch"}

var build = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("WEIR_BIN"); dir != "" {
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "weir-bin-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // some tests run them as another user
		return "", err
	}
	for _, p := range programs {
		name := filepath.Base(p)
		if name == "launch" {
			name = "weir"
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./"+p)
		cmd.Dir = Root()
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	cmd := exec.Command(filepath.Join(dir, "dpid"), "catalog", "compile", "-o", filepath.Join(dir, "catalog.weir"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the catalogue: %w\n%s", err, out)
	}
	return dir, nil
})

// Root returns the top folder of the checkout.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Dir returns the folder with capd, dpid, policyd, ringctl, weir and catalog.weir.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Corpus returns the folder with the labelled captures, or skips the test. In CI a
// corpus that is not there may be skipped, one that is there never.
func Corpus(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("WEIR_CORPUS")
	if dir == "" {
		dir = filepath.Join(Root(), "..", "shared", "corpus")
	}
	if _, err := os.Stat(filepath.Join(dir, "ndpi", "pcap")); err != nil {
		t.Skipf("no corpus of labelled captures at %s (set WEIR_CORPUS): %v", dir, err)
	}
	return dir
}
