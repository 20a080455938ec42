package netif

import (
	"cmp"
	"net/netip"
	"slices"

	"weir/proto/network"
)

// Limits of what is kept, whatever the kernel has. Together they are within
// network.MaxEntries.
const (
	maxNeighbours = 8192
	maxHosts      = 1024 // addresses, and Ethernet addresses, of this machine
	maxNetworks   = 2048 // of each kind
)

// neighbour is who has an address. One that the kernel forgets is kept until another
// has the address or its room is needed: flows outlive entries of the kernel's table.
type neighbour struct {
	mac   network.MAC
	index int // of the interface
	gone  bool
	heard uint64 // newer ones have higher numbers
}

// neighbours are those of all interfaces.
type neighbours struct {
	all     map[netip.Addr]neighbour
	clock   uint64
	refused uint64 // entries for which there was no room
}

// put takes an entry in and reports whether that changes anything to others.
func (n *neighbours) put(a netip.Addr, x neighbour) bool {
	old, known := n.all[a]
	if !known && len(n.all) >= maxNeighbours && !n.makeRoom() {
		n.refused++
		return false
	}
	n.clock++
	x.heard = n.clock
	n.all[a] = x
	return !known || old.mac != x.mac || old.index != x.index
}

// forget marks an entry that the kernel does not have any more.
func (n *neighbours) forget(a netip.Addr, index int) {
	if x, known := n.all[a]; known && x.index == index {
		x.gone = true
		n.all[a] = x
	}
}

func (n *neighbours) forgetAll() {
	for a, x := range n.all {
		x.gone = true
		n.all[a] = x
	}
}

// makeRoom drops the older half of those that are gone; false when none is.
func (n *neighbours) makeRoom() bool {
	var gone []netip.Addr
	for a, x := range n.all {
		if x.gone {
			gone = append(gone, a)
		}
	}
	slices.SortFunc(gone, func(a, b netip.Addr) int { return cmp.Compare(n.all[a].heard, n.all[b].heard) })
	for _, a := range gone[:(len(gone)+1)/2] {
		delete(n.all, a)
	}
	return len(gone) > 0
}

// Values of the roles of interfaces.
const (
	roleLAN = "lan"
	roleWAN = "wan"
)

// view says what links, the routes through those with role lan, and neighbours mean.
// Neighbours of interfaces with role wan are not ours.
func view(links table, routes []netip.Prefix, n *neighbours, role func(name string) string) *network.View {
	v := new(network.View)
	for _, l := range links.links() {
		var mac network.MAC
		if len(l.MAC) == len(mac) {
			mac = network.MAC([]byte(l.MAC))
		}
		if mac != (network.MAC{}) {
			v.MACs = append(v.MACs, mac)
		}
		r := role(l.Name)
		for _, p := range l.Addrs {
			v.Hosts = append(v.Hosts, network.Station{Addr: p.Addr(), MAC: mac})
			switch r {
			case roleLAN:
				v.Local = append(v.Local, p.Masked())
			case roleWAN:
				v.Other = append(v.Other, p.Masked())
			}
		}
	}
	v.Local = append(v.Local, routes...)
	for a, x := range n.all {
		if role(links[x.index].Name) != roleWAN {
			v.Neighbours = append(v.Neighbours, network.Station{Addr: a, MAC: x.mac})
		}
	}
	slices.SortFunc(v.Neighbours, func(a, b network.Station) int { return a.Addr.Compare(b.Addr) })
	v.Hosts, v.MACs = first(v.Hosts, maxHosts), first(v.MACs, maxHosts)
	v.Local, v.Other = networks(v.Local), networks(v.Other)
	return v
}

// networks puts prefixes in order, each once, without single addresses and without
// the whole world, which a default route is to.
func networks(list []netip.Prefix) []netip.Prefix {
	list = slices.DeleteFunc(list, func(p netip.Prefix) bool { return p.Bits() == 0 || p.IsSingleIP() })
	slices.SortFunc(list, netip.Prefix.Compare)
	return first(slices.Compact(list), maxNetworks)
}

func first[T any](list []T, n int) []T { return list[:min(n, len(list))] }
