package live

import (
	"crypto/rand"
	"crypto/sha1"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"weir/tests/e2e"
)

// Ports of BitTorrent: the tracker's, and those of the two who share a file.
const (
	trackerPort = 6969
	seederPort  = 6881
	leecherPort = 6882
)

// torrent is a file that one has and another wants.
type torrent struct {
	meta string // the .torrent file
	args []string
}

// serveTorrent has aria2 offer a file, and a tracker of ours say where it is. It
// returns when the tracker knows.
func (l *lab) serveTorrent(t testing.TB) torrent {
	t.Helper()
	dir := t.TempDir()
	x := torrent{meta: filepath.Join(dir, "shared.torrent"), args: []string{
		"--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--enable-peer-exchange=false", "--summary-interval=0",
	}}
	data := make([]byte, 20*pieceLength-77)
	_, _ = rand.Read(data) // it never fails
	for path, b := range map[string][]byte{"shared": data, "shared.torrent": metainfo(data)} {
		if err := os.WriteFile(filepath.Join(dir, path), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	known := l.track(t)
	r := e2e.Start(t, l.server.Command("aria2c", append(x.args, fmt.Sprintf("--listen-port=%d", seederPort),
		"--check-integrity=true", "--seed-ratio=0", "--dir="+dir, x.meta)...))
	r.Eventually(t, "the tracker knows who has the file", func() bool {
		select {
		case <-known:
			return true
		default:
			return false
		}
	})
	return x
}

// fetchTorrent has another aria2 get the file.
func (l *lab) fetchTorrent(t testing.TB, x torrent) {
	t.Helper()
	l.client.Run(t, "aria2c", append(x.args, fmt.Sprintf("--listen-port=%d", leecherPort),
		"--seed-time=0", "--bt-stop-timeout=30", "--dir="+t.TempDir(), x.meta)...)
}

const pieceLength = 16 << 10

// metainfo describes a file as BEP 3 says.
func metainfo(data []byte) []byte {
	var hashes strings.Builder
	for at := 0; at < len(data); at += pieceLength {
		sum := sha1.Sum(data[at:min(at+pieceLength, len(data))])
		hashes.Write(sum[:])
	}
	announce := fmt.Sprintf("http://%s:%d/announce", server4, trackerPort)
	return fmt.Appendf(nil, "d8:announce%d:%s4:infod6:lengthi%de4:name6:shared12:piece lengthi%de6:pieces%d:%see",
		len(announce), announce, len(data), pieceLength, hashes.Len(), hashes.String())
}

// track answers to who announces himself with those who did before, by BEP 23. What it
// returns is closed after the first.
func (l *lab) track(t testing.TB) (known <-chan struct{}) {
	t.Helper()
	var mu sync.Mutex
	var peers []byte
	first := make(chan struct{})
	answer := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(w, "d8:intervali3600e5:peers%d:%se", len(peers), peers)
		if len(peers) == 0 {
			peers = append(net.ParseIP(server4).To4(), seederPort>>8, seederPort&0xff)
			close(first)
		}
	}
	l.server.Do(t, func() error {
		ln, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", server4, trackerPort))
		if err != nil {
			return err
		}
		s := &http.Server{Handler: http.HandlerFunc(answer)}
		go func() { _ = s.Serve(ln) }() // until it is closed
		t.Cleanup(func() { _ = s.Close() })
		return nil
	})
	return first
}
