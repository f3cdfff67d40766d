package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// The exit codes of the trainer contract.
const (
	exitTransient  = 75
	exitKilled     = 128 + int(syscall.SIGKILL)
	exitTerminated = 128 + int(syscall.SIGTERM)
)

// Poll looks at the process and keeps its limits: it stops work that takes too long, hangs or uses too much disk, cuts the
// log, and kills what the trainer leaves behind. It fails with ErrHandle.
func (t *Trainer) Poll(ctx context.Context, h training.Handle) (training.Status, error) {
	w, r, err := t.find(h)
	if err != nil {
		return training.Status{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil {
		return *w.ended, nil
	}
	if err := ctx.Err(); err != nil {
		return training.Status{}, err
	}
	status := training.Status{State: training.StateRunning, StartedAt: r.StartedAt, Heartbeat: w.heartbeat()}
	s, err := w.stopping()
	if err != nil {
		return status, fmt.Errorf("%w: %w", ErrHandle, err)
	}
	leader, alive := leaderOf(r)
	if alive && !leader.zombie {
		w.sample(r)
		status.Usage = w.usage
		if err := w.trim(t.o.Limits); err != nil {
			t.log.Warn("the log cannot be cut; it counts as disk of the work", "work", w.name, "error", err)
		}
		if s == nil {
			if s = t.exceeded(w, r, status.Heartbeat); s != nil {
				err = t.stop(w, leader, s)
			}
		}
		if s != nil {
			status.Reason = s.Reason
			if t.now().Sub(s.At) >= t.o.Limits.Grace {
				err = errors.Join(err, syscall.Kill(-leader.pid, syscall.SIGKILL))
			}
		}
		return status, err
	}
	left, err := t.killRest(w, leader, alive)
	if err != nil || left > 0 {
		return status, err
	}
	if alive {
		if usage, ok := reap(leader.pid); ok {
			usage.MaxRSS = max(usage.MaxRSS, w.usage.MaxRSS)
			w.usage = usage
		}
	}
	w.conclude(&status, s)
	w.ended = &status
	t.log.Info("trainer ended", "work", w.name, "state", string(status.State), "exit_code", status.ExitCode, "reason", status.Reason)
	return status, nil
}

// leaderOf returns the wrapper's process as it is now; a zombie still holds its process id.
func leaderOf(r record) (process, bool) {
	if r.Start == 0 {
		return process{}, false
	}
	if boot, err := bootID(); err != nil || boot != r.Boot {
		return process{}, false
	}
	p, err := processOf(r.PID)
	return p, err == nil && p.start == r.Start
}

// heartbeat reads output/heartbeat.json. Its time is that of the file, which the kernel writes; what it says of the step is
// taken when it can be read.
func (w *work) heartbeat() training.Heartbeat {
	path := filepath.Join(w.output(), "heartbeat.json")
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return training.Heartbeat{}
	}
	beat := training.Heartbeat{At: info.ModTime().UTC()}
	if b, err := readBounded(path, maxSmall); err == nil {
		beat.Step, beat.Fraction = parseHeartbeat(b)
	}
	return beat
}

// exceeded names the limit that the work is over, nil when there is none.
func (t *Trainer) exceeded(w *work, r record, beat training.Heartbeat) *stop {
	now := t.now()
	over := func(kind, format string, args ...any) *stop {
		return &stop{Kind: kind, Reason: fmt.Sprintf(format, args...), At: now.UTC()}
	}
	if ran := now.Sub(r.StartedAt); ran > r.Timeout {
		return over(stopTimeout, "it ran for %s, at most %s are allowed", ran.Round(time.Millisecond), r.Timeout)
	}
	if n, files := diskUse(w.dir); n > t.o.Limits.DiskBytes || files > maxFiles {
		return over(stopDisk, "it wrote %d bytes in %d files, at most %d in %d are allowed", n, files, t.o.Limits.DiskBytes, maxFiles)
	}
	silent, allowed := now.Sub(r.StartedAt), t.o.Limits.FirstBeat
	if !beat.At.IsZero() {
		silent, allowed = now.Sub(beat.At), time.Duration(t.o.Limits.Misses)*r.Interval
	}
	if silent <= allowed {
		w.stale = time.Time{}
		return nil
	}
	// After the machine slept every heartbeat is old: the trainer gets the time of one more.
	if w.stale.IsZero() {
		w.stale = now
	}
	if now.Sub(w.stale) < r.Interval {
		return nil
	}
	return over(stopHung, "it gave no sign of life for %s, at most %s are allowed", silent.Round(time.Millisecond), allowed)
}

// maxFiles bounds the files of one piece of work.
const maxFiles = 100_000

// diskUse adds up what is below a directory. What vanishes meanwhile counts nothing.
func diskUse(dir string) (bytes int64, files int) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it was removed while we looked
		}
		if info, err := d.Info(); err == nil {
			bytes += diskBytes(info)
		}
		if files++; files > maxFiles {
			return filepath.SkipAll
		}
		return nil
	})
	return bytes, files
}

