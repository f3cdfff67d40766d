package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/treeline-ml/treeline/lifecycle/training"
	"github.com/treeline-ml/treeline/lifecycle/training/local"
)

// daemonVariable makes the test binary a daemon that starts one trainer and waits to be killed.
const daemonVariable = "TREELINE_TEST_DAEMON"

func TestMain(m *testing.M) {
	if os.Getenv(daemonVariable) != "" {
		os.Exit(daemon())
	}
	goleak.VerifyTestMain(m)
}

// python is the project's interpreter.
func python(t *testing.T) string {
	t.Helper()
	if p := os.Getenv("TREELINE_PYTHON"); p != "" {
		return p
	}
	p, err := filepath.Abs("../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p); err != nil {
		t.Fatalf("the Python environment is made by make venv: %v", err)
	}
	return p
}

// fake is the folder of the package that misbehaves.
func fake(t *testing.T) string {
	t.Helper()
	p, err := filepath.Abs("testdata/fake")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func options(t *testing.T, dir string) local.Options {
	t.Helper()
	return local.Options{
		Process: local.Process{Python: python(t), PythonPath: []string{fake(t)}}, Dir: dir,
		Limits: local.Limits{Timeout: time.Minute, FirstBeat: time.Minute, Misses: 10_000, Grace: 200 * time.Millisecond},
	}
}

// run is one piece of work of a test.
type run struct {
	t   *testing.T
	o   local.Options
	tr  *local.Trainer
	key string
	h   training.Handle
}

func newTrainer(t *testing.T, o local.Options) *local.Trainer {
	t.Helper()
	tr, err := local.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func spec(kind string, arg map[string]any) training.Spec {
	return training.Spec{
		TrainingID: "t1", IdempotencyKey: "t1", ModelKey: "churn", TrainerClass: kind, Hyperparameters: arg, HeartbeatSeconds: 0.05,
	}
}

func submit(t *testing.T, o local.Options, s training.Spec) *run {
	t.Helper()
	r := &run{t: t, o: o, tr: newTrainer(t, o), key: "t1/1"}
	var err error
	if r.h, err = r.tr.Submit(t.Context(), r.key, s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.noProcesses)
	return r
}

func start(t *testing.T, kind string, arg map[string]any) *run {
	t.Helper()
	return submit(t, options(t, t.TempDir()), spec(kind, arg))
}

// dir is where the work is.
func (r *run) dir() string { return filepath.Join(r.o.Dir, filepath.FromSlash(r.key)) }

// poll polls until done or the test has taken too long; nothing but polling keeps limits.
func (r *run) poll(done func(training.Status) bool) training.Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := r.tr.Poll(ctx, r.h)
		if err != nil {
			r.t.Fatalf("polling: %v\n%s", err, r.log())
		}
		if done(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.t.Fatalf("still %+v\n%s", s, r.log())
		}
	}
}

func (r *run) end() training.Status {
	r.t.Helper()
	return r.poll(func(s training.Status) bool { return s.State != training.StateRunning })
}

func (r *run) log() string {
	b, err := os.ReadFile(filepath.Join(r.dir(), "log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// waitLog polls until the trainer wrote the text.
func (r *run) waitLog(text string) training.Status {
	r.t.Helper()
	return r.poll(func(training.Status) bool { return strings.Contains(r.log(), text) })
}

// processes lists the processes whose environment names the work's directory, by looking at /proc itself.
func processes(dir string) []int {
	var out []int
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), dir) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(p)))
			out = append(out, pid)
		}
	}
	return out
}

