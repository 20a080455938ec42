package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The process that is closed in is this test binary, started again: what it becomes
// it stays. It says what it tried on its standard output, a line each, and waits for
// its standard input to end, so that it can be looked at.
const roleVariable = "WEIR_SANDBOX_TEST"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case "idle": // somebody of the same user
		leaveRoot()
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin)
	default:
		prisoner(role, os.Args[1], os.Args[2:])
	}
	os.Exit(0)
}

// leaveRoot becomes nobody, as a process that was never root.
func leaveRoot() {
	if os.Geteuid() != 0 {
		return
	}
	id := nobody()
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setresgid(id.gid, id.gid, id.gid), syscall.Setresuid(id.uid, id.uid, id.uid)); err != nil {
		fmt.Println("fatal:", err)
		os.Exit(1)
	}
}

type identity struct{ uid, gid int }

func nobody() (id identity) {
	u, err := user.Lookup("nobody")
	if err != nil {
		fmt.Println("fatal:", err)
		os.Exit(1)
	}
	id.uid, _ = strconv.Atoi(u.Uid)
	id.gid, _ = strconv.Atoi(u.Gid)
	return id
}

// child is a started process.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	lines map[string]string // what it said, by the word before the colon
}

// run starts this binary in a role and reads what it says until it is ready. It runs
// until the test is over.
func run(t *testing.T, role string, args ...string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(self, args...), lines: map[string]string{}}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.Stderr = os.Stderr
	c.cmd.WaitDelay = 10 * time.Second
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.in.Close()
		if err := c.cmd.Wait(); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	})
	for c.out = bufio.NewScanner(out); c.out.Scan(); {
		line := c.out.Text()
		if line == "ready" {
			return c
		}
		word, rest, _ := strings.Cut(line, ": ")
		c.lines[word] = rest
	}
	t.Fatalf("%s ended before it was ready: %v", role, c.lines)
	return nil
}

// ringDir is a folder that others may read, with a file in it.
func ringDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("inside"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "file"), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// enter runs a prisoner and skips the test where a process of this build cannot be
// closed in whole.
func enter(t *testing.T, role, dir string, args ...string) *child {
	t.Helper()
	c := run(t, role, append([]string{dir}, args...)...)
	if err := c.lines["enter"]; err == "cgo" {
		t.Skip("system calls for all threads need a binary without cgo: CGO_ENABLED=0 go test")
	} else if err != "" {
		t.Fatalf("Enter: %s", err)
	}
	return c
}

// TestRefused tries what a worker that was taken over might try.
func TestRefused(t *testing.T) {
	other := run(t, "idle")
	c := enter(t, "refused", ringDir(t), strconv.Itoa(other.cmd.Process.Pid))
	if c.lines["seccomp"] != "true" {
		t.Skip("no filter of system calls for this machine")
	}
	landlock := c.lines["landlock"] == "true"
	if !landlock {
		t.Log("the kernel has no landlock: only seccomp and the user are tested")
	}
	n := 0
	for _, p := range attempts {
		got, tried := c.lines[p.name]
		if !tried {
			t.Errorf("%s was not tried", p.name)
			continue
		}
		if p.landlock && !landlock {
			continue
		}
		n++
		if want := p.refusal(); got != want.Error() {
			t.Errorf("%s: %q, want %q", p.name, got, want)
		}
	}
	t.Logf("%d attempts refused", n)
	if other.cmd.ProcessState != nil {
		t.Error("the other process is gone")
	}
}

// TestAllowed does what a worker does all day, and what the Go runtime does beneath.
func TestAllowed(t *testing.T) {
	c := enter(t, "allowed", ringDir(t))
	for _, w := range works {
		if got, done := c.lines[w.name]; !done || got != "done" {
			t.Errorf("%s: %q, want done", w.name, got)
		}
	}
}

// TestNobody starts as root and looks from outside at what is left of it: the user,
// no capability, no way to get one back, in every thread.
func TestNobody(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can give root up")
	}
	c := enter(t, "root", ringDir(t))
	id := strconv.Itoa(nobody().uid)
	if u, err := user.Lookup("weir-dpi"); err == nil {
		id = u.Uid
	}
	if c.lines["user"] == "" {
		t.Error("Enter does not say which user it became")
	}
	uids := strings.Join([]string{id, id, id, id}, "\t")
	none := strings.Repeat("0", 16)
	wantStatus(t, c, map[string]string{
		"Uid": uids, "Groups": "", "CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none, "NoNewPrivs": "1",
		"Seccomp": map[bool]string{true: "2", false: "0"}[c.lines["seccomp"] == "true"],
	})
}

// TestCapabilities starts as a user whom a service manager gave capabilities.
func TestCapabilities(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root can give capabilities")
	}
	c := enter(t, "capable", ringDir(t))
	if had := c.lines["had"]; had != "true" {
		t.Fatalf("the process had no capability to lose: %q", had)
	}
	none := strings.Repeat("0", 16)
	wantStatus(t, c, map[string]string{"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none, "NoNewPrivs": "1"})
}

// wantStatus compares lines of /proc/PID/task/*/status.
func wantStatus(t *testing.T, c *child, want map[string]string) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.cmd.Process.Pid))
	if err != nil || len(tasks) < 3 {
		t.Fatalf("%d threads, %v; want several", len(tasks), err)
	}
	for _, path := range tasks {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for key, v := range want {
			_, rest, ok := strings.Cut("\n"+string(b), "\n"+key+":")
			line, _, _ := strings.Cut(rest, "\n")
			if got := strings.TrimSpace(line); !ok || got != v {
				t.Errorf("%s: %s = %q, want %q", path, key, got, v)
			}
		}
	}
}

func TestWrongUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: another user stays what it is")
	}
	for name, want := range map[string]string{
		"no-such-user": `user "no-such-user" for dpid does not exist: create it or set workers.user`,
		"root":         "it must not be root",
	} {
		if _, err := become(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("become(%q) = %v, want %q", name, err, want)
		}
	}
	if os.Geteuid() != 0 {
		t.Error("a refused user was become all the same")
	}
}

// TestMissingDirectory: without landlock nobody looks at the folder.
func TestMissingDirectory(t *testing.T) {
	if _, err := createRuleset(unix.LANDLOCK_ACCESS_FS_EXECUTE); err != nil {
		t.Logf("no landlock here: %v", err)
		return
	}
	dir := filepath.Join(t.TempDir(), "none")
	if ok, err := confine(dir); ok || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("confine(%s) = %v, %v, want an error that names it", dir, ok, err)
	}
}
