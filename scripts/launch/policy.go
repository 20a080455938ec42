package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
)

// checkPolicy lets policyd read the user's policy under its own name, so that
// mistakes are told with that name, before anything is made.
func (j *job) checkPolicy(ctx context.Context) error {
	if j.Policy == "" {
		return nil
	}
	path, err := filepath.Abs(j.Policy)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(j.bin, "policyd"), "check", "-config", path)
	cmd.Stderr = j.Stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return errors.New("the policy has mistakes; nothing was started")
		}
		return err
	}
	return nil
}
