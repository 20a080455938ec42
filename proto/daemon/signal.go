package daemon

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Signals are the wishes of whoever runs the daemon.
type Signals struct {
	Reload <-chan os.Signal // SIGHUP: read the configuration again
	Dump   <-chan os.Signal // SIGUSR1: log the state
}

// Watch returns a context that ends with the first SIGTERM or SIGINT: drain and
// leave. The second one kills, for whoever does not want to wait. stop gives
// the signals back.
func Watch(parent context.Context) (ctx context.Context, sig Signals, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	end := make(chan os.Signal, 1)
	reload := make(chan os.Signal, 1) // one pending wish is as good as many
	dump := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(dump, syscall.SIGUSR1)
	go func() {
		select {
		case <-end:
			signal.Stop(end)
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, Signals{reload, dump}, func() {
		signal.Stop(end)
		signal.Stop(reload)
		signal.Stop(dump)
		cancel()
	}
}
