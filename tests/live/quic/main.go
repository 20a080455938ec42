// Command quic is a QUIC client and server of another author's (quic-go), for the
// tests of live capture. It is a module of its own, so that Weir does not depend on it.
//
//	quic serve ADDR        answer every stream with what it says
//	quic ask   ADDR NAME   open a connection to the server NAME, send a word, want it back
//	quic try   ADDR NAME TRIES TIME
//	                       the same many times side by side, each for TIME at most; the
//	                       last line is the number of those that got their word back
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

const (
	alpn  = "hq-interop"
	limit = 20 * time.Second // a bound for what hangs, no measurement
)

func main() {
	err := errors.New("usage: quic serve ADDR | quic ask ADDR NAME | quic try ADDR NAME TRIES TIME")
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "ask":
		err = ask(os.Args[2], os.Args[3], limit)
	case len(os.Args) == 6 && os.Args[1] == "try":
		err = try(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quic:", err)
		os.Exit(1)
	}
}

// serve answers until it is killed. Its first line says that it listens.
func serve(addr string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	l, err := quic.ListenAddr(addr, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{alpn},
	}, nil)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		conn, err := l.Accept(context.Background())
		if err != nil {
			return err
		}
		go echo(conn)
	}
}

func echo(conn *quic.Conn) {
	for {
		s, err := conn.AcceptStream(context.Background())
		if err != nil {
			return // the client is done
		}
		_, _ = io.Copy(s, s) // the client sees what is missing
		_ = s.Close()
	}
}

// sideBySide is how many tries are under way at once.
const sideBySide = 50

func try(addr, name, tries, each string) error {
	n, err := strconv.Atoi(tries)
	if err != nil {
		return err
	}
	d, err := time.ParseDuration(each)
	if err != nil {
		return err
	}
	var served atomic.Int64
	var all sync.WaitGroup
	for i := range sideBySide {
		all.Go(func() {
			for k := i; k < n; k += sideBySide {
				if ask(addr, name, d) == nil {
					served.Add(1)
				}
			}
		})
	}
	all.Wait()
	fmt.Println(served.Load())
	return nil
}

func ask(addr, name string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// The certificate is nobody's.
	conn, err := quic.DialAddr(ctx, addr, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{alpn}}, nil)
	if err != nil {
		return err
	}
	s, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return err
	}
	word := make([]byte, 64<<10)
	_, _ = rand.Read(word) // never fails
	go func() {
		_, _ = s.Write(word)
		_ = s.Close()
	}()
	back, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if string(back) != string(word) {
		return fmt.Errorf("the server said %d bytes, want the %d that it was sent", len(back), len(word))
	}
	return conn.CloseWithError(0, "")
}
