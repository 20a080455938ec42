package target

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Limits of one transaction.
const (
	// maxElements and maxBytes bound one message: the length of its list has 16
	// bits, and a longer list would be cut without an error.
	maxElements = 500
	maxBytes    = 48 << 10
	// socketBuffer holds the largest transaction and the answers to it.
	socketBuffer = 16 << 20
	// elementBytes is more than any of our elements takes in a message: keys have
	// at most 48 bytes, comments 72, attributes and timeout the rest.
	elementBytes = 192
	// maxChanges bounds a transaction, so that a failure costs little to repeat.
	maxChanges = 10000
)

// NFT is the backend for nftables. It is not safe for concurrent use.
type NFT struct {
	conn     *nftables.Conn
	ask      *netlink.Conn // for what the module cannot ask
	table    *nftables.Table
	owner    string // name of the set that marks the table as ours
	sets     map[*Set]*nftables.Set
	probed   bool
	renews   bool // the kernel begins a timeout anew when an element is added again
	limit    int
	gen      uint32 // of the ruleset when we last looked, with our own changes
	genKnown bool
}

// NewNFT connects to the kernel. table is the name of our table in family inet;
// instance tells ours from that of another instance.
func NewNFT(table, instance string) (*NFT, error) {
	n := &NFT{table: &nftables.Table{Name: table, Family: nftables.TableFamilyINet}, owner: ownerName(instance)}
	if err := n.dial(); err != nil {
		return nil, err
	}
	return n, nil
}

// Names of the set that marks a table as made by an instance, and of the one that
// exists for a moment to try the kernel.
const (
	ownerPrefix = "weir_owner."
	probeSuffix = ".probe"
)

// ownerName makes a set name of an instance's name: nft allows fewer characters.
func ownerName(instance string) string {
	return ownerPrefix + strings.Map(func(r rune) rune {
		if r == '-' {
			return '_'
		}
		return r
	}, instance)
}

// dial opens the connection anew. After an error the old one may hold answers
// that nobody read, or an error that sticks.
func (n *NFT) dial() error {
	if n.conn != nil {
		_ = n.conn.CloseLasting()
	}
	var size int
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) (err error) {
		if err = c.SetWriteBuffer(socketBuffer); err != nil {
			return err
		}
		if err = c.SetReadBuffer(socketBuffer); err != nil {
			return err
		}
		size, err = c.WriteBuffer()
		return err
	}))
	if err != nil {
		return fmt.Errorf("connect to nftables: %w", explain(err))
	}
	if n.ask == nil {
		if n.ask, err = netlink.Dial(unix.NETLINK_NETFILTER, nil); err != nil {
			return fmt.Errorf("connect to nftables: %w", explain(err))
		}
	}
	n.conn = conn
	// Without privilege over the host the kernel gives us less than we asked for.
	n.limit = min(max(size/2/elementBytes, 1), maxChanges)
	return nil
}

// Limit returns how many changes one transaction may have.
func (n *NFT) Limit() int { return n.limit }

// Close lets the connection go. Table, sets and elements stay.
func (n *NFT) Close() error { return errors.Join(n.conn.CloseLasting(), n.ask.Close()) }

// explain replaces errors of the kernel by what to do about them.
func explain(err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w (%w)", ErrDenied, err)
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("this kernel has no nftables (CONFIG_NF_TABLES): %w", err)
	}
	return err
}

// Commit makes the changes in one transaction: all or none.
func (n *NFT) Commit(changes []Change) error {
	type batch struct {
		set      *Set
		op       Op
		elements []nftables.SetElement
	}
	var batches []*batch
	open := map[*Set]*batch{} // the one that takes more changes of the set
	put := func(s *Set, op Op, e nftables.SetElement) {
		b := open[s]
		if b == nil || b.op != op || len(b.elements) >= maxElements || (len(b.elements)+1)*elementBytes > maxBytes {
			b = &batch{set: s, op: op}
			batches, open[s] = append(batches, b), b
		}
		b.elements = append(b.elements, e)
	}
	for _, c := range changes {
		if c.Op == Delete || c.Op == Refresh && !n.renews {
			put(c.Set, Delete, nftables.SetElement{Key: []byte(c.Key)})
		}
		if c.Op != Delete {
			put(c.Set, Add, nftables.SetElement{Key: []byte(c.Key), Timeout: c.Timeout, Comment: Comment + c.Rule})
		}
	}
	for _, b := range batches {
		s, err := n.sets[b.set], error(nil)
		if s == nil {
			return fmt.Errorf("set %s: %w", b.set, ErrDiverged)
		}
		if b.op == Delete {
			err = n.conn.SetDeleteElements(s, b.elements)
		} else {
			err = n.conn.SetAddElements(s, b.elements)
		}
		if err != nil {
			return n.failed(fmt.Errorf("change set %s: %w", b.set, err))
		}
	}
	return n.flush("change sets")
}

