// Package sandbox takes from dpid what it does not need once its files are open:
// the user, every capability, the file system but for reading the ring directory,
// and all system calls but those that a loop over shared memory makes.
//
// dpid parses hostile bytes. Whoever takes it over through them finds a process
// that can spoil its own flows and events, and nothing else.
package sandbox

// Report says what was closed, for the log.
type Report struct {
	User     string // whom the process became, "" = it was not root
	Landlock bool   // the kernel confines file access to the ring directory
	Seccomp  bool
}
