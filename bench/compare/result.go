package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// result is one line of latest.jsonl: one engine on one model with one setting.
type result struct {
	Model    string  `json:"model"`
	Engine   string  `json:"engine"`
	Threads  int     `json:"threads"`
	Batch    int     `json:"batch"`      // rows a call
	NsPerRow float64 `json:"ns_per_row"` // median of the runs: time that passes, not processor time
	Runs     int     `json:"runs"`
	Exact    bool    `json:"exact"` // every prediction checked has the bits of the native library's
	MaxDiff  float64 `json:"max_diff"`

	Machine  string            `json:"machine"`
	Versions map[string]string `json:"versions"`
	Command  string            `json:"command"`
	Commit   string            `json:"commit"`
	Mode     string            `json:"mode"` // full or quick
}

// runContext is context.json: what the results need to be understood.
type runContext struct {
	Machine      string         `json:"machine"`
	Command      string         `json:"command"`
	Commit       string         `json:"commit"`
	Mode         string         `json:"mode"`
	Seconds      float64        `json:"seconds"` // that the run took
	Probe        probe          `json:"probe"`
	Programs     []program      `json:"programs"`
	Compilations []compilation  `json:"compilations"`
	Refusals     []remark       `json:"refusals"` // engines that do not score a model, with the reason
	Notes        []remark       `json:"notes"`
	Pipeline     *pipelineFacts `json:"pipeline,omitempty"`
}

// probe is what one core can do.
type probe struct {
	BytesPerSecond    float64 `json:"bytes_per_second"`    // streamed from memory
	ComparesPerSecond float64 `json:"compares_per_second"` // bytes compared in the first cache
	CyclesPerSecond   float64 `json:"cycles_per_second"`
}

// program is what our engine made of a model.
type program struct {
	Model          string  `json:"model"`
	Engine         string  `json:"engine"`
	Trees          int     `json:"trees"`
	Splits         int     `json:"splits"`
	Nodes          int     `json:"nodes"` // splits and leaves
	Bytes          int64   `json:"program_bytes"`
	Walk           float64 `json:"walk"` // splits that a row passes, on average
	CompileSeconds float64 `json:"compile_seconds"`
	BytesPerRow    int     `json:"bytes_per_row"`
	Allocations    int     `json:"allocations"` // of a Score
	Explain        string  `json:"explain"`
}

type compilation struct {
	Model   string  `json:"model"`
	Engine  string  `json:"engine"`
	Seconds float64 `json:"seconds"`
}

type remark struct {
	Model  string `json:"model"`
	Engine string `json:"engine"`
	Text   string `json:"text"`
}

// report is everything that one run found.
type report struct {
	Results []result
	Context runContext
}

func (r *report) refuse(model, engine, why string) {
	r.Context.Refusals = append(r.Context.Refusals, remark{model, engine, why})
}

// at returns a measurement, or nil.
func (r *report) at(model, engine string, threads, batch int) *result {
	for i := range r.Results {
		x := &r.Results[i]
		if x.Model == model && x.Engine == engine && x.Threads == threads && x.Batch == batch {
			return x
		}
	}
	return nil
}

// ratio returns how many times faster our engine is, 0 where one of the two was not measured.
func (r *report) ratio(model, peer, mine string, threads, batch int) float64 {
	theirs, our := r.at(model, peer, threads, batch), r.at(model, mine, threads, batch)
	if theirs == nil || our == nil || our.NsPerRow <= 0 {
		return 0
	}
	return theirs.NsPerRow / our.NsPerRow
}

func (r *report) program(model, engine string) *program {
	for i := range r.Context.Programs {
		if p := &r.Context.Programs[i]; p.Model == model && p.Engine == engine {
			return p
		}
	}
	return nil
}

func newContext(ctx context.Context, o *options) runContext {
	c := runContext{Machine: machine(), Mode: "full", Command: "make bench", Commit: commit(ctx)}
	if o.quick {
		c.Mode, c.Command = "quick", "make bench-quick"
	}
	if o.models != "" || o.engines != "" || o.rounds != 0 {
		c.Command = strings.Join(append([]string{"go run ./bench/compare"}, os.Args[1:]...), " ")
	}
	return c
}

// machine names the processor and the number of cores.
func machine() string {
	name := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s", name, runtime.NumCPU(), runtime.GOOS)
}

// commit names the checked-out commit; "+" says that files differ from it.
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	if changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output(); err != nil || len(changed) > 0 {
		name += "+"
	}
	return name
}

const (
	resultsFile = "latest.jsonl"
	contextFile = "context.json"
)

func (r *report) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i := range r.Results {
		if err := enc.Encode(&r.Results[i]); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, resultsFile), lines.Bytes(), 0o644); err != nil {
		return err
	}
	text, err := json.MarshalIndent(&r.Context, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, contextFile), append(text, '\n'), 0o644)
}

func readReport(dir string) (*report, error) {
	data, err := os.ReadFile(filepath.Join(dir, resultsFile))
	if err != nil {
		return nil, err
	}
	var r report
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		var x result
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", resultsFile, n, err)
		}
		r.Results = append(r.Results, x)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, contextFile))
	if err != nil {
		return nil, err
	}
	return &r, json.Unmarshal(text, &r.Context)
}
