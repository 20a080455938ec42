package live

import "testing"

// QUIC returns the path of the QUIC client and server that the tests build.
func QUIC(t testing.TB) string { return quic(t) }
