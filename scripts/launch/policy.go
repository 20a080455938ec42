package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// policyError is what is wrong with the policy: a line for each mistake, with file
// and line in front.
type policyError struct{ text string }

func (e *policyError) Error() string { return e.text }

// checkPolicyFile finds a wrong name before anything is made.
func (j *job) checkPolicyFile() error {
	if j.Policy == "" {
		return nil
	}
	if _, err := os.Stat(j.Policy); err != nil {
		return usagef("policy %w", err)
	}
	return nil
}

// linkPolicy puts the user's policy beside the configuration of this job, under a
// link, so that mistakes are told with its own name.
func (j *job) linkPolicy() error {
	if j.Policy == "" {
		return nil
	}
	path, err := filepath.Abs(j.Policy)
	if err != nil {
		return err
	}
	d := filepath.Join(j.Dir, "weir.d")
	if err := os.Mkdir(d, 0o755); err != nil {
		return err
	}
	return os.Symlink(path, filepath.Join(d, "policy.toml"))
}

// checkPolicy has policyd read the policy before anything is started. Its warnings
// are left to the policyd that works with it.
func (j *job) checkPolicy(ctx context.Context) error {
	if j.Policy == "" {
		return nil
	}
	return j.ask(ctx, "policyd", "check", "-config", j.conf)
}

// ask runs a daemon's command that answers with its exit status. What it says when
// that is not 0 are the mistakes.
func (j *job) ask(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(j.bin, name), args...)
	var said strings.Builder
	cmd.Stderr = &said
	err := cmd.Run()
	var exit *exec.ExitError
	if err == nil || !errors.As(err, &exit) {
		return err
	}
	text := strings.TrimSuffix(strings.TrimSpace(said.String()), "\n"+name+": configuration refused")
	text = strings.TrimPrefix(text, args[0]+": ") // as policyd, which begins with the place
	if text == "" {
		return err
	}
	return &policyError{text}
}
