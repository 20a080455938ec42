package catalog

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// command runs the command and returns its exit code and output.
func runCommand(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, f := range smallData() {
		if err := os.WriteFile(filepath.Join(data, name), f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("ads.example @ads\nother.example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "catalog.weir")
	conf := filepath.Join(dir, "weir.toml")
	wrong := filepath.Join(dir, "wrong.toml")
	for name, text := range map[string]string{
		conf: `[catalog]
file = "own.weir"
categories = ["homework"]
lists = [{ category = "blocked", file = "list", attributes = ["-ads"] }]
[[application]]
name = "school-cloud"
category = "homework"
domains = ["cloud.school.test", "=school.test"]
networks = ["198.51.100.0/24", "203.0.113.7"]
ja4 = ["t13d190900_fcb5b95cb75a_b0d3b4ac2a14"]
[[application]]
name = "example"
domains = ["more.example.net"]
`,
		wrong: `[[application]]
name = "Upper"
category = "homework"
domains = ["a..b"]

[[application]]
name = "none"
category = "nonsense"
domains = ["c.test"]
`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(dir, "own.weir")
	tests := []struct {
		args       string
		code       int
		out, error string // parts
	}{
		{"compile -o " + file + " -data " + data + " -list blocked=" + list + "@ads", exitOK, "", ""},
		{"check -f " + file, exitOK, "3 applications, 3 categories, 9 names, 4 networks, 1 fingerprints, 0 patterns, 1 lists,", ""},
		{"check -data " + data, exitOK, "3 applications,", ""},
		{"lookup -f " + file + " www.example.com", exitOK, "example", ""},
		{"lookup -f " + file + " ads.example", exitOK, "blocked", ""},
		{"lookup -f " + file + " other.example", exitError, "unknown", ""},
		{"lookup -f " + file + " 192.0.2.200 2001:db8::1 t13d1516h2_8daaf6152771_02713d6af862", exitOK, "network 192.0.2.128/25", ""},
		{"lookup nflxvideo.net", exitOK, "suffix nflxvideo.net", ""},
		{"lookup -f " + list + " a.example", exitError, "", "not a compiled catalogue"},
		{"check -f " + dir + "/none", exitError, "", "no such file"},
		{"compile -o " + dir + "/no/dir/file", exitError, "", "write catalogue"},
		{"compile -o " + file + " -list broken", exitUsage, "", "want CATEGORY=FILE"},
		{"compile -o " + file + " -list x=" + dir + "/none", exitError, "", "none: open none: no such file"},
		{"compile -config " + conf + " -data " + data, exitOK, "", ""}, // into its catalog.file
		{"lookup -f " + own + " a.cloud.school.test", exitOK, "school-cloud             homework         suffix cloud.school.test", ""},
		{"lookup -f " + own + " school.test", exitOK, "exact =school.test", ""},
		{"lookup -f " + own + " x.school.test", exitError, "unknown", ""},
		{"lookup -f " + own + " 198.51.100.9 203.0.113.7 t13d190900_fcb5b95cb75a_b0d3b4ac2a14", exitOK, "network 203.0.113.7", ""},
		{"lookup -f " + own + " more.example.net", exitOK, "example ", ""},
		{"lookup -f " + own + " other.example", exitOK, "blocked", ""},
		{"lookup -f " + own + " ads.example", exitError, "unknown", ""}, // by the list's attributes
		{"check -config " + conf + " -data " + data, exitOK, "4 applications, 4 categories,", ""},
		{"compile -o " + file + " -config " + wrong, exitError, "", wrong + ":1: application"},
		{"compile -o " + file + " -config " + wrong, exitError, "", wrong + `:6: application none: unknown category "nonsense"`},
		{"compile -config " + wrong, exitUsage, "", "wrong.toml sets no catalog.file"},
		{"check -config " + dir + "/none.toml", exitError, "", "none.toml: no such file"},
		{"compile", exitUsage, "", "needs -o FILE or -config FILE"},
		{"lookup", exitUsage, "", "needs a name"},
		{"check extra", exitUsage, "", "no arguments"},
		{"check -nonsense", exitUsage, "", "usage:"},
		{"", exitUsage, "", "usage:"},
		{"fly", exitUsage, "", `unknown command "fly"`},
		{"help", exitOK, "usage:", ""},
		{"compile -h", exitOK, "usage:", ""},
	}
	for _, tt := range tests {
		code, out, errs := runCommand(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.error) || (tt.error == "") != (errs == "") {
			t.Errorf("catalog %s = %d\n%s%swant %d, %q, %q", tt.args, code, out, errs, tt.code, tt.out, tt.error)
		}
	}
	// A failed compilation leaves the old file and nothing beside it.
	left, err := filepath.Glob(filepath.Join(dir, "catalog.weir*"))
	if err != nil || len(left) != 1 {
		t.Errorf("files after failed compilations: %v, %v; want the first one alone", left, err)
	}
	if _, err := Open(file); err != nil {
		t.Errorf("Open after failed compilations = %v", err)
	}
}

func TestCommandJSON(t *testing.T) {
	t.Parallel()
	_, out, _ := runCommand("lookup", "-json", "www.netflix.com", "what\"is\\this\x01\xff", "1.1.1.1")
	type answer struct {
		Query       string
		Found       bool
		Application string
		ID          uint32 `json:"application_id"`
		Category    string
		CategoryID  uint16 `json:"category_id"`
		Kind, Entry string
		Lists       []string
	}
	var got []answer
	for line := range strings.Lines(out) {
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got = append(got, a)
	}
	if len(got) != 3 || got[0].Application != "netflix" || got[0].Category != "streaming" || got[0].Entry != "netflix.com" || got[0].ID == 0 ||
		got[1].Found || got[1].Query != "what\"is\\this\x01\ufffd" || got[2].Entry != "1.1.1.1/32" {
		t.Errorf("lookup -json = %+v", got)
	}
}
