package layout

import (
	"errors"
	"fmt"
)

// Reasons why a file cannot be attached or is no longer usable.
var (
	// ErrAwait means the file does not exist yet, or is not complete: try later.
	ErrAwait = errors.New("not there yet")

	// ErrABI means the file was written by an incompatible version or on a
	// machine of the other byte order.
	ErrABI = errors.New("incompatible layout")

	// ErrGeometry means the file's sizes are not what they must be.
	ErrGeometry = errors.New("wrong geometry")

	// ErrCorrupt means the static header is damaged.
	ErrCorrupt = errors.New("damaged header")

	// ErrForeign means the file belongs to another user than the one expected.
	ErrForeign = errors.New("file of an unexpected user")

	// ErrOwned means a running process holds the owner's lock.
	ErrOwned = errors.New("owned by a running process")

	// ErrRingLost means the memory behind a mapping is gone: the file was truncated.
	ErrRingLost = errors.New("mapped file lost its memory")
)

// AttachError says which check failed on which file.
type AttachError struct {
	Path      string
	Want, Got uint64 // of the check; for ErrOwned, Got is the owner's process id
	Err       error  // one of the reasons above
}

// Error names file, reason and values.
func (e *AttachError) Error() string {
	switch {
	case errors.Is(e.Err, ErrOwned) && e.Got != 0:
		return fmt.Sprintf("attach %s: %v (pid %d): stop it first", e.Path, e.Err, e.Got)
	case e.Want == e.Got:
		return fmt.Sprintf("attach %s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("attach %s: %v (want %#x, got %#x)", e.Path, e.Err, e.Want, e.Got)
}

// Unwrap returns the reason.
func (e *AttachError) Unwrap() error { return e.Err }
