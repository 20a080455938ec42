package main

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"

	"weir/proto/config"
)

// compileLists makes a catalogue of its own for a policy that brings lists of
// domains, and returns its path; "" when there are none.
func (j *job) compileLists(ctx context.Context) (string, error) {
	if j.Policy == "" {
		return "", nil
	}
	c, err := config.Load(j.Policy)
	if err != nil || len(c.Catalog.Lists) == 0 {
		return "", err
	}
	path := filepath.Join(j.Dir, "catalog.weir")
	args := []string{"catalog", "compile", "-o", path}
	for _, l := range c.Catalog.Lists {
		args = append(args, "-list", l.Category+"="+l.File)
	}
	cmd := exec.CommandContext(ctx, filepath.Join(j.bin, "dpid"), args...)
	cmd.Stderr = j.Stderr
	if err := cmd.Run(); err != nil {
		return "", errors.New("the policy's lists of domains have mistakes; nothing was started")
	}
	return path, nil
}

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
