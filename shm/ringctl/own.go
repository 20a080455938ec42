package main

import (
	"errors"
	"fmt"
	"time"

	"weir/shm/layout"
)

// claim maps the file at path for writing and takes its owner's lock: as long as we
// hold it, no owner comes, and we are the one writer. A file that has an owner is
// his alone; name and remedy go into the error.
func claim(path, name, remedy string, s layout.Spec) (*layout.Mapping, error) {
	s.ABIMajor = layout.ABIMajor
	m, err := layout.OpenRW(path, s)
	var at *layout.AttachError
	if errors.Is(err, layout.ErrOwned) && errors.As(err, &at) {
		return nil, fmt.Errorf("%s is owned by a running process (pid %d), which alone may write it: %s", name, at.Got, remedy)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// doneJSON is the line of a command that changed something.
type doneJSON struct {
	Command string `json:"command"`
	Name    string `json:"name"`
	Done    string `json:"done"`
	Time    string `json:"time"`
}

func (e *env) done(command, name, what string) error {
	if e.json {
		return e.object(doneJSON{command, name, what, time.Now().UTC().Format(time.RFC3339Nano)})
	}
	fmt.Fprintf(e.out, "%s: %s\n", name, what)
	return nil
}
