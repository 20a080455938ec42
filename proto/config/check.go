package config

import (
	"errors"
	"fmt"
	"slices"

	"weir/proto/mark"
)

// check finds what no single key shows: missing keys, doubled names and
// references that lead nowhere.
func (c *Config) check(b *binder) {
	c.checkCapture(b)
	schedules := named(b, "schedule", c.Schedules, func(s *Schedule) (string, Pos) { return s.Name, s.Pos })
	sets := named(b, "set", c.Sets, func(s *Set) (string, Pos) { return s.Name, s.Pos })
	named(b, "rule", c.Rules, func(r *Rule) (string, Pos) { return r.Name, r.Pos })

	c.checkCatalog(b)
	for i := range c.Sets {
		c.Sets[i].check(b)
	}
	for i := range c.Schedules {
		if s := &c.Schedules[i]; s.From == s.To {
			b.fail(s.Pos, "schedule "+s.Name, errors.New("begins and ends at the same time: give from and to, or neither for the whole day"))
		}
	}
	for i := range c.Rules {
		c.Rules[i].check(b, schedules, sets)
		c.checkVerdict(b, &c.Rules[i])
	}
}

// named returns the objects by name and reports doubled and missing names.
func named[T any](b *binder, what string, list []T, name func(*T) (string, Pos)) map[string]*T {
	byName := make(map[string]*T, len(list))
	for i := range list {
		n, pos := name(&list[i])
		if !require(b, pos, what+".name", n) {
			continue
		}
		if first := byName[n]; first != nil {
			_, at := name(first)
			b.fail(pos, what+" "+n, fmt.Errorf("is defined already at %s: choose another name", at))
			continue
		}
		byName[n] = &list[i]
	}
	return byName
}

func require(b *binder, pos Pos, key, value string) bool {
	if value == "" {
		b.fail(pos, key, errors.New("is missing"))
	}
	return value != ""
}

func (s *Set) check(b *binder) {
	fail := func(key string, err error) { b.fail(s.Pos, "set "+s.Name+": "+key, err) }
	if len(s.Key) == 0 {
		fail("key", errors.New("is missing: say what an element holds, such as [\"client_ip\", \"server_port\"]"))
	}
	hasAddress := slices.Contains(s.Key, KeyClientIP) || slices.Contains(s.Key, KeyServerIP)
	if s.Address == "" && hasAddress {
		switch s.Family {
		case "ip":
			s.Address = FamilyIPv4
		case "ip6":
			s.Address = FamilyIPv6
		default:
			fail("address", fmt.Errorf("is missing: a set holds %s or %s addresses; make two sets for both", FamilyIPv4, FamilyIPv6))
		}
	}
	if s.Address != "" && !hasAddress {
		fail("address", fmt.Errorf("= %q: the key holds no address: remove it", s.Address))
	}
	if s.Address == FamilyIPv6 && s.Family == "ip" || s.Address == FamilyIPv4 && s.Family == "ip6" {
		fail("address", fmt.Errorf("= %q: a table of family %s cannot match it", s.Address, s.Family))
	}
	if !s.Create && s.Table == "" {
		fail("table", errors.New("is missing: a set that is not created by us has a table of its own"))
	}
	if s.Remove == RemoveTimeout && s.Timeout == 0 {
		fail("timeout", errors.New("= 0s: elements would stay for ever; give a timeout or remove = \"flow_end\""))
	}
}

func (r *Rule) check(b *binder, schedules map[string]*Schedule, sets map[string]*Set) {
	key := "rule " + r.Name + ": "
	require(b, r.Pos, key+"match", r.Match)
	if r.Schedule != "" && schedules[r.Schedule] == nil {
		b.fail(r.Pos, key+"schedule", fmt.Errorf("= %q: there is no such [[schedule]]", r.Schedule))
	}
	if r.Verdict == "" && len(r.Tag) == 0 && len(r.NFTSet) == 0 && !r.Log && !r.Stop {
		b.fail(r.Pos, key+"action", errors.New("is missing: give verdict, tag, nftset, log or stop"))
	}
	for _, a := range r.NFTSet {
		set := sets[a.Set]
		switch {
		case !require(b, a.Pos, key+"nftset.set", a.Set):
		case set == nil:
			b.fail(a.Pos, key+"nftset.set", fmt.Errorf("= %q: there is no such [[set]]", a.Set))
		case len(a.Key) != 0 && !sameKinds(a.Key, set.Key):
			b.fail(a.Pos, key+"nftset.key", fmt.Errorf("= %q: must have the kinds of the set's key %q", a.Key, set.Key))
		case a.Family != "" && set.Address != "" && a.Family != set.Address:
			b.fail(a.Pos, key+"nftset.family", fmt.Errorf("= %q: set %s holds %s addresses", a.Family, a.Set, set.Address))
		}
	}
}

// checkVerdict finds a verdict that our bits of the mark cannot say.
func (c *Config) checkVerdict(b *binder, r *Rule) {
	if r.Verdict != VerdictReject {
		return
	}
	l, err := mark.New(c.Policy.MarkMask)
	if err != nil {
		return // said of policy.mark_mask
	}
	if err := l.Fits(mark.State{Verdict: mark.Reject}); err != nil {
		b.fail(r.Pos, "rule "+r.Name+": verdict", fmt.Errorf("= %q: %w", r.Verdict, err))
	}
}

// sameKinds reports whether two keys have the same nftables types.
func sameKinds(a, b []string) bool {
	kind := func(k string) string {
		switch k {
		case KeyServerIP:
			return KeyClientIP
		case KeyServerPort:
			return KeyClientPort
		}
		return k
	}
	return slices.EqualFunc(a, b, func(x, y string) bool { return kind(x) == kind(y) })
}
