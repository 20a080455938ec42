// Package ids holds the stable numbers that cross a process boundary or are kept
// on disk: protocols, categories, applications. Names travel beside them in
// events, so nobody needs a table to print one; the numbers are what rules,
// marks and exporters may rely on for ever.
//
// A protocol's number is given once, in the file of its dissector; the golden file
// there keeps it. Categories and applications get theirs in the catalogue.
package ids

// Protocol is the stable id of a protocol. 0 is unknown.
type Protocol uint16

// Category is the stable id of a category. 0 is none.
type Category uint16

// Application is the stable id of an application. 0 is unknown.
type Application uint32

// Ranges of ids. What users define themselves never meets what Weir ships.
const (
	UnknownProtocol Protocol    = 0
	FirstUserProto  Protocol    = 0x8000
	FirstUserApp    Application = 0x8000_0000
	FirstUserCat    Category    = 0x8000
)
