package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"weir/proto/pkt"
)

// TestDumpReadBack reads the file with another reader than ours: every frame, its
// time, its length on the wire, its interface.
func TestDumpReadBack(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	file := filepath.Join(t.TempDir(), "out.pcapng")
	out, errs, status := ringctl(t, "-root", dir, "dump", "c00-w01", "-pcapng", file)
	if want := "c00-w01: 5 packets written to " + file + ", 1 marks left out\n"; out != want || errs != "" || status != exitOK {
		t.Fatalf("dump = %q, %q, %d, want %q", out, errs, status, want)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(5) {
		got, ci, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		frame, f, p := makePacket(n)
		name, link, cut := "lan0", layers.LinkTypeEthernet, 0
		if f.Flags&pkt.FlagEthernet == 0 {
			name, link, cut = "ppp0", layers.LinkTypeRaw, int(p.L3)
		}
		i, err := r.Interface(ci.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, frame[cut:]) || ci.Length != int(f.WireLen)-cut || uint64(ci.Timestamp.UnixNano()) != f.TS ||
			i.Name != name || i.LinkType != link {
			t.Errorf("packet %d = %x, %+v, %s %v, want %x, %d bytes at %d, %s %v",
				n, got, ci, i.Name, i.LinkType, frame[cut:], int(f.WireLen)-cut, f.TS, name, link)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last packet: %v, want EOF", err)
	}
}

// TestDumpTshark has the file read by the program that people will use.
func TestDumpTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	dir := frozen(t)
	file := filepath.Join(t.TempDir(), "out.pcapng")
	if _, errs, status := ringctl(t, "-root", dir, "dump", "c00-w01", "-pcapng", file, "-unread"); status != exitOK {
		t.Fatal(errs)
	}
	out, err := exec.Command(tshark, "-r", file, "-T", "fields", "-E", "separator=,", "-e", "frame.interface_name",
		"-e", "frame.len", "-e", "frame.cap_len", "-e", "udp.srcport", "-e", "frame.comment").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := "lan0,62,62,1002,c00-w01 record 2: the worker works on it\\, or ended on it\nppp0,48,43,1003,\nlan0,62,62,1004,\n"
	if got := strings.ReplaceAll(string(out), "\\,", ","); got != strings.ReplaceAll(want, "\\,", ",") {
		t.Errorf("tshark reads\n%swant\n%s", got, want)
	}
}

// TestDumpToPipe writes the bytes as they are, whatever they look like.
func TestDumpToPipe(t *testing.T) {
	t.Parallel()
	dir := frozen(t)
	file := filepath.Join(t.TempDir(), "out.pcapng")
	if _, errs, status := ringctl(t, "-root", dir, "dump", "c00-w00", "-pcapng", file); status != exitOK {
		t.Fatal(errs)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := ringctl(t, "-root", dir, "dump", "c00-w00", "-pcapng", "-"); got != string(want) {
		t.Errorf("dump to standard output: %d bytes, to a file %d", len(got), len(want))
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the file = %v, %v, want only its owner to read", fi.Mode(), err)
	}
}

// TestDumpFails removes the half of a file that it made, and nothing else. What was
// there before is a link here, so that a mistake costs the link.
func TestDumpFails(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "full")
	must(t, os.Symlink("/dev/full", link))
	err := toFile(link, func(w io.Writer) error {
		_, err := w.Write([]byte("x"))
		return err
	})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("toFile() on a full device = %v, want ENOSPC", err)
	}
	if _, err := os.Lstat(link); err != nil {
		t.Errorf("what was there before is gone: %v", err)
	}
	made, failed := filepath.Join(t.TempDir(), "new"), errors.New("failed")
	if err := toFile(made, func(io.Writer) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("toFile() = %v, want %v", err, failed)
	}
	if _, err := os.Lstat(made); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half a file is left: %v", err)
	}
}
