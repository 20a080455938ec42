// Command quic is a QUIC client and server of another author's (quic-go), for the
// tests of live capture. It is a module of its own, so that Weir does not depend on it.
//
//	quic serve ADDR        answer every stream with what it says
//	quic ask   ADDR NAME   open a connection to the server NAME, send a word, want it back
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
	"time"

	"github.com/quic-go/quic-go"
)

const (
	alpn  = "hq-interop"
	limit = 20 * time.Second // a bound for what hangs, no measurement
)

func main() {
	err := errors.New("usage: quic serve ADDR | quic ask ADDR NAME")
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "ask":
		err = ask(os.Args[2], os.Args[3])
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

func ask(addr, name string) error {
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
