package event

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// flowJSON are the keys of a flow that are not objects of a protocol.
type flowJSON struct {
	ClientIP      netip.Addr `json:"client_ip"`
	ClientPort    uint16     `json:"client_port"`
	ServerIP      netip.Addr `json:"server_ip"`
	ServerPort    uint16     `json:"server_port"`
	IPProtocol    uint8      `json:"ip_protocol"`
	VLAN          uint16     `json:"vlan"`
	Interface     string     `json:"interface"`
	InterfaceOut  string     `json:"interface_out"`
	FirstSeen     time.Time  `json:"first_seen"`
	LastSeen      time.Time  `json:"last_seen"`
	ClientPackets uint64     `json:"client_packets"`
	ServerPackets uint64     `json:"server_packets"`
	ClientBytes   uint64     `json:"client_bytes"`
	ServerBytes   uint64     `json:"server_bytes"`
	ClientMAC     string     `json:"client_mac"`
	ServerMAC     string     `json:"server_mac"`
	InterfaceRole string     `json:"interface_role"`
	ClientPlace   string     `json:"client_place"`
	ServerPlace   string     `json:"server_place"`
	Mark          uint32     `json:"mark"`
	Tunnel        string     `json:"tunnel"`
	Protocol      string     `json:"protocol"`
	Application   string     `json:"application"`
	Category      string     `json:"category"`
	Hostname      string     `json:"hostname"`
	Confidence    uint8      `json:"confidence"`
	Source        string     `json:"source"`
	Evidence      string     `json:"evidence"`
	EndReason     string     `json:"end_reason"`
	Midstream     bool       `json:"midstream"`
	Reinspected   bool       `json:"reinspected"`
	Accounted     bool       `json:"accounted"`
	FlowID        string     `json:"flow_id"`
	Worker        uint16     `json:"worker"`
}

// Numbers is the inverse of Names. A nil function stands for 0.
type Numbers struct {
	Interface func(name string) uint16
	Tunnel    func(name string) uint8
	Role      func(interfaceName, role string) // told of the role of each interface that has one; nil: nobody asks
}

// ParseJSON reads one flow from its JSON form and returns it as a payload of its
// own. What JSON does not carry (the stable ids, the revision) is 0; a value that
// was hexadecimal or an address is text afterwards.
func ParseJSON(line []byte, n *Numbers) (Flow, error) {
	var j flowJSON
	if err := json.Unmarshal(line, &j); err != nil {
		return nil, fmt.Errorf("flow record: %w", err)
	}
	if !j.ClientIP.IsValid() || !j.ServerIP.IsValid() || j.ClientIP.Is4() != j.ServerIP.Is4() {
		return nil, errors.New("flow record: client_ip and server_ip must be two addresses of one family")
	}
	var objects map[string]json.RawMessage
	if err := json.Unmarshal(line, &objects); err != nil {
		return nil, fmt.Errorf("flow record: %w", err)
	}
	c, err := j.counters(n)
	if err != nil {
		return nil, err
	}
	d, err := j.description(n)
	if err != nil {
		return nil, err
	}
	if d.Attrs, err = attrsJSON(objects); err != nil {
		return nil, err
	}
	b := make([]byte, DescriptionAt, DescriptionAt+MaxFlow)
	c.Encode(b)
	return ParseFlow(d.Append(b))
}

func (j *flowJSON) counters(n *Numbers) (*Counters, error) {
	c := &Counters{
		Worker: j.Worker, Client: j.ClientIP.As16(), Server: j.ServerIP.As16(),
		ClientPort: j.ClientPort, ServerPort: j.ServerPort, IPProto: j.IPProtocol, IPVersion: 6,
		VLAN: j.VLAN, Mark: j.Mark, First: nanos(j.FirstSeen), Last: nanos(j.LastSeen),
		ClientPackets: j.ClientPackets, ServerPackets: j.ServerPackets,
		ClientBytes: j.ClientBytes, ServerBytes: j.ServerBytes, Flags: FlagFinal,
	}
	if j.ClientIP.Is4() {
		c.IPVersion = 4
	}
	if n.Interface != nil {
		c.In = n.Interface(j.Interface)
		c.Out = c.In
		if j.InterfaceOut != "" {
			c.Out, c.Flags = n.Interface(j.InterfaceOut), c.Flags|FlagIfPair
		}
		if n.Role != nil && j.InterfaceRole != "" {
			n.Role(j.Interface, j.InterfaceRole)
		}
	}
	if j.Midstream {
		c.Flags |= FlagMidstream
	}
	if j.Reinspected {
		c.Flags |= FlagReinspected
	}
	if j.Accounted {
		c.Flags |= FlagAccounted
	}
	if j.FlowID != "" {
		id, err := strconv.ParseUint(j.FlowID, 16, 64)
		if err != nil {
			return nil, fmt.Errorf("flow record: flow_id %q is not a hexadecimal number", j.FlowID)
		}
		c.ID = id
	}
	return c, nil
}

