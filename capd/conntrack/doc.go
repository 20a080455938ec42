// Package conntrack listens to the kernel's connection tracking and says what it knows
// of flows that a capture thread has met: what they have sent in all, also where their
// packets pass in the kernel, when they are over, and how the far side of an address
// translation sees them.
//
// It is not a way to change connections, and it keeps no list of them: what belongs to
// no flow of ours is read and forgotten. Capture threads tell it the flows that they meet
// (Sighting) and take what it finds out (Notice), both through pipes without locks, so
// that it never stands in the way of a packet. Totals are always of the whole flow: a
// notice that is lost is made good by the next.
package conntrack