// flush sends what is queued as one transaction.
func (n *NFT) flush(what string) error {
	if err := n.conn.Flush(); err != nil {
		return n.failed(fmt.Errorf("nftables: %s: %w", what, err))
	}
	n.gen++ // each transaction adds one
	return nil
}

// failed sorts an error and opens a new connection.
func (n *NFT) failed(err error) error {
	n.genKnown = false
	if dialErr := n.dial(); dialErr != nil {
		return errors.Join(err, dialErr)
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		return explain(err)
	// What was there is gone, what was not there is, or the answers were lost.
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EEXIST), errors.Is(err, syscall.ENOBUFS), errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: %w", ErrDiverged, err)
	case errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w: a set is full: %w", ErrDiverged, err)
	}
	return err
}

// Changed reports whether somebody else changed the ruleset since the last call or
// Open. It may report a change where there was none, but never misses one.
func (n *NFT) Changed() (bool, error) {
	g, err := n.generation()
	if err != nil {
		return false, err
	}
	changed := !n.genKnown || g != n.gen
	n.gen, n.genKnown = g, true
	return changed, nil
}

// generation asks for the number that each transaction, ours or not, increases.
// The nftables module cannot ask for it.
func (n *NFT) generation() (uint32, error) {
	reply, err := n.ask.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
		Data:   make([]byte, 4), // struct nfgenmsg: any family
	})
	if err == nil && (len(reply) == 0 || len(reply[0].Data) < 4) {
		err = errors.New("empty answer")
	}
	if err != nil {
		return 0, n.failed(fmt.Errorf("nftables: read generation: %w", err))
	}
	attrs, err := netlink.NewAttributeDecoder(reply[0].Data[4:])
	if err != nil {
		return 0, fmt.Errorf("nftables: read generation: %w", err)
	}
	attrs.ByteOrder = binary.BigEndian
	for attrs.Next() {
		if attrs.Type() == unix.NFTA_GEN_ID {
			return attrs.Uint32(), attrs.Err()
		}
	}
	return 0, errors.New("nftables: read generation: the answer has none")
}

// Dump returns the elements of a set. It reads again when the ruleset changed
// meanwhile.
func (n *NFT) Dump(s *Set) ([]Found, error) {
	for range 5 {
		before, err := n.generation()
		if err != nil {
			return nil, err
		}
		list, err := n.elements(n.sets[s])
		if err != nil {
			return nil, err
		}
		after, err := n.generation()
		if err != nil {
			return nil, err
		}
		if before == after {
			return found(list), nil
		}
	}
	return nil, fmt.Errorf("nftables: read set %s: %w: it changes faster than it can be read", s, ErrDiverged)
}

// elements reads a set. The module tells the kernel's reason for an error in words
// only, so whether the set has gone is asked apart.
func (n *NFT) elements(s *nftables.Set) ([]nftables.SetElement, error) {
	list, err := n.conn.GetSetElements(s)
	if err == nil {
		return list, nil
	}
	err = n.failed(fmt.Errorf("nftables: read set %s %s: %w", s.Table.Name, s.Name, err))
	if old, lost := n.find(s.Table, s.Name); lost == nil && old == nil && !errors.Is(err, ErrDiverged) {
		err = fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	return nil, err
}

func found(list []nftables.SetElement) []Found {
	out := make([]Found, 0, len(list))
	for _, e := range list {
		f := Found{Key: string(e.Key), Expires: e.Expires}
		f.Rule, f.Ours = strings.CutPrefix(e.Comment, Comment)
		if e.Timeout > 0 && e.Expires <= 0 {
			f.Expires = time.Millisecond // about to go
		}
		out = append(out, f)
	}
	return out
}

// nftSet returns what the kernel module's binding calls s.
func nftSet(s *Set, table *nftables.Table) *nftables.Set {
	types := make([]nftables.SetDatatype, len(s.kinds))
	for i, k := range s.kinds {
		types[i] = dataTypes[k]
	}
	out := &nftables.Set{
		Table: table, Name: s.Name, HasTimeout: s.timed, Timeout: s.Timeout, Size: uint32(s.Size),
		KeyType: types[0], KeyByteOrder: binaryutil.BigEndian, Comment: Comment + "filled by policyd",
	}
	if len(types) > 1 {
		// Cannot fail: NewSet has counted the parts.
		out.KeyType, out.Concatenation = nftables.MustConcatSetType(types...), true
	} else if s.kinds[0] == kindMark || s.kinds[0] == kindIfname {
		out.KeyByteOrder = binaryutil.NativeEndian
	}
	return out
}

var dataTypes = [...]nftables.SetDatatype{
	kindIPv4: nftables.TypeIPAddr, kindIPv6: nftables.TypeIP6Addr, kindPort: nftables.TypeInetService,
	kindProto: nftables.TypeInetProto, kindMAC: nftables.TypeEtherAddr, kindMark: nftables.TypeMark,
	kindIfname: nftables.TypeIFName,
}

// register returns the element of the owner set that stands for a set we made.
func register(name string) nftables.SetElement {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return nftables.SetElement{Key: h.Sum(nil), Comment: name}
}