func nanos(t time.Time) uint64 {
	if s := t.Unix(); t.IsZero() || s < 0 || s > math.MaxInt64/int64(time.Second) {
		return 0
	}
	return uint64(t.UnixNano())
}

func (j *flowJSON) description(n *Numbers) (d Description, err error) {
	for _, s := range []string{j.Protocol, j.Application, j.Category, j.Hostname, j.Evidence} {
		if len(s) > math.MaxUint8 {
			return d, fmt.Errorf("flow record: %.20q... is longer than %d bytes", s, math.MaxUint8)
		}
	}
	d = Description{
		Confidence: j.Confidence, Protocol: j.Protocol, Application: j.Application, Category: j.Category,
		Host: []byte(j.Hostname), Evidence: []byte(j.Evidence),
	}
	if d.ClientMAC, err = parseMAC(j.ClientMAC); err != nil {
		return d, err
	}
	if d.ServerMAC, err = parseMAC(j.ServerMAC); err != nil {
		return d, err
	}
	if n.Tunnel != nil {
		d.Link = n.Tunnel(j.Tunnel)
	}
	d.Client, d.Server = parsePlace(j.ClientPlace), parsePlace(j.ServerPlace)
	d.Source = Source(max(slices.Index(sourceNames[:], j.Source), 0))
	d.End = EndReason(max(slices.Index(endNames[:], j.EndReason), 0))
	return d, nil
}

func parseMAC(s string) (m [6]byte, err error) {
	if s == "" {
		return m, nil
	}
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(m) {
		return m, fmt.Errorf("flow record: %q is not an Ethernet address", s)
	}
	return [6]byte(hw), nil
}

// attrsJSON turns the objects of protocols back into an attribute list. Objects
// come in lexical order: what a map yields must not depend on the run.
func attrsJSON(objects map[string]json.RawMessage) ([]byte, error) {
	list := make([]byte, 0, MaxAttrs)
	for _, object := range sortedKeys(objects) {
		raw := objects[object]
		if reserved([]byte(object)) || len(raw) == 0 || raw[0] != '{' {
			continue
		}
		var members map[string]any
		dec := json.NewDecoder(strings.NewReader(string(raw)))
		dec.UseNumber()
		if err := dec.Decode(&members); err != nil {
			return nil, fmt.Errorf("flow record: %s: %w", object, err)
		}
		for _, member := range sortedKeys(members) {
			key := object + "." + member
			if object == "flow" {
				key = member
			}
			list = appendValue(list, key, members[member], 0)
		}
	}
	return list, nil
}

func appendValue(list []byte, key string, v any, flag AttrKind) []byte {
	switch v := v.(type) {
	case string:
		return AppendAttr(list, AttrString|flag, key, []byte(v))
	case bool:
		b := byte(0)
		if v {
			b = 1
		}
		return AppendAttr(list, AttrBool|flag, key, []byte{b})
	case json.Number:
		u, err := strconv.ParseUint(v.String(), 10, 64)
		if err != nil {
			return AppendAttr(list, AttrString|flag, key, []byte(v.String()))
		}
		return AppendAttr(list, AttrUint|flag, key, binary.LittleEndian.AppendUint64(nil, u))
	case []any:
		for _, e := range v {
			if _, nested := e.([]any); !nested {
				list = appendValue(list, key, e, AttrList)
			}
		}
	}
	return list
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
