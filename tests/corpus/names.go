// Package corpus measures classification against captures labelled by nDPI.
//
// The captures are test data that the project does not hold; without them the
// tests skip and say so. "make corpus" prints the table by protocol.
package corpus

// names maps a label's protocol (what stands before the dot) to ours. One name to
// one name; a second one only where it refines the first, with the reason.
var names = map[string][]string{
	"TLS":          {"tls"},
	"QUIC":         {"quic"},
	"HTTP":         {"http"},
	"HTTP2":        {"http"}, // h2c: the preface is our http, version 2
	"HTTP_Connect": {"http"}, // CONNECT is a method of http
	"HTTP_Proxy":   {"http"}, // absolute-form request, RFC 9112 section 3.2.2
	"DNS":          {"dns"},
	"MDNS":         {"mdns"},
	"LLMNR":        {"llmnr"},
	"DHCP":         {"dhcp"},
	"DHCPV6":       {"dhcpv6"},
	"NTP":          {"ntp"},
	"SSDP":         {"ssdp"},
	"SSH":          {"ssh"},
	"FTP_CONTROL":  {"ftp"},
	"FTP_DATA":     {"ftp-data"},
	"FTPS":         {"ftp", "tls"}, // AUTH TLS inside ftp, or TLS from the first byte
	"SMTP":         {"smtp"},
	"SMTPS":        {"smtp", "tls"}, // STARTTLS, or TLS from the first byte: the label does not say which
	"IMAP":         {"imap"},
	"IMAPS":        {"imap", "tls"}, // as SMTPS
	"POP3":         {"pop3"},
	"POPS":         {"pop3", "tls"}, // as SMTPS
	"BitTorrent":   {"bittorrent"},
	"STUN":         {"stun"},
	"DTLS":         {"dtls"},
	"ICMP":         {"icmp"},
	"ICMPV6":       {"icmpv6"},
	"NetBIOS":      {"netbios"},
	// SMB over NetBIOS: in the session service smb is what the flow is; in the datagram
	// service (UDP 138) it is a mailslot message, netbios. The label does not say which.
	"NetBIOS.SMBv1":  {"netbios", "smb"},
	"NetBIOS.SMBv23": {"smb"},
	"SMBv1":          {"smb"},
	"SMBv23":         {"smb"},
	"SNMP":           {"snmp"},
}

// inScope are our protocols that agreement is asked for.
var inScope = []string{
	"tls", "quic", "http", "dns", "mdns", "llmnr", "dhcp", "dhcpv6", "ntp", "ssdp", "ssh", "ftp", "smtp", "imap",
	"pop3", "bittorrent", "stun", "dtls", "icmp", "icmpv6", "netbios", "smb", "snmp",
}
