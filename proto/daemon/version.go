package daemon

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Set by the linker: -X weir/proto/daemon.tag=v1.2.3 -X weir/proto/daemon.commit=0123abc.
var tag, commit string

// Format is a format with a version of its own: the layout of shared memory,
// the schema of events.
type Format struct {
	Name, Version string
}

// Version returns what -version prints: the name, tag, commit, Go and platform
// on one line, and one more line for each format.
func Version(name string, formats ...Format) string {
	t, c := tag, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if t == "" {
			t = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && c == "" {
				c = s.Value
			}
		}
	}
	if t == "" {
		t = "(devel)"
	}
	if c == "" {
		c = "unknown"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s (commit %s, %s, %s/%s)", name, t, c, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, f := range formats {
		fmt.Fprintf(&b, "\n%s %s", f.Name, f.Version)
	}
	return b.String()
}
