// Package control is the socket that a running policyd answers questions on: one
// JSON object a line each way.
//
//	{"cmd":"status"}                  how it stands
//	{"cmd":"rules"}                   what the rules did
//	{"cmd":"explain","arg":"FLOW"}    the chain of a flow, or of a rule
//
// It only asks and answers; nothing can be changed through it. Who may ask is
// decided by the permissions of the socket's file.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// ErrRunning means that another process answers on the socket.
var ErrRunning = errors.New("another policyd runs on this directory: stop it first")

const (
	maxRequest  = 4096
	maxClients  = 16
	idleTimeout = 10 * time.Second
)

// Request is a question.
type Request struct {
	Cmd string `json:"cmd"`
	Arg string `json:"arg,omitempty"`
}

// reply is an answer: data, or what is wrong.
type reply struct {
	Error string          `json:"error,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// Server answers questions. Create it with Listen.
type Server struct {
	l      net.Listener
	answer func(context.Context, Request) (any, error)
	slots  chan struct{}
}

// Listen makes the socket at path, mode 0660. answer is called from goroutines of
// the server, several at once.
func Listen(path string, answer func(context.Context, Request) (any, error)) (*Server, error) {
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		// Left behind by a policyd that was killed, or in use.
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("control socket %s: %w", path, ErrRunning)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return &Server{l: l, answer: answer, slots: make(chan struct{}, maxClients)}, nil
}

// Close stops Serve and removes the socket.
func (s *Server) Close() error { return s.l.Close() }

// Serve answers until Close is called. Answers that are being made are told by ctx
// when nobody will take them.
func (s *Server) Serve(ctx context.Context) {
	for {
		c, err := s.l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(100 * time.Millisecond) // out of descriptors: others must close first
			continue
		}
		select {
		case s.slots <- struct{}{}:
			go func() {
				defer func() { <-s.slots }()
				s.client(ctx, c)
			}()
		default:
			_ = c.Close()
		}
	}
}

// client answers the questions of one connection.
func (s *Server) client(ctx context.Context, c net.Conn) {
	defer c.Close()
	in := bufio.NewScanner(c)
	in.Buffer(make([]byte, 0, maxRequest), maxRequest)
	for {
		_ = c.SetDeadline(time.Now().Add(idleTimeout)) // fails on a closed connection only
		if !in.Scan() {
			return
		}
		if err := json.NewEncoder(c).Encode(s.reply(ctx, in.Bytes())); err != nil {
			return
		}
	}
}

func (s *Server) reply(ctx context.Context, line []byte) reply {
	var q Request
	if err := json.Unmarshal(line, &q); err != nil {
		return reply{Error: fmt.Sprintf("not a request: %v", err)}
	}
	data, err := s.answer(ctx, q)
	if err != nil {
		return reply{Error: err.Error()}
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return reply{Error: err.Error()}
	}
	return reply{Data: raw}
}

// Ask puts one question to the policyd that listens at path and returns its answer
// as JSON.
func Ask(path string, q Request) (json.RawMessage, error) {
	c, err := net.DialTimeout("unix", path, idleTimeout)
	if err != nil {
		return nil, fmt.Errorf("ask policyd: %w: is it running on this directory (-root)?", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
		return nil, fmt.Errorf("ask policyd: %w", err)
	}
	if err := json.NewEncoder(c).Encode(q); err != nil {
		return nil, fmt.Errorf("ask policyd: %w", err)
	}
	var r reply
	if err := json.NewDecoder(c).Decode(&r); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it hung up")
		}
		return nil, fmt.Errorf("ask policyd: %w", err)
	}
	if r.Error != "" {
		return nil, errors.New(r.Error)
	}
	return r.Data, nil
}
