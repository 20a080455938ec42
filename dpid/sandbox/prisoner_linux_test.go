package sandbox

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cell is what a prisoner has to work with.
type cell struct {
	dir   string
	file  *os.File // in dir, open for writing since before
	sock  int      // a socket of before
	other int      // a process of the same user
	peer  string   // where a connection would go to
}

// prisoner closes this process in, does what its role says and tells how it went.
func prisoner(role, dir string, args []string) {
	c := cell{dir: dir}
	if len(args) > 0 {
		c.other, _ = strconv.Atoi(args[0])
	}
	var err error
	if c.file, err = os.OpenFile(filepath.Join(dir, "file"), os.O_RDWR, 0); err != nil {
		fmt.Println("enter:", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		c.peer = l.Addr().String()
		c.sock, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	}
	if err != nil {
		fmt.Println("enter:", err)
	}
	switch role {
	case "root":
	case "capable":
		fmt.Printf("had: %v\n", keepCapability())
	default:
		leaveRoot()
	}
	threads(8) // what is closed must be closed for threads that exist already
	report, err := Enter("", dir)
	switch {
	case errors.Is(err, syscall.ENOTSUP):
		fmt.Println("enter: cgo")
	case err != nil:
		fmt.Println("enter:", err)
	default:
		fmt.Printf("landlock: %v\nseccomp: %v\nuser: %s\n", report.Landlock, report.Seccomp, report.User)
		switch role {
		case "refused":
			if !report.Seccomp { // then much of it would work
				break
			}
			for _, a := range attempts {
				if err := a.try(&c); err != nil {
					fmt.Printf("%s: %v\n", a.name, err)
				} else {
					fmt.Printf("%s: it worked\n", a.name)
				}
			}
		case "allowed":
			for _, w := range works {
				if err := w.do(&c); err != nil {
					fmt.Printf("%s: %v\n", w.name, err)
				} else {
					fmt.Printf("%s: done\n", w.name)
				}
			}
		default:
			threads(8)
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(l)
}

// threads runs n goroutines on threads of their own at once.
func threads(n int) {
	var all, done sync.WaitGroup
	all.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			all.Done()
			all.Wait()
		})
	}
	done.Wait()
}

// keepCapability leaves root but for one capability, and makes it ambient, as a
// service manager does.
func keepCapability() bool {
	id := nobody()
	const netRaw = 13
	// Every thread: the runtime moves this goroutine from one to another.
	if err := errors.Join(syscall.Setgroups(nil), everyThread(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1, 0),
		syscall.Setresuid(id.uid, id.uid, id.uid)); err != nil {
		return false
	}
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	sets := [2]unix.CapUserData{{Effective: 1 << netRaw, Permitted: 1 << netRaw, Inheritable: 1 << netRaw}}
	_, _, e := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&sets)), 0)
	if e != 0 {
		return false
	}
	_, _, e = syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, netRaw, 0, 0, 0)
	return e == 0
}

// attempt is something a worker must not be able to do.
type attempt struct {
	name     string
	try      func(c *cell) error
	err      error // what it meets; nil = EPERM
	landlock bool  // refused by landlock alone
}

func (a *attempt) refusal() error {
	if a.err != nil {
		return a.err
	}
	return unix.EPERM
}

// call makes a system call by its number.
func call(nr uintptr, args ...uintptr) func(*cell) error {
	return func(*cell) error { return raw(nr, args...) }
}

func raw(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, e := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); e != 0 {
		return e
	}
	return nil
}

// bare takes the system call's error out of what wraps it.
func bare(err error) error {
	var e syscall.Errno
	if errors.As(err, &e) {
		return e
	}
	return err
}

