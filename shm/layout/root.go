package layout

import (
	"fmt"
	"os"
	"path/filepath"
)

// DefaultRoot is where the files of a host's one instance live.
const DefaultRoot Root = "/dev/shm/weir"

// Root is the directory of one instance. Its methods name the files in it; the
// folder says the role, the extension the type, so a copy of the tree is a
// complete post-mortem.
type Root string

// folders are the sub-directories of a root.
var folders = [...]string{
	"pkt", "pktcur", "evt", "evtcur", "vrd", "vrdcur", "flow", "final", "hint", "stat", "bell", "quarantine",
}

// Make creates the root and its folders with the given permissions. Folders that
// exist are left as they are: in production tmpfiles.d has made them, each with
// its own group.
func (r Root) Make(mode os.FileMode) error {
	if err := os.MkdirAll(string(r), mode); err != nil {
		return fmt.Errorf("make ring directory: %w", err)
	}
	for _, d := range folders {
		if err := os.MkdirAll(r.join(d), mode); err != nil {
			return fmt.Errorf("make ring directory: %w", err)
		}
	}
	return nil
}

// PacketRing names the ring from capture thread c to worker w.
func (r Root) PacketRing(c, w int) string { return r.join("pkt", pair(c, w)+".ring") }

// PacketCursor names the cursor of worker w on that ring.
func (r Root) PacketCursor(c, w int) string { return r.join("pktcur", pair(c, w)+".cur") }

// EventRing names the event ring of worker w.
func (r Root) EventRing(w int) string { return r.join("evt", worker(w)+".ring") }

// EventCursor names the cursor of the consumer called name on that ring.
func (r Root) EventCursor(name string, w int) string {
	return r.join("evtcur", name+"."+worker(w)+".cur")
}

// EventCursors names the folder of all event cursors.
func (r Root) EventCursors() string { return r.join("evtcur") }

// VerdictRing names the ring of verdicts from worker w to capture thread c.
func (r Root) VerdictRing(w, c int) string { return r.join("vrd", verdict(w, c)+".ring") }

// VerdictCursor names the cursor of capture thread c on that ring.
func (r Root) VerdictCursor(w, c int) string { return r.join("vrdcur", verdict(w, c)+".cur") }

// PolicyVerdictRing names the ring of policyd's verdicts to capture thread c.
func (r Root) PolicyVerdictRing(c int) string {
	return r.join("vrd", fmt.Sprintf("policyd-c%02d.ring", c))
}

// PolicyVerdictCursor names the cursor of capture thread c on that ring.
func (r Root) PolicyVerdictCursor(c int) string {
	return r.join("vrdcur", fmt.Sprintf("policyd-c%02d.cur", c))
}

// Slab names the flow records of worker w.
func (r Root) Slab(w int) string { return r.join("flow", worker(w)+".slab") }

// Final names worker w's table of final flows, which capd reads.
func (r Root) Final(w int) string { return r.join("final", worker(w)+".tab") }

// Connections names capd's table of the flows that it may hear of from conntrack.
func (r Root) Connections() string { return r.join("connections.tab") }

// Hint names worker w's table of DNS answers.
func (r Root) Hint(w int) string { return r.join("hint", worker(w)+".dns") }

// Session names worker w's table of TLS and QUIC sessions.
func (r Root) Session(w int) string { return r.join("hint", worker(w)+".session") }

// Stat names the counters of one process.
func (r Root) Stat(name string) string { return r.join("stat", name+".stat") }

// Bell names the futex word of a consumer of many rings.
func (r Root) Bell(name string) string { return r.join("bell", name+".bell") }

// Seed names the file with the hash seed of the instance.
func (r Root) Seed() string { return r.join("seed") }

// Topology names the description of who talks to whom.
func (r Root) Topology() string { return r.join("topology.json") }

// Network names the description of the networks that are ours.
func (r Root) Network() string { return r.join("network") }

// Quarantine names the folder for packets that killed a worker twice.
func (r Root) Quarantine() string { return r.join("quarantine") }

func (r Root) join(parts ...string) string {
	return filepath.Join(append([]string{string(r)}, parts...)...)
}

func worker(w int) string { return fmt.Sprintf("w%02d", w) }

func pair(c, w int) string { return fmt.Sprintf("c%02d-w%02d", c, w) }

func verdict(w, c int) string { return fmt.Sprintf("w%02d-c%02d", w, c) }
