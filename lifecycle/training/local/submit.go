package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// wrapper runs its arguments, and leaves its process id before and the exit code after them. It outlives SIGTERM, which the
// whole group gets, so that the code is written; the trap does not reach the program, which begins with the default.
const wrapper = `trap : TERM INT HUP
echo $$ >control/pid.tmp && mv control/pid.tmp control/pid || exit 126
"$@"
code=$?
{ echo $code; times; } >control/exit.tmp && mv control/exit.tmp control/exit
exit $code`

// Submit starts the trainer in the directory <Dir>/<key>; the key is "<training>/<attempt>". It fails with ErrStart.
func (t *Trainer) Submit(ctx context.Context, key string, s training.Spec) (training.Handle, error) {
	w, err := t.workOf(key)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dir := range []string{filepath.Dir(w.control("x")), w.output()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("%w: %w", ErrStart, err)
		}
	}
	_, err = t.settle(ctx, w, s, func(lock *os.File) error { return t.start(ctx, w, s, lock) })
	if err != nil {
		return "", err
	}
	return w.handle()
}

// Find returns the handle of work that was ever started under the key.
func (t *Trainer) Find(ctx context.Context, key string) (training.Handle, bool, error) {
	w, err := t.workOf(key)
	if err != nil {
		return "", false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := os.Lstat(w.control("lock")); errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	found, err := t.settle(ctx, w, training.Spec{}, nil)
	if err != nil || !found {
		return "", false, err
	}
	h, err := w.handle()
	return h, err == nil, err
}

// settle finds out whether a process was ever started here, and writes its record where that is missing. When none was, it
// calls start, which gets the lock, unless that is nil.
func (t *Trainer) settle(ctx context.Context, w *work, s training.Spec, start func(lock *os.File) error) (bool, error) {
	// Whoever started it may not have lived to write down so.
	for wait := range t.attempts(ctx) {
		started, err := w.started()
		if err != nil {
			return false, err
		}
		if started {
			return true, t.adopt(w, s)
		}
		lock, err := takeLock(w.control("lock"))
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrStart, err)
		}
		if lock == nil { // the process lives, or begins to: its wrapper is about to write control/pid
			if err := wait(); err != nil {
				return false, fmt.Errorf("%w: %s is locked by a process that does not say who it is: %w", ErrStart, w.dir, err)
			}
			continue
		}
		// Between the first look and the lock, another daemon may have run it.
		started, err = w.started()
		if err == nil && !started && start != nil {
			err = start(lock)
		}
		if err := errors.Join(err, lock.Close()); err != nil {
			return false, err
		}
		if !started && start == nil {
			return false, nil
		}
	}
	return false, ctx.Err()
}

// attempts yields until the caller returns; the function that it yields waits a moment, up to ten seconds in all.
func (t *Trainer) attempts(ctx context.Context) func(yield func(func() error) bool) {
	return func(yield func(func() error) bool) {
		for waited := time.Duration(0); ctx.Err() == nil; {
			ok := yield(func() error {
				const step = 20 * time.Millisecond
				if waited += step; waited > 10*time.Second {
					return context.DeadlineExceeded
				}
				timer := time.NewTimer(step)
				defer timer.Stop()
				select {
				case <-timer.C:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			if !ok {
				return
			}
		}
	}
}

// started says whether a process was ever started here.
func (w *work) started() (bool, error) {
	for _, name := range []string{"work.json", "pid"} {
		_, err := os.Lstat(w.control(name))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("%w: %w", ErrStart, err)
		}
	}
	return false, nil
}

// adopt writes the record of a process whose daemon died before it could.
func (t *Trainer) adopt(w *work, s training.Spec) error {
	_, err := w.record()
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b, err := readBounded(w.control("pid"), 32)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrHandle, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		return fmt.Errorf("%w: control/pid holds %.20q", ErrHandle, b)
	}
	t.log.Info("adopting a trainer", "work", w.name, "pid", pid)
	return t.writeRecord(w, s, pid, marked(pid, w.dir))
}

// writeRecord writes control/work.json. same says that the process with this id is known to be the wrapper.
func (t *Trainer) writeRecord(w *work, s training.Spec, pid int, same bool) error {
	r := record{PID: pid, StartedAt: t.now().UTC(), Timeout: s.Timeout, Interval: time.Duration(s.HeartbeatSeconds * float64(time.Second))}
	if r.Timeout <= 0 {
		r.Timeout = t.o.Limits.Timeout
	}
	if r.Interval <= 0 {
		r.Interval = 5 * time.Second
	}
	var err error
	if r.Boot, err = bootID(); err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	if p, err := processOf(pid); err == nil && same {
		r.Start = p.start
	}
	if err := writeJSON(w.control("work.json"), r); err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	return nil
}

// start starts the process, which inherits the lock.
func (t *Trainer) start(ctx context.Context, w *work, s training.Spec, lock *os.File) error {
	s.OutputDir = w.output()
	spec, err := s.Encode()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	if err := writeFile(filepath.Join(w.dir, "spec.json"), spec); err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	out, err := os.OpenFile(w.logPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	defer out.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	defer null.Close()
	if err := ctx.Err(); err != nil {
		return err
	}
	pid, err := startProcess(t.sh,
		[]string{"sh", "-c", wrapper, "treeline", t.o.Python, "-m", "treeline.trainer", filepath.Join(w.dir, "spec.json")},
		w.dir, t.o.environ(os.Environ(), s.ModulePath, w.dir), []*os.File{null, out, out, lock})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStart, err)
	}
	t.log.Info("trainer started", "work", w.name, "pid", pid, "trainer_class", s.TrainerClass)
	// If this fails the process runs on and is adopted by the next Submit.
	return t.writeRecord(w, s, pid, true) // our child: its id is taken until it is reaped
}