// stop writes down why and asks the whole group to end.
func (t *Trainer) stop(w *work, leader process, s *stop) error {
	t.log.Warn("stopping a trainer", "work", w.name, "pid", leader.pid, "why", s.Kind, "reason", s.Reason)
	if err := writeJSON(w.control("stop.json"), s); err != nil {
		return fmt.Errorf("stopping %s: %w", w.name, err)
	}
	return syscall.Kill(-leader.pid, syscall.SIGTERM)
}

// Cancel asks the process to end; Poll kills it after the grace and says when it has ended.
func (t *Trainer) Cancel(_ context.Context, h training.Handle) error {
	w, r, err := t.find(h)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	leader, alive := leaderOf(r)
	if s, err := w.stopping(); err != nil || s != nil || w.ended != nil || !alive || leader.zombie {
		return err
	}
	return t.stop(w, leader, &stop{Kind: stopCancelled, Reason: "it was cancelled", At: t.now().UTC()})
}

// killRest kills what the trainer left behind, and returns how many processes were still there (T3).
func (t *Trainer) killRest(w *work, leader process, unreaped bool) (int, error) {
	if unreaped {
		// The dead leader still holds the group's number.
		if err := syscall.Kill(-leader.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, syscall.EPERM) {
			return 0, fmt.Errorf("killing what %s left: %w", w.name, err)
		}
	}
	rest, err := members(w.dir)
	if err != nil {
		return 0, fmt.Errorf("looking for processes of %s: %w", w.name, err)
	}
	var errs []error
	for _, p := range rest {
		t.log.Warn("killing a process that outlived its trainer", "work", w.name, "pid", p.pid)
		errs = append(errs, signalProcess(p, syscall.SIGKILL))
	}
	return len(rest), errors.Join(errs...)
}

// sample adds up what the group uses now.
func (w *work) sample(r record) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	var now training.Usage
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := processOf(pid); err == nil && p.group == r.PID {
			now.User += p.user
			now.System += p.sys
			now.MaxRSS = max(now.MaxRSS, peakMemory(pid))
		}
	}
	w.usage = training.Usage{
		User: max(w.usage.User, now.User), System: max(w.usage.System, now.System), MaxRSS: max(w.usage.MaxRSS, now.MaxRSS),
	}
}

// conclude fills in how the work ended.
func (w *work) conclude(status *training.Status, s *stop) {
	status.LastError = w.lastError()
	code, times, exited := w.exit()
	w.usage.User, w.usage.System = max(w.usage.User, times.User), max(w.usage.System, times.System)
	status.Usage = w.usage
	status.State, status.ExitCode = training.StateExited, code
	switch {
	case exited && code == 0: // a result is a result, also when it came while we were stopping it
	case s != nil:
		status.State, status.Reason, status.Retry = training.StateStopped, s.Reason, s.Kind == stopHung
		if !exited {
			status.ExitCode = exitKilled
		}
	case !exited:
		status.State, status.ExitCode, status.Retry = training.StateLost, exitKilled, true
		status.Reason = "its processes are gone without an exit status: the machine restarted, or somebody killed them"
	case code == exitTransient:
		status.Retry = true
		status.Reason = "it ended with exit code 75: a passing failure"
	case code == exitKilled:
		status.State, status.Retry = training.StateLost, true
		status.Reason = "it was killed by SIGKILL, as the kernel does when memory runs out"
	case code == exitTerminated:
		status.State, status.Retry = training.StateLost, true
		status.Reason = "it was ended by SIGTERM from outside"
	default:
		status.Reason = fmt.Sprintf("it ended with exit code %d", code)
	}
}

// exit reads control/exit.
func (w *work) exit() (code int, times training.Usage, ok bool) {
	b, err := readBounded(w.control("exit"), 4096)
	if err != nil {
		return 0, times, false
	}
	return parseExit(b)
}

// parseExit reads the exit code and, from the lines of the shell's times, what the shell's children used.
func parseExit(b []byte) (code int, times training.Usage, ok bool) {
	lines := strings.Split(string(b), "\n")
	code, err := strconv.Atoi(lines[0])
	if err != nil || code < 0 || code > 255 {
		return 0, times, false
	}
	if len(lines) > 2 {
		if fields := strings.Fields(lines[2]); len(fields) == 2 {
			times.User, times.System = parseTime(fields[0]), parseTime(fields[1])
		}
	}
	return code, times, true
}

// parseTime reads "1m2.34s"; 0 for anything else.
func parseTime(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// Clean removes what the work wrote, but for its log and how it ended. The artifact was copied by then.
func (t *Trainer) Clean(ctx context.Context, h training.Handle) error {
	w, _, err := t.find(h)
	if err != nil {
		return err
	}
	status, err := t.Poll(ctx, h)
	if err != nil {
		return err
	}
	if status.State == training.StateRunning {
		return fmt.Errorf("%w: %s has not ended", ErrHandle, w.name)
	}
	return os.RemoveAll(w.output())
}
