//go:build race

package catalog

// raceEnabled is set where the race detector runs: it makes sync.Pool forget
// at random, which package regexp and the test of allocations notice.
const raceEnabled = true
