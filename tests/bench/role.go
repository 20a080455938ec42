package main

import "os"

// roles are what this program is when its first argument names one: a process that
// a row needs beside the one that measures. The names of no role are arguments of
// anything else.
var roles = map[string]func(args []string) error{
	"ring-consumer": takeFrames,
	"collector":     collect,
	"ping-answer":   answerPings,
	"worker":        workApart,
	"answer":        answer,
	"blast":         blast,
	"connect":       connect,
}

// child runs a role to its end and returns what it prints.
func (b *bench) child(role string, args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	out, _, err := b.run(self, append([]string{role}, args...)...)
	return out, err
}
