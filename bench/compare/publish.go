package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// pipelineFacts is what bench/pipeline found.
type pipelineFacts struct {
	Passed bool    `json:"passed"` // its exit status
	Ratio  float64 `json:"ratio"`  // against the fastest Python variant, 0 if it says none
}

// runPipeline runs bench/pipeline, whose goals are its own: its exit status says whether they are met.
func runPipeline(ctx context.Context) *pipelineFacts {
	cmd := exec.CommandContext(ctx, "go", "run", "./bench/pipeline")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	facts := &pipelineFacts{Passed: cmd.Run() == nil}
	if data, err := os.ReadFile("bench/results/pipeline.jsonl"); err == nil {
		facts.Ratio = pipelineRatio(data)
	}
	return facts
}

// pipelineRatio is the smallest speed-up over a Python variant in bench/pipeline's results.
func pipelineRatio(data []byte) float64 {
	best := 0.0
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var x struct {
			Engine string  `json:"engine"`
			Ratio  float64 `json:"speedup_of_treeline"`
		}
		if json.Unmarshal(lines.Bytes(), &x) == nil && x.Engine != ours && x.Ratio > 0 && (best == 0 || x.Ratio < best) {
			best = x.Ratio
		}
	}
	return best
}

// plot draws the results with matplotlib.
func plot(ctx context.Context, dir string) error {
	if err := command(ctx, benchPython, "bench/plot.py", dir).Run(); err != nil {
		return fmt.Errorf("drawing the plots (make python-bench installs matplotlib): %w", err)
	}
	return nil
}

const (
	readmeBegin = "<!-- bench:begin (written by go run ./bench/compare -report -readme) -->"
	readmeEnd   = "<!-- bench:end -->"
)

// writeReadme replaces what stands between the two marks by the headline numbers.
func writeReadme(path string, r *report, goals []goal) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := insertHeadline(string(data), headline(r, goals))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

func insertHeadline(text, lines string) (string, error) {
	before, rest, ok := strings.Cut(text, readmeBegin+"\n")
	_, after, closed := strings.Cut(rest, readmeEnd+"\n")
	if !ok || !closed {
		return "", fmt.Errorf("the marks %q and %q are not there", readmeBegin, readmeEnd)
	}
	return before + readmeBegin + "\n" + lines + readmeEnd + "\n" + after, nil
}

// headline is a table of the ratios in Markdown.
func headline(r *report, goals []goal) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| model | ns per row | native library | fastest other engine | pure Go |\n|---|---|---|---|---|\n")
	runs := 0
	for _, m := range models {
		x := r.at(m, ours, 1, allRows)
		if x == nil {
			continue
		}
		runs = x.Runs
		best := "-"
		for _, e := range r.engines(m) {
			if !strings.HasPrefix(e, ours) && e != native(m) {
				best = fmt.Sprintf("%s, %.1fx", e, r.ratio(m, e, ours, 1, allRows))
				if y := r.at(m, e, 1, allRows); !y.Exact {
					best += " (inexact)"
				}
				break
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s, **%.1fx** | %s | %.1fx |\n", m, r.ns(m, ours, 1, allRows), native(m),
			r.ratio(m, native(m), ours, 1, allRows), best, r.ratio(m, native(m), portable, 1, allRows))
	}
	fmt.Fprintf(&b, "\nOne thread, batches of 100,000 rows in memory, quantisation included; x: times as fast; pure Go: the portable\n"+
		"tier against the native library. Medians of %d interleaved runs on %s; `%s`, %d goals missed.\n",
		runs, r.Context.Machine, r.Context.Command, len(missed(goals)))
	return b.String()
}
