package config

import "time"

// Rule is one [[rule]]: an expression and what to do with the flows that match.
type Rule struct {
	Pos
	Name     string
	Match    string // expression, compiled and type-checked by policyd
	Exempt   string // expression; flows that match it are left alone
	Schedule string // name of a Schedule; "" = always
	Enabled  bool   // default true
	Stop     bool   // later rules do not see a flow that matched
	Log      bool   // log each match

	Verdict string         // one of the Verdict constants; "" = this rule has none
	Tag     []string       // labels put on the flow
	NFTSet  []NFTSetAction // sets the flow's addresses join
}

// Values of Rule.Verdict. Of the rules that match a flow and have one, the first
// decides.
const (
	VerdictAccept = "accept"
	VerdictDrop   = "drop"
	VerdictReject = "reject"
)

// NFTSetAction puts one element per matching flow into a set.
type NFTSetAction struct {
	Pos
	Set     string        // name of a Set
	Key     []string      // overrides Set.Key with fields of the same kinds; empty = Set.Key
	Timeout time.Duration // overrides Set.Timeout; 0 = Set.Timeout
	Family  string        // only flows of this family: FamilyIPv4, FamilyIPv6, "" = both
}

// Address families of flows and of set elements.
const (
	FamilyIPv4 = "ipv4"
	FamilyIPv6 = "ipv6"
)

// Fields of a set's key, in the words of Set.Key.
const (
	KeyClientIP   = "client_ip"
	KeyServerIP   = "server_ip"
	KeyClientPort = "client_port"
	KeyServerPort = "server_port"
	KeyIPProtocol = "ip_protocol"
	KeyMAC        = "mac"
	KeyMark       = "mark"
	KeyInterface  = "interface"
)

// Values of Set.Remove.
const (
	RemoveTimeout = "timeout"  // elements live Timeout beyond the flow's last packet
	RemoveFlowEnd = "flow_end" // elements leave with the last flow that wanted them
)

// Set is one [[set]] of nftables.
type Set struct {
	Pos
	Name    string
	Table   string        // "" = policy.table; required where Create is false
	Family  string        // nftables family of the table: inet, ip, ip6, bridge or netdev
	Address string        // FamilyIPv4 or FamilyIPv6: which addresses the key holds; "" = the key holds none
	Key     []string      // Key constants, concatenated in this order
	Timeout time.Duration // of an element; 0 = none
	Size    int           // most elements; 0 = 65536
	Create  bool          // false: the user declared the set, it is filled and never created or flushed
	Remove  string        // one of the Remove constants
}

// Schedule is one [[schedule]]: a time of day on some days of the week. A
// schedule whose To is not after its From ends on the day after.
type Schedule struct {
	Pos
	Name     string
	Days     []time.Weekday // empty = every day
	From, To time.Duration  // since midnight, to the minute; To is exclusive
	Zone     string         // IANA name; "" = the machine's
}
