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
