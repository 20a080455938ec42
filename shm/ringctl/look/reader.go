package look

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"weir/shm/cursor"
	"weir/shm/evtring"
	"weir/shm/layout"
	"weir/shm/pktring"
)

// Reader is who reads a ring, by its cursor file.
type Reader struct {
	Name   string // dpid worker 0, policyd
	Cursor string // name of the cursor: c00-w00, policyd.w00
	Path   string
	Info   cursor.Info
	// CreatedNS is when the file was made, ns since 1970.
	CreatedNS uint64
	// Err is why the cursor cannot be read; wraps fs.ErrNotExist when a packet ring
	// has none yet.
	Err     error
	Process Process
	Foreign bool   // the cursor belongs to another ring of this name
	Lag     uint64 // published and not read, at most Size
	Lapped  bool   // event: the reader lost events
	Beyond  bool   // the position is nowhere between what the ring holds

	Packets pktring.ConsumerStats
	Events  evtring.ReaderStats
}

// reader reads a cursor of this ring, after its tail.
func (r *Ring) reader(path, name string, kind cursor.Kind) *Reader {
	rd := &Reader{Cursor: name, Path: path}
	if rd.Info, rd.Err = cursor.Look(path); rd.Err == nil && rd.Info.Kind != kind {
		rd.Err = &layout.AttachError{Path: path, Want: uint64(kind), Got: uint64(rd.Info.Kind), Err: layout.ErrGeometry}
	}
	if rd.Err != nil {
		return rd
	}
	rd.Process, rd.CreatedNS = processOf(rd.Info.Owner), created(path)
	if kind == cursor.Packet {
		rd.Packets = pktring.ReadConsumerStats(rd.Info.Stats)
	} else {
		rd.Events = evtring.ReadReaderStats(rd.Info.Stats)
	}
	if rd.Foreign = rd.Info.RingID != r.Header.RingID; !rd.Foreign {
		r.place(rd)
	}
	return rd
}

// place says where in the ring a reader is.
func (r *Ring) place(rd *Reader) {
	pos := rd.Info.Position
	if ahead := int64(pos - r.Tail); ahead > 0 {
		// Read since the tail was, or damaged: the tail of now tells.
		tail, err := r.word(layout.OffHot)
		rd.Beyond = err != nil || int64(tail-pos) < 0
	} else {
		rd.Beyond = r.Kind != Event && r.Tail-pos > r.Size
	}
	if r.Kind == Event {
		rd.Lapped = !rd.Beyond && r.Intent-pos > r.Size && int64(r.Intent-pos) > 0
		rd.Beyond = rd.Beyond || pos%eventAlign != 0
	} else {
		rd.Beyond = rd.Beyond || int64(pos-r.Freed) < 0
	}
	if !rd.Beyond {
		rd.Lag = r.lag(pos)
	}
}

// lag is what was published after pos, of what the ring can hold.
func (r *Ring) lag(pos uint64) uint64 {
	n := r.Tail - pos
	if int64(n) < 0 {
		return 0 // it was read since
	}
	return min(n, r.Size)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// Missing reports whether there is no cursor file: nobody ever read the ring.
func (rd *Reader) Missing() bool { return rd.Err != nil && missing(rd.Err) }

func workerName(w int) string { return "dpid worker " + strconv.Itoa(w) }

// Worker returns the number of the worker that produces an event ring, or consumes
// a packet ring.
func (r *Ring) Worker() int {
	if r.Kind == Packet {
		return int(r.Header.Ring().Consumer)
	}
	return int(r.Header.Ring().Producer)
}

// Producer names the ring's writer.
func (r *Ring) Producer() string {
	switch {
	case r.Kind == Packet:
		return "capd"
	case r.Kind == Verdict && strings.HasPrefix(r.Name, "policyd"):
		return "policyd"
	}
	return workerName(r.Worker())
}

// splitCursor takes the name of an event cursor apart: READER.wNN.
func splitCursor(name string) (reader, ring string, err error) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 || !strings.HasPrefix(name[i+1:], "w") {
		return "", "", fmt.Errorf("name of an event cursor is READER.wNN.cur, not %s.cur", name)
	}
	return name[:i], name[i+1:], nil
}

// eventAlign is what positions in event rings are multiples of (evtring).
const eventAlign = 16

func created(path string) uint64 {
	m, err := layout.OpenRO(path, layout.Spec{Magic: layout.MagicCursor, ABIMajor: layout.ABIMajor, OwnerLine: layout.OffCursorOwner})
	if err != nil {
		return 0
	}
	defer func() { _ = m.Close() }()
	return m.Header().CreatedNS
}
