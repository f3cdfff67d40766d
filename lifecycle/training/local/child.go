package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrChild: a validator or post-processor did not give an answer. The message has its last "error: " line.
var ErrChild = errors.New("local: Python process gave no answer")

// The defaults of short-lived processes.
const (
	defaultChildTimeout = 30 * time.Minute
	childGrace          = 5 * time.Second
)

// child is a process that this one waits for, in a group of its own. It is killed with the daemon (on Linux), with its
// context, and what it leaves behind when it ends is killed, too.
type child struct {
	cmd  *exec.Cmd
	name string
	out  *tail
	mark string

	stopped atomic.Bool // because of what ran beside it

	mu     sync.Mutex
	reaped bool
}

// command prepares "python -m module args" with the work directory dir, which is also its mark.
func (p Process) command(module, dir string, paths []string, args ...string) (*child, error) {
	if err := supported(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	python, err := find(p.Python)
	if err != nil {
		return nil, err
	}
	// Not CommandContext: that kills the leader only, and when it likes.
	cmd := exec.Command(python, append([]string{"-m", module}, args...)...) //nolint:noctx // run ends it
	cmd.Dir, cmd.Env = dir, p.environ(os.Environ(), paths, dir)
	c := &child{cmd: cmd, name: module, out: &tail{limit: maxChunk}, mark: dir}
	cmd.Stderr = c.out
	return c, nil
}

// run starts the process and waits until it has ended; beside runs meanwhile and is waited for, too. It returns the
// process's failure, the context's error, or else that of beside.
func (c *child) run(ctx context.Context, timeout time.Duration, beside func(context.Context) error) error {
	if timeout <= 0 {
		timeout = defaultChildTimeout
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// What runs beside learns of an exit by its pipes; the context ends it when the process must end.
	started, exited := make(chan error, 1), make(chan struct{})
	var waitErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		waitErr = c.startAndWait(started)
		close(exited)
	})
	if err := <-started; err != nil {
		wg.Wait()
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	wg.Go(func() { c.watch(limited, exited) })
	var besideErr error
	if beside != nil {
		besideErr = beside(limited)
		if brokenPipe(besideErr) { // it is about to end by itself, and to say why
			timer := time.NewTimer(childGrace)
			select {
			case <-exited:
			case <-timer.C:
			case <-limited.Done():
			}
			timer.Stop()
		}
		if besideErr != nil {
			c.stopped.Store(true)
			cancel() // nobody reads or writes its pipes any more
		}
	}
	wg.Wait()
	exit, failed := errors.AsType[*exec.ExitError](waitErr)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(limited.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: %s took longer than %s", ErrChild, c.name, timeout)
	case besideErr != nil && (!brokenPipe(besideErr) || failed && c.killed(exit)):
		return besideErr
	case failed:
		return c.failure(exit)
	case waitErr != nil:
		return fmt.Errorf("%w: %s: %w", ErrChild, c.name, waitErr)
	}
	return besideErr
}

// early is an error that may only show that the process ended early, for a reason that it tells itself.
type early struct{ error }

func (e early) Unwrap() error { return e.error }

// brokenPipe says that an error may only show that the other side is gone.
func brokenPipe(err error) bool {
	_, soft := errors.AsType[early](err)
	return soft || errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed)
}

// killed says that it was we who ended it.
func (c *child) killed(exit *exec.ExitError) bool {
	ws, ok := exit.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && c.stopped.Load()
}

func (c *child) failure(exit *exec.ExitError) error {
	what := fmt.Sprintf("ended with exit code %d", exit.ExitCode())
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		what = "was killed by signal " + ws.Signal().String()
	}
	if text := findError(c.out.bytes()); text != "" {
		return fmt.Errorf("%w: %s %s: %s", ErrChild, c.name, what, text)
	}
	lines := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(c.out.bytes()), "\uFFFD")), "\n")
	return fmt.Errorf("%w: %s %s; its last line is %.300q", ErrChild, c.name, what, lines[len(lines)-1])
}

// watch ends the process with the context.
func (c *child) watch(ctx context.Context, exited <-chan struct{}) {
	select {
	case <-exited:
		return
	case <-ctx.Done():
	}
	c.signal(syscall.SIGTERM)
	timer := time.NewTimer(childGrace)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		c.signal(syscall.SIGKILL)
	}
}

// signal reaches the group while the leader's id is its own: until it is reaped.
func (c *child) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = syscall.Kill(-c.cmd.Process.Pid, s) // it may have ended: then there is nobody to tell
	}
}

// finish kills what is left of the group and reaps the leader, which has ended.
func (c *child) finish() error {
	c.signal(syscall.SIGKILL)
	for range 10 { // children that left the group, and theirs
		rest, err := members(c.mark)
		if err != nil || len(rest) == 0 {
			break
		}
		for _, p := range rest {
			_ = signalProcess(p, syscall.SIGKILL)
		}
	}
	c.mu.Lock()
	c.reaped = true
	c.mu.Unlock()
	return c.cmd.Wait()
}

// tail keeps the last bytes that are written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	b     []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p[max(0, len(p)-t.limit):]...)
	if len(t.b) > 2*t.limit {
		t.b = append(t.b[:0], t.b[len(t.b)-t.limit:]...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.b[max(0, len(t.b)-t.limit):]...)
}
