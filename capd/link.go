package main

import (
	"fmt"
	"slices"

	"weir/capd/source"
	"weir/capd/steer"
)

// linkError says that frames of a capture could not be read at all.
type linkError struct {
	name           string
	links          []uint32
	frames, unread uint64
}

// unreadLinks returns nil when all frames of f could be read.
func unreadLinks(f *source.File, frames, unread uint64) *linkError {
	if unread == 0 {
		return nil
	}
	e := &linkError{name: f.Name(), frames: frames, unread: unread}
	for _, i := range f.Interfaces() {
		if !steer.Reads(i.Link) && !slices.Contains(e.links, i.Link) {
			e.links = append(e.links, i.Link)
		}
	}
	return e
}

func (e *linkError) Error() string {
	links := "in their frames" // of an encapsulation that names one itself
	if len(e.links) > 0 {
		links = fmt.Sprint(e.links)
	}
	return fmt.Sprintf("read capture %s: %d of %d frames have a link type that Weir does not read: %s, see https://www.tcpdump.org/linktypes.html",
		e.name, e.unread, e.frames, links)
}
