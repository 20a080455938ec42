// Command gotest runs go test and keeps account of what was skipped.
//
// It prints the closing line of every package and the output of what failed,
// and leaves the rest out. It is not a test runner: go test decides what runs
// and what the exit status is.
//
//	gotest [-v] [-skips FILE] [GO TEST ARGUMENTS]   run, append skips to FILE
//	gotest -summary FILE [-allow FILE]              print them; with CI=true in the
//	                                                environment fail on any that
//	                                                no line of -allow excuses
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
)

func main() {
	verbose := flag.Bool("v", false, "print the output of tests that pass, too")
	skips := flag.String("skips", "", "append skipped tests to `FILE`")
	summary := flag.String("summary", "", "print the skipped tests in `FILE`")
	allow := flag.String("allow", "", "`FILE` of patterns of skips that CI accepts")
	flag.Parse()

	status := 0
	var err error
	if *summary != "" {
		status, err = summarize(os.Stdout, *summary, *allow, os.Getenv("CI") == "true")
	} else {
		status, err = run(flag.Args(), *verbose, *skips)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	os.Exit(status)
}

// run calls go test and returns its exit status.
func run(args []string, verbose bool, skipsPath string) (int, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	skips, scanErr := filter(pipe, os.Stdout, verbose)
	waitErr := cmd.Wait()
	if err := appendSkips(skipsPath, skips); err != nil {
		return 0, err
	}
	var exit *exec.ExitError
	if errors.As(waitErr, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, errors.Join(scanErr, waitErr)
}
