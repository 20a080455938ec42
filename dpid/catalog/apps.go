package catalog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"weir/dpid/catalog/internal/format"
)

type app struct {
	id       AppID
	category CategoryID
	name     string
}

type category struct {
	id   CategoryID
	name string
}

type list struct {
	category CategoryID
	name     string
}

// App returns the name of an application and of its category, "" for an id
// that the catalogue does not have.
func (c *Catalog) App(id AppID) (name, category string) {
	i, ok := slices.BinarySearchFunc(c.apps, id, func(a app, id AppID) int { return cmp.Compare(a.id, id) })
	if !ok {
		return "", ""
	}
	return c.apps[i].name, c.Category(c.apps[i].category)
}

// Category returns the name of a category, "" for an id that the catalogue
// does not have.
func (c *Catalog) Category(id CategoryID) string {
	i, ok := slices.BinarySearchFunc(c.categories, id, func(a category, id CategoryID) int { return cmp.Compare(a.id, id) })
	if !ok {
		return ""
	}
	return c.categories[i].name
}

// Apps calls f with every application in order of ids until f returns false.
func (c *Catalog) Apps(f func(id AppID, name string, category CategoryID) bool) {
	for _, a := range c.apps {
		if !f(a.id, a.name, a.category) {
			return
		}
	}
}

// Categories calls f with every category in order of ids until f returns false.
func (c *Catalog) Categories(f func(id CategoryID, name string) bool) {
	for _, a := range c.categories {
		if !f(a.id, a.name) {
			return
		}
	}
}

// Lists calls f with every user list, in order of the bits of a ListSet,
// until f returns false.
func (c *Catalog) Lists(f func(bit int, name string, category CategoryID) bool) {
	for i, l := range c.lists {
		if !f(i, l.name, l.category) {
			return
		}
	}
}

// Size says how much a catalogue holds.
type Size struct {
	Applications, Categories, Names, Networks, JA4, Patterns, Lists int

	Bytes int // of the file
}

// Size counts what the catalogue holds, by one scan of the name table.
func (c *Catalog) Size() Size {
	s := Size{
		Applications: len(c.apps), Categories: len(c.categories), Lists: len(c.lists), Patterns: len(c.patterns),
		Networks: max(0, len(c.nets)/format.NetSize-1), JA4: len(c.ja4) / format.JA4Size, Bytes: c.bytes,
		Names: len(c.wilds) / format.WildSize,
	}
	// Of the wild slots, only that of the first run of wildcards has row 0.
	for i := range s.Names - 1 {
		if c.wilds[i*format.WildSize+10] != 0 {
			s.Names--
		}
	}
	le := binary.LittleEndian
	for line := c.names; len(line) > 0; line = line[format.LineSize:] {
		for i := 0; i < format.LineSlots*format.SlotSize; i += format.SlotSize {
			if le.Uint64(line[i:]) != 0 && le.Uint32(line[i+format.SlotRef:])>>format.FlagBits != 0 {
				s.Names++
			}
		}
	}
	return s
}

// loadTables decodes the small tables and checks what their rows point to.
func (c *Catalog) loadTables(secs *[format.NumSections][]byte) error {
	le := binary.LittleEndian
	var err error
	c.categories = make([]category, len(secs[format.Categories])/format.CategorySize)
	for i := range c.categories {
		r := secs[format.Categories][i*format.CategorySize:][:format.CategorySize]
		a := category{id: CategoryID(le.Uint16(r))}
		if a.name, err = c.str(le.Uint32(r[4:]), uint32(le.Uint16(r[2:]))); err != nil {
			return err
		}
		if i > 0 && c.categories[i-1].id >= a.id {
			return fmt.Errorf("%w: order of categories", ErrCorrupt)
		}
		c.categories[i] = a
	}
	c.apps = make([]app, len(secs[format.Apps])/format.AppSize)
	for i := range c.apps {
		r := secs[format.Apps][i*format.AppSize:][:format.AppSize]
		a := app{id: AppID(le.Uint32(r)), category: CategoryID(le.Uint16(r[10:]))}
		if a.name, err = c.str(le.Uint32(r[4:]), uint32(le.Uint16(r[8:]))); err != nil {
			return err
		}
		if i > 0 && c.apps[i-1].id >= a.id {
			return fmt.Errorf("%w: order of applications", ErrCorrupt)
		}
		c.apps[i] = a
	}
	c.lists = make([]list, len(secs[format.Lists])/format.ListSize)
	if len(c.lists) > format.MaxLists {
		return fmt.Errorf("%w: %d lists", ErrCorrupt, len(c.lists))
	}
	for i := range c.lists {
		r := secs[format.Lists][i*format.ListSize:][:format.ListSize]
		a := list{category: CategoryID(le.Uint16(r))}
		if a.name, err = c.str(le.Uint32(r[4:]), uint32(le.Uint16(r[2:]))); err != nil {
			return err
		}
		c.lists[i] = a
	}
	return nil
}

// str is a piece of the strings section.
func (c *Catalog) str(off, n uint32) (string, error) {
	if uint64(off)+uint64(n) > uint64(len(c.text)) {
		return "", fmt.Errorf("%w: text at %d, %d bytes", ErrCorrupt, off, n)
	}
	return c.text[off : off+n], nil
}
