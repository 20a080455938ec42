// Package data holds the curated catalogue: categories.txt and a file of
// applications for each category. docs/formats/catalog.md has the format.
package data

import "embed"

// Files are the text files. Only the compiler reads them.
//
//go:embed *.txt
var Files embed.FS
