package catalog

import (
	"hash/fnv"
	"io"
	"io/fs"
	"net/netip"
	"slices"

	"weir/dpid/catalog/data"
	"weir/dpid/catalog/internal/build"
	"weir/dpid/catalog/internal/format"
	"weir/dpid/catalog/internal/source"
	"weir/proto/ids"
)

// Input is what a catalogue is compiled from. The zero value stands for the
// curated data alone.
type Input struct {
	// Data has categories.txt and the files of applications; nil means the
	// curated ones that are built in.
	Data fs.FS

	// Categories are further categories that Applications may name.
	Categories []string

	// Applications are the user's. They win over the curated ones where both
	// have the same entry; one with the name of a curated application adds to it.
	Applications []Application

	// Lists are lists of names, at most 64.
	Lists []List

	// Warn is called with every "file:line: warning: ..." when it is not nil.
	Warn func(text string)
}

// Application is an application of the user, as in weir.d/*.toml.
type Application struct {
	Name     string   // lower case, hyphens
	Category string   // of categories.txt or Input.Categories; may be empty when it adds to a curated one
	Domains  []string // "example.com", "=example.com", "pre*.example.com"
	Networks []string // address or CIDR range
	JA4      []string
	File     string // where it stands, for errors
	Line     int
}

// List makes every name in a file in the community format a member of a
// category, which is made when it is not there.
type List struct {
	Category string
	Path     string
	Attrs    []string // only entries with these attributes, "-x" for without x
}

// Compile writes a compiled catalogue. All mistakes in the input come in one
// error, a line each with file and line number; nothing is written then.
func Compile(in Input, w io.Writer) error {
	var ps source.Problems
	c := compiler{b: build.New(), ps: &ps}
	c.input(in)
	if in.Warn != nil {
		for _, p := range ps.Warnings() {
			in.Warn(p.Error())
		}
	}
	if err := ps.Err(); err != nil {
		return err
	}
	_, err := c.b.WriteTo(w)
	return err
}

// compiler carries checked input into the builder.
type compiler struct {
	b    *build.Builder
	ps   *source.Problems
	data *source.Data

	userCategories map[string]uint16
	patterns       int
}

func (c *compiler) input(in Input) {
	dir := in.Data
	if dir == nil {
		dir = data.Files
	}
	c.data = source.Read(dir, c.ps)
	c.data.Sort()
	for _, k := range c.data.Categories {
		c.b.AddCategory(k.ID, k.Name)
	}
	c.userCategories = map[string]uint16{}
	for _, name := range in.Categories {
		c.makeCategory(name, source.Place{File: "categories"})
	}
	// The lists' categories come before the applications that may name them,
	// their names after: it is the first entry whose application counts.
	lists := c.listRows(in.Lists)
	c.applications(in.Applications)
	for name, id := range c.userCategories {
		c.b.AddCategory(id, name)
	}
	for i, l := range in.Lists {
		if lists[i] > 0 {
			source.ReadList(l.Path, l.Attrs, &listSink{c: c, owner: build.Owner{List: lists[i]}, path: l.Path}, c.ps)
		}
	}
}

// makeCategory returns the id of a category, a new one if need be.
func (c *compiler) makeCategory(name string, at source.Place) uint16 {
	if id, ok := c.category(name); ok {
		return id
	}
	if err := source.CheckCategory(name); err != nil {
		c.ps.Errorf(at, "category: %v", err)
		return 0
	}
	id := uint16(ids.FirstUserCat) | uint16(hash(name))
	for other, taken := range c.userCategories {
		if taken == id {
			c.ps.Errorf(at, "category %s gets the same id as %s; rename one of them", name, other)
			return 0
		}
	}
	c.userCategories[name] = id
	return id
}

func (c *compiler) category(name string) (uint16, bool) {
	if id, ok := c.data.Category(name); ok {
		return id, true
	}
	id, ok := c.userCategories[name]
	return id, ok
}

// listRows makes a row for each list, 0 for one that cannot have any.
func (c *compiler) listRows(lists []List) []int {
	rows := make([]int, len(lists))
	for i, l := range lists {
		at := source.Place{File: l.Path}
		if i >= format.MaxLists {
			c.ps.Errorf(at, "more than %d lists", format.MaxLists)
			break
		}
		if id := c.makeCategory(l.Category, at); id != 0 {
			rows[i] = c.b.AddList(l.Path, id)
		}
	}
	return rows
}

