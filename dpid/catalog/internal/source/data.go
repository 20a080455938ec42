// Package source reads what a catalogue is made of: our own text files, the
// user's applications and lists of names in the community format.
//
// It reports every mistake with file and line, all at once, and gives out
// nothing that has not been checked. It does not know the compiled form.
package source

import (
	"bufio"
	"cmp"
	"io/fs"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Category is a line of categories.txt.
type Category struct {
	ID   uint16
	Name string
	Text string // one line for people
	At   Place
}

// App is an application block.
type App struct {
	ID       uint32
	Name     string
	Category uint16
	Domains  []Domain
	Networks []netip.Prefix
	JA4      []string
	At       Place
}

// Bounds of ids in data files; what lies above belongs to the user's input.
const (
	maxCategory = 1<<15 - 1
	maxApp      = 1<<31 - 1
)

// Data is what the text files hold.
type Data struct {
	Categories []Category
	Apps       []App

	categoryOf map[string]uint16
	appOf      map[string]int // index in Apps
}

// Category returns the id of a category by name.
func (d *Data) Category(name string) (uint16, bool) {
	id, ok := d.categoryOf[name]
	return id, ok
}

// categoriesFile holds the categories; every other .txt holds applications.
const categoriesFile = "categories.txt"

// Read reads a data directory. Mistakes go to ps.
func Read(dir fs.FS, ps *Problems) *Data {
	d := &Data{categoryOf: map[string]uint16{}, appOf: map[string]int{}}
	readLines(dir, categoriesFile, ps, d.category(ps))
	names, err := fs.Glob(dir, "*.txt")
	if err != nil {
		ps.Errorf(Place{File: "."}, "%v", err)
	}
	r := &reader{data: d, ps: ps, ids: map[uint32]Place{}, seen: map[string]claim{}}
	for _, name := range names {
		if name != categoriesFile {
			r.current = -1
			readLines(dir, name, ps, r.line)
		}
	}
	if len(d.Apps) == 0 {
		ps.Errorf(Place{File: "."}, "no applications in *.txt")
	}
	r.checkCovered()
	return d
}

// readLines calls f with every line of a file that is not empty without its
// comment.
func readLines(dir fs.FS, name string, ps *Problems, f func(at Place, line string)) {
	file, err := dir.Open(name)
	if err != nil {
		ps.Errorf(Place{File: name}, "%v", err)
		return
	}
	defer func() { _ = file.Close() }()
	sc := bufio.NewScanner(file)
	n := 0
	for sc.Scan() {
		n++
		line := sc.Text()
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if line = strings.TrimRight(line, " \t\r"); line != "" {
			f(Place{File: name, Line: n}, line)
		}
	}
	if err := sc.Err(); err != nil {
		ps.Errorf(Place{File: name, Line: n + 1}, "%v", err)
	}
}

// category reads lines "ID NAME TEXT".
func (d *Data) category(ps *Problems) func(Place, string) {
	places := map[uint16]Place{}
	return func(at Place, line string) {
		f := strings.Fields(line)
		if len(f) < 3 {
			ps.Errorf(at, "want: ID NAME TEXT")
			return
		}
		id, err := strconv.ParseUint(f[0], 10, 16)
		if err != nil || id == 0 || id > maxCategory {
			ps.Errorf(at, "bad category id %q; want 1 to %d", f[0], maxCategory)
			return
		}
		if err := checkWord(f[1]); err != nil {
			ps.Errorf(at, "%v", err)
			return
		}
		if p, dup := places[uint16(id)]; dup {
			ps.Errorf(at, "category id %d is taken by %s", id, p)
			return
		}
		if _, dup := d.categoryOf[f[1]]; dup {
			ps.Errorf(at, "category %s is there already", f[1])
			return
		}
		places[uint16(id)], d.categoryOf[f[1]] = at, uint16(id)
		d.Categories = append(d.Categories, Category{ID: uint16(id), Name: f[1], Text: strings.Join(f[2:], " "), At: at})
	}
}

// reader reads application files.
type reader struct {
	data    *Data
	ps      *Problems
	ids     map[uint32]Place
	seen    map[string]claim // domain with mark, network or fingerprint -> who has it
	current int              // block, -1 outside
}

type claim struct {
	app  int
	at   Place
	text string
}

// line reads a header "app ID NAME CATEGORY" or a line of its block, which is
// indented: "net CIDR...", "ja4 FINGERPRINT..." or domains.
func (r *reader) line(at Place, line string) {
	f := strings.Fields(line)
	if line[0] != ' ' && line[0] != '\t' {
		r.current = r.header(at, f)
		return
	}
	if r.current < 0 {
		return // the header was reported
	}
	a := &r.data.Apps[r.current]
	switch f[0] {
	case "net":
		for _, w := range f[1:] {
			p, err := parsePrefix(w)
			if err != nil {
				r.ps.Errorf(at, "%v", err)
			} else if r.claim(at, p.String()) {
				a.Networks = append(a.Networks, p)
			}
		}
	case "ja4":
		for _, w := range f[1:] {
			if err := checkJA4(w); err != nil {
				r.ps.Errorf(at, "%v", err)
			} else if r.claim(at, w) {
				a.JA4 = append(a.JA4, w)
			}
		}
	default:
		for _, w := range f {
			d, err := parseDomain(w)
			switch {
			case err != nil:
				r.ps.Errorf(at, "domain %q: %v", w, err)
			case isPublicSuffix(d.Text) && d.Kind == Suffix:
				r.ps.Errorf(at, "domain %q is a public suffix; nobody owns it", w)
			case r.claim(at, w):
				d.At = at
				a.Domains = append(a.Domains, d)
			}
		}
	}
}

// header starts a block and returns its index, -1 after a mistake.
func (r *reader) header(at Place, f []string) int {
	if len(f) != 4 || f[0] != "app" {
		r.ps.Errorf(at, "want: app ID NAME CATEGORY, or an indented line of a block")
		return -1
	}
	id, err := strconv.ParseUint(f[1], 10, 32)
	if err != nil || id == 0 || id > maxApp {
		r.ps.Errorf(at, "bad application id %q; want 1 to %d", f[1], maxApp)
		return -1
	}
	ok := true
	fail := func(format string, args ...any) {
		r.ps.Errorf(at, format, args...)
		ok = false
	}
	if p, dup := r.ids[uint32(id)]; dup {
		fail("application id %d is taken at %s", id, p)
	}
	if err := checkWord(f[2]); err != nil {
		fail("%v", err)
	}
	if i, dup := r.data.appOf[f[2]]; dup {
		fail("application %s is there already at %s", f[2], r.data.Apps[i].At)
	}
	cat, known := r.data.categoryOf[f[3]]
	if !known {
		fail("unknown category %q; %s has them", f[3], categoriesFile)
	}
	if !ok {
		return -1
	}
	r.ids[uint32(id)] = at
	r.data.appOf[f[2]] = len(r.data.Apps)
	r.data.Apps = append(r.data.Apps, App{ID: uint32(id), Name: f[2], Category: cat, At: at})
	return len(r.data.Apps) - 1
}

// claim notes that the current block has the key and reports when another
// place has it already.
func (r *reader) claim(at Place, key string) bool {
	c, dup := r.seen[key]
	if !dup {
		r.seen[key] = claim{r.current, at, key}
		return true
	}
	if c.app == r.current {
		r.ps.Errorf(at, "%s is there already at %s", key, c.at)
	} else {
		r.ps.Errorf(at, "%s belongs to %s already, at %s", key, r.data.Apps[c.app].Name, c.at)
	}
	return false
}

// checkCovered warns of entries that a shorter suffix of the same application
// makes needless; an entry of another application in between makes them
// needed. An exact entry beside another application's suffix for the same name
// is a mistake: it takes the name itself away from its owner.
func (r *reader) checkCovered() {
	for i := range r.data.Apps {
		for _, d := range r.data.Apps[i].Domains {
			parent := d.Text
			if d.Kind != Exact {
				_, parent, _ = strings.Cut(parent, ".")
			}
			c, ok := r.above(parent)
			switch {
			case !ok:
			case c.app == i:
				r.ps.Warnf(d.At, "domain %s is covered by %s of the same application", d.Text, c.text)
			case d.Kind == Exact && c.text == d.Text:
				r.ps.Errorf(d.At, "domain =%s belongs to %s already, at %s", d.Text, r.data.Apps[c.app].Name, c.at)
			}
		}
	}
}

// above is the claim of the longest suffix that covers name.
func (r *reader) above(name string) (claim, bool) {
	for name != "" {
		if c, ok := r.seen[name]; ok {
			return c, true
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return claim{}, false
}

// Sort brings categories and applications in order of ids.
func (d *Data) Sort() {
	slices.SortFunc(d.Categories, func(a, b Category) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(d.Apps, func(a, b App) int { return cmp.Compare(a.ID, b.ID) })
	for i := range d.Apps {
		d.appOf[d.Apps[i].Name] = i
	}
}
