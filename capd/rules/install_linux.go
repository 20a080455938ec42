package rules

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// maxElements bounds one message: the length of its list has 16 bits, and a longer
	// list would be cut without an error.
	maxElements = 500
	// socketBuffer holds the largest transaction, and the answers to it.
	socketBuffer = 16 << 20

	ownerPrefix  = "weir_capd."
	ownerComment = "marks this table as made by capd"
)

// Report says what Install did.
type Report struct {
	Tables    []string // "inet weir_capture"; none for Manual
	Way       string   // how packets are queued, for people
	TakenOver bool     // a table of ours, of an earlier run, was replaced
}

// Install puts the rules into the kernel, in one transaction with the removal of
// what an earlier run of this instance has left, whatever its mode was: at no time
// are there two rulesets or none. It may be repeated; counters begin anew.
//
// What the kernel can do is tried, and log is told what is used and what of the
// system was changed. Errors wrap ErrDenied, ErrForeign or ErrNoQueue where one of
// them is the reason.
func (r *Ruleset) Install(log *slog.Logger) (Report, error) {
	rep, err := r.install(log)
	if err != nil {
		return Report{}, fmt.Errorf("install capture rules, mode %s: %w", r.cfg.Mode, explain(err))
	}
	log.Info("capture rules installed", "mode", string(r.cfg.Mode), "tables", strings.Join(rep.Tables, ", "), "by", rep.Way, "taken_over", rep.TakenOver)
	r.tellReversePath(log)
	return rep, nil
}

func (r *Ruleset) install(log *slog.Logger) (rep Report, err error) {
	conn, err := dial()
	if err != nil {
		return rep, err
	}
	old, err := r.existing(conn)
	if err != nil {
		return rep, err
	}
	v, w, err := r.choose(conn)
	if err != nil {
		return rep, err
	}
	for _, f := range v.families {
		if owner, there := old[f.number]; there && owner != ownerName(r.cfg.Instance) {
			return rep, r.foreign(f, owner)
		}
	}
	for f, owner := range old {
		if owner == ownerName(r.cfg.Instance) {
			conn.AddTable(&nftables.Table{Name: r.cfg.Table, Family: f}) // someone may have removed it
			conn.DelTable(&nftables.Table{Name: r.cfg.Table, Family: f})
			rep.TakenOver = true
		}
	}
	for _, t := range r.tables(v) {
		if err := t.send(conn, w); err != nil {
			return rep, err
		}
		rep.Tables = append(rep.Tables, t.family.name+" "+t.name)
	}
	if err := conn.Flush(); err != nil {
		return rep, err
	}
	rep.Way = w.String()
	if r.cfg.Mode == Manual {
		rep.Way = "rules of the user"
	}
	if v.brNetfilter {
		rep.Way += ", bridged packets by br_netfilter"
	}
	if r.cfg.Packets > 0 && r.cfg.Mode != Manual {
		account(log)
	}
	return rep, nil
}

// Remove takes our tables of this instance out of the kernel, in one transaction.
// There being none is fine. Marks of connections stay.
func (r *Ruleset) Remove() error {
	conn, err := dial()
	if err != nil {
		return fmt.Errorf("remove capture rules: %w", explain(err))
	}
	old, err := r.existing(conn)
	if err != nil {
		return fmt.Errorf("remove capture rules: %w", explain(err))
	}
	for f, owner := range old {
		if owner == ownerName(r.cfg.Instance) {
			conn.DelTable(&nftables.Table{Name: r.cfg.Table, Family: f})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("remove capture rules: %w", explain(err))
	}
	return nil
}

// dial makes a connection that opens a socket for each transaction: after an error
// nothing of it is left over.
func dial() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(socketBuffer), c.SetReadBuffer(socketBuffer))
	}))
}

// existing returns who owns the tables of our name, by family; "" is nobody of us.
func (r *Ruleset) existing(conn *nftables.Conn) (map[nftables.TableFamily]string, error) {
	owners := map[nftables.TableFamily]string{}
	for _, f := range []family{inet, ip, ip6, bridge} {
		tables, err := conn.ListTablesOfFamily(f.number)
		if err != nil {
			return nil, fmt.Errorf("list tables of family %s: %w", f.name, err)
		}
		for _, t := range tables {
			if t.Name != r.cfg.Table || t.Family != f.number {
				continue
			}
			sets, err := conn.GetSets(t)
			if err != nil { // a set of a type that the module does not know: none of ours
				sets = nil
			}
			owners[f.number] = ""
			for _, s := range sets {
				if strings.HasPrefix(s.Name, ownerPrefix) {
					owners[f.number] = s.Name
				}
			}
		}
	}
	return owners, nil
}

// ownerName makes a set name of an instance's.
func ownerName(instance string) string { return ownerPrefix + instance }

