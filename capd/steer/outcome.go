package steer

// Outcome is what became of a frame. Each is a counter.
type Outcome uint8

// Outcomes. Held is the only one that a frame may leave again, for one of the
// other fragment outcomes.
const (
	Delivered   Outcome = iota // its record is in a ring
	NonIP                      // nothing that IP travels in: ARP, STP, LLDP, ...
	UnknownLink                // a link type that Weir does not read

	Short       // captured or sent without all of the headers that make the key
	IPHeader    // IP version or header length impossible
	IPLength    // IP length less than its header or more than the frame
	ExtHeader   // IPv6 extension headers beyond the packet, or too many
	L4Header    // TCP or UDP header beyond the packet
	BadFragment // fragment with an impossible offset or length

	Held              // fragment that waits for the rest of its datagram
	Merged            // fragment that went on inside the record of its datagram
	FragmentDuplicate // the same bytes once more
	FragmentOverlap   // of a datagram whose fragments contradict each other
	FragmentLate      // of a datagram that has gone on already
	FragmentTimeout   // its datagram did not become complete in time
	FragmentEvicted   // its datagram gave way to younger ones

	RingFull // live only: its worker's ring had no room; of a datagram, the fragment that completed it

	numOutcomes
)

var outcomeNames = [numOutcomes]string{
	"delivered", "non_ip", "unknown_link",
	"short", "ip_header", "ip_length", "ext_header", "l4_header", "bad_fragment",
	"fragment_held", "fragment_merged", "fragment_duplicate", "fragment_overlap",
	"fragment_late", "fragment_timeout", "fragment_evicted",
	"ring_full",
}

// String returns the counter's name.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}

// Malformed reports whether the frame broke the rules of its protocols.
func (o Outcome) Malformed() bool { return o >= Short && o <= BadFragment }

// Outcomes returns all outcomes in the order of their counters.
func Outcomes() []Outcome {
	all := make([]Outcome, numOutcomes)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

// Counters count frames by what became of them.
type Counters [numOutcomes]uint64

// Sum returns how many frames there were: each is in exactly one counter.
func (c *Counters) Sum() (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}
