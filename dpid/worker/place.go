package worker

import "weir/dpid/flow"

// locate adds to the event b what the network around us makes of the flow's ends.
func (w *Worker) locate(b []byte) {
	if w.part.Places != nil {
		w.part.Places.Fill(b)
	}
}

// neighbours puts Ethernet addresses that nobody saw into w.desc, so that the flow
// keeps them when the neighbour has gone.
func (w *Worker) neighbours(r *flow.Record) {
	if w.part.Places == nil {
		return
	}
	k := &w.told
	r.Key(k)
	client, server := &k.A, &k.B
	if r.Has(flow.ClientIsB) {
		client, server = server, client
	}
	m, d := w.part.Places.Map, &w.desc
	d.ClientMAC = m.MAC(client, m.Of(client), d.ClientMAC)
	d.ServerMAC = m.MAC(server, m.Of(server), d.ServerMAC)
}