func (r *Ruleset) foreign(f family, owner string) error {
	whose := "it has no set " + ownerName(r.cfg.Instance)
	if owner != "" {
		whose = "it belongs to instance.name = \"" + strings.TrimPrefix(owner, ownerPrefix) + "\""
	}
	return fmt.Errorf("table %s %s: %w (%s): choose another name, or remove it with nft delete table %s %s",
		f.name, r.cfg.Table, ErrForeign, whose, f.name, r.cfg.Table)
}

// choose finds the first variant and way that the kernel takes.
func (r *Ruleset) choose(conn *nftables.Conn) (v variant, w way, err error) {
	if r.cfg.Mode == Manual {
		return variant{}, wayNative, nil
	}
	var tried []error
	for _, v := range r.variants() {
		if v.brNetfilter && !bridgeCalls() {
			tried = append(tried, errors.New("br_netfilter: off"))
			continue
		}
		for _, w := range []way{wayNative, wayCompat} {
			err := r.probe(conn, v, w)
			if err == nil {
				return v, w, nil
			}
			if !lacking(err) {
				return v, w, fmt.Errorf("try %v: %w", w, err)
			}
			tried = append(tried, fmt.Errorf("%v in family %s: %w", w, v.families[0].name, err))
		}
	}
	remedy := "load the modules nft_queue, or nft_compat and xt_NFQUEUE, with nf_conntrack and nft_ct"
	if r.cfg.Mode == Bridge {
		remedy = "load nft_queue and nf_conntrack_bridge, or load br_netfilter and set " +
			"net.bridge.bridge-nf-call-iptables and net.bridge.bridge-nf-call-ip6tables to 1 (all bridged packets then pass the firewall, too)"
	}
	return v, w, fmt.Errorf("%w: %s (tried: %w)", ErrNoQueue, remedy, errors.Join(tried...))
}

// probe lets the kernel judge all our rules, in chains without a hook and in tables
// that the same transaction removes: no packet meets them, nothing stays.
func (r *Ruleset) probe(conn *nftables.Conn, v variant, w way) error {
	for _, t := range r.tables(v) {
		t.name += ".probe"
		t.sets = append([]addresses(nil), t.sets...)
		for i := range t.sets {
			t.sets[i].networks = nil
		}
		for i := range t.chains {
			t.chains[i].hook = nil
		}
		if err := t.send(conn, w); err != nil {
			return err
		}
		conn.DelTable(&nftables.Table{Name: t.name, Family: t.family.number})
	}
	return conn.Flush()
}

// send adds a table, in place of one of its name, to the transaction of conn.
func (t *table) send(conn *nftables.Conn, w way) error {
	nt := &nftables.Table{Name: t.name, Family: t.family.number}
	conn.AddTable(nt)
	conn.DelTable(nt)
	conn.AddTable(nt)
	owner := &nftables.Set{Table: nt, Name: t.owner, KeyType: nftables.TypeMark, KeyByteOrder: binaryutil.NativeEndian, Comment: ownerComment}
	if err := conn.AddSet(owner, nil); err != nil {
		return err
	}
	for _, s := range t.sets {
		set := &nftables.Set{Table: nt, Name: s.name, KeyType: s.typ, KeyByteOrder: binaryutil.BigEndian, Interval: true}
		if err := conn.AddSet(set, nil); err != nil {
			return err
		}
		for list := s.elements(); len(list) > 0; {
			n := min(len(list), maxElements)
			if err := conn.SetAddElements(set, list[:n]); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	chains := make([]*nftables.Chain, len(t.chains))
	for i, c := range t.chains {
		chains[i] = &nftables.Chain{Table: nt, Name: c.name}
		if c.hook != nil {
			policy := nftables.ChainPolicyAccept
			chains[i].Type, chains[i].Hooknum, chains[i].Policy = nftables.ChainTypeFilter, c.hook.number, &policy
			chains[i].Priority = nftables.ChainPriorityRef(nftables.ChainPriority(c.priority))
		}
		conn.AddChain(chains[i])
	}
	for i, c := range t.chains {
		for _, r := range c.rules {
			nr := &nftables.Rule{Table: nt, Chain: chains[i], Exprs: r.exprs(w)}
			if r.comment != "" {
				nr.UserData = userdata.AppendString(nil, userdata.TypeComment, r.comment)
			}
			conn.AddRule(nr)
		}
	}
	return nil
}

// lacking reports whether an error says that the kernel has no such thing.
func lacking(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EPROTO, unix.EAFNOSUPPORT} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// explain replaces errors of the kernel by what to do about them.
func explain(err error) error {
	switch {
	case errors.Is(err, ErrNoQueue), errors.Is(err, ErrForeign):
		return err
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w (%w)", ErrDenied, err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("this kernel has no nftables (CONFIG_NF_TABLES): %w", err)
	}
	return err
}
