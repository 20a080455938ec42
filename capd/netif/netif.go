// Package netif tells which network interfaces there are and what becomes of them:
// they appear, go, are renamed, go up and down, change MTU or addresses. Network tells
// which networks, addresses and neighbours are ours. Both ask the kernel by rtnetlink
// and change nothing there.
//
// Invariant: what the events of Watch add up to is what the kernel has, also after
// the kernel had to drop messages; a message that changes nothing is no event.
package netif

import (
	"net/netip"
	"slices"
)

// Link is one interface. Its number stays the same for its life, the name may change.
type Link struct {
	Index    int
	Name     string
	Hardware uint16 // ARPHRD_* of linux/if_arp.h
	MAC      string // its 6 bytes, "" where it has none
	MTU      int    // bytes
	Up       bool   // switched on
	Running  bool   // up, and has a carrier
	Addrs    []netip.Prefix
}

func (l *Link) equal(o *Link) bool {
	return l.Name == o.Name && l.Hardware == o.Hardware && l.MAC == o.MAC && l.MTU == o.MTU &&
		l.Up == o.Up && l.Running == o.Running && slices.Equal(l.Addrs, o.Addrs)
}

// Kind says what became of an interface.
type Kind uint8

// Kinds of events.
const (
	Added Kind = iota
	Changed
	Removed
	Failed // the watch ends; Err says why
)

// Event is a change of one interface.
type Event struct {
	Kind   Kind
	Link   Link // as it is now; as it was last when it is Removed
	Before Link // as it was, when it is Changed
	Err    error
}

// Renamed reports whether the interface has another name than before.
func (e *Event) Renamed() bool { return e.Kind == Changed && e.Link.Name != e.Before.Name }

// table is the interfaces by number. Links in it are never changed in place: events
// hold them.
type table map[int]Link

// put returns the event of a link's new state, if it is one.
func (t table) put(l Link) (Event, bool) {
	old, known := t[l.Index]
	t[l.Index] = l
	switch {
	case !known:
		return Event{Kind: Added, Link: l}, true
	case !old.equal(&l):
		return Event{Kind: Changed, Link: l, Before: old}, true
	}
	return Event{}, false
}

// remove returns the event of a link's end, if it was known.
func (t table) remove(index int) (Event, bool) {
	old, known := t[index]
	delete(t, index)
	return Event{Kind: Removed, Link: old}, known
}

// replace returns the events that make t the same as now, removals first: a name
// may be in use again.
func (t table) replace(now table) []Event {
	var events []Event
	for _, i := range sortedKeys(t) {
		if _, ok := now[i]; !ok {
			e, _ := t.remove(i)
			events = append(events, e)
		}
	}
	for _, i := range sortedKeys(now) {
		if e, ok := t.put(now[i]); ok {
			events = append(events, e)
		}
	}
	return events
}

// links returns all by number.
func (t table) links() []Link {
	var all []Link
	for _, i := range sortedKeys(t) {
		all = append(all, t[i])
	}
	return all
}

func sortedKeys(t table) []int {
	keys := make([]int, 0, len(t))
	for i := range t {
		keys = append(keys, i)
	}
	slices.Sort(keys)
	return keys
}