func opening(flags int, path func(c *cell) string) func(*cell) error {
	return func(c *cell) error {
		fd, err := unix.Open(path(c), flags|unix.O_CLOEXEC, 0o600)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
}

func inside(c *cell) string { return filepath.Join(c.dir, "file") }
func beside(c *cell) string { return filepath.Join(c.dir, "new") }
func outside(*cell) string  { return "/etc/passwd" }

// to makes a call whose first argument is the other process.
func to(nr uintptr, args ...uintptr) func(*cell) error {
	return func(c *cell) error { return raw(nr, append([]uintptr{uintptr(c.other)}, args...)...) }
}

var attempts = []attempt{
	{name: "open for writing", try: opening(unix.O_WRONLY, inside)},
	{name: "open for reading and writing", try: opening(unix.O_RDWR, inside)},
	{name: "open and truncate", try: opening(unix.O_RDONLY|unix.O_TRUNC, inside)},
	{name: "create a file", try: opening(unix.O_RDONLY|unix.O_CREAT, beside)},
	{name: "create a nameless file", try: opening(unix.O_RDWR|unix.O_TMPFILE, func(c *cell) string { return c.dir })},
	{name: "open outside", try: opening(unix.O_RDONLY, outside), err: unix.EACCES, landlock: true},
	{name: "open in proc", try: opening(unix.O_RDONLY, func(*cell) string { return "/proc/self/mem" }), err: unix.EACCES, landlock: true},
	{name: "climb out", try: opening(unix.O_RDONLY, func(c *cell) string { return c.dir + "/../../../../../etc/passwd" }), err: unix.EACCES, landlock: true},
	{name: "openat2", try: call(unix.SYS_OPENAT2)},
	{name: "truncate", try: func(c *cell) error { return unix.Truncate(inside(c), 0) }},
	{name: "ftruncate", try: func(c *cell) error { return unix.Ftruncate(int(c.file.Fd()), 0) }},
	{name: "unlink", try: func(c *cell) error { return unix.Unlink(inside(c)) }},
	{name: "rename", try: func(c *cell) error { return unix.Rename(inside(c), beside(c)) }},
	{name: "link", try: func(c *cell) error { return unix.Link(inside(c), beside(c)) }},
	{name: "symlink", try: func(c *cell) error { return unix.Symlink(inside(c), beside(c)) }},
	{name: "mkdir", try: func(c *cell) error { return unix.Mkdir(beside(c), 0o700) }},
	{name: "mknod", try: func(c *cell) error { return unix.Mkfifo(beside(c), 0o700) }},
	{name: "chmod", try: func(c *cell) error { return unix.Chmod(inside(c), 0o777) }},
	{name: "chown", try: func(c *cell) error { return unix.Chown(inside(c), -1, -1) }},
	{name: "chdir", try: func(*cell) error { return unix.Chdir("/") }},
	{name: "chroot", try: func(c *cell) error { return unix.Chroot(c.dir) }},
	{name: "socket, internet", try: call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM)},
	{name: "socket, unix", try: call(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_DGRAM)},
	{name: "socket, netlink", try: call(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW)},
	{name: "socketpair", try: call(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM)},
	{name: "connect", try: func(c *cell) error {
		a, err := net.ResolveTCPAddr("tcp4", c.peer)
		if err != nil {
			return err
		}
		return unix.Connect(c.sock, &unix.SockaddrInet4{Port: a.Port, Addr: [4]byte(a.IP.To4())})
	}},
	{name: "bind", try: func(c *cell) error { return unix.Bind(c.sock, &unix.SockaddrInet4{}) }},
	{name: "listen", try: func(c *cell) error { return unix.Listen(c.sock, 1) }},
	{name: "sendto", try: func(c *cell) error { return unix.Sendto(c.sock, []byte("x"), 0, &unix.SockaddrInet4{Port: 9}) }},
	{name: "execve", try: func(*cell) error { return bare(syscall.Exec("/bin/true", []string{"true"}, nil)) }},
	{name: "execveat", try: call(unix.SYS_EXECVEAT)},
	{name: "a new process", try: call(unix.SYS_CLONE, uintptr(unix.SIGCHLD))},
	{name: "a new name space", try: call(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD))},
	{name: "clone3", try: call(unix.SYS_CLONE3), err: unix.ENOSYS},
	{name: "unshare", try: call(unix.SYS_UNSHARE, unix.CLONE_NEWUSER)},
	{name: "setns", try: call(unix.SYS_SETNS)},
	{name: "ptrace", try: to(unix.SYS_PTRACE, unix.PTRACE_TRACEME)},
	{name: "read another's memory", try: to(unix.SYS_PROCESS_VM_READV)},
	{name: "kill", try: to(unix.SYS_KILL)},
	{name: "tgkill another", try: func(c *cell) error { return raw(unix.SYS_TGKILL, uintptr(c.other), uintptr(c.other)) }},
	{name: "tkill another", try: to(unix.SYS_TKILL)},
	{name: "queue a signal", try: to(unix.SYS_RT_SIGQUEUEINFO)},
	{name: "open a process", try: to(unix.SYS_PIDFD_OPEN)},
	{name: "another's limits", try: to(unix.SYS_PRLIMIT64, unix.RLIMIT_CPU)},
	{name: "another's processors", try: to(unix.SYS_SCHED_SETAFFINITY)},
	{name: "another's priority", try: call(unix.SYS_SETPRIORITY)},
	{name: "signals of a file", try: func(c *cell) error {
		_, err := unix.FcntlInt(c.file.Fd(), unix.F_SETOWN, c.other)
		return err
	}},
	{name: "which signals of a file", try: func(c *cell) error {
		_, err := unix.FcntlInt(c.file.Fd(), unix.F_SETSIG, int(unix.SIGKILL))
		return err
	}},
	{name: "signals of a folder", try: func(c *cell) error {
		_, err := unix.FcntlInt(c.file.Fd(), unix.F_NOTIFY, 2)
		return err
	}},
	{name: "mount", try: func(c *cell) error { return unix.Mount("none", c.dir, "tmpfs", 0, "") }},
	{name: "umount", try: func(c *cell) error { return unix.Unmount(c.dir, 0) }},
	{name: "pivot_root", try: call(unix.SYS_PIVOT_ROOT)},
	{name: "setuid", try: call(unix.SYS_SETUID, 0)},
	{name: "setresuid", try: call(unix.SYS_SETRESUID, 0, 0, 0)},
	{name: "setgid", try: call(unix.SYS_SETGID, 0)},
	{name: "setgroups", try: call(unix.SYS_SETGROUPS)},
	{name: "capset", try: call(unix.SYS_CAPSET)},
	{name: "prctl", try: call(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)},
	{name: "another filter", try: call(unix.SYS_SECCOMP)},
	{name: "personality", try: call(unix.SYS_PERSONALITY, 0x0400000)}, // READ_IMPLIES_EXEC
	{name: "map executable memory", try: func(*cell) error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{name: "make memory executable", try: func(*cell) error {
		b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		return unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC)
	}},
	{name: "memory with a key", try: call(unix.SYS_PKEY_MPROTECT)},
	{name: "mremap", try: call(unix.SYS_MREMAP)},
	{name: "shared memory", try: call(unix.SYS_SHMGET)},
	{name: "memfd", try: call(unix.SYS_MEMFD_CREATE)},
	{name: "userfaultfd", try: call(unix.SYS_USERFAULTFD)},
	{name: "io_uring", try: call(unix.SYS_IO_URING_SETUP)},
	{name: "bpf", try: call(unix.SYS_BPF)},
	{name: "perf_event_open", try: call(unix.SYS_PERF_EVENT_OPEN)},
	{name: "keyctl", try: call(unix.SYS_KEYCTL)},
	{name: "ioctl", try: call(unix.SYS_IOCTL, 0, unix.TIOCSTI)},
	{name: "settimeofday", try: call(unix.SYS_SETTIMEOFDAY)},
	{name: "sethostname", try: call(unix.SYS_SETHOSTNAME)},
	{name: "reboot", try: call(unix.SYS_REBOOT)},
	{name: "load a kernel module", try: call(unix.SYS_INIT_MODULE)},
	{name: "syslog", try: call(unix.SYS_SYSLOG)},
}

