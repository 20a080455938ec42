package main

import (
	"net"
	"testing"
	"time"
)

func TestKeeper(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	k, err := newKeeper()
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: k.name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	say := func(text string) {
		t.Helper()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	bitten := make(chan time.Time, 1)
	go k.watch(limit, func() { bitten <- time.Now() })
	say("STATUS=waiting for rings")
	select {
	case <-bitten:
		t.Fatal("a daemon that is not ready yet was given up")
	case <-time.After(3 * limit):
	}
	say("READY=1")
	time.Sleep(limit / 4)
	last := time.Now()
	say("WATCHDOG=1")
	say("STATUS=fine")
	if at := <-bitten; at.Sub(last) < limit {
		t.Errorf("given up after %v, want at least %v", at.Sub(last), limit)
	}
}

func TestKeeperClosed(t *testing.T) {
	t.Parallel()
	k, err := newKeeper()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.watch(time.Hour, func() { t.Error("a daemon that ended was given up") })
	}()
	k.close()
	<-done
}
