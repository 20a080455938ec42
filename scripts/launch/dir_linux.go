package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"weir/shm/layout"
)

// shareFolders makes the folders of a ring directory. For root, files in them get
// the group that dpid will have: it must read others' cursors.
func shareFolders(dir string) error {
	if err := layout.Root(dir).Make(0o750); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	gid, err := workerGroup()
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if err := os.Chown(path, 0, gid); err != nil {
			return err
		}
		return os.Chmod(path, 0o750|os.ModeSetgid)
	})
}

// workerGroup returns the group of the user that dpid becomes when it is root.
func workerGroup() (int, error) {
	for _, name := range []string{"weir-dpi", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return strconv.Atoi(u.Gid)
		}
	}
	return 0, fmt.Errorf("neither user weir-dpi nor nobody exists: dpid has nobody to become")
}
