package config

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/config.md")

const referenceHead = `# Configuration

All daemons read one configuration, ` + "`/etc/weir/weir.toml`" + ` and, in lexical order, ` + "`weir.d/*.toml`" + ` beside it.
It is [TOML](https://toml.io). A table may be spread over files, arrays are joined, and a single value
may be set once only. Unknown keys and bad values are errors; every mistake of every file is told at
once, with its place and what to write instead. ` + "`-check`" + ` on any daemon only checks; ` + "`-print`" + ` shows what
is in effect.

Sizes are written ` + "`\"16MiB\"`" + ` (B, KiB, MiB, GiB) or as a number of bytes, times ` + "`\"90s\"`, `\"1h30m\"`, `\"7d\"`" + `;
names of files that do not begin with ` + "`/`" + ` start at the folder of the file that holds them. Where a
default of 0 is derived, it is derived from the machine's RAM and CPUs, so that everything together
takes at most a quarter of the RAM.

This page is made from the table that reads the files (` + "`go test ./proto/config -run Reference -update`" + `).
`

// reference writes what a person wants to know of fields, the values of one table
// first, then the tables in it.
func reference(w *bytes.Buffer, head string, fields []field) {
	rows := false
	for _, f := range fields {
		if f.in != nil || f.print != nil {
			continue
		}
		if !rows {
			fmt.Fprint(w, "\n| key | default | meaning |\n|---|---|---|\n")
			rows = true
		}
		fmt.Fprintf(w, "| `%s` | `%s` | %s |\n", f.key, f.get(), strings.ReplaceAll(f.doc, "|", "\\|"))
	}
	for _, f := range fields {
		if f.print == nil {
			continue
		}
		key := dotted(head, f.key)
		title := "[" + key + "]"
		if f.array {
			title = "[" + title + "]"
		}
		fmt.Fprintf(w, "\n## %s\n\n%s\n", title, f.doc)
		if f.in != nil {
			reference(w, key, f.in())
		}
	}
}

// TestReference keeps docs/config.md in step with the code.
func TestReference(t *testing.T) {
	const path = "../../docs/config.md"
	var w bytes.Buffer
	w.WriteString(referenceHead)
	reference(&w, "", Default().fields())
	if *update {
		if err := os.WriteFile(path, w.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.String(), string(have)); diff != "" {
		t.Errorf("docs/config.md is not what the code reads; run with -update (-code +page):\n%s", diff)
	}
}

// TestDocumented: no key goes without a word on what it means.
func TestDocumented(t *testing.T) {
	var look func(head string, fields []field)
	look = func(head string, fields []field) {
		for _, f := range fields {
			if len(f.doc) < 8 || !strings.HasSuffix(f.doc, ".") {
				t.Errorf("%s: documentation is %q, want a sentence", dotted(head, f.key), f.doc)
			}
			if f.in != nil {
				look(dotted(head, f.key), f.in())
			}
		}
	}
	look("", Default().fields())
}

func TestApplications(t *testing.T) {
	c, err := parse(t, `
[catalog]
categories = ["homework"]
lists = [{ category = "ads", file = "/lists/ads", attributes = ["ads", "-cn"] }]
[[application]]
name = "school"
category = "homework"
domains = ["=school.test"]
networks = ["192.0.2.0/24", "2001:db8::1"]
ja4 = ["t13d190900_fcb5b95cb75a_b0d3b4ac2a14"]
`)
	if err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c)
	a := c.Applications[0]
	if a.Pos.String() != "weir.toml:5" || a.Name != "school" || a.Category != "homework" || len(a.Domains) != 1 || len(a.Networks) != 2 || len(a.JA4) != 1 {
		t.Errorf("application = %+v", a)
	}
	if diff := cmp.Diff([]string{"ads", "-cn"}, c.Catalog.Lists[0].Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	if !c.OwnNames() || Default().OwnNames() {
		t.Errorf("OwnNames() = %v, %v of nothing, want true, false", c.OwnNames(), Default().OwnNames())
	}

	_, err = parse(t, "[[application]]\nname='a b'\ndomains=['']\n[[application]]\nname='x'\n[[application]]\nname='x'\nnetworks=['lan']\nja4=['y']\n[[application]]\nja4=['z']\n[[catalog.lists]]\ncategory='ads'\nfile='f'\nattributes=['--']")
	want := []string{
		`weir.toml:1: application a b has no members: give domains, networks or ja4`,
		`weir.toml:2: application.name = "a b": must be 1 to 64 letters, digits, '_', '-' or '.', not beginning with '-' or '.'`,
		`weir.toml:3: application.domains[0] = "": must not be empty`,
		`weir.toml:4: application x has no members: give domains, networks or ja4`,
		`weir.toml:6: application x is defined already at weir.toml:4: choose another name`,
		`weir.toml:8: application.networks[0] = "lan": not a network; write it like "192.168.0.0/16" or "2001:db8::/32"`,
		`weir.toml:10: application.name is missing`,
		`weir.toml:15: catalog.lists.attributes[0] = "--": must be 1 to 64 letters, digits, '_', '-' or '.', not beginning with '-' or '.'`,
	}
	if diff := cmp.Diff(want, strings.Split(fmt.Sprint(err), "\n")); diff != "" {
		t.Errorf("Parse: problems (-want +got):\n%s", diff)
	}
}
