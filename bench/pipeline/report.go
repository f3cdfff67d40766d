package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// report is what one job gave.
type report struct {
	job      job
	threads  int
	exact    bool
	versions string
	quantise float64 // share of score
	variants []measured
}

type measured struct {
	*variant

	runs []once
}

// result is one line of the results file.
type result struct {
	Job      string    `json:"job"`
	Engine   string    `json:"engine"`
	Variant  string    `json:"variant"`
	Rows     int64     `json:"rows"`
	Runs     int       `json:"runs"`
	Threads  int       `json:"threads"`
	Median   float64   `json:"median_seconds"`
	Seconds  []float64 `json:"seconds"`
	Ratio    float64   `json:"speedup_of_treeline"` // of its Parquet variant
	PeakRSS  float64   `json:"peak_rss_mib"`        // of all runs
	Exact    bool      `json:"exact"`
	Machine  string    `json:"machine"`
	Versions string    `json:"versions"`
	// Steps are medians of seconds. Of Treeline snapshot, commit and total are wall time; the others are busy time, summed
	// over the threads, and overlap; quantise is an estimate and a part of score.
	Steps map[string]float64 `json:"steps"`
}

func (r *report) results() []result {
	var out []result
	ours := r.variants[0].median()
	for _, v := range r.variants {
		x := result{
			Job: r.job.title, Engine: v.engine, Variant: v.name, Rows: v.runs[0].rows, Runs: len(v.runs), Threads: r.threads, Median: v.median(),
			Ratio: v.median() / ours, Exact: r.exact, Machine: machine(), Versions: r.versions, Steps: map[string]float64{},
		}
		for _, one := range v.runs {
			x.Seconds = append(x.Seconds, one.seconds)
			x.PeakRSS = max(x.PeakRSS, one.mib)
		}
		for step := range v.runs[0].steps {
			x.Steps[step] = median(v.runs, func(o once) float64 { return o.steps[step] })
		}
		if v.engine == "treeline" && r.quantise >= 0 {
			x.Steps["quantise"] = x.Steps["score"] * r.quantise
		}
		out = append(out, x)
	}
	return out
}

func (m measured) median() float64 { return median(m.runs, func(o once) float64 { return o.seconds }) }

func median(runs []once, of func(once) float64) float64 {
	var s []float64
	for _, one := range runs {
		s = append(s, of(one))
	}
	slices.Sort(s)
	n := len(s)
	if n%2 == 1 {
		return s[n/2]
	}
	return (s[n/2-1] + s[n/2]) / 2
}

// write prints the tables and writes the results file.
func (r *report) write(out io.Writer, dir string) error {
	results := r.results()
	fmt.Fprintf(out, "\n%s, %d threads, %d interleaved runs, %s\n\n", r.job.title, r.threads, len(r.variants[0].runs), machine())
	fmt.Fprintf(out, "%-10s %-8s %10s %12s %10s %10s %7s\n", "engine", "variant", "median s", "rows/s", "treeline", "peak MiB", "equal")
	for _, x := range results {
		fmt.Fprintf(out, "%-10s %-8s %10.3f %12.0f %9.2fx %10.0f %7v\n", x.Engine, x.Variant, x.Median, float64(x.Rows)/x.Median, x.Ratio, x.PeakRSS, x.Exact)
	}
	fmt.Fprintln(out, "\nwhere the time goes (seconds; of treeline read to profile are busy time of all threads together, and overlap):")
	for _, x := range results {
		fmt.Fprintf(out, "%-10s %-8s %s\n", x.Engine, x.Variant, shares(x))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := "pipeline.jsonl"
	if r.job.name != "synthetic" {
		name = "pipeline-" + r.job.name + ".jsonl"
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, x := range results {
		if err := enc.Encode(x); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// shares lists the steps in the order in which a row meets them, with their share of all busy time.
func shares(x result) string {
	busy := []string{"read", "bind", "quantise", "score", "profile", "stamp", "write"}
	steps := map[string]float64{}
	total := 0.0
	maps.Copy(steps, x.Steps)
	steps["score"] -= steps["quantise"]
	for _, step := range busy {
		total += steps[step]
	}
	var parts []string
	add := func(step, more string) {
		if _, ok := x.Steps[step]; ok {
			parts = append(parts, fmt.Sprintf("%s %.3f%s", step, steps[step], more))
		}
	}
	add("snapshot", " ")
	for _, step := range busy {
		add(step, fmt.Sprintf(" (%.0f %%)", 100*steps[step]/total))
	}
	add("commit", "")
	return strings.Join(parts, "  ")
}

// goals prints what was reached, and fails when something was missed.
func (r *report) goals(out io.Writer) error {
	results := r.results()
	best := 0.0
	for _, x := range results {
		if x.Engine == "python" && (best == 0 || x.Ratio < best) {
			best = x.Ratio
		}
	}
	mib := results[0].PeakRSS
	fmt.Fprintf(out, "\ngoal end-to-end >= %gx: reached %.2f\ngoal peak RSS <= %d MiB: %.0f\n", goalRatio, best, goalMiB, mib)
	if !r.exact || best < goalRatio || mib > goalMiB {
		return fmt.Errorf("goal missed: %.2fx, peak %.0f MiB, equal %v", best, mib, r.exact)
	}
	return nil
}

func machine() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return fmt.Sprintf("%s, %d cores", strings.TrimSpace(value), runtime.NumCPU())
		}
	}
	return runtime.GOARCH
}
