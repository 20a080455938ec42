package rules

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Priorities of our chains within a hook.
//
// The queue chain is behind the filter chains of firewalls (0): hostile bytes that
// the firewall refuses never reach user space, and cannot fill the queues so that
// others pass uninspected. It is before security (50). The save chain is behind it,
// because NF_ACCEPT of a queued packet goes on with the next chain of the hook.
const (
	queuePriority = 10
	savePriority  = 20

	bridgeFilter = -200 // "filter" of family bridge, to which the above are added
)

// family is a family of tables.
type family struct {
	name   string
	number nftables.TableFamily
	v4, v6 bool
}

var (
	inet   = family{"inet", nftables.TableFamilyINet, true, true}
	ip     = family{"ip", nftables.TableFamilyIPv4, true, false}
	ip6    = family{"ip6", nftables.TableFamilyIPv6, false, true}
	bridge = family{"bridge", nftables.TableFamilyBridge, true, true}
)

// variant is one way to do what a mode asks for. A kernel has some of them.
type variant struct {
	families    []family
	brNetfilter bool // bridged packets are seen as forwarded ones
}

// variants returns them, best first.
func (r *Ruleset) variants() []variant {
	if r.only != nil {
		return r.only
	}
	switch r.cfg.Mode {
	case Manual:
		return nil
	case Bridge:
		return []variant{{families: []family{bridge}}, {families: []family{inet}, brNetfilter: true}}
	}
	return []variant{{families: []family{inet}}, {families: []family{ip, ip6}}}
}

// hook is a place where a mode queues packets.
type hook struct {
	name   string
	number *nftables.ChainHook
	only   []clause // what of the packets is queued
	lo     []clause // matches loopback
}

func (r *Ruleset) hooks(v variant) []hook {
	in := hook{name: "input", number: nftables.ChainHookInput, lo: []clause{iifname("lo")}}
	out := hook{name: "output", number: nftables.ChainHookOutput, lo: []clause{oifname("lo")}}
	switch r.cfg.Mode {
	case Input:
		in.only, out.only = []clause{direction(0)}, []clause{direction(1)}
		return []hook{in, out}
	case Output:
		in.only, out.only = []clause{direction(1)}, []clause{direction(0)}
		return []hook{in, out}
	}
	forward := hook{name: "forward", number: nftables.ChainHookForward}
	if v.brNetfilter {
		forward.only = []clause{iifkind("bridge"), oifkind("bridge")}
	}
	return []hook{forward}
}

// table is one of our tables.
type table struct {
	family family
	name   string
	owner  string
	sets   []addresses
	chains []chain
}

// chain is a base chain where hook is set.
type chain struct {
	name     string
	hook     *hook
	priority int32
	rules    []rule
}

// Names of chains. Those of base chains have the hook's name behind them.
const (
	queueChain  = "queue_"
	saveChain   = "save_"
	storeChain  = "store"
	refuseChain = "refuse"
)

func (r *Ruleset) tables(v variant) []table {
	var all []table
	for _, f := range v.families {
		t := table{family: f, name: r.cfg.Table, owner: ownerName(r.cfg.Instance)}
		v4, v6 := split(r.cfg.Exempt)
		if f.v4 && len(v4.networks) > 0 {
			t.sets = append(t.sets, v4)
		}
		if f.v6 && len(v6.networks) > 0 {
			t.sets = append(t.sets, v6)
		}
		if r.layout.Reject != 0 {
			t.chains = append(t.chains, chain{name: refuseChain, rules: refuse(f)})
		}
		t.chains = append(t.chains, chain{name: storeChain, rules: r.store()})
		base := int32(0)
		if f == bridge {
			base = bridgeFilter
		}
		for _, h := range r.hooks(v) {
			t.chains = append(t.chains,
				chain{name: queueChain + h.name, hook: &h, priority: base + queuePriority, rules: r.queueRules(&t, h)},
				chain{name: saveChain + h.name, hook: &h, priority: base + savePriority, rules: []rule{
					{clauses: []clause{some(metaMark, r.layout.Mask), gotoChain(storeChain)}}}})
		}
		all = append(all, t)
	}
	return all
}

// queueRules are tried in order for each packet of a hook.
func (r *Ruleset) queueRules(t *table, h hook) []rule {
	var list []rule
	add := func(comment string, cs ...clause) { list = append(list, rule{clauses: cs, comment: comment}) }
	if h.lo != nil {
		add("loopback", append(h.lo, accept())...)
	}
	if t.family == bridge {
		add("neighbour discovery", protocol("ip6", 0x86dd).silent(), l4proto(protoICMPv6).silent(), neighbours(), accept())
	}
	for _, s := range t.sets {
		add("exempt", only(t.family, &s), s.from(), counter(), accept())
		add("exempt", only(t.family, &s), s.to(), counter(), accept())
	}
	// A connection that a helper expected begins with its master's ct mark, but nobody
	// has judged it yet.
	add("expected: judge it by itself", related(), unconfirmed(), has(ctMark, r.layout.Final), unset(ctMark, r.layout.Final))
	if r.layout.Reject != 0 {
		add("verdict reject", has(ctMark, r.layout.Reject), counter(), gotoChain(refuseChain))
	}
	add("verdict drop", has(ctMark, r.layout.Drop), counter(), drop())
	add("final", has(ctMark, r.layout.Final), counter(), accept())
	if r.cfg.Packets > 0 {
		add("past inspection", packets(r.cfg.Packets), counter(), accept())
	}
	q := &queue{r.cfg.First, uint16(r.cfg.Count)}
	if t.family != bridge {
		return append(list, rule{clauses: append(h.only, counter()), queue: q})
	}
	return append(list,
		rule{clauses: []clause{protocol("ip", 0x0800), counter()}, queue: q},
		rule{clauses: []clause{protocol("ip6", 0x86dd), counter()}, queue: q})
}

