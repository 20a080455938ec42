package dissect

func init() {
	register(Spec{
		Name: "tls", ID: 2, Category: "web", Over: TCP, Bytes: MaxBytes,
		Ports:  []uint16{443, 8443, 993, 995, 465, 853, 636, 990, 5061, 5223, 5228, 8883, 4433},
		Detect: detectTLS,
	})
}

// detectTLS looks for a hello at the start of a direction (SSL 2.0 to TLS 1.3), or
// else for a chain of record headers: what is left of TLS in mid-stream. Either
// direction is enough; a hello on one side stands against anything on the other,
// since a server may answer in clear text that it speaks no TLS.
func detectTLS(in *Input, out *Result) Verdict {
	t := conversation{
		clientFull: in.ClientEnd || len(in.Client) >= MaxBytes,
		serverFull: in.ServerEnd || len(in.Server) >= MaxBytes || in.ServerCount > 4 && len(in.Client) == 0,
	}
	v := t.look(in.Client, in.Server, out)
	if v != No || !in.Midstream || t.told {
		return v
	}
	// We came in the middle of a record. Later ones often begin with a segment.
	if s := walkTLS(in.Packet, false); s.bits >= headerBits+endBits && !s.not {
		s.reportRecords(out)
		return Yes
	}
	if in.ClientCount+in.ServerCount < midstreamTries {
		return More
	}
	return No
}

// midstreamTries is how many segments are looked at for a record that begins and
// ends with its segment: 37 bits of evidence, less 4 for trying so often.
const midstreamTries = 16

// tlsStream looks for TLS in what follows the agreement on it in a protocol that
// begins in clear text (STARTTLS, CONNECT). It adds its attributes to out and says
// YesMore or Yes where it is TLS.
func tlsStream(client, server []byte, out *Result) Verdict {
	var t conversation
	return t.look(client[:min(len(client), MaxBytes)], server[:min(len(server), MaxBytes)], out)
}

// conversation is how both directions are looked at together.
type conversation struct {
	clientFull, serverFull bool // nothing will be added
	told                   bool // a hello was seen: the verdict stands
}

func (t *conversation) look(client, server []byte, out *Result) Verdict {
	c, s := walkTLS(client, false), walkTLS(server, false)
	if c.split || s.split {
		return t.lookJoined(client, server, out)
	}
	return t.tell(&c, &s, out)
}

// lookJoined does what look does for messages that are cut by record borders. Few
// programs do that, so the room for it is taken only here.
//
//go:noinline
func (t *conversation) lookJoined(client, server []byte, out *Result) Verdict {
	var room [2][MaxBytes]byte
	c := walkTLS(joinRecords(room[0][:0], client), true)
	s := walkTLS(joinRecords(room[1][:0], server), true)
	return t.tell(&c, &s, out)
}

// tell draws the conclusion and reports.
func (t *conversation) tell(c, s *tlsSide, out *Result) Verdict {
	if c.hasHello(msgServerHello) || s.hasHello(msgClientHello) {
		c, s = s, c // the worker took the server for the client
		t.clientFull, t.serverFull = t.serverFull, t.clientFull
	}
	if c.hasHello(msgClientHello) || s.hasHello(msgServerHello) {
		t.told = true
		return t.tellHellos(c, s, out)
	}
	if c.not || s.not {
		return No
	}
	if c.bits+s.bits >= proofBits {
		t.told = true
		if s.seen {
			s.reportRecords(out)
		} else {
			c.reportRecords(out)
		}
		return Yes
	}
	if t.clientFull && t.serverFull {
		return No
	}
	if c.hail || s.hail {
		out.Unfinished()
	}
	return More
}

func (s *tlsSide) hasHello(kind uint8) bool {
	return s.kind == kind || s.v2hello && (s.v2.kind == 1) == (kind == msgClientHello)
}

