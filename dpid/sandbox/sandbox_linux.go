package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter closes the process in. name is the user to become when it runs as root, ""
// for weir-dpi or else nobody; dir is the only folder it may still read. Call it
// once, from the main goroutine, after every file is open. There is no way back.
func Enter(name, dir string) (r Report, err error) {
	if os.Geteuid() == 0 {
		if r.User, err = become(name); err != nil {
			return r, err
		}
	}
	if err := dropCapabilities(); err != nil { // a service manager may have given some to the user
		return r, fmt.Errorf("drop capabilities: %w", err)
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return r, fmt.Errorf("set no_new_privs: %w", err)
	}
	if r.Landlock, err = confine(dir); errors.Is(err, os.ErrPermission) && r.User != "" {
		return r, fmt.Errorf("%w: let user %s pass through the folders above", err, r.User)
	} else if err != nil {
		return r, err
	}
	r.Seccomp, err = filter()
	return r, err
}

// A launcher that must not leave a worker behind asks for a signal at its own death
// (prctl(2), PR_SET_PDEATHSIG). The kernel keeps that with the first thread, which
// runs initialisation, and forgets it when the user changes.
var (
	deathSignal = deathSignalOf()
	parent      = os.Getppid()
)

// keepDeathSignal asks for the signal anew.
func keepDeathSignal() error {
	if deathSignal == 0 {
		return nil
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, deathSignal, 0); err != nil {
		return fmt.Errorf("keep the signal at the parent's death: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("the process that started this one is gone")
	}
	return nil
}

// become changes to an unprivileged user for good; with the user all capabilities
// go.
func become(name string) (string, error) {
	names := []string{name}
	if name == "" {
		names = []string{"weir-dpi", "nobody"}
	}
	for i, n := range names {
		u, err := user.Lookup(n)
		if err != nil {
			if i+1 < len(names) {
				continue
			}
			return "", fmt.Errorf("user %q for dpid does not exist: create it or set workers.user: %w", n, err)
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 != nil || err2 != nil || uid == 0 {
			return "", fmt.Errorf("user %q (uid %s, gid %s) cannot run dpid: it must not be root", n, u.Uid, u.Gid)
		}
		if err := syscall.Setgroups(nil); err != nil {
			return "", fmt.Errorf("drop groups: %w", err)
		}
		if err := syscall.Setresgid(gid, gid, gid); err != nil {
			return "", fmt.Errorf("become group %d: %w", gid, err)
		}
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			return "", fmt.Errorf("become user %s: %w", n, err)
		}
		return n, keepDeathSignal()
	}
	return "", nil
}

func everyThread(nr, a, b, c uintptr) error {
	if _, _, e := syscall.AllThreadsSyscall(nr, a, b, c); e != 0 {
		return e
	}
	return nil
}

// confine lets the process read below dir and nothing else in the file system
// (landlock(7)). Kernels without landlock are told by false.
func confine(dir string) (bool, error) {
	const all = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE |
		unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	ruleset, err := createRuleset(all)
	if err != nil {
		return false, nil // before Linux 5.13, or switched off: the user and seccomp remain
	}
	defer func() { _ = unix.Close(ruleset) }()
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("open ring directory %s: %w", dir, err)
	}
	defer func() { _ = unix.Close(d) }()
	if err := addRule(ruleset, d, unix.LANDLOCK_ACCESS_FS_READ_FILE|unix.LANDLOCK_ACCESS_FS_READ_DIR); err != nil {
		return false, fmt.Errorf("landlock rule for %s: %w", dir, err)
	}
	if err := everyThread(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); err != nil {
		return false, fmt.Errorf("landlock: %w", err)
	}
	return true, nil
}
