package catalog

import (
	"sync"
	"testing"
)

// curated is the catalogue of the curated data, compiled once for all tests.
func curated(tb testing.TB) *Catalog {
	tb.Helper()
	c, err := compileCurated()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

var compileCurated = sync.OnceValues(func() (*Catalog, error) { return compileInMemory(Input{}) })
