package source

import "net/netip"

// UserApp is an application as the user's configuration has it.
type UserApp struct {
	Name, Category         string
	Domains, Networks, JA4 []string
	At                     Place
}

// CheckedApp is a UserApp whose parts are right.
type CheckedApp struct {
	Domains  []Domain
	Networks []netip.Prefix
	JA4      []string
}

// Check reads the parts of a user application. Unlike curated data it may
// claim a whole top-level domain: a user's own network may have one.
func (u *UserApp) Check(ps *Problems) CheckedApp {
	var c CheckedApp
	if err := checkWord(u.Name); err != nil {
		ps.Errorf(u.At, "application: %v", err)
	}
	if len(u.Domains)+len(u.Networks)+len(u.JA4) == 0 {
		ps.Errorf(u.At, "application %s has no domains, networks or ja4", u.Name)
	}
	for _, w := range u.Domains {
		d, err := parseDomain(w)
		if err != nil {
			ps.Errorf(u.At, "application %s: domain %q: %v", u.Name, w, err)
			continue
		}
		d.At = u.At
		c.Domains = append(c.Domains, d)
	}
	for _, w := range u.Networks {
		p, err := parsePrefix(w)
		if err != nil {
			ps.Errorf(u.At, "application %s: %v", u.Name, err)
			continue
		}
		c.Networks = append(c.Networks, p)
	}
	for _, w := range u.JA4 {
		if err := checkJA4(w); err != nil {
			ps.Errorf(u.At, "application %s: %v", u.Name, err)
			continue
		}
		c.JA4 = append(c.JA4, w)
	}
	return c
}

// CheckCategory tells whether a user's name for a category is one.
func CheckCategory(name string) error { return checkWord(name) }