// noProcesses fails when something of the work is left, and removes it.
func (r *run) noProcesses() {
	for _, pid := range processes(r.dir()) {
		cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		r.t.Errorf("process %d is left: %q", pid, cmd)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func want(t *testing.T, s training.Status, state training.State, code int, retry bool, reason string) {
	t.Helper()
	if s.State != state || s.ExitCode != code || s.Retry != retry || !strings.Contains(s.Reason, reason) {
		t.Errorf("status is %+v, want %s with exit code %d, retry %v, reason %q", s, state, code, retry, reason)
	}
}

func TestTrainer(t *testing.T) {
	r := start(t, "ok", nil)
	s := r.end()
	want(t, s, training.StateExited, 0, false, "")
	if s.Heartbeat.Step != "done" || s.Heartbeat.Fraction != 1 || s.Heartbeat.At.IsZero() || s.StartedAt.IsZero() {
		t.Errorf("status is %+v", s)
	}
	if s.Usage.User <= 0 || s.Usage.MaxRSS < 1<<20 {
		t.Errorf("usage is %+v", s.Usage)
	}
	res, err := r.tr.Collect(t.Context(), r.h)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range res.Files {
		info, err := os.Stat(f.Path)
		if err != nil || info.Size() != f.Size {
			t.Errorf("%s: %v, size %d", f.Name, err, f.Size)
		}
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "golden.parquet holdout.parquet importance.json model/MLmodel model/model.txt result.json spec.json" {
		t.Errorf("files are %s", got)
	}
	if res.ModelFile != "model/MLmodel" || res.Golden != "golden.parquet" || res.Holdout != "holdout.parquet" || res.Metrics["auc"] != 0.875 ||
		res.RunID != "run-1" || res.RegistryVersion != "3" || res.TrainRows != 80 || res.HoldoutRows != 20 || res.Params["n_estimators"] != "100" ||
		res.Params["criterion"] != "gini" || !res.TrainedAt.Equal(time.Date(2026, 11, 2, 3, 0, 0, 5e8, time.UTC)) {
		t.Errorf("result is %+v", res)
	}
	// Cleaning keeps the log.
	if err := r.tr.Clean(t.Context(), r.h); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(r.dir(), "output")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("output: %v", err)
	}
	if c, err := r.tr.Logs(t.Context(), r.h, 0); err != nil || c.Text != "training churn\n" || !c.End {
		t.Errorf("%+v, %v", c, err)
	}
	// Submitting again runs nothing.
	again, err := r.tr.Submit(t.Context(), r.key, spec("exit", map[string]any{"code": 3}))
	if err != nil || again != r.h {
		t.Errorf("%s, %v", again, err)
	}
	if s := r.end(); s.ExitCode != 0 {
		t.Errorf("again: %+v", s)
	}
}

func TestExits(t *testing.T) {
	for name, c := range map[string]struct {
		kind      string
		arg       map[string]any
		state     training.State
		code      int
		retry     bool
		reason    string
		lastError string
	}{
		"bad data":          {"exit", map[string]any{"code": 10, "message": "column \"x\" has 3 values"}, training.StateExited, 10, false, "exit code 10", `column "x" has 3 values`},
		"transient":         {"exit", map[string]any{"code": 75, "message": "away"}, training.StateExited, 75, true, "passing", "away"},
		"another code":      {"exit", map[string]any{"code": 1}, training.StateExited, 1, false, "exit code 1", "nothing to say"},
		"killed":            {"killed", nil, training.StateLost, 137, true, "SIGKILL", ""},
		"all killed":        {"group_killed", nil, training.StateLost, 137, true, "gone", ""},
		"unknown":           {"nothing", nil, training.StateExited, 10, false, "", "no such trainer nothing"},
		"long message":      {"exit", map[string]any{"code": 10, "message": strings.Repeat("x", 5000)}, training.StateExited, 10, false, "", strings.Repeat("x", 2000)},
		"leaves a child":    {"leaves_child", nil, training.StateExited, 0, false, "", ""},
		"ended by SIGTERM":  {"exit", map[string]any{"code": 143}, training.StateLost, 143, true, "SIGTERM", "nothing to say"},
		"error inside line": {"exit", map[string]any{"code": 10, "message": "an error: twice"}, training.StateExited, 10, false, "", "an error: twice"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, c.kind, c.arg)
			s := r.end()
			want(t, s, c.state, c.code, c.retry, c.reason)
			if s.LastError != c.lastError {
				t.Errorf("last error is %q, want %q", s.LastError, c.lastError)
			}
			if c.code != 0 {
				if _, err := r.tr.Collect(t.Context(), r.h); !errors.Is(err, local.ErrHandle) {
					t.Errorf("collecting: %v", err)
				}
			}
			r.noProcesses()
		})
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		kind   string
		limits func(*local.Limits)
		code   int
		retry  bool
		reason string
	}{
		"never beats":   {"silent", func(l *local.Limits) { l.FirstBeat = 300 * time.Millisecond }, 143, true, "no sign of life"},
		"stops beating": {"stops_beating", func(l *local.Limits) { l.Misses = 3 }, 143, true, "no sign of life"},
		"ignores TERM":  {"ignores_term", func(l *local.Limits) { l.Misses = 10 }, 137, true, "no sign of life"},
		"takes long":    {"beats", func(l *local.Limits) { l.Timeout = 400 * time.Millisecond }, 143, false, "at most 400ms"},
		"fills disk":    {"fills_disk", func(l *local.Limits) { l.DiskBytes = 20 << 20 }, 143, false, "at most 20971520"},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, t.TempDir())
			c.limits(&o.Limits)
			r := submit(t, o, spec(c.kind, nil))
			want(t, r.end(), training.StateStopped, c.code, c.retry, c.reason)
			r.noProcesses()
		})
	}
}

