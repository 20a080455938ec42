package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// benchAgreement runs the comparison with labelled captures, which the mixes are made
// of: a fast wrong answer is worth nothing. What it says stands below the table, and
// when it falls short of its own limits the rows on mixes are void.
func benchAgreement(b *bench) error {
	if b.quick {
		return nil // make test runs it
	}
	if b.corpus == "" {
		b.agreement = "agreement: not measured, no labelled captures"
		return nil
	}
	cmd := exec.CommandContext(b.ctx, "go", "test", "-count=1", "-v", "-run", "^TestAgreement$", "./tests/corpus")
	cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0", "WEIR_CORPUS="+b.corpus, "WEIR_BIN="+b.bin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fmt.Errorf("compare with labelled captures: %w", err)
	}
	lines := percentages.FindAllString(string(out), -1)
	if len(lines) == 0 {
		return fmt.Errorf("compare with labelled captures: no figures\n%s", out)
	}
	b.agreement = "agreement on the captures of the mixes (make corpus):\n" + strings.Join(lines, "\n")
	b.void = err != nil // the comparison has the limits of a release itself
	return nil
}

var percentages = regexp.MustCompile(`(?m)^ *(agreement|mean recall|precision|host names)\b.*%.*$`)
