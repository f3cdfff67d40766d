// Package local trains in processes of this machine, and runs the other Python code of the product: validators and
// post-processors.
//
//	<Dir>/<training>/<attempt>/      one piece of work, named by the key that it was submitted under
//	    spec.json                    what the trainer is told
//	    log                          its stdout and stderr
//	    output/                      heartbeat.json, the model, result.json
//	    control/lock                 flock of the processes of the work: held while one of them lives
//	    control/work.json            our record of the process: what a Handle is looked up in
//	    control/pid, control/exit    written by the wrapper: its process id, at last the exit code and CPU times
//	    control/stop.json            why and when we asked the process to stop
//
// The process is not a child that the daemon waits for: everything that is known of it is in files and in /proc, so that
// it outlives the daemon and the next daemon goes on as if nothing had happened. A shell of a few lines stands between
// (wrapper), because an exit status of a process that is not one's child is lost otherwise. Having the daemon's own binary
// do that was rejected: it would have to be there, unchanged, for as long as a training runs.
//
// # Invariants
//
//	T1  A key starts one process, ever: whoever starts it holds control/lock, the process inherits the lock, and a
//	    directory with control/pid or control/work.json is never started in again.
//	T2  A process is signalled only after its start time in /proc was found to be the recorded one, so that a process id
//	    that was given to somebody else meanwhile is left alone.
//	T3  Work has ended when its wrapper is gone and no process with its mark (WorkVariable) is left: a child that
//	    outlives the trainer is killed first.
//	T4  Nothing of output/ is believed: result.json is bounded and checked, files are opened below the directory without
//	    following links.
//	T5  The disk that work may use is bounded: the log keeps its head and tail, and work over its budget is stopped.
//
// # Concurrency
//
// A Trainer serves any number of goroutines and has none of its own: Poll is what keeps the limits, so the work must be
// polled by somebody. Two Trainers, of two processes, may share a directory; T1 holds between them.
package local

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// Sentinel errors.
var (
	// ErrHandle: the handle is not one of this trainer's, or its directory was removed. The training is submitted again
	// under another key.
	ErrHandle = errors.New("local: no such work")
	// ErrResult: the trainer says that it succeeded, but what it left is not a result. The author of the trainer acts.
	ErrResult = errors.New("local: result of the trainer not valid")
	// ErrStart: the process could not be started. The operator acts.
	ErrStart = errors.New("local: trainer does not start")
)

// Process says how Python is run.
type Process struct {
	// Python is the interpreter: a path, or a name that PATH finds.
	Python string
	// PythonPath are the directories put in front of PYTHONPATH: where the package treeline is.
	PythonPath []string
	// PassEnv names more environment variables to pass on than Environment lists; "AWS_*" names all with that prefix.
	PassEnv []string
}

// Limits bound one piece of work. Zero fields take the value of DefaultLimits.
type Limits struct {
	// Timeout by the wall clock, where the spec names none.
	Timeout time.Duration
	// A trainer hangs when its heartbeat is older than Misses intervals, or when it wrote none within FirstBeat.
	Misses    int
	FirstBeat time.Duration
	// Grace is the time between SIGTERM and SIGKILL.
	Grace time.Duration
	// DiskBytes bounds everything that the work writes below its directory.
	DiskBytes int64
	// LogHead and LogTail are what is kept of the output.
	LogHead, LogTail int64
}

// DefaultLimits returns 24 hours, 12 missed heartbeats, 5 minutes for the first, 30 seconds of grace, 20 GiB of disk, 1 MiB
// of head and 7 MiB of tail.
func DefaultLimits() Limits {
	return Limits{
		Timeout: 24 * time.Hour, Misses: 12, FirstBeat: 5 * time.Minute, Grace: 30 * time.Second,
		DiskBytes: 20 << 30, LogHead: 1 << 20, LogTail: 7 << 20,
	}
}

func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	pick(&l.Timeout, d.Timeout)
	pick(&l.Misses, d.Misses)
	pick(&l.FirstBeat, d.FirstBeat)
	pick(&l.Grace, d.Grace)
	pick(&l.DiskBytes, d.DiskBytes)
	pick(&l.LogHead, d.LogHead)
	pick(&l.LogTail, d.LogTail)
	return l
}

func pick[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Options say how trainers are run.
type Options struct {
	Process

	// Dir holds the work. It is made when missing.
	Dir    string
	Limits Limits
	Logger *slog.Logger     // discards when nil
	Now    func() time.Time // time.Now when nil
}

// Trainer implements training.Trainer with processes.
type Trainer struct {
	o   Options
	sh  string
	now func() time.Time
	log *slog.Logger

	mu    sync.Mutex
	works map[string]*work // by directory below Dir
}

var _ training.Trainer = (*Trainer)(nil)

// New checks that the interpreter exists. It fails with ErrStart, also on systems other than Linux: there is no /proc.
func New(o Options) (*Trainer, error) {
	if err := supported(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return nil, fmt.Errorf("%w: directory %q: %w", ErrStart, o.Dir, errors.Join(err, os.ErrInvalid))
	}
	o.Dir, o.Limits = dir, o.Limits.withDefaults()
	if o.Python, err = find(o.Python); err != nil {
		return nil, err
	}
	sh, err := exec.LookPath("sh")
	if err != nil {
		return nil, fmt.Errorf("%w: the wrapper needs a shell: %w", ErrStart, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStart, err)
	}
	t := &Trainer{o: o, sh: sh, now: o.Now, log: o.Logger, works: map[string]*work{}}
	if t.now == nil {
		t.now = time.Now
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t, nil
}

// find returns the absolute path of the interpreter without resolving links: an environment's python is one.
func find(python string) (string, error) {
	if python == "" {
		return "", fmt.Errorf("%w: no Python interpreter is configured", ErrStart)
	}
	path, err := exec.LookPath(python)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("%w: Python interpreter: %w", ErrStart, err)
	}
	return path, nil
}
