package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

var keyFields = []string{
	KeyClientIP, KeyServerIP, KeyClientPort, KeyServerPort,
	KeyIPProtocol, KeyMAC, KeyMark, KeyInterface,
}

func (r *Rule) fields() []field {
	return []field{
		text("name", &r.Name, "Unique among rules.", checkName),
		text("match", &r.Match, "Condition; required.", nil),
		text("exempt", &r.Exempt, "Flows that meet this condition are left alone.", nil),
		text("schedule", &r.Schedule, "Name of a [[schedule]]; empty = always.", nil),
		boolean("enabled", &r.Enabled, "false switches the rule off."),
		boolean("stop", &r.Stop, "Later rules do not see a flow that matched."),
		boolean("log", &r.Log, "Log the first match of each flow."),
		text("verdict", &r.Verdict, "accept, drop or reject (drop, and tell the client); the first matching rule that has one decides; empty = none.", checkVerdict),
		texts("tag", &r.Tag, "Labels put on the flow.", same, func(_ *node, s string) (string, error) { return s, checkName(s) }),
		list("nftset", "Sets that the flow joins.", &r.NFTSet, func(a *NFTSetAction, p Pos) { a.Pos = p }, (*NFTSetAction).fields),
	}
}

func (a *NFTSetAction) fields() []field {
	return []field{
		text("set", &a.Set, "Name of a [[set]]; required.", nil),
		keys(&a.Key, "Other fields of the same kinds as the set's key; empty = the set's."),
		duration("timeout", &a.Timeout, "In place of the set's own; 0s = the set's.", 0, year),
		text("family", &a.Family, "ipv4 or ipv6: only flows of this family; empty = both.", checkFamily),
	}
}

// openSet fills in what a [[set]] may leave out.
func openSet(s *Set, p Pos) {
	*s = Set{Pos: p, Family: "inet", Create: true, Remove: RemoveTimeout, Timeout: 10 * time.Minute}
}

func (s *Set) fields() []field {
	return []field{
		text("name", &s.Name, "Unique among sets, and the name in nftables.", checkNFTName),
		text("table", &s.Table, "Table of nftables; empty = policy.table.", func(t string) error {
			if t == "" {
				return nil
			}
			return checkNFTName(t)
		}),
		choice("family", &s.Family, "Family of the table: inet, ip, ip6, bridge or netdev.", "inet", "ip", "ip6", "bridge", "netdev"),
		text("address", &s.Address, "ipv4 or ipv6: which addresses the key holds; needed where family does not say.", checkFamily),
		keys(&s.Key, "What an element holds, in this order: "+strings.Join(keyFields, ", ")+"; required."),
		duration("timeout", &s.Timeout, "Life of an element; 0s = no end.", 0, year),
		integer("size", &s.Size, "Most elements; 0 = 65536.", 0, 1<<26),
		boolean("create", &s.Create, "false: the user declared the set, it is filled and never created or flushed."),
		choice("remove", &s.Remove, "timeout (elements outlive the flow's last packet by timeout) or flow_end (they leave with the last flow that wanted them).", RemoveTimeout, RemoveFlowEnd),
	}
}

func (s *Schedule) fields() []field {
	return []field{
		text("name", &s.Name, "Unique among schedules.", checkName),
		texts("days", &s.Days, "mon, tue, wed, thu, fri, sat, sun; empty = every day.", dayName, func(_ *node, d string) (time.Weekday, error) { return parseDay(d) }),
		parsed("from", &s.From, "Begin, HH:MM.", "a time of day such as \"08:30\"", formatClock, parseClock),
		parsed("to", &s.To, "End, HH:MM; not after from = on the day after.", "a time of day such as \"17:00\"", formatClock, parseClock),
		text("zone", &s.Zone, "Time zone, such as \"Europe/Berlin\"; empty = the machine's.", checkZone),
	}
}

func keys(p *[]string, doc string) field {
	return texts("key", p, doc, same, func(_ *node, s string) (string, error) {
		if slices.Contains(keyFields, s) {
			return s, nil
		}
		return s, fmt.Errorf("must be one of %s", strings.Join(keyFields, ", "))
	})
}

func checkVerdict(s string) error {
	switch s {
	case "", VerdictAccept, VerdictDrop, VerdictReject:
		return nil
	}
	return fmt.Errorf("must be %s, %s or %s", VerdictAccept, VerdictDrop, VerdictReject)
}

func checkFamily(s string) error {
	if s == "" || s == FamilyIPv4 || s == FamilyIPv6 {
		return nil
	}
	return fmt.Errorf("must be %s or %s", FamilyIPv4, FamilyIPv6)
}

// checkNFTName allows what the nft command can name without quotes.
func checkNFTName(s string) error {
	const first = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	if s == "" || len(s) > 128 || !strings.ContainsRune(first, rune(s[0])) || strings.Trim(s, first+"0123456789_.") != "" {
		return errors.New("must be an nftables name: a letter, then up to 127 letters, digits, '_' or '.'")
	}
	return nil
}

func checkZone(s string) error {
	if s == "" {
		return nil
	}
	if _, err := time.LoadLocation(s); err != nil {
		return errors.New("must be a time zone of this machine, such as \"Europe/Berlin\" (package tzdata)")
	}
	return nil
}

func dayName(d time.Weekday) string { return strings.ToLower(d.String()[:3]) }

func parseDay(s string) (time.Weekday, error) {
	for d := range time.Weekday(7) {
		if dayName(d) == s {
			return d, nil
		}
	}
	return 0, errors.New("must be one of mon, tue, wed, thu, fri, sat, sun")
}
