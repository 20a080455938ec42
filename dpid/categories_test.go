package main

import (
	"bytes"
	"testing"

	"weir/dpid/catalog"
	"weir/dpid/dissect"
)

// TestCategories: a protocol's category is one of the catalogue's, so that its number
// can be told and a rule means both.
func TestCategories(t *testing.T) {
	var b bytes.Buffer
	if err := catalog.Compile(catalog.Input{}, &b); err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Parse(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	c.Categories(func(_ catalog.CategoryID, name string) bool {
		known[name] = true
		return true
	})
	for _, s := range dissect.All() {
		if !known[s.Category] {
			t.Errorf("protocol %s is of category %q, which the catalogue does not have", s.Name, s.Category)
		}
	}
}