func TestTimeoutOfTheSpec(t *testing.T) {
	s := spec("beats", nil)
	s.Timeout = 300 * time.Millisecond
	r := submit(t, options(t, t.TempDir()), s)
	want(t, r.end(), training.StateStopped, 143, false, "at most 300ms")
}

func TestCancel(t *testing.T) {
	for kind, code := range map[string]int{"terminates": 143, "ignores_term": 137} {
		t.Run(kind, func(t *testing.T) {
			o := options(t, t.TempDir())
			r := submit(t, o, spec(kind, nil))
			if s := r.waitLog("ready"); s.State != training.StateRunning || s.Usage.MaxRSS == 0 {
				t.Errorf("running: %+v", s)
			}
			for range 2 { // the second changes nothing
				if err := r.tr.Cancel(t.Context(), r.h); err != nil {
					t.Fatal(err)
				}
			}
			want(t, r.end(), training.StateStopped, code, false, "cancelled")
			r.noProcesses()
			if err := r.tr.Cancel(t.Context(), r.h); err != nil {
				t.Errorf("cancelling what has ended: %v", err)
			}
		})
	}
}

func TestResults(t *testing.T) {
	for name, c := range map[string]struct {
		kind string
		arg  map[string]any
		text string
	}{
		"none":                  {"no_result", nil, "no result.json"},
		"truncated":             {"truncated_result", nil, "unexpected EOF"},
		"garbage":               {"raw_result", map[string]any{"text": "\x00\xff{"}, "result.json"},
		"huge":                  {"raw_result", map[string]any{"text": strings.Repeat(" ", 1<<20), "times": 5}, "more than 4194304 bytes"},
		"two objects":           {"raw_result", map[string]any{"text": "{} {}"}, "more follows"},
		"NaN":                   {"raw_result", map[string]any{"text": `{"metrics": {"auc": NaN}}`}, "result.json"},
		"infinite":              {"raw_result", map[string]any{"text": `{"metrics": {"auc": 1e999}}`}, "result.json"},
		"other training":        {"ok", map[string]any{"training_id": "t2"}, "training_id"},
		"other format":          {"ok", map[string]any{"format": 2}, "format is 2"},
		"path out":              {"ok", map[string]any{"golden": "../spec.json"}, "golden"},
		"absolute path":         {"ok", map[string]any{"holdout": "/etc/passwd"}, "holdout"},
		"path through a parent": {"ok", map[string]any{"model": "model/../../spec.json"}, "model"},
		"no golden":             {"ok", map[string]any{"golden": "absent"}, "golden"},
		"golden not there":      {"ok", map[string]any{"golden": "other.parquet"}, "not there"},
		"model not there":       {"ok", map[string]any{"model": "model/other"}, "not there"},
		"no model directory":    {"ok", map[string]any{"model": "golden.parquet"}, "directory"},
		"no rows":               {"ok", map[string]any{"rows": map[string]any{"train": 0, "holdout": 5}}, "rows"},
		"bad time":              {"ok", map[string]any{"trained_at": "yesterday"}, "trained_at"},
		"metric is text":        {"ok", map[string]any{"metrics": map[string]any{"auc": "high"}}, "metrics"},
		"same file twice":       {"ok", map[string]any{"holdout": "golden.parquet"}, "twice"},
		"link for a file":       {"link_model", nil, "symbolic link"},
		"link for a directory":  {"link_dir", nil, "symbolic link"},
		"link for the result":   {"link_result", nil, "result"},
		"pipe for a file":       {"pipe_golden", nil, "special file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, c.kind, c.arg)
			want(t, r.end(), training.StateExited, 0, false, "")
			_, err := r.tr.Collect(t.Context(), r.h)
			if !errors.Is(err, local.ErrResult) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error is %v, want %v with %q", err, local.ErrResult, c.text)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"TREELINE_SECRET": "s", "AWS_SECRET_ACCESS_KEY": "s", "MLFLOW_TRACKING_USERNAME": "ann", "OTEL_SERVICE_NAME": "x",
		"LC_ALL": "C.UTF-8", "CLOUD_REGION": "north", "CLOUD_ZONE": "1", "PYTHONPATH": "/inherited", "PYTHONSTARTUP": "/evil.py",
	} {
		t.Setenv(name, value)
	}
	o := options(t, t.TempDir())
	o.PassEnv = []string{"CLOUD_*"}
	s := spec("environment", nil)
	s.ModulePath = []string{"/models/churn"}
	r := submit(t, o, s)
	want(t, r.end(), training.StateExited, 0, false, "")
	var got struct {
		Env  map[string]string `json:"env"`
		Cwd  string            `json:"cwd"`
		Pgid int               `json:"pgid"`
		Ppid int               `json:"ppid"`
	}
	_, text, _ := strings.Cut(r.log(), "\n")
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	if got.Cwd != r.dir() || got.Pgid == syscall.Getpgrp() || got.Pgid != got.Ppid {
		t.Errorf("works in %s, want %s; group %d, parent %d, ours %d", got.Cwd, r.dir(), got.Pgid, got.Ppid, syscall.Getpgrp())
	}
	for name, value := range map[string]string{
		"TREELINE_SECRET": "", "AWS_SECRET_ACCESS_KEY": "", "PYTHONSTARTUP": "", "MLFLOW_TRACKING_USERNAME": "ann", "OTEL_SERVICE_NAME": "x",
		"LC_ALL": "C.UTF-8", "CLOUD_REGION": "north", "CLOUD_ZONE": "1", "PATH": os.Getenv("PATH"), local.WorkVariable: r.dir(),
		"PYTHONPATH": fake(t) + ":/models/churn:/inherited",
	} {
		if got.Env[name] != value {
			t.Errorf("%s is %q, want %q", name, got.Env[name], value)
		}
	}
}

func TestUsage(t *testing.T) {
	r := start(t, "busy", nil)
	s := r.end()
	want(t, s, training.StateExited, 0, false, "")
	if cpu := s.Usage.User + s.Usage.System; cpu < 300*time.Millisecond || cpu > 10*time.Second || s.Usage.MaxRSS < 64<<20 {
		t.Errorf("usage is %+v", s.Usage)
	}
}

func TestLogs(t *testing.T) {
	const lines, width = 4000, 70 // 4000 lines of 93 bytes
	o := options(t, t.TempDir())
	o.Limits.LogHead, o.Limits.LogTail = 8<<10, 64<<10
	r := submit(t, o, spec("shouts", map[string]any{"lines": lines, "width": width}))
	r.poll(func(s training.Status) bool { return s.Heartbeat.Step != "" })
	r.poll(func(training.Status) bool { return true }) // cuts the log
	info, err := os.Stat(filepath.Join(r.dir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks * 512; blocks > 128<<10 || info.Size() < lines*90 {
		t.Errorf("the log of %d bytes takes %d on disk", info.Size(), blocks)
	}
	if err := os.WriteFile(filepath.Join(r.dir(), "output", "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := r.end()
	want(t, s, training.StateExited, 10, false, "")
	if s.LastError != "no \uFFFD UTF-8" {
		t.Errorf("last error is %q", s.LastError)
	}
	var first, last, truncations, previous int
	previous = -1
	for offset := int64(0); ; {
		c, err := r.tr.Logs(t.Context(), r.h, offset)
		if err != nil {
			t.Fatal(err)
		}
		if c.Truncated {
			truncations++
		}
		for line := range strings.Lines(c.Text) {
			var n int
			if _, err := fmt.Sscanf(line, "line %d", &n); err != nil {
				continue
			}
			if !strings.Contains(line, "\uFFFD") || !strings.Contains(line, "é€") || strings.Contains(line, "\x00") {
				t.Fatalf("line is %q", line)
			}
			if n != previous+1 {
				first, last = previous, n
			}
			previous = n
		}
		if c.Next < offset || c.Next == offset && !c.End {
			t.Fatalf("chunk %+v does not get on", c)
		}
		if offset = c.Next; c.End {
			break
		}
	}
	if previous != lines-1 || truncations != 1 || first < 50 || first > 95 || lines-last < 600 || lines-last > 900 {
		t.Errorf("lines 0-%d and %d-%d of %d are kept, %d truncations", first, last, previous, lines, truncations)
	}
	if !strings.Contains(r.log(), "[output dropped") {
		t.Error("the file does not say that output was dropped")
	}
}

// A chunk ends with a line while the trainer runs, and resumes at any offset.
func TestLogsFollow(t *testing.T) {
	r := start(t, "gate", nil)
	r.waitLog("training churn\n")
	c, err := r.tr.Logs(t.Context(), r.h, 0)
	if err != nil || c.Text != "training churn\n" || c.End || c.Next != 15 {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := r.tr.Logs(t.Context(), r.h, c.Next); err != nil || c.Text != "" || c.End || c.Next != 15 {
		t.Errorf("%+v, %v", c, err)
	}
	if err := os.WriteFile(filepath.Join(r.dir(), "output", "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.end()
	if c, err := r.tr.Logs(t.Context(), r.h, 9); err != nil || c.Text != "churn\n" || !c.End {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := r.tr.Logs(t.Context(), r.h, 1000); err != nil || c.Text != "" || !c.End {
		t.Errorf("past the end: %+v, %v", c, err)
	}
}

// Sixteen submits of one key by eight daemons start one process.
func TestOneProcessForAKey(t *testing.T) {
	dir := t.TempDir()
	o := options(t, dir)
	runs := filepath.Join(t.TempDir(), "runs")
	s := spec("gate", map[string]any{"runs": runs})
	type answer struct {
		h   training.Handle
		err error
	}
	answers := make(chan answer, 16)
	for range cap(answers) / 2 {
		tr := newTrainer(t, o)
		for range 2 {
			go func() {
				h, err := tr.Submit(t.Context(), "t1/1", s)
				answers <- answer{h, err}
			}()
		}
	}
	r := &run{t: t, o: o, tr: newTrainer(t, o), key: "t1/1"}
	t.Cleanup(r.noProcesses)
	for range cap(answers) {
		a := <-answers
		if a.err != nil || r.h != "" && a.h != r.h {
			t.Errorf("%q, %v; want %q", a.h, a.err, r.h)
		}
		r.h = a.h
	}
	if err := os.WriteFile(filepath.Join(r.dir(), "output", "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, r.end(), training.StateExited, 0, false, "")
	if b, err := os.ReadFile(runs); err != nil || strings.Count(string(b), "\n") != 1 {
		t.Errorf("the trainer ran %q (%v), want once", b, err)
	}
}

// A key whose processes are gone is never run a second time, not even when nobody wrote down that it ran.
func TestNeverTwice(t *testing.T) {
	for _, lost := range []string{"", "work.json"} {
		dir := t.TempDir()
		runs := filepath.Join(t.TempDir(), "runs")
		s := spec("group_killed", map[string]any{"runs": runs})
		r := submit(t, options(t, dir), s)
		r.end()
		if lost != "" {
			if err := os.Remove(filepath.Join(r.dir(), "control", lost)); err != nil {
				t.Fatal(err)
			}
		}
		next := &run{t: t, o: r.o, tr: newTrainer(t, r.o), key: r.key}
		var err error
		if next.h, err = next.tr.Submit(t.Context(), r.key, s); err != nil {
			t.Fatal(err)
		}
		want(t, next.end(), training.StateLost, 137, true, "gone")
		if b, _ := os.ReadFile(runs); strings.Count(string(b), "\n") != 1 {
			t.Errorf("without %q: the trainer ran %q, want once", lost, b)
		}
	}
}

// A process id that belongs to somebody else is left alone.
func TestStrangerIsLeftAlone(t *testing.T) {
	r := start(t, "ok", nil)
	r.end()
	stranger := exec.Command("sleep", "60")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	path := filepath.Join(r.dir(), "control", "work.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rec map[string]any
	if err := json.Unmarshal(b, &rec); err != nil {
		t.Fatal(err)
	}
	rec["pid"] = stranger.Process.Pid // the start time stays that of the trainer
	if b, err = json.Marshal(rec); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(path, b, 0o600), os.Remove(filepath.Join(r.dir(), "control", "exit"))); err != nil {
		t.Fatal(err)
	}
	next := &run{t: t, o: r.o, tr: newTrainer(t, r.o), key: r.key, h: r.h}
	if err := next.tr.Cancel(t.Context(), next.h); err != nil {
		t.Error(err)
	}
	want(t, next.end(), training.StateLost, 137, true, "gone")
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger is gone: %v", err)
	}
}

func TestBadHandles(t *testing.T) {
	tr := newTrainer(t, options(t, t.TempDir()))
	for _, h := range []training.Handle{"", "{}", `{"work":"../x"}`, `{"work":"a/.."}`, `{"work":"a"}`, `{"work":"a/b/c"}`, `{"work":"t1/1"}`, "[1"} {
		if _, err := tr.Poll(t.Context(), h); !errors.Is(err, local.ErrHandle) {
			t.Errorf("polling %q: %v", h, err)
		}
		if _, err := tr.Logs(t.Context(), h, 0); !errors.Is(err, local.ErrHandle) {
			t.Errorf("logs of %q: %v", h, err)
		}
		if err := tr.Cancel(t.Context(), h); !errors.Is(err, local.ErrHandle) {
			t.Errorf("cancelling %q: %v", h, err)
		}
		if _, err := tr.Collect(t.Context(), h); !errors.Is(err, local.ErrHandle) {
			t.Errorf("collecting %q: %v", h, err)
		}
	}
	if _, err := tr.Submit(t.Context(), "../1", spec("ok", nil)); !errors.Is(err, local.ErrHandle) {
		t.Errorf("submitting: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, change := range []func(*local.Options){
		func(o *local.Options) { o.Python = "" },
		func(o *local.Options) { o.Python = "/no/python" },
		func(o *local.Options) { o.Dir = "" },
		func(o *local.Options) { o.Dir = "/proc/no" },
	} {
		o := options(t, t.TempDir())
		change(&o)
		if _, err := local.New(o); !errors.Is(err, local.ErrStart) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
