package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// source is one Go file of the module.
type source struct {
	pkg  *pkg
	path string // within the module
	text string
	tree *ast.File
}

func (s *source) name() string { return filepath.Base(s.path) }
func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func sources(t *testing.T) []*source {
	t.Helper()
	var list []*source
	for _, p := range all(t) {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredGoFiles, p.TestGoFiles, p.XTestGoFiles) {
			s := &source{pkg: p, path: p.path() + "/" + name}
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			s.text = string(text)
			s.tree, err = parser.ParseFile(token.NewFileSet(), s.path, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
	}
	return list
}

func TestPackageComments(t *testing.T) {
	commented := map[*pkg]bool{}
	for _, s := range sources(t) {
		onlyTests := len(s.pkg.GoFiles) == 0
		if s.tree.Doc != nil && (!s.isTest() || onlyTests) {
			commented[s.pkg] = true
			if s.pkg.Name != "main" && !strings.HasPrefix(s.tree.Doc.Text(), "Package "+s.pkg.Name+" ") {
				t.Errorf("%s: the package comment must begin with \"Package %s\"", s.path, s.pkg.Name)
			}
		}
	}
	for _, p := range all(t) {
		if !commented[p] {
			t.Errorf("%s has no package comment: say what it is, what it is not, and its invariant", p.path())
		}
	}
}

// long lists the files that may have more lines than maxLines, with the reason.
var long = map[string]string{}

const (
	maxLines     = 400
	maxTestLines = 800 // tables of cases read well at any length
)

func TestFileLength(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		limit := maxLines
		if s.isTest() {
			limit = maxTestLines
		}
		if strings.Contains(s.text, "\n// Code generated ") {
			continue
		}
		n := strings.Count(s.text, "\n")
		if n > limit && long[s.path] == "" {
			t.Errorf("%s has %d lines, limit %d: split it by what its parts do", s.path, n, limit)
		}
		seen[s.path] = n > limit
	}
	for path := range long {
		if !seen[path] {
			t.Errorf("%s is excused for its length without need: remove it from the list", path)
		}
	}
}

var linuxOnly = regexp.MustCompile(`_linux(_[a-z0-9]+)?\.go$|linux_test\.go$`)

func TestDangerousImports(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.tree.Imports {
			switch imp.Path.Value {
			case `"unsafe"`:
				if !s.isTest() && !strings.HasPrefix(s.name(), "unsafe") { // tests ask for sizes
					t.Errorf("%s imports unsafe: keep unsafe code in unsafe.go", s.path)
				}
			case `"golang.org/x/sys/unix"`:
				if !linuxOnly.MatchString(s.name()) {
					t.Errorf("%s imports x/sys/unix: keep system calls in *_linux.go", s.path)
				}
			case `"C"`:
				t.Errorf("%s uses cgo: Weir builds with CGO_ENABLED=0", s.path)
			}
		}
	}
}

// On 32-bit machines a plain uint64 in a struct may lie on 4 bytes only, and the
// functions below fault. The types of sync/atomic are aligned by construction.
var untypedAtomic = regexp.MustCompile(`\batomic\.(Add|And|Or|Load|Store|Swap|CompareAndSwap)(Int|Uint)64\(`)

func TestAtomicsAligned(t *testing.T) {
	for _, s := range sources(t) {
		if m := untypedAtomic.FindString(s.text); m != "" {
			t.Errorf("%s calls %s...): use atomic.Uint64 or atomic.Int64, aligned on 32-bit machines too", s.path, m)
		}
	}
}

var bareTODO = regexp.MustCompile(`(?m)//.*\b(TODO|FIXME|XXX)\b[^#\n]*$`)

func TestTODOs(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg.path() == "tests/arch" {
			continue
		}
		if m := bareTODO.FindString(s.text); m != "" {
			t.Errorf("%s: %q has no issue number", s.path, m)
		}
	}
}

// TestDissectors holds each protocol to its one file and its samples.
func TestDissectors(t *testing.T) {
	const folder = "dpid/dissect"
	n := 0
	for _, s := range sources(t) {
		if s.pkg.path() != folder || s.isTest() || !registers(s.tree) {
			continue
		}
		n++
		// go build reads _os and _arch in file names; protocols have hyphens.
		name := strings.ReplaceAll(strings.TrimSuffix(s.name(), ".go"), "_", "-")
		dir := filepath.Join(root, folder, "testdata", name)
		for _, prefix := range []string{"yes-", "no-"} {
			if samples, _ := filepath.Glob(filepath.Join(dir, prefix+"*")); len(samples) == 0 {
				t.Errorf("%s has no sample %s/testdata/%s/%s*.txt", s.path, folder, name, prefix)
			}
		}
	}
	if n == 0 {
		t.Errorf("no file in %s calls register", folder)
	}
}

// registers reports whether an init function of the file calls register.
func registers(f *ast.File) bool {
	found := false
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "init" {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				id, ok := call.Fun.(*ast.Ident)
				found = found || ok && id.Name == "register"
			}
			return true
		})
	}
	return found
}
