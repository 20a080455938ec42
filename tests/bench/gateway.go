package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// gateway is client - gateway - server, each in a network namespace of its own.
type gateway struct {
	b                      *bench
	client, middle, server string // namespaces
	made                   []string
}

// gatewayServer is the server's address.
const gatewayServer = "198.51.100.2"

// newGateway makes the namespaces and the wires between them.
func (b *bench) newGateway(tools ...string) (*gateway, error) {
	if os.Geteuid() != 0 {
		return nil, missing("root: network namespaces are made")
	}
	for _, tool := range append(tools, "ip", "nft") {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, missing(fmt.Sprintf("%s: run scripts/setup bench", tool))
		}
	}
	id := fmt.Sprintf("weir-bench-%d-", os.Getpid())
	g := &gateway{b: b, client: id + "c", middle: id + "g", server: id + "s"}
	if err := g.make(); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *gateway) make() error {
	for _, n := range []string{g.client, g.middle, g.server} {
		if err := ip("netns add " + n); err != nil {
			return err
		}
		g.made = append(g.made, n)
	}
	for _, args := range []string{
		"-n " + g.middle + " link add gc0 type veth peer name c0 netns " + g.client,
		"-n " + g.middle + " link add gs0 type veth peer name s0 netns " + g.server,
		"-n " + g.client + " addr add 192.0.2.2/24 dev c0", "-n " + g.client + " link set c0 up",
		"-n " + g.middle + " addr add 192.0.2.1/24 dev gc0", "-n " + g.middle + " link set gc0 up",
		"-n " + g.middle + " addr add 198.51.100.1/24 dev gs0", "-n " + g.middle + " link set gs0 up",
		"-n " + g.server + " addr add " + gatewayServer + "/24 dev s0", "-n " + g.server + " link set s0 up",
		"-n " + g.client + " route add default via 192.0.2.1", "-n " + g.server + " route add default via 198.51.100.1",
		"netns exec " + g.middle + " sysctl -qw net.ipv4.ip_forward=1",
	} {
		if err := ip(args); err != nil {
			return err
		}
	}
	return nil
}

func ip(args string) error {
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, bytes.TrimSpace(out))
	}
	return nil
}

func (g *gateway) close() error {
	var errs []error
	for _, n := range g.made {
		errs = append(errs, ip("netns del "+n))
	}
	return errors.Join(errs...)
}

// in is exec.Command within a namespace.
func (g *gateway) in(namespace, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(g.b.ctx, "ip", append([]string{"netns", "exec", namespace, program}, args...)...)
}

// serving starts a server that runs until it is stopped.
func (g *gateway) serving(cmd *exec.Cmd, port string) (stop func() error, err error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error {
		_ = cmd.Process.Kill() // fails when it has ended
		_ = cmd.Wait()         // says that it was killed
		return nil
	}
	err = eventually(func() bool {
		out, err := g.in(g.server, "ss", "-Hltn", "sport", "=", ":"+port).Output()
		return err == nil && len(out) > 0
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%v: %w\n%s", cmd.Args, err, said.Bytes()), stop())
	}
	return stop, nil
}

// eventually waits for a state.
func eventually(ok func() bool) error {
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("it does not get ready")
		}
	}
	return nil
}

// judging runs f while Weir judges every flow on the gateway.
func (g *gateway) judging(f func() error) (err error) {
	dir, err := os.MkdirTemp(shmDir(), "weir-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // daemons without privileges pass through
		return err
	}
	cmd := g.in(g.middle, filepath.Join(g.b.bin, "weir"), "live", "-quiet", "-nfqueue", "forward", "-hold", "20ms",
		"-policy", filepath.Join(g.b.root, "tests", "bench", "inline.toml"), "-dir", filepath.Join(dir, "set"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGINT) // fails when it has ended
		if e := cmd.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("weir live: %w\n%s", e, said.Bytes()))
		}
	}()
	err = eventually(func() bool {
		out, err := exec.Command("ip", "netns", "exec", g.middle, "nft", "list", "tables").Output()
		return err == nil && bytes.Contains(out, []byte("weir_capture"))
	})
	if err != nil {
		return err
	}
	return f()
}
