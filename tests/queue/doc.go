// Package queue tries Weir on netfilter queues: a client and a server with a gateway
// between them, each in a namespace of the test's own, and "weir live -nfqueue" on the
// gateway. It measures nothing; every wait is for a state, with a deadline.
package queue
