package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	sysMmap   = unix.SYS_MMAP
)

var allowedArch = []uint32{unix.SYS_NEWFSTATAT, unix.SYS_EPOLL_WAIT, unix.SYS_ARCH_PRCTL}

var fcntls = []uint32{unix.SYS_FCNTL}
