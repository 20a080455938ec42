package dissect

// upgraded looks for TLS after a clear-text protocol agreed to it (STARTTLS, AUTH
// TLS, CONNECT): client and server are what follows the agreement. The protocol
// and its evidence stay what they are; the TLS attributes are added to out. Yes
// means that there is no more to learn.
func upgraded(client, server []byte, out *Result) Verdict {
	if len(client) == 0 && len(server) == 0 {
		return YesMore
	}
	rule, confidence := out.Evidence()
	v := tlsStream(client, server, out)
	out.Rule(rule, confidence)
	if v == More || v == YesMore {
		return YesMore
	}
	return Yes
}

// tlsPart returns what of b follows its lines of text when it begins like TLS: with
// a handshake or alert record, or with a hello in the form of SSL 2. Of a handshake
// record one byte is enough, for text has no such byte. It is nil while only lines
// were seen.
func tlsPart(b []byte) []byte {
	for {
		if len(b) >= 3 && ((b[0] == 0x16 || b[0] == 0x15) && b[1] == 3 || b[0]&0x80 != 0 && b[2] == 1) {
			return b
		}
		if len(b) > 0 && len(b) < 3 && b[0] == recordHandshake && (len(b) < 2 || b[1] == 3) {
			return b
		}
		_, rest, whole := cutLine(b)
		if !whole {
			return nil
		}
		b = rest
	}
}
