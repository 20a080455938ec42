//go:build !(amd64 || arm64 || arm)

package sandbox

// filter does nothing: the numbers of system calls are known for the machines that
// Weir is released for. The user and landlock remain, and the report says so.
func filter() (bool, error) { return false, nil }
