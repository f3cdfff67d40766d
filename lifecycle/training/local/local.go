// Package local trains in processes of this machine.
package local

import (
	"log/slog"
	"time"
)

// Options say how processes are run.
type Options struct {
	// Dir holds one directory a training. It belongs to one Trainer.
	Dir string
	// Python is the interpreter; PythonPath the directories in front of PYTHONPATH.
	Python     string
	PythonPath []string
	// Timeout ends a process by the wall clock. 0 means 24 hours.
	Timeout time.Duration
	Logger  *slog.Logger     // discards when nil
	Now     func() time.Time // time.Now when nil
}
