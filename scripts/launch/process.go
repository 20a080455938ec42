package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// process is one daemon, through all its lives.
type process struct {
	name string
	args []string
	out  *os.File // standard output; nil: none
	tty  *os.File // standard error when that is a terminal to draw on; nil: log

	cmd  *exec.Cmd // nil when it does not run
	log  *lastWord // of this life
	err  error     // how this life ended
	live int       // how often it was started
	busy int       // how often it found what it needs taken
}

// start starts p, for the first time or again; its end is sent to ends.
func (p *process) start(j *job, ends chan<- *process) error {
	cmd := exec.Command(filepath.Join(j.bin, p.name), p.args...)
	cmd.WaitDelay = stopTime // for what it may have left holding the log
	cmd.Dir = j.Dir
	p.log = &lastWord{w: j.Stderr}
	cmd.Stderr = p.log
	if p.tty != nil {
		cmd.Stderr = p.tty
	}
	if p.out != nil { // a nil *os.File would not be a nil io.Writer
		cmd.Stdout = p.out
	}
	// Nobody outlives the launcher, however it ends. The keyboard's signals are for the
	// launcher, which passes them on: a daemon takes a second one for impatience.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	stop, watch, err := keep(j, p.name, cmd)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		stop()
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	go watch()
	p.cmd = cmd
	p.live++
	go func() {
		p.err = cmd.Wait()
		stop()
		ends <- p
	}()
	return nil
}

// failure is how a daemon ended, in its own last word if it had one.
type failure struct {
	name string
	code int
	why  string
}

func (f *failure) Error() string {
	switch {
	case f.why == "":
		return fmt.Sprintf("%s ended with status %d", f.name, f.code)
	case strings.HasSuffix(f.why, syscall.ENOSPC.Error()):
		return f.name + ": " + f.why + ": make room there, or name another place with -dir"
	}
	return f.name + ": " + f.why
}

// lastWord passes on what a daemon logs, but for the line that it ends with when it
// fails: that one is the launcher's to tell, once.
type lastWord struct {
	w    io.Writer
	line []byte // begun, not ended
	why  string // the error in the last line
}

// maxLine is more than any log line; longer ones are passed on in pieces.
const maxLine = 64 << 10

// Write implements io.Writer.
func (l *lastWord) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n') + 1
		if i == 0 {
			i = len(b)
		}
		l.line, b = append(l.line, b[:i]...), b[i:]
		if l.line[len(l.line)-1] != '\n' && len(l.line) < maxLine {
			continue
		}
		if why, ok := stopped(string(l.line)); ok {
			l.why = why
		} else if _, err := l.w.Write(l.line); err != nil {
			return 0, err
		}
		l.line = l.line[:0]
	}
	return n, nil
}

// stopped takes the error out of the line that proto/daemon logs at the end.
func stopped(line string) (why string, ok bool) {
	if !strings.Contains(line, "level=ERROR msg=stopped ") {
		return "", false
	}
	_, why, ok = strings.Cut(strings.TrimSpace(line), " error=")
	if unquoted, err := strconv.Unquote(why); err == nil {
		why = unquoted
	}
	return why, ok
}
