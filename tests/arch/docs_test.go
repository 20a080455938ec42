package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// texts returns every text file of the project, by path.
func texts(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch rel {
			case ".git", "bin", "bench":
				return filepath.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > 4<<20 || rel == ".git" { // a file in a linked worktree
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && utf8.Valid(b) {
			files[rel] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Folders of somebody's machine; nobody else has them. The strings are cut so
// that this file passes its own test.
var machinePaths = regexp.MustCompile(`(^|[\s"'=(:])/(ho` + `me|wo` + `rk|Us` + `ers|root/go)/`)

func TestNoMachinePaths(t *testing.T) {
	for path, text := range texts(t) {
		for i, line := range strings.Split(text, "\n") {
			if m := machinePaths.FindString(line); m != "" {
				t.Errorf("%s:%d names %q, a path of one machine", path, i+1, strings.TrimSpace(m))
			}
		}
	}
}

var markdownLink = regexp.MustCompile(`\]\(([^)\s#]+)[^)]*\)`)

func TestLinks(t *testing.T) {
	for path, text := range texts(t) {
		if filepath.Ext(path) != ".md" {
			continue
		}
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			link := m[1]
			if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(path), link)); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, link)
			}
		}
	}
}

var directModule = regexp.MustCompile(`(?m)^(?:require)?\s+([a-z0-9.]+\.[a-z]+/\S+) v\S+$`)

// TestModules wants a reason for every module that go.mod asks for itself.
func TestModules(t *testing.T) {
	files := texts(t)
	const page = "docs/decisions/004-modules.md"
	for _, m := range directModule.FindAllStringSubmatch(files["go.mod"], -1) {
		if !strings.Contains(files[page], m[1]) {
			t.Errorf("go.mod requires %s: say in %s what it saves us", m[1], page)
		}
	}
}

// TestDecisionNumbers keeps the pages of docs/decisions numbered without doubles.
func TestDecisionNumbers(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/decisions/*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("docs/decisions holds no pages (%v)", err)
	}
	seen := map[string]string{}
	for _, p := range pages {
		name := filepath.Base(p)
		number, _, ok := strings.Cut(name, "-")
		if !ok || len(number) != 3 || strings.Trim(number, "0123456789") != "" {
			t.Errorf("docs/decisions/%s must be called NNN-title.md", name)
		}
		if other := seen[number]; other != "" {
			t.Errorf("docs/decisions/%s and %s have one number", name, other)
		}
		seen[number] = name
	}
}
