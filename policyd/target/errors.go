package target

import "errors"

// Errors that the caller tells apart.
var (
	// ErrDenied means that the kernel does not let this process change nftables.
	ErrDenied = errors.New("permission refused: policyd needs CAP_NET_ADMIN: run it as root, or give it AmbientCapabilities=CAP_NET_ADMIN")

	// ErrForeign means that an object with our name is not ours, or that a set of
	// the user's is missing or not what the configuration says.
	ErrForeign = errors.New("not what the configuration needs")

	// ErrDiverged means that nothing was changed, because the kernel does not hold
	// what was believed: open and dump again.
	ErrDiverged = errors.New("the kernel's sets are not as they were left")
)

// SetError says what is wrong with one set. Others may be fine.
type SetError struct {
	Set *Set
	Err error
}

func (e *SetError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *SetError) Unwrap() error { return e.Err }

// BadSets returns the sets that err, an error of Open, complains of. all reports
// whether that is the whole complaint: the other sets can be filled.
func BadSets(err error) (sets []*Set, all bool) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = true
		for _, e := range joined.Unwrap() {
			s, whole := BadSets(e)
			sets, all = append(sets, s...), all && whole
		}
		return sets, all
	}
	var e *SetError
	if errors.As(err, &e) {
		return []*Set{e.Set}, true
	}
	return nil, false
}
