package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_AARCH64
	sysMmap   = unix.SYS_MMAP
)

var allowedArch = []uint32{unix.SYS_FSTATAT}

var fcntls = []uint32{unix.SYS_FCNTL}
