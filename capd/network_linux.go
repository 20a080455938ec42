package main

import (
	"bytes"
	"context"

	"weir/capd/netif"
	"weir/proto/network"
)

// tellNetwork writes what the machine's network looks like, for workers, and keeps
// that up to date until ctx is done. Without it workers know what the configuration
// says.
func (l *live) tellNetwork(ctx context.Context) {
	lost := func(err error) {
		l.log.Warn("changes of networks and neighbours are not seen any more: that needs a restart of capd", "error", err)
	}
	n, err := netif.OpenNetwork(l.cfg.Capture.Role)
	if err != nil {
		lost(err)
		return
	}
	t := &networkFile{path: l.root.Network(), live: l}
	t.write(n)
	go func() {
		defer n.Close()
		if err := n.Follow(ctx, func() { t.write(n) }); err != nil && ctx.Err() == nil {
			lost(err)
		}
	}()
}

// networkFile is the file that workers read.
type networkFile struct {
	path      string
	live      *live
	text, old []byte
	full      bool // that there is no room was said
}

// write writes the file when it is to say something else.
func (t *networkFile) write(n *netif.Network) {
	t.text, t.old = n.View().Append(t.old[:0]), t.text
	if n.Refused() > 0 && !t.full {
		t.full = true
		t.live.log.Warn("more neighbours than there is room for: some flows lack the Ethernet address of an end")
	}
	if bytes.Equal(t.text, t.old) {
		return
	}
	if err := network.Save(t.path, t.text); err != nil {
		t.text = t.text[:0] // try again
		t.live.log.Warn("workers do not know of a change of the network", "error", err)
	}
}
