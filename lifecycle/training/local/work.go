package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/treeline-ml/treeline/lifecycle/training"
)

// work is one directory. Its files are the truth; the fields below mu only save work.
type work struct {
	name string // below Trainer.Dir
	dir  string

	mu    sync.Mutex
	usage training.Usage // the highest seen
	stale time.Time      // when the heartbeat was first seen to be too old
	ended *training.Status
}

func (w *work) control(name string) string { return filepath.Join(w.dir, "control", name) }
func (w *work) logPath() string            { return filepath.Join(w.dir, "log") }
func (w *work) output() string             { return filepath.Join(w.dir, "output") }

// record is control/work.json.
type record struct {
	PID int `json:"pid"` // of the wrapper, which leads the process group
	// Start is the wrapper's start time in clock ticks since boot, of the boot with id Boot: together they identify the
	// process for good. 0: it had ended before anybody looked.
	Start     uint64        `json:"start"`
	Boot      string        `json:"boot"`
	StartedAt time.Time     `json:"started_at"`
	Timeout   time.Duration `json:"timeout"`
	Interval  time.Duration `json:"interval"` // of heartbeats
}

// stop is control/stop.json.
type stop struct {
	Kind   string    `json:"kind"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// The kinds of stop.
const (
	stopCancelled = "cancelled"
	stopTimeout   = "timeout"
	stopHung      = "hung"
	stopDisk      = "disk"
)

// workOf returns the entry of a directory name, which must have the form <training>/<attempt>.
func (t *Trainer) workOf(name string) (*work, error) {
	parts := strings.Split(name, "/")
	for _, p := range parts {
		if len(parts) != 2 || !plainName(p) {
			return nil, fmt.Errorf("%w: %.80q is not <training>/<attempt> in letters, digits, \"-\", \"_\" and \".\"", ErrHandle, name)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.works[name]
	if w == nil {
		w = &work{name: name, dir: filepath.Join(t.o.Dir, parts[0], parts[1])}
		t.works[name] = w
	}
	return w, nil
}

func plainName(s string) bool {
	ok := s != "" && len(s) <= 128 && s[0] != '.'
	for i := range len(s) {
		c := s[i]
		ok = ok && (c == '-' || c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	return ok
}

// handle is the JSON of a training.Handle.
type handle struct {
	Work string `json:"work"`
}

func (w *work) handle() (training.Handle, error) {
	b, err := json.Marshal(handle{Work: w.name})
	return training.Handle(b), err
}

// find returns the work of a handle and its record.
func (t *Trainer) find(h training.Handle) (*work, record, error) {
	var parsed handle
	if err := json.Unmarshal([]byte(h), &parsed); err != nil {
		return nil, record{}, fmt.Errorf("%w: handle %.80q: %w", ErrHandle, h, err)
	}
	w, err := t.workOf(parsed.Work)
	if err != nil {
		return nil, record{}, err
	}
	r, err := w.record()
	return w, r, err
}

func (w *work) record() (r record, err error) {
	if err := readJSON(w.control("work.json"), &r); err != nil {
		return r, fmt.Errorf("%w: %w", ErrHandle, err)
	}
	return r, nil
}

// stopping returns the stop that was asked for, nil when none was.
func (w *work) stopping() (*stop, error) {
	var s stop
	err := readJSON(w.control("stop.json"), &s)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return &s, err
}

// maxSmall bounds the small files that are read whole.
const maxSmall = 64 << 10

// readBounded reads a regular file of at most limit bytes, without following a link at its end.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", filepath.Base(path), limit)
	}
	return b, err
}

func readJSON(path string, v any) error {
	b, err := readBounded(path, maxSmall)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

// writeFile replaces a file in one step and makes it durable.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
