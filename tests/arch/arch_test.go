// Package arch checks the shape of the project: which folder may import which,
// what a binary may weigh, and what every file owes its reader.
//
// It is not a linter for single lines; those rules are in .golangci.yml. Run it
// with -count=1: the test cache does not see what go list reads.
package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module = "weir"
	root   = "../.."
)

// pkg is what go list says of one package.
type pkg struct {
	ImportPath, Dir, Name     string
	Standard                  bool
	GoFiles, CgoFiles         []string
	IgnoredGoFiles            []string
	TestGoFiles, XTestGoFiles []string
	Imports, Deps             []string
	TestImports, XTestImports []string
}

// path is the package's folder within the module, such as "dpid/flow".
func (p *pkg) path() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

var packages = sync.OnceValues(func() ([]*pkg, error) {
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		var ee *exec.ExitError
		if errors.As(err, &ee) {
			err = errors.New(string(ee.Stderr))
		}
		return nil, err
	}
	var list []*pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		p := &pkg{}
		if err := d.Decode(p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
})

func all(t *testing.T) []*pkg {
	t.Helper()
	list, err := packages()
	if err != nil {
		t.Fatalf("go list ./...: %v", err)
	}
	if len(list) < 5 {
		t.Fatalf("go list ./... found %d packages, want the whole module", len(list))
	}
	return list
}

// under reports whether the path is the folder or lies in it.
func under(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, folder+"/")
}

// arrows say what a package may import of ours. The first entry that holds the
// package decides, so exceptions stand above their folder.
var arrows = []struct {
	folder string
	may    []string
}{
	{"proto", []string{"proto"}},
	{"shm/ringctl", []string{"shm", "proto"}}, // it prints what rings carry
	{"shm", []string{"shm"}},

	{"capd", []string{"capd", "proto", "shm"}},

	{"dpid/dissect", []string{"dpid/dissect", "proto"}},
	{"dpid/reasm", []string{"dpid/reasm", "proto"}},
	{"dpid/catalog", []string{"dpid/catalog", "proto", "shm"}},
	{"dpid/flow", []string{"dpid/flow", "proto", "shm"}},
	{"dpid/hint", []string{"dpid/hint", "proto", "shm"}},
	{"dpid", []string{"dpid", "proto", "shm"}},

	{"policyd/rule", []string{"policyd/rule", "proto"}},
	{"policyd/view", []string{"policyd/view", "proto", "shm"}},
	{"policyd/target", []string{"policyd/target", "proto"}},
	{"policyd", []string{"policyd", "proto", "shm"}},

	{"scripts", []string{"scripts", "proto", "shm"}},
	{"tests/bench", []string{"tests", "proto", "shm", "capd", "dpid"}}, // it measures parts of both
	{"tests", []string{"tests", "proto", "shm"}},
}

func mayImport(from, to string) bool {
	for _, a := range arrows {
		if under(from, a.folder) {
			return slices.ContainsFunc(a.may, func(f string) bool { return under(to, f) })
		}
	}
	return false // a new folder needs an entry
}

func TestArrows(t *testing.T) {
	for _, p := range all(t) {
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			to, ours := strings.CutPrefix(imp, module+"/")
			if ours && !mayImport(p.path(), to) {
				t.Errorf("%s must not import %s", p.path(), to)
			}
		}
	}
}

func TestMayImport(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		want     bool
	}{
		{"proto/event", "proto/flowkey", true},
		{"proto/event", "shm/layout", false},
		{"shm/pktring", "proto/pkt", false},
		{"shm/ringctl", "proto/event", true},
		{"capd/steer", "dpid/dissect", false},
		{"dpid/dissect", "dpid/flow", false},
		{"dpid/worker", "dpid/flow", true},
		{"policyd/rule", "policyd/target", false},
		{"policyd/ruler", "policyd/target", true},
		{"newfolder", "proto/pkt", false},
	} {
		if got := mayImport(tt.from, tt.to); got != tt.want {
			t.Errorf("mayImport(%s, %s) = %t, want %t", tt.from, tt.to, got, tt.want)
		}
	}
}

// heavy is what a binary must not carry, with the reason.
var heavy = []struct {
	binary, prefix, reason string
}{
	{"capd", "github.com/expr-lang", "rules are policyd's"},
	{"capd", "net/http", "capd serves nothing"},
	{"dpid", "github.com/google/nftables", "dpid parses hostile bytes and holds no privilege"},
	{"dpid", "github.com/expr-lang", "rules are policyd's"},
	{"dpid", "github.com/google/gopacket", "dpid reads rings, not captures"},
	{"dpid", "net/http", "dpid has no network"},
	{"dpid", "os/exec", "dpid starts no programs"},
	{"policyd", "github.com/google/gopacket", "policyd never sees a packet"},
	{"shm/ringctl", "github.com/google/nftables", "ringctl only reads rings"},
	{"shm/ringctl", "github.com/expr-lang", "ringctl only reads rings"},
}

func TestWeight(t *testing.T) {
	for _, p := range all(t) {
		for _, h := range heavy {
			if p.path() != h.binary || p.Name != "main" {
				continue
			}
			for _, dep := range p.Deps {
				if under(dep, h.prefix) {
					t.Errorf("%s must not depend on %s: %s", h.binary, dep, h.reason)
				}
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	banned := []string{"util", "utils", "common", "helper", "helpers", "types", "pkg", "misc", "base", "lib"}
	for _, p := range all(t) {
		if slices.Contains(banned, p.Name) {
			t.Errorf("%s: a package called %s says nothing; name it by what it does", p.path(), p.Name)
		}
		if len(p.CgoFiles) > 0 {
			t.Errorf("%s uses cgo in %q: Weir builds with CGO_ENABLED=0", p.path(), p.CgoFiles)
		}
	}
}
