// Package steer takes frames apart once, down to the transport header, and
// brings each to the ring of the worker that owns its flow.
//
//	frame -> Packet.Parse -> (fragments) -> flowkey.Hash -> worker -> ring
//
// It decides nothing about a flow and keeps no flow state: only fragments that
// wait for the rest of their datagram, and the time of the stream. What it does
// is a function of the frames alone, never of a clock or of the rings, so that a
// restarted capd repeats it and finds its place (see resume). Only a live stream,
// which nobody can repeat, depends on the rings: it drops what finds no room.
//
// Invariants: every frame ends in exactly one counter; the frames counted as
// delivered are the packet records put into the rings; no bytes outside
// Frame.Data are read, whatever the frame claims; a frame costs no allocation.
package steer
