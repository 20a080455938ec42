// Package netns gives a test a network namespace of its own, in which real programs
// may change the kernel's rules, and reads back what they did.
//
// Nothing here touches the namespace that the test runs in. Without root, or without
// the programs ip and nft, tests are skipped; in CI they fail instead.
package netns

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Namespace is a network namespace that ends with its test.
type Namespace struct{ name string }

var count atomic.Int32

// New makes a namespace.
func New(t testing.TB) *Namespace {
	t.Helper()
	NeedRoot(t)
	for _, p := range []string{"ip", "nft"} {
		if tool(p) == "" {
			missing(t, p+" is not installed")
		}
	}
	n := &Namespace{fmt.Sprintf("weir-test-%d-%d", os.Getpid(), count.Add(1))}
	if out, err := exec.Command(tool("ip"), "netns", "add", n.name).CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("network namespaces cannot be made: %v: %s", err, bytes.TrimSpace(out)))
	}
	t.Cleanup(func() {
		if out, err := exec.Command(tool("ip"), "netns", "del", n.name).CombinedOutput(); err != nil {
			t.Errorf("remove namespace: %v: %s", err, out)
		}
	})
	return n
}

// NeedRoot skips the test when it does not run as root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root")
	}
}

// missing skips the test, or fails it where it has to run.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s; in CI this is no reason to skip", why)
	}
	t.Skip(why)
}

// tool finds a program that may lie where only root looks.
func tool(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if p := filepath.Join(dir, name); exec.Command(p, "-V").Run() == nil {
			return p
		}
	}
	return ""
}

// Command is exec.Command within the namespace. The process that it starts becomes
// the program: its id is the program's.
func (n *Namespace) Command(program string, args ...string) *exec.Cmd {
	return exec.Command(tool("ip"), append([]string{"netns", "exec", n.name, program}, args...)...)
}

// NFT runs nft commands, one a line.
func (n *Namespace) NFT(t testing.TB, script string) {
	t.Helper()
	if _, err := n.nft(script, "-f", "-"); err != nil {
		t.Fatalf("%v\n%s", err, script)
	}
}

// Ruleset returns all rules of the namespace as nft prints them, but for times left.
func (n *Namespace) Ruleset(t testing.TB) string {
	t.Helper()
	out, err := n.nft("", "-s", "list", "ruleset")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (n *Namespace) nft(stdin string, args ...string) (string, error) {
	cmd := n.Command(tool("nft"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("nft %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.String(), nil
}
