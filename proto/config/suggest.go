package config

import (
	"fmt"
	"strings"
)

// unknown says that key is none of fields, and what may have been meant.
func unknown(key string, fields []field) error {
	names := make([]string, len(fields))
	best, bestDist := "", 3 // more than two typing mistakes are another word
	for i, f := range fields {
		names[i] = f.key
		if d := distance(key, f.key); d < bestDist && d < len(f.key) {
			best, bestDist = f.key, d
		}
	}
	if best != "" {
		return fmt.Errorf("is not a known key: did you mean %q?", best)
	}
	return fmt.Errorf("is not a known key: known here are %s", strings.Join(names, ", "))
}

// distance is the Levenshtein distance of two short strings.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diag
			if a[i] != b[j] {
				cost = 1 + min(diag, row[j], row[j+1])
			}
			diag, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
