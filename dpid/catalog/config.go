package catalog

import (
	"weir/proto/config"
)

// FromConfig returns what a configuration says about names: its lists, its
// categories and its [[application]] blocks, on top of the curated data.
func FromConfig(c *config.Config) Input {
	in := Input{Categories: c.Catalog.Categories}
	for _, l := range c.Catalog.Lists {
		in.Lists = append(in.Lists, List{Category: l.Category, Path: l.File, Attrs: l.Attributes})
	}
	for _, a := range c.Applications {
		app := Application{Name: a.Name, Category: a.Category, Domains: a.Domains, JA4: a.JA4, File: a.File, Line: a.Line}
		for _, p := range a.Networks {
			app.Networks = append(app.Networks, p.String())
		}
		in.Applications = append(in.Applications, app)
	}
	return in
}
