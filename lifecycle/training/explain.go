package training

import (
	"fmt"
	"strings"
)

// explain says why the last attempt ended the training, and what to do.
func explain(s Status, attempts int) failure {
	f := failure{ExitCode: s.ExitCode}
	what := "the trainer "
	switch s.State {
	case StateStopped:
		what = "the trainer was stopped: "
	case StateLost:
		what = "the trainer was lost: "
	case StateExited, StateRunning:
		what = "the trainer failed: "
	}
	switch {
	case s.LastError != "" && s.State == StateExited:
		f.Error = what + s.LastError
	case s.LastError != "":
		f.Error = what + s.Reason + "; its last error: " + s.LastError
	default:
		f.Error = what + s.Reason
	}
	if s.Retry {
		f.Error += fmt.Sprintf(" (after %d attempts)", attempts)
	}
	switch {
	case s.State == StateExited && s.ExitCode == 10:
		f.Hint = "correct the data or the model's config.yml as the message says, then train again"
	case s.State == StateExited && s.ExitCode == 75:
		f.Hint = "the trainer's surroundings (MLflow, storage) were not there; check them, then train again"
	case s.State == StateExited && (s.ExitCode == 126 || s.ExitCode == 127):
		f.Hint = "the Python interpreter did not start; check training.python in the daemon's configuration"
	case s.State == StateExited:
		f.Hint = "the trainer's output has the traceback: ctl training logs shows it"
	case s.State == StateLost:
		f.Hint = "give the machine more memory or the trainer fewer rows, then train again"
	default:
		f.Hint = "raise the limit that was exceeded, or make the trainer keep it, then train again"
	}
	return f
}

// cut bounds a text to n bytes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}
