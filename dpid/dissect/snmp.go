package dissect

func init() {
	register(Spec{
		Name: "snmp", ID: 23, Category: "network", Over: UDP, Ports: []uint16{161, 162}, Bytes: 1500,
		Detect: detectSNMP, Follow: followSNMP,
	})
}

// detectSNMP looks for a message in BER: a sequence of the version and
//
//	v1, v2c: community, PDU                           RFC 1157 section 4, RFC 1901
//	v3: header, security parameters, scoped PDU       RFC 3412 section 6
//
// The tags of the sequence, the version, the community and the PDU with its request
// id, or those of the v3 header, are fixed, and every length fits into the one
// around it: more than 48 bits.
func detectSNMP(in *Input, out *Result) Verdict {
	tag, msg, _, ok := berNext(in.Packet, true)
	if !ok || tag != berSequence {
		return No
	}
	version, msg, ok := berUint(msg)
	if !ok {
		return No
	}
	switch {
	case version <= 1 && snmpCommunity(msg, out):
		out.Uint("snmp.version", version+1) // 0 is v1, 1 is v2c
	case version == 3 && snmpV3(msg, out):
		out.Uint("snmp.version", 3)
	default:
		return No
	}
	out.Rule("message", 95)
	return Yes
}

// followSNMP looks for the engine and the user of v3: the first messages only ask
// for the engine's id (RFC 3414 section 4).
func followSNMP(in *Input, out *Result) Verdict {
	tag, msg, _, ok := berNext(in.Packet, true)
	if !ok || tag != berSequence {
		return No
	}
	version, msg, ok := berUint(msg)
	if !ok || version != 3 || !snmpV3(msg, out) || out.has("snmp.user") {
		return No
	}
	return More
}

// snmpPDUs are the names of PDU tags, less 0xa0 (RFC 3416 section 3, RFC 1157).
var snmpPDUs = [...]string{
	"get", "get-next", "response", "set", "trap-v1", "get-bulk", "inform", "trap", "report",
}

// snmpCommunity looks at the rest of a message of v1 or v2c.
func snmpCommunity(b []byte, out *Result) bool {
	tag, community, b, ok := berNext(b, false)
	if !ok || tag != berOctets || !snmpPDU(b, out) {
		return false
	}
	if isText(community) {
		out.Str("snmp.community", community)
	} else {
		out.Hex("snmp.community_raw", community)
	}
	return true
}

// snmpPDU looks at a PDU: request id, error status and index (or, for get-bulk,
// repetitions), bindings. A trap of v1 begins with an object id.
func snmpPDU(b []byte, out *Result) bool {
	tag, pdu, _, ok := berNext(b, true)
	if !ok || tag < 0xa0 || int(tag-0xa0) >= len(snmpPDUs) {
		return false
	}
	t, value, rest, ok := berNext(pdu, false)
	switch {
	case !ok:
		return false
	case tag == 0xa4:
		if t != berOID || len(value) == 0 {
			return false
		}
	case t != berInteger || len(value) == 0 || len(value) > 5:
		return false
	default:
		for range 2 {
			if t, value, rest, ok = berNext(rest, false); !ok || t != berInteger || len(value) == 0 || len(value) > 5 {
				return false
			}
		}
		if t, value, _, ok = berNext(rest, true); !ok || t != berSequence {
			return false
		}
		snmpFirst(value, out)
	}
	out.Str("snmp.pdu", append(make([]byte, 0, 16), snmpPDUs[tag-0xa0]...))
	return true
}

// snmpFirst reports the object of the first binding.
func snmpFirst(b []byte, out *Result) {
	if t, binding, _, ok := berNext(b, false); ok && t == berSequence {
		if t, oid, _, ok := berNext(binding, false); ok && t == berOID && len(oid) > 0 {
			var buf [192]byte
			if s, ok := berAppendOID(buf[:0], oid); ok {
				out.Str("snmp.oid", s)
			}
		}
	}
}

// snmpV3 looks at the rest of a message of v3: header data (id, size, flags, model),
// security parameters of RFC 3414 section 2.4, and the scoped PDU, plain or not.
func snmpV3(b []byte, out *Result) bool {
	tag, head, b, ok := berNext(b, false)
	if !ok || tag != berSequence {
		return false
	}
	if _, head, ok = berUint(head); !ok {
		return false
	}
	if _, head, ok = berUint(head); !ok {
		return false
	}
	tag, flags, head, ok := berNext(head, false)
	if !ok || tag != berOctets || len(flags) != 1 {
		return false
	}
	model, _, ok := berUint(head)
	if !ok {
		return false
	}
	tag, security, b, ok := berNext(b, true)
	if !ok || tag != berOctets {
		return false
	}
	out.Uint("snmp.security_model", model)
	out.Bool("snmp.authenticated", flags[0]&1 != 0)
	out.Bool("snmp.encrypted", flags[0]&2 != 0)
	if model == 3 {
		snmpUser(security, out)
	}
	if flags[0]&2 == 0 { // scoped PDU: context engine, context name, PDU
		if tag, scoped, _, ok := berNext(b, true); ok && tag == berSequence {
			if _, _, scoped, ok = berNext(scoped, false); ok {
				if _, name, pdu, ok := berNext(scoped, false); ok {
					if isText(name) {
						out.Str("snmp.context", name)
					}
					snmpPDU(pdu, out)
				}
			}
		}
	}
	return true
}

// snmpUser reports engine and user of the user-based security model.
func snmpUser(b []byte, out *Result) {
	tag, b, _, ok := berNext(b, true)
	if !ok || tag != berSequence {
		return
	}
	tag, engine, b, ok := berNext(b, false)
	if !ok || tag != berOctets {
		return
	}
	out.Hex("snmp.engine_id", engine)
	for range 2 { // boots and time of the engine
		if _, _, b, ok = berNext(b, false); !ok {
			return
		}
	}
	if tag, user, _, ok := berNext(b, false); ok && tag == berOctets && isText(user) {
		out.Str("snmp.user", user)
	}
}