// applications adds the user's applications and then the curated ones.
func (c *compiler) applications(user []Application) {
	all := make([]appEntry, 0, len(c.data.Apps)+len(user))
	index := make(map[string]int, cap(all))
	for i := range c.data.Apps {
		a := &c.data.Apps[i]
		index[a.Name] = len(all)
		all = append(all, appEntry{id: a.ID, name: a.Name, category: a.Category})
	}
	curated := len(all)
	parts := make([]source.CheckedApp, len(user))
	owner := make([]int, len(user))
	for i, u := range user {
		at := source.Place{File: u.File, Line: u.Line}
		if at.File == "" {
			at.File = "application " + u.Name
		}
		ua := source.UserApp{Name: u.Name, Category: u.Category, Domains: u.Domains, Networks: u.Networks, JA4: u.JA4, At: at}
		parts[i] = ua.Check(c.ps)
		owner[i] = c.userApp(&all, index, curated, &ua)
	}
	rows := c.addApps(all)
	for i := range parts {
		if owner[i] >= 0 {
			c.entries(parts[i], build.Owner{App: rows[owner[i]]}, user[i].Name)
		}
	}
	for i := range c.data.Apps {
		a := &c.data.Apps[i]
		c.entries(source.CheckedApp{Domains: a.Domains, Networks: a.Networks, JA4: a.JA4}, build.Owner{App: rows[i]}, a.Name)
	}
}

type appEntry struct {
	id       uint32
	name     string
	category uint16
}

// userApp returns the index in all of the application that u belongs to: its
// own, or the curated one of the same name. -1 after a mistake.
func (c *compiler) userApp(all *[]appEntry, index map[string]int, curated int, u *source.UserApp) int {
	cat, known := c.category(u.Category)
	i, there := index[u.Name]
	switch {
	case there && i >= curated:
		c.ps.Errorf(u.At, "application %s is there already", u.Name)
		return -1
	case there && u.Category != "" && (!known || cat != (*all)[i].category):
		c.ps.Errorf(u.At, "application %s adds to a curated one; leave its category away", u.Name)
		return -1
	case there:
		return i
	case !known:
		c.ps.Errorf(u.At, "application %s: unknown category %q; declare it or take one of categories.txt", u.Name, u.Category)
		return -1
	}
	id := uint32(ids.FirstUserApp) | hash(u.Name)
	if k := slices.IndexFunc((*all)[curated:], func(a appEntry) bool { return a.id == id }); k >= 0 {
		c.ps.Errorf(u.At, "application %s gets the same id as %s; rename one of them", u.Name, (*all)[curated+k].name)
		return -1
	}
	index[u.Name] = len(*all)
	*all = append(*all, appEntry{id, u.Name, cat})
	return len(*all) - 1
}

// hash makes the ids of what the user names.
func hash(name string) uint32 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, name) // never fails
	return h.Sum32()
}

// addApps adds the applications in order of ids and returns the row of each.
func (c *compiler) addApps(all []appEntry) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if all[i].id < all[j].id {
			return -1
		}
		return 1
	})
	rows := make([]int, len(all))
	for _, i := range order {
		rows[i] = c.b.AddApp(all[i].id, all[i].name, all[i].category)
	}
	return rows
}

// entries adds what belongs to an application.
func (c *compiler) entries(a source.CheckedApp, o build.Owner, name string) {
	for _, d := range a.Domains {
		if err := c.b.AddDomain(d.Text, kinds[d.Kind], o); err != nil {
			c.ps.Errorf(d.At, "application %s: %v", name, err)
		}
	}
	for _, p := range a.Networks {
		c.b.AddNetwork(p, o)
	}
	for _, s := range a.JA4 {
		c.b.AddJA4(s, o)
	}
}

var kinds = [...]build.Kind{source.Suffix: build.Suffix, source.Exact: build.Exact, source.Wild: build.Wild}

// listSink takes the entries of a user list.
type listSink struct {
	c     *compiler
	owner build.Owner
	path  string
}

func (s *listSink) Domain(name string, exact bool) error {
	kind := build.Suffix
	if exact {
		kind = build.Exact
	}
	return s.c.b.AddDomain(name, kind, s.owner)
}

func (s *listSink) Network(p netip.Prefix) { s.c.b.AddNetwork(p, s.owner) }

func (s *listSink) Pattern(text string, isRegexp bool) {
	s.c.patterns++
	if s.c.patterns == format.MaxPatterns+1 {
		s.c.ps.Errorf(source.Place{File: s.path}, "more than %d keywords and regular expressions in all lists", format.MaxPatterns)
	}
	s.c.b.AddPattern(text, isRegexp, s.owner)
}