// store copies our bits of the packet mark to the ct mark, and does with this packet
// what the queue chain does with later ones. There is no way to combine two words
// that all kernels know, so it goes bit by bit, and writes only what changes. The
// final bit comes last: until then another CPU that has a packet of the flow asks
// user space, instead of taking half a verdict for a whole one.
//
// Packets get no mark from the ct mark. Ours is taken off here: the mark of a packet
// goes along into a tunnel, and would be taken for a verdict on the tunnel.
func (r *Ruleset) store() []rule {
	l := r.layout
	var list []rule
	for m := l.Mask; m != 0; m &= m - 1 {
		bit := uint32(1) << bits.TrailingZeros32(m)
		list = append(list,
			rule{clauses: []clause{has(metaMark, bit), lacks(ctMark, bit), set(ctMark, bit)}},
			rule{clauses: []clause{lacks(metaMark, bit), has(ctMark, bit), unset(ctMark, bit)}})
	}
	if l.Reject != 0 {
		list = append(list, rule{clauses: []clause{has(metaMark, l.Reject), counter(), gotoChain(refuseChain)}, comment: "verdict reject"})
	}
	return append(list,
		rule{clauses: []clause{has(metaMark, l.Drop), counter(), drop()}, comment: "verdict drop"},
		rule{clauses: []clause{unset(metaMark, l.Mask)}})
}

// refuse rejects. What rejects a packet of a local connection comes by here too:
// resets and ICMP errors about the flow pass.
func refuse(f family) []rule {
	if f == bridge { // reject is not to be had in the forward hook of bridges
		return []rule{{clauses: []clause{drop()}}}
	}
	list := []rule{{clauses: []clause{related(), l4proto(protoTCP).silent(), tcpReset(), accept()}}}
	if f.v4 {
		list = append(list, rule{clauses: []clause{related(), l4proto(protoICMP), accept()}})
	}
	if f.v6 {
		list = append(list, rule{clauses: []clause{related(), l4proto(protoICMPv6), accept()}})
	}
	unreachable := reject("icmpx admin-prohibited", rejectICMPX, icmpxAdminProhibited)
	switch f {
	case ip:
		unreachable = reject("icmp admin-prohibited", rejectICMP, icmpAdminProhibited)
	case ip6:
		unreachable = reject("icmpv6 admin-prohibited", rejectICMP, icmpv6AdminProhibited)
	}
	return append(list,
		rule{clauses: []clause{l4proto(protoTCP), reject("tcp reset", rejectTCPReset, 0)}},
		rule{clauses: []clause{unreachable}})
}

// silent leaves a match to nft, which adds it by itself where the text of the next
// clause asks for it.
func (c clause) silent() clause {
	c.text = ""
	return c
}

// only matches packets that have addresses of a set's family.
func only(f family, s *addresses) clause {
	switch {
	case f == inet && s.typ.Bytes == 4:
		return meta(expr.MetaKeyNFPROTO, "", []byte{2}) // NFPROTO_IPV4
	case f == inet:
		return meta(expr.MetaKeyNFPROTO, "", []byte{10}) // NFPROTO_IPV6
	case f == bridge && s.typ.Bytes == 4:
		return protocol("ip", 0x0800).silent()
	case f == bridge:
		return protocol("ip6", 0x86dd).silent()
	}
	return clause{}
}

func protocol(name string, etherType uint16) clause {
	return meta(expr.MetaKeyPROTOCOL, "meta protocol "+name, []byte{byte(etherType >> 8), byte(etherType)})
}

func (t *table) print(b *strings.Builder) {
	fmt.Fprintf(b, "table %s %s {\n", t.family.name, t.name)
	fmt.Fprintf(b, "\tset %s {\n\t\ttype mark\n\t\tcomment \"%s\"\n\t}\n", t.owner, ownerComment)
	for _, s := range t.sets {
		fmt.Fprintf(b, "\tset %s {\n\t\ttype %s\n\t\tflags interval\n\t\telements = { ", s.name, s.typ.Name)
		for i, p := range s.networks {
			if i > 0 {
				b.WriteString(", ")
			}
			if p.IsSingleIP() {
				b.WriteString(p.Addr().String())
			} else {
				b.WriteString(p.String())
			}
		}
		b.WriteString(" }\n\t}\n")
	}
	for _, c := range t.chains {
		fmt.Fprintf(b, "\tchain %s {\n", c.name)
		if c.hook != nil {
			fmt.Fprintf(b, "\t\ttype filter hook %s priority %d; policy accept;\n", c.hook.name, c.priority)
		}
		for _, r := range c.rules {
			fmt.Fprintf(b, "\t\t%s\n", r)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
}
