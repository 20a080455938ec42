//go:build amd64 || arm64 || arm

package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data, linux/seccomp.h.
const (
	dataNR   = 0
	dataArch = 4
	dataArgs = 16 // u64 each; the low half first on little-endian machines
)

// allowed are the calls of the Go runtime (threads, memory, signals, timers) and
// those that rings and logs take: reading what is mapped or open, futexes, record
// locks, writing to open files. Nothing here makes a file, a socket or a process, or
// reaches another process, not even one of the same user: a worker cannot stop its
// neighbours. What is allowed with some arguments only is in program.
var allowed = append([]uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_CLOSE,
	unix.SYS_FSTAT, unix.SYS_STATX, unix.SYS_LSEEK, unix.SYS_GETDENTS64,
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_MSYNC, unix.SYS_BRK,
	unix.SYS_FUTEX, unix.SYS_FUTEX_WAITV, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME,
	unix.SYS_GETTIMEOFDAY, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK,
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RESTART_SYSCALL,
	unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_MEMBARRIER, unix.SYS_GETRANDOM,
	unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER, unix.SYS_UNAME,
}, allowedArch...)

// filter installs the allow list; any other call returns EPERM. Opening is for
// reading only (readers come and go, and their cursors are looked at), memory is
// never executable, clone makes threads only, signals go to this process, limits are
// its own, and no file sends signals.
func filter() (bool, error) {
	if err := install(program()); err != nil {
		return false, fmt.Errorf("install the system call filter: %w", err)
	}
	return true, nil
}

// signalling are the commands of fcntl(2) that make a file send signals, to any
// process of the user.
var signalling = []uint32{unix.F_SETOWN, unix.F_SETSIG, unix.F_SETOWN_EX, unix.F_NOTIFY}

func program() []unix.SockFilter {
	const (
		ok   = unix.SECCOMP_RET_ALLOW
		deny = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		none = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	)
	p := []unix.SockFilter{
		load(dataArch), jumpEq(auditArch, 1, 0), ret(deny),
		load(dataNR),
	}
	// Each test of an argument reloads the accumulator, so it ends in a return.
	arg := func(nr uint32, n int, mask, want uint32) {
		p = append(p, jumpEq(nr, 0, 5), load(uint32(dataArgs+8*n)), and(mask), jumpEq(want, 0, 1), ret(ok), ret(deny))
	}
	arg(unix.SYS_OPENAT, 2, unix.O_ACCMODE|unix.O_CREAT|unix.O_TRUNC, unix.O_RDONLY)
	arg(sysMmap, 2, unix.PROT_EXEC, 0)
	arg(unix.SYS_MPROTECT, 2, unix.PROT_EXEC, 0)
	arg(unix.SYS_CLONE, 0, unix.CLONE_THREAD, unix.CLONE_THREAD)
	arg(unix.SYS_TGKILL, 0, ^uint32(0), uint32(os.Getpid()))
	arg(unix.SYS_PRLIMIT64, 0, ^uint32(0), 0)
	for _, nr := range fcntls {
		p = append(p, jumpEq(nr, 0, 2*uint8(len(signalling))+2), load(dataArgs+8))
		for _, command := range signalling {
			p = append(p, jumpEq(command, 0, 1), ret(deny))
		}
		p = append(p, ret(ok))
	}
	p = append(p, jumpEq(unix.SYS_CLONE3, 0, 1), ret(none)) // flags lie in memory: make callers use clone
	for _, nr := range allowed {
		p = append(p, jumpEq(nr, 0, 1), ret(ok))
	}
	return append(p, ret(deny))
}

func load(off uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: off}
}

func and(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: k}
}

func jumpEq(k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
}

func ret(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}
