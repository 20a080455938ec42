package dissect

import "strconv"

// dnsTypeName returns the mnemonic of a record type as IANA registers it, or "".
func dnsTypeName(t uint16) string {
	switch t {
	case dnsA:
		return "A"
	case dnsNS:
		return "NS"
	case dnsCNAME:
		return "CNAME"
	case 6:
		return "SOA"
	case 10:
		return "NULL"
	case 11:
		return "WKS"
	case dnsPTR:
		return "PTR"
	case 13:
		return "HINFO"
	case dnsMX:
		return "MX"
	case dnsTXT:
		return "TXT"
	case 17:
		return "RP"
	case 18:
		return "AFSDB"
	case 24:
		return "SIG"
	case 25:
		return "KEY"
	case dnsAAAA:
		return "AAAA"
	case 29:
		return "LOC"
	case 30:
		return "NXT"
	case dnsSRV:
		return "SRV"
	case 35:
		return "NAPTR"
	case 36:
		return "KX"
	case 37:
		return "CERT"
	case 38:
		return "A6"
	case 39:
		return "DNAME"
	case dnsOPT:
		return "OPT"
	case 42:
		return "APL"
	case 43:
		return "DS"
	case 44:
		return "SSHFP"
	case 45:
		return "IPSECKEY"
	case 46:
		return "RRSIG"
	case 47:
		return "NSEC"
	case 48:
		return "DNSKEY"
	case 49:
		return "DHCID"
	case 50:
		return "NSEC3"
	case 51:
		return "NSEC3PARAM"
	case 52:
		return "TLSA"
	case 53:
		return "SMIMEA"
	case 55:
		return "HIP"
	case 59:
		return "CDS"
	case 60:
		return "CDNSKEY"
	case 61:
		return "OPENPGPKEY"
	case 62:
		return "CSYNC"
	case 63:
		return "ZONEMD"
	case dnsSVCB:
		return "SVCB"
	case dnsHTTPS:
		return "HTTPS"
	case 99:
		return "SPF"
	case 108:
		return "EUI48"
	case 109:
		return "EUI64"
	case 249:
		return "TKEY"
	case 250:
		return "TSIG"
	case 251:
		return "IXFR"
	case 252:
		return "AXFR"
	case 255:
		return "ANY"
	case 256:
		return "URI"
	case 257:
		return "CAA"
	case 32768:
		return "TA"
	case 32769:
		return "DLV"
	}
	return ""
}

// dnsRcodeNames are the mnemonics of RFC 1035, 2136, 8490 and 6891.
var dnsRcodeNames = [...]string{
	"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
	"YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI", "", "", "", "", "BADVERS",
	"BADKEY", "BADTIME", "BADMODE", "BADNAME", "BADALG", "BADTRUNC", "BADCOOKIE",
}

// dnsAppendType appends the name of a record type, "TYPE65280" where there is none
// (RFC 3597 section 5).
func dnsAppendType(dst []byte, t uint16) []byte {
	if s := dnsTypeName(t); s != "" {
		return append(dst, s...)
	}
	return strconv.AppendUint(append(dst, "TYPE"...), uint64(t), 10)
}

// dnsAppendRcode appends the name of a response code, "RCODE12" where there is none.
func dnsAppendRcode(dst []byte, c int) []byte {
	if c < len(dnsRcodeNames) && dnsRcodeNames[c] != "" {
		return append(dst, dnsRcodeNames[c]...)
	}
	return strconv.AppendUint(append(dst, "RCODE"...), uint64(c), 10)
}