// tellHellos reports the handshake and whether more of it is to be expected.
func (t *conversation) tellHellos(c, s *tlsSide, out *Result) Verdict {
	var client clientHello
	clientDone := t.clientFull
	switch {
	case c.v2hello:
		out.Rule("ClientHello of SSL 2.0", 100)
		var buf [16]byte
		out.Str("tls.client_version", tlsVersionName(buf[:0], c.v2.version))
		clientDone = true
	case c.kind == msgClientHello:
		out.Rule("ClientHello", 100)
		client = parseClientHello(c.hello, c.helloSize, false)
		client.report('t', out)
		clientDone = clientDone || client.whole
	default:
		out.Rule("ServerHello", 100)
		clientDone = clientDone || c.seen && !c.unsure
	}
	serverDone := t.serverFull || s.not || s.seen && !s.unsure && !s.hasHello(msgServerHello)
	switch {
	case s.v2hello:
		out.Str("tls.version", []byte("SSLv2"))
		serverDone = serverDone || s.v2.whole
		reportCertificate(s.v2.cert, len(client.sni) == 0, out)
	case s.hail && len(client.sni) == 0:
		out.Unfinished()
	case s.kind == msgServerHello:
		done, names := s.tellServer(&client, out)
		if serverDone = done || serverDone; names && !serverDone {
			out.Unfinished()
		}
	}
	if !clientDone && (c.kind == msgClientHello || c.hail) {
		out.Unfinished()
	}
	c.reportAlerts(out)
	s.reportAlerts(out)
	if clientDone && serverDone {
		return Yes
	}
	return YesMore
}

// tellServer reports the ServerHello and the certificate. done tells that there is no
// more to come; names that what is to come may be a certificate, the only name of a
// conversation whose client named none.
func (s *tlsSide) tellServer(client *clientHello, out *Result) (done, names bool) {
	h := parseServerHello(s.hello, s.helloSize)
	if h.retry && s.second != nil {
		second := parseServerHello(s.second, s.secondLen)
		// The fingerprint is that of the first; cipher and version are the same.
		h.psk, h.retry = second.psk, !second.whole
	}
	h.report('t', out)
	names = len(client.sni) == 0
	if !h.whole {
		return false, names
	}
	if h.tls13() {
		if !h.retry {
			out.Bool("tls.resumed", h.psk)
		}
		return !h.retry || s.data, false
	}
	if s.certSize > 0 {
		der, ok := firstCertificate(s.cert)
		if !ok {
			return s.sealed, names
		}
		out.Bool("tls.resumed", false)
		reportCertificate(der, names, out)
		return true, false
	}
	if s.sealed && !s.beyond {
		out.Bool("tls.resumed", true)
	}
	return s.sealed || s.beyond, names
}

// reportRecords tells of records without a hello. Their version is the agreed one
// up to TLS 1.1; 1.3 hides behind 1.2.
func (s *tlsSide) reportRecords(out *Result) {
	out.Rule("TLS records", 90)
	if s.version <= 0x0302 {
		var buf [16]byte
		out.Str("tls.version", tlsVersionName(buf[:0], s.version))
	}
	s.reportAlerts(out)
}

func (s *tlsSide) reportAlerts(out *Result) {
	for _, a := range s.alerts[:s.nalerts] {
		var buf [32]byte
		out.StrList("tls.alert", append(buf[:0], alertName(a)...))
	}
}

// alertName names an AlertDescription as RFC 8446 section 6 and its elders do.
func alertName(a uint8) string {
	switch a {
	case 0:
		return "close_notify"
	case 10:
		return "unexpected_message"
	case 20:
		return "bad_record_mac"
	case 21:
		return "decryption_failed"
	case 22:
		return "record_overflow"
	case 30:
		return "decompression_failure"
	case 40:
		return "handshake_failure"
	case 41:
		return "no_certificate"
	case 42:
		return "bad_certificate"
	case 43:
		return "unsupported_certificate"
	case 44:
		return "certificate_revoked"
	case 45:
		return "certificate_expired"
	case 46:
		return "certificate_unknown"
	case 47:
		return "illegal_parameter"
	case 48:
		return "unknown_ca"
	case 49:
		return "access_denied"
	case 50:
		return "decode_error"
	case 51:
		return "decrypt_error"
	case 70:
		return "protocol_version"
	case 71:
		return "insufficient_security"
	case 80:
		return "internal_error"
	case 86:
		return "inappropriate_fallback"
	case 90:
		return "user_canceled"
	case 100:
		return "no_renegotiation"
	case 109:
		return "missing_extension"
	case 110:
		return "unsupported_extension"
	case 112:
		return "unrecognized_name"
	case 113:
		return "bad_certificate_status_response"
	case 115:
		return "unknown_psk_identity"
	case 116:
		return "certificate_required"
	case 120:
		return "no_application_protocol"
	case 121:
		return "ech_required"
	}
	return "unknown"
}
