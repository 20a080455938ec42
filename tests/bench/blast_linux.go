package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// blastBatch is how many frames one system call sends.
const blastBatch = 64

// blast is the process that sends: it offers frames of 64 bytes (60 without the check
// sequence) of many UDP flows to an interface, and prints how many and in how many ns.
// Its arguments are the interface, frames per second (0: as many as go), milliseconds
// and flows.
func blast(args []string) error {
	if len(args) != 4 {
		return errors.New("want an interface, a rate, milliseconds and a number of flows")
	}
	var n [3]int
	for i, a := range args[1:] {
		var err error
		if n[i], err = strconv.Atoi(a); err != nil || n[i] < 0 {
			return fmt.Errorf("argument %q: want a number", a)
		}
	}
	runtime.LockOSThread()
	fd, err := blastSocket(args[0])
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	sent, took, err := blastFor(fd, newMessages(blastFrames(n[2])), n[0], time.Duration(n[1])*time.Millisecond)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, sent, took.Nanoseconds())
	return err
}

// blastSocket keeps to the first CPU, where the frames are received too.
func blastSocket(dev string) (int, error) {
	var set unix.CPUSet
	set.Set(0)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return -1, fmt.Errorf("keep to CPU 0: %w", err)
	}
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a packet socket: %w", err)
	}
	err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: i.Index})
	}
	if err != nil {
		_ = unix.Close(fd) // the first error says more
		return -1, fmt.Errorf("packet socket of %s: %w", dev, err)
	}
	return fd, nil
}

// blastFor sends round and round. Where it falls behind its pace it makes up for it, as
// a busy wire does; what went is what counts.
func blastFor(fd int, all messages, rate int, d time.Duration) (sent int, took time.Duration, err error) {
	start := time.Now()
	for at := 0; ; at = (at + blastBatch) % len(all) {
		took = time.Since(start)
		if took >= d {
			return sent, took, nil
		}
		if rate > 0 && time.Duration(sent)*time.Second/time.Duration(rate) > took {
			at -= blastBatch // not yet: spin, a sleep is too long
			at = (at + len(all)) % len(all)
			continue
		}
		n, err := all[at:min(at+blastBatch, len(all))].send(fd)
		switch {
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case err != nil:
			return sent, took, fmt.Errorf("send: %w", err)
		}
		sent += n
	}
}

// blastFrames are one frame of each of n flows, a multiple of blastBatch. No host has
// their addresses.
func blastFrames(n int) [][]byte {
	frames := make([][]byte, max(n/blastBatch, 1)*blastBatch)
	for i := range frames {
		b := make([]byte, 60)
		copy(b, []byte{2, 0, 0, 0, 9, 1, 2, 0, 0, 0, 9, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0,
			10, 0, byte(i >> 8), byte(i), 198, 51, 100, 9})
		binary.BigEndian.PutUint16(b[34:], uint16(20000+i%1000))
		binary.BigEndian.PutUint16(b[36:], 7777)
		binary.BigEndian.PutUint16(b[38:], 26)
		for k := 42; k < 60; k++ {
			b[k] = byte(i*7 + k*13) // says nothing to anybody
		}
		frames[i] = b
	}
	return frames
}
