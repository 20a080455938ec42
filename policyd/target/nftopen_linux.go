package target

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"golang.org/x/sys/unix"
)

// Open makes sure that our table and sets exist and that the user's sets are what
// the configuration says; the error joins a SetError for each that is not. It may be called again when something changed: what is
// right stays as it is, with its elements.
func (n *NFT) Open(sets []*Set) error {
	n.sets = make(map[*Set]*nftables.Set, len(sets))
	ours, err := n.ownTable()
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range sets {
		table := &nftables.Table{Name: s.Table, Family: families[s.Family]}
		n.sets[s] = nftSet(s, table)
		if s.Create {
			continue
		}
		if err := n.checkUserSet(s, table); err != nil {
			errs = append(errs, &SetError{s, err})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := n.makeSets(sets, ours); err != nil {
		return err
	}
	if err := n.probe(); err != nil {
		return err
	}
	_, err = n.Changed()
	return err
}

var families = map[string]nftables.TableFamily{
	"inet": nftables.TableFamilyINet, "ip": nftables.TableFamilyIPv4, "ip6": nftables.TableFamilyIPv6,
	"bridge": nftables.TableFamilyBridge, "netdev": nftables.TableFamilyNetdev,
}

// ownTable reports whether our table exists. A table of the name without the mark
// of this instance is somebody else's.
func (n *NFT) ownTable() (exists bool, err error) {
	tables, err := n.conn.ListTablesOfFamily(n.table.Family)
	if err != nil {
		return false, n.failed(fmt.Errorf("nftables: list tables: %w", err))
	}
	for _, t := range tables {
		exists = exists || t.Name == n.table.Name
	}
	if !exists {
		return false, nil
	}
	mark, err := n.find(n.table, n.owner)
	if err != nil {
		return false, err
	}
	if mark == nil {
		return false, fmt.Errorf("nftables: table inet %s exists but is not ours (%s): %w: "+
			"choose another policy.table, or remove it with nft delete table inet %s", n.table.Name, n.whose(), ErrForeign, n.table.Name)
	}
	return true, nil
}

// whose says whom a table of our name belongs to, as far as that can be found out.
func (n *NFT) whose() string {
	sets, err := n.conn.GetSets(n.table)
	if err != nil { // a set of a type that the module does not know
		_ = n.dial() // the next use would tell
	}
	for _, s := range sets {
		if name, ok := strings.CutPrefix(s.Name, ownerPrefix); ok && !strings.HasSuffix(name, probeSuffix) {
			return "it belongs to instance.name = \"" + name + "\""
		}
	}
	return "it has no set " + n.owner
}

// find returns a set by its name, nil when there is none.
func (n *NFT) find(table *nftables.Table, name string) (*nftables.Set, error) {
	s, err := n.conn.GetSetByName(table, name)
	if errors.Is(err, unix.ENOENT) {
		return nil, n.dial()
	}
	if err != nil {
		return nil, n.failed(fmt.Errorf("nftables: look for set %s: %w", name, err))
	}
	return s, nil
}

// makeSets creates what is missing in our table, in one transaction, and removes
// the sets that we made once and that are no longer configured.
func (n *NFT) makeSets(sets []*Set, exists bool) error {
	owner := &nftables.Set{
		Table: n.table, Name: n.owner, KeyType: nftables.TypeMark, KeyByteOrder: binaryutil.NativeEndian,
		Comment: "marks this table as made by policyd",
	}
	if !exists {
		n.conn.AddTable(n.table)
		if err := n.conn.AddSet(owner, nil); err != nil {
			return n.failed(fmt.Errorf("nftables: mark table inet %s: %w", n.table.Name, err))
		}
	} else if err := n.dropSets(owner, sets); err != nil {
		return err
	}
	made := !exists
	for _, s := range sets {
		if !s.Create {
			continue
		}
		if exists {
			old, err := n.find(n.table, s.Name)
			if err != nil {
				return err
			}
			if old != nil && n.fits(s, old) == nil {
				continue
			}
			if old != nil {
				n.conn.DelSet(&nftables.Set{Table: n.table, Name: s.Name})
			}
		}
		made = true
		err := n.conn.AddSet(n.sets[s], nil)
		if err == nil {
			err = n.conn.SetAddElements(owner, []nftables.SetElement{register(s.Name)})
		}
		if err != nil {
			return n.failed(fmt.Errorf("nftables: create set %s: %w", s, err))
		}
	}
	if !made {
		return nil
	}
	err := n.flush(fmt.Sprintf("create table inet %s and its sets", n.table.Name))
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("a set whose type or size was changed is used by a rule: remove the rule, or give the set another name: %w", err)
	}
	return err
}

// dropSets removes the sets that the owner set lists but the configuration does
// not. One that a rule still uses is emptied: what it stood for is over.
func (n *NFT) dropSets(owner *nftables.Set, sets []*Set) error {
	list, err := n.elements(owner)
	if err != nil {
		return err
	}
	for _, e := range list {
		if s := Named(sets, e.Comment); e.Comment == "" || s != nil && s.Create {
			continue
		}
		old, err := n.find(n.table, e.Comment)
		if err != nil {
			return err
		}
		if old != nil {
			n.conn.DelSet(old)
		}
		if err := n.conn.SetDeleteElements(owner, []nftables.SetElement{{Key: e.Key}}); err != nil {
			return n.failed(err)
		}
		err = n.flush("remove set " + e.Comment)
		if errors.Is(err, unix.EBUSY) && old != nil {
			n.conn.FlushSet(old)
			err = n.flush("empty set " + e.Comment)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkUserSet compares a set that the user declared with the configuration.
func (n *NFT) checkUserSet(s *Set, table *nftables.Table) error {
	old, err := n.find(table, s.Name)
	if err != nil {
		return err
	}
	problem := errors.New("there is no such set")
	if old != nil {
		if problem = n.fits(s, old); problem == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: set %s: %w: %w: declare it like this: %s", s.Pos, s, ErrForeign, problem, s.Declaration())
}

// fits says what hinders us from filling a set that exists, nil for nothing.
func (n *NFT) fits(s *Set, old *nftables.Set) error {
	want := n.sets[s]
	switch {
	case old.IsMap:
		return errors.New("it is a map, not a set")
	case old.Constant, old.Anonymous:
		return errors.New("it is constant")
	case old.Interval:
		return errors.New("it has flags interval: an element of ours would not be one address")
	case old.KeyType.Bytes != want.KeyType.Bytes,
		old.KeyType.GetNFTMagic() != 0 && old.KeyType.GetNFTMagic() != want.KeyType.GetNFTMagic():
		return fmt.Errorf("its type is %q, the configuration fills %q", old.KeyType.Name, s.Type())
	case s.timed && !old.HasTimeout:
		return errors.New("it has no flags timeout")
	case s.Create && !s.timed && old.HasTimeout, s.Create && old.Size != want.Size:
		return errors.New("its size or flags are not those of the configuration")
	}
	return nil
}

// probeTimeout is long: no probe lives that long.
const probeTimeout = time.Hour

// probe finds out whether adding an element again begins its timeout anew: since
// Linux 6.12 it does, before it does nothing and says nothing.
func (n *NFT) probe() error {
	if n.probed {
		return nil
	}
	s := &nftables.Set{
		Table: n.table, Name: n.owner + probeSuffix, KeyType: nftables.TypeMark, KeyByteOrder: binaryutil.NativeEndian, HasTimeout: true,
	}
	if err := n.conn.AddSet(s, nil); err != nil {
		return n.failed(err)
	}
	key := []byte{1, 2, 3, 4}
	for _, d := range []time.Duration{probeTimeout, 2 * probeTimeout} {
		if err := n.conn.SetAddElements(s, []nftables.SetElement{{Key: key, Timeout: d}}); err != nil {
			return n.failed(err)
		}
		if err := n.flush("probe timeouts"); err != nil {
			return err
		}
	}
	list, err := n.conn.GetSetElements(s)
	if err != nil {
		return n.failed(fmt.Errorf("nftables: probe timeouts: %w", err))
	}
	n.renews, n.probed = len(list) == 1 && list[0].Expires > probeTimeout, true
	n.conn.DelSet(s)
	return n.flush("end the probe of timeouts")
}

// Flush removes everything of ours: the table inet, if it bears our mark, with
// whatever is in it, and our elements in the user's sets. It reports whether there
// was a table.
func (n *NFT) Flush(sets []*Set) (table bool, elements int, err error) {
	if table, err = n.ownTable(); err != nil {
		return false, 0, err
	}
	if table {
		n.conn.DelTable(n.table)
		if err := n.flush("delete table inet " + n.table.Name); err != nil {
			return false, 0, err
		}
	}
	n.sets = map[*Set]*nftables.Set{}
	for _, s := range sets {
		if s.Create {
			continue
		}
		t := &nftables.Table{Name: s.Table, Family: families[s.Family]}
		old, err := n.find(t, s.Name)
		if err != nil {
			return table, elements, err
		}
		if old == nil {
			continue
		}
		n.sets[s] = nftSet(s, t)
		removed, err := n.takeOut(s)
		elements += removed
		if err != nil {
			return table, elements, err
		}
	}
	return table, elements, nil
}

// takeOut removes our elements from a set of the user's. An element may expire
// between the reading and the removal: then it is tried again.
func (n *NFT) takeOut(s *Set) (removed int, err error) {
	for range 5 {
		list, err := n.Dump(s)
		if err != nil {
			return 0, err
		}
		var changes []Change
		for _, f := range list {
			if f.Ours {
				changes = append(changes, Change{Op: Delete, Set: s, Key: f.Key})
			}
		}
		for len(changes) > 0 {
			part := changes[:min(len(changes), n.limit)]
			if err = n.Commit(part); err != nil {
				break
			}
			removed, changes = removed+len(part), changes[len(part):]
		}
		if len(changes) == 0 || !errors.Is(err, ErrDiverged) {
			return removed, err
		}
	}
	return removed, err
}
