package config

import (
	"errors"
	"net/netip"
	"strings"
)

// Catalog says where applications and categories come from.
type Catalog struct {
	File       string   // compiled catalogue; "" = the one installed with the binaries
	Categories []string // categories of the user's own, for Applications
	Lists      []List   // the user's own lists of domains
}

// List adds the domains of a file to a category.
type List struct {
	Pos
	Category   string
	File       string
	Attributes []string // only entries that have all of these, "-x" for those without x; empty = all
}

// Application is one [[application]]: names, addresses and fingerprints that
// belong together. What a domain or a fingerprint looks like is checked where the
// catalogue is compiled.
type Application struct {
	Pos
	Name     string
	Category string // "" when it adds to an application of the catalogue
	Domains  []string
	Networks []netip.Prefix // masked
	JA4      []string
}

// OwnNames reports whether the user brings names of his own, so that the
// installed catalogue does not have all that the configuration says.
func (c *Config) OwnNames() bool { return len(c.Catalog.Lists)+len(c.Applications) > 0 }

func (c *Catalog) fields() []field {
	return []field{
		path("file", &c.File, "Compiled catalogue; empty = the one installed with the binaries."),
		texts("categories", &c.Categories, "Categories of the user's own, for [[application]].", same, parseName),
		list("lists", "Lists of domains of the user's own; a category that is not there is made.", &c.Lists, func(l *List, p Pos) { l.Pos = p }, (*List).fields),
	}
}

func (l *List) fields() []field {
	return []field{
		text("category", &l.Category, "Category of all its entries; required.", checkName),
		path("file", &l.File, "File in the format of formats/catalog.md; required."),
		texts("attributes", &l.Attributes, "Only entries with all of these attributes, \"-x\" for those without x; empty = all.", same, parseAttribute),
	}
}

func (a *Application) fields() []field {
	return []field{
		text("name", &a.Name, "Lower case with hyphens; one of the catalogue is added to.", checkName),
		text("category", &a.Category, "Category; empty when it adds to an application of the catalogue.", checkNameOrNone),
		texts("domains", &a.Domains, "\"example.com\" (and all below), \"=example.com\" (alone), \"pre*.example.com\".", same, parseFilled),
		texts("networks", &a.Networks, "Networks and addresses of its servers.", netip.Prefix.String,
			func(_ *node, s string) (netip.Prefix, error) { return parseNetwork(s) }),
		texts("ja4", &a.JA4, "JA4 fingerprints of clients that nobody else's software looks like.", same, parseFilled),
	}
}

func parseName(_ *node, s string) (string, error) { return s, checkName(s) }

func parseAttribute(_ *node, s string) (string, error) {
	return s, checkName(strings.TrimPrefix(s, "-"))
}

func parseFilled(_ *node, s string) (string, error) {
	if s == "" {
		return s, errors.New("must not be empty")
	}
	return s, nil
}

// checkCatalog finds missing keys and doubled applications.
func (c *Config) checkCatalog(b *binder) {
	for _, l := range c.Catalog.Lists {
		require(b, l.Pos, "catalog.lists.category", l.Category)
		require(b, l.Pos, "catalog.lists.file", l.File)
	}
	named(b, "application", c.Applications, func(a *Application) (string, Pos) { return a.Name, a.Pos })
	for i := range c.Applications {
		if a := &c.Applications[i]; len(a.Domains)+len(a.Networks)+len(a.JA4) == 0 {
			b.fail(a.Pos, "application "+a.Name, errors.New("has no members: give domains, networks or ja4"))
		}
	}
}
