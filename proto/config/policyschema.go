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
		text("name", &r.Name, "", checkName),
		text("match", &r.Match, "", nil),
		text("exempt", &r.Exempt, "", nil),
		text("schedule", &r.Schedule, "", nil),
		boolean("enabled", &r.Enabled, ""),
		boolean("stop", &r.Stop, ""),
		boolean("log", &r.Log, ""),
		texts("tag", &r.Tag, "", same, func(_ *node, s string) (string, error) { return s, checkName(s) }),
		list("nftset", "", &r.NFTSet, func(a *NFTSetAction, p Pos) { a.Pos = p }, (*NFTSetAction).fields),
	}
}

func (a *NFTSetAction) fields() []field {
	return []field{
		text("set", &a.Set, "", nil),
		keys(&a.Key),
		duration("timeout", &a.Timeout, "", 0, year),
		text("family", &a.Family, "", checkFamily),
	}
}

// openSet fills in what a [[set]] may leave out.
func openSet(s *Set, p Pos) {
	*s = Set{Pos: p, Family: "inet", Create: true, Remove: RemoveTimeout, Timeout: 10 * time.Minute}
}

func (s *Set) fields() []field {
	return []field{
		text("name", &s.Name, "", checkNFTName),
		text("table", &s.Table, "", func(t string) error {
			if t == "" {
				return nil
			}
			return checkNFTName(t)
		}),
		choice("family", &s.Family, "", "inet", "ip", "ip6", "bridge", "netdev"),
		text("address", &s.Address, "", checkFamily),
		keys(&s.Key),
		duration("timeout", &s.Timeout, "", 0, year),
		integer("size", &s.Size, "", 0, 1<<26),
		boolean("create", &s.Create, ""),
		choice("remove", &s.Remove, "", RemoveTimeout, RemoveFlowEnd),
	}
}

func (s *Schedule) fields() []field {
	return []field{
		text("name", &s.Name, "", checkName),
		texts("days", &s.Days, "", dayName, func(_ *node, d string) (time.Weekday, error) { return parseDay(d) }),
		parsed("from", &s.From, "", "a time of day such as \"08:30\"", formatClock, parseClock),
		parsed("to", &s.To, "", "a time of day such as \"17:00\"", formatClock, parseClock),
		text("zone", &s.Zone, "", checkZone),
	}
}

func keys(p *[]string) field {
	return texts("key", p, "", same, func(_ *node, s string) (string, error) {
		if slices.Contains(keyFields, s) {
			return s, nil
		}
		return s, fmt.Errorf("must be one of %s", strings.Join(keyFields, ", "))
	})
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