// work is something a worker must be able to do.
type work struct {
	name string
	do   func(c *cell) error
}

var works = []work{
	{"read a file inside", func(c *cell) error {
		b, err := os.ReadFile(inside(c))
		if err == nil && string(b) != "inside" {
			err = fmt.Errorf("it says %q", b)
		}
		return err
	}},
	{"list the folder", func(c *cell) error { _, err := os.ReadDir(c.dir); return err }},
	{"write to an open file", func(c *cell) error { _, err := c.file.WriteString("i"); return bare(err) }},
	{"map an open file", func(c *cell) error {
		b, err := unix.Mmap(int(c.file.Fd()), 0, 6, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		b[0] = 'i'
		return unix.Munmap(b)
	}},
	{"lock an open file", func(c *cell) error {
		l := unix.Flock_t{Type: unix.F_WRLCK}
		return unix.FcntlFlock(c.file.Fd(), unix.F_OFD_SETLK, &l)
	}},
	{"threads and futexes", func(*cell) error {
		for range 20 {
			threads(32)
		}
		return nil
	}},
	{"memory and the collector", func(*cell) error {
		var keep [][]byte
		for i := range 64 {
			keep = append(keep, make([]byte, 1<<20))
			keep[i][i] = 1
			if i%16 == 0 {
				runtime.GC()
			}
		}
		runtime.KeepAlive(keep)
		debug.FreeOSMemory()
		return nil
	}},
	{"deep stacks", func(*cell) error {
		if n := deep(100_000); n != 100_000 {
			return fmt.Errorf("deep = %d", n)
		}
		return nil
	}},
	{"timers", func(*cell) error {
		select {
		case <-time.After(3 * time.Millisecond):
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("a timer of 3 ms did not ring")
		}
	}},
	{"preemption", func(*cell) error { // by signals to our own threads
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		stop := make(chan bool)
		go func() { close(stop) }()
		for n := 0; ; n++ {
			select {
			case <-stop:
				return nil
			default:
				for i := 0; i < 1e6; i++ {
					n ^= i
				}
			}
		}
	}},
	{"signals to ourselves", func(*cell) error {
		ch := make(chan os.Signal, 1)
		signal.Notify(ch, syscall.SIGUSR1)
		defer signal.Stop(ch)
		if err := unix.Tgkill(os.Getpid(), os.Getpid(), unix.SIGUSR1); err != nil {
			return err
		}
		select {
		case <-ch:
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("the signal did not arrive")
		}
	}},
	{"pipes", func(*cell) error {
		r, w, err := os.Pipe()
		if err != nil {
			return bare(err)
		}
		defer func() { _, _ = r.Close(), w.Close() }()
		go func() { _, _ = w.Write([]byte("x")) }()
		var b [1]byte
		_, err = r.Read(b[:])
		return bare(err)
	}},
	{"log", func(*cell) error {
		r, w, err := os.Pipe()
		if err != nil {
			return bare(err)
		}
		slog.New(slog.NewTextHandler(w, nil)).Info("hello", "time", time.Now())
		_ = w.Close()
		b, err := io.ReadAll(r)
		if err == nil && len(b) < 20 {
			err = fmt.Errorf("it says %q", b)
		}
		return bare(err)
	}},
	{"our own limits", func(*cell) error { var l unix.Rlimit; return unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &l) }},
	{"random numbers", func(*cell) error { _, err := unix.Getrandom(make([]byte, 16), 0); return err }},
	{"recover from a fault", func(*cell) (err error) {
		b, err := unix.Mmap(-1, 0, 4096, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if recover() == nil {
				err = errors.New("no fault")
			}
		}()
		b[0]++
		return nil
	}},
}

// deep recurses n times.
//
//go:noinline
func deep(n int) int {
	var pad [64]byte
	pad[n%64] = 1
	if n == 0 {
		return int(pad[1])
	}
	return deep(n-1) + int(pad[n%64])
}
