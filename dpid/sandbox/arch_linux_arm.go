package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_ARM
	sysMmap   = unix.SYS_MMAP2
)

// The 64-bit time calls of 32-bit ARM, and two of its private ones: cacheflush and
// set_tls (arch/arm/include/uapi/asm/unistd.h).
var allowedArch = []uint32{
	unix.SYS_FSTAT64, unix.SYS_FSTATAT64, unix.SYS__LLSEEK, unix.SYS_EPOLL_WAIT, unix.SYS_UGETRLIMIT,
	unix.SYS_CLOCK_GETTIME64, unix.SYS_FUTEX_TIME64, unix.SYS_CLOCK_NANOSLEEP_TIME64, armPrivate | 2, armPrivate | 5,
}

var fcntls = []uint32{unix.SYS_FCNTL, unix.SYS_FCNTL64}

const armPrivate = 0x0f0000
